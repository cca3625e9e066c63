"""The header of a datagram: read as it stands, and not a byte further."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserver.protocol.quic.datagram import VERSIONS, LongHeader, read_long_header, read_token

V1, V2 = VERSIONS
DCID, SCID, TOKEN = b"dest4567", b"source", b"a token"


def make_initial(token: bytes = TOKEN, rest: int = 30, first_byte: int = 0xC0, version: int = V1) -> bytes:
    head = bytes((first_byte,)) + version.to_bytes(4, "big")
    cids = bytes((len(DCID),)) + DCID + bytes((len(SCID),)) + SCID
    return head + cids + bytes((len(token),)) + token + bytes((rest,)) + bytes(rest)


def test_a_header_is_read() -> None:
    data = make_initial()
    header = read_long_header(data)
    assert header == LongHeader(0xC0, V1, DCID, SCID, 21)
    assert read_token(data, header) == TOKEN
    assert read_token(data + b"another packet", header) == TOKEN


@pytest.mark.parametrize(
    ("first_byte", "version", "is_initial"),
    [
        (0xC0, V1, True),
        (0xCF, V1, True),
        (0xD0, V1, False),
        (0xE0, V1, False),
        (0xF0, V1, False),
        (0xC0, V2, False),
        (0xD0, V2, True),
        (0xE0, V2, False),
        (0xC0, 0, False),
        (0xD0, 3, False),
    ],
)
def test_initial_packets_are_known_by_their_version(first_byte: int, version: int, is_initial: bool) -> None:
    header = read_long_header(make_initial(first_byte=first_byte, version=version))
    assert header is not None
    assert header.is_initial() is is_initial


@pytest.mark.parametrize(
    ("first_byte", "dcid", "scid", "plausible"),
    [
        (0xC0, 20, 20, True),
        (0xC0, 0, 0, True),
        (0x80, 8, 8, False),
        (0xC0, 21, 0, False),
        (0xC0, 8, 21, False),
    ],
)
def test_what_no_served_version_begins_with(first_byte: int, dcid: int, scid: int, plausible: bool) -> None:
    assert LongHeader(first_byte, V1, bytes(dcid), bytes(scid), 0).is_plausible() is plausible


def test_ids_of_other_versions_may_be_long() -> None:
    data = b"\x80\x0a\x0a\x0a\x0a\xff" + bytes(255) + b"\xff" + bytes(255)
    assert read_long_header(data) == LongHeader(0x80, 0x0A0A0A0A, bytes(255), bytes(255), 517)


@pytest.mark.parametrize("cut", range(21))
def test_a_cut_header_is_none(cut: int) -> None:
    assert read_long_header(make_initial()[:cut]) is None


@pytest.mark.parametrize("cut", range(21, 60))
def test_a_cut_packet_has_no_token(cut: int) -> None:
    data = make_initial()[:cut]
    header = read_long_header(data)
    assert header is not None
    assert read_token(data, header) is None


@pytest.mark.parametrize("size", range(1, 8))
def test_a_cut_length_is_no_shorter_length(size: int) -> None:
    """Whichever of the two lengths it is, and however little its bytes would say."""
    cut = (b"\xc0" + bytes(7))[:size]
    for tail in (cut, b"\0" + cut):
        data = make_initial()[:21] + tail
        header = read_long_header(data)
        assert header is not None
        assert read_token(data, header) is None


@pytest.mark.parametrize(("rest", "is_whole"), [(19, False), (20, True)])
def test_a_payload_has_room_for_the_sample(rest: int, is_whole: bool) -> None:
    data = make_initial(rest=rest)
    header = read_long_header(data)
    assert header is not None
    assert (read_token(data, header) is not None) is is_whole


@pytest.mark.parametrize("length", ["07", "4007", "80000007", "c000000000000007"])
def test_lengths_have_four_forms(length: str) -> None:
    data = make_initial()[:21] + bytes.fromhex(length) + TOKEN + b"\x40\x1e" + bytes(30)
    header = read_long_header(data)
    assert header is not None
    assert read_token(data, header) == TOKEN


@given(tail=st.binary(max_size=64), first_byte=st.integers(0x80, 0xFF), version=st.sampled_from((0, V1, V2)))
def test_no_bytes_raise_and_none_are_made_up(tail: bytes, first_byte: int, version: int) -> None:
    data = bytes((first_byte,)) + version.to_bytes(4, "big") + tail
    header = read_long_header(data)
    if header is not None:
        again = data[:5] + b"".join(bytes((len(cid),)) + cid for cid in (header.dcid, header.scid))
        assert data[: header.end] == again
        token = read_token(data, header)
        assert token is None or token in data[header.end :]

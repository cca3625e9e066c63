"""Variable-length integers, heads of frames, SETTINGS and GOAWAY, beside aioquic where it is installed."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserver._speedups.h3.codes import ENABLE_CONNECT_PROTOCOL, HTTP2_SETTINGS, MAX_FIELD_SECTION_SIZE
from fastserver._speedups.h3.errors import (
    H3_EXCESSIVE_LOAD,
    H3_FRAME_ERROR,
    H3_SETTINGS_ERROR,
    ConnectionFault,
)
from fastserver._speedups.h3.varint import (
    MOST_SETTINGS,
    encode_varint,
    measure_varint,
    read_goaway,
    read_push_id,
    read_settings,
    read_varint,
    render_frame_head,
    render_goaway,
    render_settings,
)

LARGEST = 2**62 - 1
EXAMPLES = [(151288809941952652, "c2197c5eff14e88c"), (494878333, "9d7f3e7d"), (15293, "7bbd"), (37, "25")]


@pytest.mark.parametrize(("value", "data"), [
    *EXAMPLES, (0, "00"), (63, "3f"), (64, "4040"), (16383, "7fff"), (16384, "80004000"), (2**30 - 1, "bfffffff"),
    (2**30, "c000000040000000"), (LARGEST, "ffffffffffffffff"),
])  # fmt: skip
def test_integers(value: int, data: str) -> None:
    encoded = bytes.fromhex(data)
    assert encode_varint(value) == encoded
    assert measure_varint(encoded[0]) == len(encoded)
    assert read_varint(b"?" + encoded + b"?", 1) == value
    for end in range(len(encoded)):
        assert read_varint(encoded[:end], 0) == -1
    assert read_varint(encoded, len(encoded)) == -1


def test_an_integer_may_have_more_bytes_than_it_needs() -> None:
    assert read_varint(bytes.fromhex("4025"), 0) == read_varint(bytes.fromhex("c000000000000025"), 0) == 37


@pytest.mark.parametrize("value", [-1, LARGEST + 1, 2**64])
def test_integers_that_have_no_form(value: int) -> None:
    with pytest.raises(ValueError, match="between 0"):
        encode_varint(value)


@given(kind=st.integers(0, 70) | st.integers(0, LARGEST), size=st.integers(0, 20000) | st.integers(0, LARGEST))
def test_a_frame_head_is_two_integers(kind: int, size: int) -> None:
    assert render_frame_head(kind, size) == encode_varint(kind) + encode_varint(size)


@pytest.mark.parametrize(("kind", "size"), [(-1, 0), (0, -1), (LARGEST + 1, 0), (0, LARGEST + 1)])
def test_a_frame_head_that_has_no_form(kind: int, size: int) -> None:
    with pytest.raises(ValueError, match="between 0"):
        render_frame_head(kind, size)


@given(value=st.integers(0, LARGEST))
def test_aioquic_reads_and_writes_them_alike(value: int) -> None:
    buffer = pytest.importorskip("aioquic.buffer")
    assert buffer.encode_uint_var(value) == encode_varint(value)
    assert buffer.Buffer(data=encode_varint(value)).pull_uint_var() == value == read_varint(encode_varint(value), 0)


def test_frames() -> None:
    assert render_frame_head(0, 5) == b"\x00\x05"
    assert render_frame_head(1, 300) == b"\x01\x41\x2c"
    assert render_goaway(4 * 16) == b"\x07\x02\x40\x40"
    assert render_settings({}) == b"\x04\x00"
    assert render_settings({6: 32768, 1: 0, 7: 0, 8: 1}) == bytes.fromhex("040b 0680008000 0100 0700 0801")


# ---- Reading -------------------------------------------------------------------------------------------------------


def find_code(payload: bytes) -> int:
    with pytest.raises(ConnectionFault) as raised:
        read_settings(payload)
    return int(raised.value.code)


@given(settings=st.dictionaries(st.integers(9, LARGEST), st.integers(0, LARGEST), max_size=MOST_SETTINGS))
def test_settings_are_read_as_they_were_written(settings: dict[int, int]) -> None:
    frame = render_settings(settings)
    size = read_varint(frame, 1)
    assert read_settings(frame[len(frame) - size :]) == settings


def test_unknown_settings_are_no_fault() -> None:
    assert read_settings(b"") == {}
    assert read_settings(bytes.fromhex("0680008000 0100 0740640801 2105")) == {6: 32768, 1: 0, 7: 100, 8: 1, 0x21: 5}


@pytest.mark.parametrize("name", [*HTTP2_SETTINGS])
def test_settings_of_http_2_are_refused(name: int) -> None:
    assert find_code(bytes([name, 1])) == H3_SETTINGS_ERROR
    assert find_code(b"\x06\x01\x40" + bytes([name, 1])) == H3_SETTINGS_ERROR


def test_a_setting_may_not_come_twice() -> None:
    for name in (MAX_FIELD_SECTION_SIZE, 0x21):
        assert find_code(bytes([name, 1, 7, 0, name, 1])) == H3_SETTINGS_ERROR
    assert find_code(b"\x06\x01\x40\x06\x01") == H3_SETTINGS_ERROR


@pytest.mark.parametrize("value", [0, 1, 2, 63])
def test_extended_connect_is_on_or_off(value: int) -> None:
    payload = bytes([ENABLE_CONNECT_PROTOCOL, value])
    if value < 2:
        assert read_settings(payload) == {ENABLE_CONNECT_PROTOCOL: value}
    else:
        assert find_code(payload) == H3_SETTINGS_ERROR


@pytest.mark.parametrize("payload", ["06", "0640", "40", "0680008000 01", "0680008000 40", "06c0000000000000"])
def test_settings_that_break_off(payload: str) -> None:
    assert find_code(bytes.fromhex(payload)) == H3_FRAME_ERROR


def test_settings_are_bounded() -> None:
    payload = b"".join(encode_varint(100 + number) + b"\x00" for number in range(MOST_SETTINGS))
    assert len(read_settings(payload)) == MOST_SETTINGS
    assert find_code(payload + b"\x3f\x00") == H3_EXCESSIVE_LOAD


def test_identifiers() -> None:
    for value in (0, 63, 64, LARGEST):
        assert read_goaway(encode_varint(value)) == read_push_id(encode_varint(value)) == value


@pytest.mark.parametrize("read", [read_goaway, read_push_id])
@pytest.mark.parametrize("payload", [b"", b"\x40", b"\xc0" + bytes(6), b"\x00\x00", b"\x40\x40\x00"])
def test_identifiers_that_fill_no_frame(read: Callable[[bytes], int], payload: bytes) -> None:
    with pytest.raises(ConnectionFault) as raised:
        read(payload)
    assert raised.value.code == H3_FRAME_ERROR

"""Both directions beside pylsqpack: same lists, and nothing is read here that it refuses."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastserver._speedups.fields import KNOWN_FIELDS
from fastserver._speedups.qpack.decoder import decode_fields
from fastserver._speedups.qpack.encoder import encode_fields
from fastserver._speedups.qpack.errors import DecompressionFailed
from fastserver._speedups.qpack.tables import STATIC_TABLE

pylsqpack = pytest.importorskip("pylsqpack")

AMPLE = 1 << 24
NAMES = st.sampled_from(sorted({*KNOWN_FIELDS, *(name for name, _ in STATIC_TABLE)})) | st.from_regex(
    rb"[a-z0-9!~-]{1,140}", fullmatch=True
)
VALUES = (
    st.sampled_from([b"", b"GET", b"/", b"200", b"a", b"gzip, deflate, br", b"v" * 900, b"\x80" * 1500])
    | st.binary(max_size=140)
    | st.from_regex(rb"[a-z0-9/=; -]{0,60}", fullmatch=True)
)
FIELDS = st.lists(st.tuples(NAMES, VALUES) | st.sampled_from(STATIC_TABLE), min_size=1, max_size=8)

Fields = list[tuple[bytes, bytes]]


def decode_there(section: bytes) -> Any:
    """What pylsqpack makes of a section, ``None`` where it refuses."""
    try:
        return pylsqpack.Decoder(0, 0).feed_header(0, section)[1]
    except pylsqpack.DecompressionFailed:
        return None


def decode_here(section: bytes) -> Fields | None:
    try:
        return list(decode_fields(section, AMPLE))
    except DecompressionFailed:
        return None


def encode_there(fields: Fields) -> bytes:
    encoder = pylsqpack.Encoder()
    encoder.apply_settings(0, 0)
    section: bytes = encoder.encode(0, fields)[1]
    return section


@settings(deadline=None, max_examples=100)
@given(fields=FIELDS)
def test_pylsqpack_reads_what_is_encoded(fields: Fields) -> None:
    for _ in range(2):
        assert decode_there(encode_fields(fields)) == fields


@settings(deadline=None, max_examples=100)
@given(fields=FIELDS)
def test_what_pylsqpack_encodes_is_read(fields: Fields) -> None:
    section = encode_there(fields)
    assert decode_fields(section, AMPLE) == fields
    assert len(encode_fields(fields)) <= len(section) + len(fields)


@st.composite
def spoil(draw: st.DrawFn, section: bytes) -> bytes:
    """A section with a few bytes changed, put in or taken out, or cut short."""
    data = bytearray(section)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        byte = draw(st.integers(0, 255) | st.sampled_from([0x00, 0x20, 0x3F, 0x50, 0x7F, 0x80, 0xC0, 0xFF]))
        change = draw(st.sampled_from(["put", "take", "change", "cut"]))
        if change == "put":
            data.insert(at, byte)
        elif change == "cut":
            del data[at:]
        elif at < len(data):
            data[at : at + 1] = b"" if change == "take" else bytes([byte])
    return bytes(data)


PIECES = st.one_of(
    st.integers(0, 255).map(lambda byte: bytes([byte])),
    st.integers(0, 63).map(lambda index: bytes([0xC0 | index])),
    st.sampled_from([b"\x50", b"\x2a", b"\xff\x00", b"\xff\x23", b"\xff\x24", b"\xff\x80\x00", b"\x5f\x10"]),
    st.tuples(st.sampled_from([0x20, 0x28, 0x30]), st.binary(max_size=6), st.binary(max_size=5)).map(
        lambda parts: bytes([parts[0] | len(parts[1])]) + parts[1] + bytes([len(parts[2])]) + parts[2]
    ),
    st.binary(max_size=6).map(lambda code: b"\x51" + bytes([0x80 | len(code)]) + code),
)


@settings(deadline=None, max_examples=200)
@given(data=st.data(), fields=FIELDS, pieces=st.lists(PIECES, max_size=12))
def test_spoiled_sections(data: st.DataObject, fields: Fields, pieces: list[bytes]) -> None:
    for section in (data.draw(spoil(encode_there(fields))), b"\0\0" + b"".join(pieces)):
        found = decode_here(section)
        # An empty list and an empty name are none of QPACK's business, but pylsqpack refuses both.
        if found and all(name for name, _ in found):
            assert decode_there(section) == found

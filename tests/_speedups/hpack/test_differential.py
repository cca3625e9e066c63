"""Both directions beside the `hpack` package, over sequences of blocks: same lists, same refusals.

What the decoder refuses beyond `hpack` (integers above 31 bits, limits on fields) can only be met by blocks that both
refuse, or by limits that are set far off here.
"""

from typing import Any

import pytest
from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError
from hypothesis import given, settings
from hypothesis import strategies as st

from fastserver._speedups.fields import KNOWN_FIELDS
from fastserver._speedups.hpack import errors
from fastserver._speedups.hpack.tables import STATIC_TABLE
from tests._speedups.hpack.texts import ROOMS, Room

NAMES = st.sampled_from(sorted({*KNOWN_FIELDS, *(name for name, _ in STATIC_TABLE)})) | st.from_regex(
    rb"[a-z0-9-]{1,12}", fullmatch=True
)
# A few values, so that fields repeat; some that are large beside the table.
VALUES = (
    st.sampled_from([b"", b"GET", b"/", b"200", b"a", b"gzip, deflate", b"v" * 900, b"\x80" * 1500])
    | st.binary(max_size=40)
    | st.from_regex(rb"[a-z0-9/=; -]{0,60}", fullmatch=True)
)
FIELD = st.tuples(NAMES, VALUES) | st.sampled_from(STATIC_TABLE) | st.tuples(st.just(b"x-a"), VALUES)
FIELDS = st.lists(FIELD, max_size=8)
SIZES = st.none() | st.sampled_from([0, 33, 34, 100, 300, 1500, 4095, 4096, 4097, 65536])
SEQUENCES = st.lists(st.tuples(SIZES, FIELDS), max_size=8)


@pytest.mark.parametrize("room", ROOMS)
@settings(deadline=None, max_examples=50)
@given(steps=st.lists(st.tuples(st.lists(SIZES, max_size=3), FIELDS), max_size=8), huffman=st.booleans())
def test_hpack_reads_what_is_encoded(room: Room, steps: list[tuple[list[int | None], Any]], huffman: bool) -> None:
    encoder, decoder = room.encoder.Encoder(), Decoder(2**30)
    for sizes, fields in steps:
        for size in sizes:
            if size is not None:
                encoder.header_table_size = decoder.max_allowed_table_size = size
        assert list(decoder.decode(encoder.encode(fields, huffman), raw=True)) == fields
        assert decoder.header_table_size == encoder.header_table_size


@pytest.mark.parametrize("room", ROOMS)
@settings(deadline=None, max_examples=50)
@given(steps=SEQUENCES, huffman=st.booleans())
def test_what_hpack_encodes_is_read(room: Room, steps: list[tuple[int | None, Any]], huffman: bool) -> None:
    encoder, decoder = Encoder(), make_decoder(room)
    for size, fields in steps:
        if size is not None:
            encoder.header_table_size = decoder.max_allowed_table_size = size
        assert decoder.decode(encoder.encode(fields, huffman)) == fields


def make_decoder(room: Room) -> Any:
    return room.decoder.Decoder(4096, 2**30, 10**6, 2**30)


def try_decode(decoder: Any, block: bytes) -> list[tuple[bytes, bytes]] | None:
    """What a block is decoded to, ``None`` where it is refused."""
    try:
        return list(decoder.decode(block, raw=True))
    except (HPACKError, errors.HPACKError):
        return None


@st.composite
def spoil(draw: st.DrawFn, block: bytes) -> bytes:
    """A block with a few bytes changed, put in or taken out, or cut short."""
    data = bytearray(block)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        byte = draw(st.integers(0, 255) | st.sampled_from([0x00, 0x20, 0x3F, 0x40, 0x7F, 0x80, 0xBE, 0xFF]))
        change = draw(st.sampled_from(["put", "take", "change", "cut"]))
        if change == "put":
            data.insert(at, byte)
        elif change == "cut":
            del data[at:]
        elif at < len(data):
            data[at : at + 1] = b"" if change == "take" else bytes([byte])
    return bytes(data)


@pytest.mark.parametrize("room", ROOMS)
@settings(deadline=None, max_examples=50)
@given(data=st.data(), steps=SEQUENCES, huffman=st.booleans())
def test_spoiled_blocks(room: Room, data: st.DataObject, steps: list[tuple[int | None, Any]], huffman: bool) -> None:
    encoder, reference, decoder = Encoder(), Decoder(2**30), make_decoder(room)
    for size, fields in steps:
        if size is not None:
            encoder.header_table_size = size
            reference.max_allowed_table_size = decoder.max_allowed_table_size = size
        block = data.draw(spoil(encoder.encode(fields, huffman)))
        expected = try_decode(reference, block)
        assert try_decode(decoder, block) == expected
        if expected is None:
            return


PIECES = st.one_of(
    st.integers(0, 127).map(lambda index: bytes([0x80 | index])),
    st.integers(0, 255).map(lambda byte: bytes([byte])),
    st.sampled_from([b"\x20", b"\x3f\xe1\x1f", b"\x3f\x45", b"\xbe", b"\xbf", b"\xff\x00", b"\xff\x80\x00"]),
    st.tuples(st.sampled_from([b"\x00", b"\x10", b"\x40"]), st.binary(max_size=5), st.binary(max_size=5)).map(
        lambda parts: parts[0] + b"".join(bytes([len(text)]) + text for text in parts[1:])
    ),
    st.tuples(st.sampled_from([b"\x41", b"\x7e", b"\x7f\x00", b"\x0f\x2f", b"\x04"]), st.binary(max_size=40)).map(
        lambda parts: parts[0] + bytes([len(parts[1])]) + parts[1]
    ),
    st.binary(max_size=6).map(lambda code: b"\x04" + bytes([0x80 | len(code)]) + code),
)


@pytest.mark.parametrize("room", ROOMS)
@settings(deadline=None, max_examples=50)
@given(blocks=st.lists(st.lists(PIECES, max_size=12).map(b"".join), max_size=4))
def test_blocks_of_any_pieces(room: Room, blocks: list[bytes]) -> None:
    reference, decoder = Decoder(2**30), make_decoder(room)
    for block in blocks:
        expected = try_decode(reference, block)
        assert try_decode(decoder, block) == expected
        if expected is None:
            return

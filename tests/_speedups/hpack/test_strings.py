"""String literals: both texts of `strings` beside each other and beside `hpack`'s Huffman coder."""

from typing import Any

import pytest
from hpack.exceptions import HPACKDecodingError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman
from hypothesis import given
from hypothesis import strategies as st

from fastserver._speedups.fields import KNOWN_FIELDS
from fastserver._speedups.hpack.errors import HPACKError
from fastserver._speedups.hpack.tables import CODES, EOS
from tests._speedups.hpack.texts import ROOMS, Room

CODER = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
EVERY_BYTE = bytes(range(256))


def pack_bits(*pieces: tuple[int, int]) -> bytes:
    """Codes of so many bits in a row, filled up with ones."""
    text = "".join(f"{code:0{length}b}" for code, length in pieces if length)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def render(room: Room, text: bytes, huffman: bool) -> bytes:
    out = bytearray(b"before")
    room.strings.append_string(out, text, huffman)
    assert out.startswith(b"before")
    return bytes(out[6:])


def test_the_code_of_each_byte_is_decoded(room: Room) -> None:
    for text in (bytes([byte]) * times for byte in EVERY_BYTE for times in (1, 3)):
        code = CODER.encode(text)
        assert room.strings.read_string(code, 0, len(code), True, False) == text


@pytest.mark.parametrize("text", [
    b"", EVERY_BYTE, EVERY_BYTE[::-1], b"www.example.com", b"a" * 639, b"a" * 640, b"0" * 1024, b"\xff" * 5000,
])  # fmt: skip
def test_huffman_code_is_decoded(room: Room, text: bytes) -> None:
    data = b"-" + CODER.encode(text) + b"+"
    assert room.strings.read_string(data, 1, len(data) - 2, True, False) == text


@pytest.mark.parametrize("data", [
    b"\xff", b"\xff\xff\xff\xff", b"\xff" * 12,  # padding of a byte and more
    b"\xfe", b"\x00", pack_bits((0, 5)) + b"\xff",  # padding that is not all ones, or too long behind a symbol
    pack_bits(CODES[EOS]), pack_bits(CODES[ord("a")], CODES[EOS], CODES[ord("a")]), pack_bits(CODES[0xF9], CODES[EOS]),
    pack_bits((CODES[2][0] >> 4, 24)), pack_bits(CODES[ord("a")], (CODES[2][0] >> 1, 27)),  # a code that breaks off
])  # fmt: skip
def test_what_is_no_huffman_code_is_refused(room: Room, data: bytes) -> None:
    with pytest.raises(HPACKError, match="invalid Huffman code"):
        room.strings.read_string(data, 0, len(data), True, False)


@pytest.mark.parametrize("size", range(1, 9))
def test_padding_of_each_length(room: Room, size: int) -> None:
    text = b"a" * size  # five bits each, so eight of them leave each rest
    data = pack_bits(*(CODES[byte] for byte in text))
    assert room.strings.read_string(data, 0, len(data), True, False) == text
    if size < 8:
        spoiled = data[:-1] + bytes([data[-1] & ~1])
        with pytest.raises(HPACKError):
            room.strings.read_string(spoiled, 0, len(spoiled), True, False)


@pytest.mark.parametrize("room", ROOMS)
@given(st.binary(max_size=80) | st.lists(st.sampled_from(b"\xff\xfe\xfc\x1f\x00"), max_size=20).map(bytes))
def test_any_bytes_decode_as_hpack_decodes_them(room: Room, data: bytes) -> None:
    expected: Any
    try:
        expected = decode_huffman(data)
    except HPACKDecodingError:
        expected = None
    try:
        found = room.strings.read_string(data, 0, len(data), True, False)
    except HPACKError:
        found = None
    assert found == expected


@pytest.mark.parametrize("room", ROOMS)
@given(st.binary(max_size=300) | st.text("abcdefgh /-0123456789", max_size=300).map(str.encode))
def test_a_literal_is_the_shorter_of_both_forms(room: Room, text: bytes) -> None:
    coded = CODER.encode(text)
    shorter = coded if len(coded) < len(text) else text
    literal = render(room, text, True)
    assert literal.endswith(shorter)
    assert bool(literal[0] & 0x80) == (len(coded) < len(text))
    assert len(literal) == len(shorter) + (1 if len(shorter) < 127 else 2 if len(shorter) < 255 else 3)
    assert render(room, text, False).endswith(text)


@pytest.mark.parametrize(("size", "prefix"), [
    (0, "00"), (1, "01"), (126, "7e"), (127, "7f00"), (128, "7f01"), (254, "7f7f"), (255, "7f8001"),
    (16510, "7fff7f"), (16511, "7f808001"),
])  # fmt: skip
def test_lengths(room: Room, size: int, prefix: str) -> None:
    text = b"\x01" * size
    assert render(room, text, True) == render(room, text, False) == bytes.fromhex(prefix) + text


def test_known_names_are_shared_objects(room: Room) -> None:
    shared = {known: known for known in KNOWN_FIELDS}
    for name in (*KNOWN_FIELDS, b"x-unknown", b"Accept", b"", b"a" * 100):
        for is_huffman, data in ((False, name), (True, CODER.encode(name))):
            found = room.strings.read_string(data, 0, len(data), is_huffman, True)
            assert found == name
            assert (found is shared.get(name)) == (name in shared)


@pytest.mark.parametrize(("start", "size"), [(-1, 1), (0, -1), (0, 4), (3, 1), (2, 2), (4, 0), (1, 2**62)])
def test_nothing_is_read_outside_the_data(room: Room, start: int, size: int) -> None:
    for is_huffman in (False, True):
        with pytest.raises(ValueError, match="not inside"):
            room.strings.read_string(b"abc", start, size, is_huffman, False)

"""The decoder: what it refuses, its limits on both sides, and that what is indexed costs no new object."""

import tracemalloc
from typing import Any

import pytest
from hpack import Encoder

from fastserver._speedups.fields import KNOWN_FIELDS
from fastserver._speedups.hpack.errors import HPACKError, OversizedList
from fastserver._speedups.hpack.tables import STATIC_TABLE
from tests._speedups.hpack.texts import Room

CUSTOM = bytes.fromhex("400a637573746f6d2d6b65790d637573746f6d2d686561646572")


def make_decoder(room: Room, **limits: int) -> Any:
    defaults = {"max_table_size": 4096, "max_list_bytes": 65536, "max_fields": 100, "max_field_bytes": 65536}
    return room.decoder.Decoder(**(defaults | limits))


def test_a_list_that_is_too_large_is_no_broken_block() -> None:
    assert not issubclass(OversizedList, HPACKError)


@pytest.mark.parametrize(("block", "reason"), [
    ("80", "index 0"), ("be", "beyond"), ("bf", "beyond"), ("ff00", "beyond"), ("ffffffffff06", "beyond"),
    ("7f0000", "beyond"), ("0f3000", "beyond"), ("1f3000", "beyond"), ("7e0000", "beyond"),
    ("ffffffffff08", "too large"), ("ffffffffff7f", "too large"), ("ffffffffffff00", "too long"),
    ("ff808080808000", "too long"), ("ff80808080808080", "too long"), ("007f808080808000", "too long"),
    ("ff", "truncated"), ("ff80", "truncated"), ("ff80808080", "truncated"), ("7f", "truncated"), ("0f", "truncated"),
    ("3f", "truncated"), ("3f80", "truncated"),
    ("40", "truncated"), ("00", "truncated"), ("10", "truncated"), ("0001", "truncated"), ("000161", "truncated"),
    ("00016101", "truncated"), ("007f", "truncated"), ("0403612f", "truncated"), ("41", "truncated"),
    ("008061", "truncated"), ("00ff80808008", "truncated"), ("007fffffffff06", "truncated"),
    ("0081ff00", "Huffman"), ("00810000", "Huffman"), ("0484ffffffff", "Huffman"), ("04820fff", "Huffman"),
    ("8220", "behind a field"), ("823fe11f", "behind a field"), ("040020", "behind a field"),
    ("3fe21f", "above"), ("203fe21f", "above"), ("3fffffffff06", "above"), ("3fffffffff08", "too large"),
])  # fmt: skip
def test_what_is_malformed_is_refused(room: Room, block: str, reason: str) -> None:
    with pytest.raises(HPACKError, match=reason):
        make_decoder(room).decode(bytes.fromhex(block))


@pytest.mark.parametrize("block", ["8286", CUSTOM.hex(), "3fe11f82", "0f2e03666f6f", "0f2e8294e7"])
def test_what_breaks_off_is_refused_or_a_part_of_the_list(room: Room, block: str) -> None:
    data = bytes.fromhex(block)
    fields = make_decoder(room).decode(data)
    for end in range(len(data)):
        try:
            part = make_decoder(room).decode(data[:end])
        except HPACKError:
            continue
        assert part == fields[: len(part)]


def test_integers_may_be_padded_to_five_bytes(room: Room) -> None:
    assert make_decoder(room).decode(bytes.fromhex("0f808080800000")) == [(STATIC_TABLE[14][0], b"")]
    assert make_decoder(room).decode(bytes.fromhex("0f007f8180808000" + "61" * 128)) == [
        (STATIC_TABLE[14][0], b"a" * 128)
    ]


def test_an_empty_block_is_an_empty_list(room: Room) -> None:
    assert make_decoder(room).decode(b"") == []
    assert make_decoder(room).decode(b"", raw=True) == []
    assert make_decoder(room).decode(b"\x20") == []


def test_every_static_entry(room: Room) -> None:
    decoder = make_decoder(room)
    block = bytes(0x80 | index for index in range(1, 62))
    fields = decoder.decode(block)
    assert fields == list(STATIC_TABLE)
    assert all(field is entry for field, entry in zip(fields, STATIC_TABLE, strict=True))


def test_what_is_indexed_is_one_object(room: Room) -> None:
    decoder = make_decoder(room)
    (first,) = decoder.decode(CUSTOM)
    second, third = decoder.decode(b"\xbe\xbe")
    assert first is second is third


def test_a_literal_of_a_known_name_has_the_shared_name(room: Room) -> None:
    shared = {name: name for name in KNOWN_FIELDS}
    fields = [(name, b"v") for name in KNOWN_FIELDS]
    for huffman in (False, True):
        decoded = make_decoder(room, max_fields=1000).decode(Encoder().encode(fields, huffman))
        assert decoded == fields
        assert all(name is shared[name] for name, _ in decoded)


# ---- The size of the table -----------------------------------------------------------------------------------------


def test_a_lower_size_must_be_announced_first(room: Room) -> None:
    decoder = make_decoder(room)
    assert decoder.max_allowed_table_size == 4096
    decoder.max_allowed_table_size = 100
    assert decoder.decode(b"\x3f\x45\x82") == [(b":method", b"GET")]  # 100
    assert decoder.decode(b"\x82") == [(b":method", b"GET")]
    decoder.max_allowed_table_size = 99
    for block in (b"\x82", b"", b"\x3f\x45\x82"):
        with pytest.raises(HPACKError, match="size update"):
            decoder.decode(block)
    assert decoder.decode(b"\x20\x3f\x44\x82") == [(b":method", b"GET")]


def test_a_higher_size_need_not_be_used(room: Room) -> None:
    decoder = make_decoder(room)
    decoder.max_allowed_table_size = 8192
    assert decoder.decode(b"\x82") == [(b":method", b"GET")]
    large = b"x" * 5000
    encoder = Encoder()
    encoder.header_table_size = 8192
    assert decoder.decode(encoder.encode([(b"a", large)])) == [(b"a", large)]
    assert decoder.decode(b"\xbe") == [(b"a", large)]


def test_an_update_evicts_and_zero_empties(room: Room) -> None:
    decoder = make_decoder(room)
    decoder.decode(CUSTOM + b"\x40\x01a\x01b")
    assert decoder.decode(b"\xbe\xbf") == [(b"a", b"b"), (b"custom-key", b"custom-header")]
    assert decoder.decode(b"\x3f\x03\xbe") == [(b"a", b"b")]  # 34 is the entry's size to the byte
    with pytest.raises(HPACKError, match="beyond"):
        decoder.decode(b"\x20\x3f\xe1\x1f\xbe")


@pytest.mark.parametrize(("capacity", "kept"), [(33, False), (34, True), (35, True)])
def test_an_entry_that_does_not_fit_empties_the_table(room: Room, capacity: int, kept: bool) -> None:
    decoder = make_decoder(room, max_table_size=capacity)
    assert decoder.decode(b"\x40\x01a\x01b") == [(b"a", b"b")]
    if kept:
        assert decoder.decode(b"\xbe") == [(b"a", b"b")]
        assert decoder.decode(b"\x40\x01a\x03bcd") == [(b"a", b"bcd")]
    with pytest.raises(HPACKError, match="beyond"):
        decoder.decode(b"\xbe")


def test_a_name_may_be_taken_from_the_entry_that_it_evicts(room: Room) -> None:
    decoder = make_decoder(room, max_table_size=40)
    decoder.decode(b"\x40\x04name\x01a")
    assert decoder.decode(b"\x7e\x02bc") == [(b"name", b"bc")]
    assert decoder.decode(b"\xbe") == [(b"name", b"bc")]


# ---- Limits --------------------------------------------------------------------------------------------------------


def is_taken(decoder: Any, block: bytes) -> bool:
    try:
        decoder.decode(block)
    except OversizedList:
        return False
    return True


@pytest.mark.parametrize("block", [
    b"\x82" * 5,  # static entries
    b"\x40\x04name\x06valued" + b"\xbe" * 4,  # a dynamic one
    b"\x00\x04name\x06valued" * 5, b"\x60\x0412; " * 5,  # literals; crumbs of a cookie count like the rest
])  # fmt: skip
def test_lists_up_to_the_limits_are_taken(room: Room, block: bytes) -> None:
    fields = make_decoder(room).decode(block)
    size = sum(len(name) + len(value) + 32 for name, value in fields)
    for slack, taken in ((-1, False), (0, True), (1, True)):
        assert is_taken(make_decoder(room, max_list_bytes=size + slack), block) == taken
        assert is_taken(make_decoder(room, max_fields=len(fields) + slack), block) == taken
        largest = max(len(name) + len(value) for name, value in fields)
        assert is_taken(make_decoder(room, max_field_bytes=largest + slack), block) == taken


def test_h2_may_set_the_limit(room: Room) -> None:
    decoder = make_decoder(room)
    assert decoder.max_header_list_size == 65536
    decoder.max_header_list_size = 41
    assert not is_taken(decoder, b"\x82")
    decoder.max_header_list_size = 42
    assert is_taken(decoder, b"\x82")


def test_huffman_code_counts_as_what_it_stands_for(room: Room) -> None:
    block = Encoder().encode([(b"a", b"0" * 1000)])
    assert len(block) < 700
    assert is_taken(make_decoder(room, max_field_bytes=1001), block)
    assert not is_taken(make_decoder(room, max_field_bytes=1000), block)


def test_a_bomb_is_refused_before_it_goes_off(room: Room) -> None:
    """16 KiB that stand for 65 MB; what follows the limit is never looked at, so the bad end is not what is told."""
    value = b"x" * 4000
    block = Encoder().encode([(b"a", value)], False)
    decoder = make_decoder(room, max_list_bytes=32768)
    assert decoder.decode(block) == [(b"a", value)]
    bomb = b"\xbe" * 16384 + b"\x80"
    tracemalloc.start()
    try:
        with pytest.raises(OversizedList):
            decoder.decode(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000


def test_a_bomb_of_many_small_fields(room: Room) -> None:
    with pytest.raises(OversizedList):
        make_decoder(room, max_list_bytes=2**40).decode(b"\x90" * 101 + b"\x80")
    assert len(make_decoder(room, max_list_bytes=2**40).decode(b"\x90" * 100)) == 100

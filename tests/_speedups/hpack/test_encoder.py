"""The encoder: what it indexes, what it never does, and how it announces the size of its table."""

import sys
from typing import Any

import pytest
from hpack import Decoder, HeaderTuple, NeverIndexedHeaderTuple

from fastserver._speedups.fields import KNOWN_FIELDS
from tests._speedups.hpack.texts import Room

DATE = (b"date", b"Thu, 01 Jan 2026 00:00:00 GMT")
RESPONSE = [DATE, (b"server", b"fastserver"), (b"content-type", b"text/plain"), (b"x-custom", b"1")]
SECRETS = [name for name, kind in KNOWN_FIELDS.items() if kind == "secret"]
CHANGING = [b"content-length", b"etag", b"last-modified", b"location", b"age", b"x-request-id"]


def decode(decoder: Decoder, block: bytes) -> list[HeaderTuple]:
    return list(decoder.decode(block, raw=True))


@pytest.mark.parametrize(("status", "block"), [
    (200, "88"), (204, "89"), (206, "8a"), (304, "8b"), (400, "8c"), (404, "8d"), (500, "8e"), (418, "4803343138"),
])  # fmt: skip
def test_a_status(room: Room, status: int, block: str) -> None:
    encoder = room.encoder.Encoder()
    first = encoder.encode_head(status, [])
    assert decode(Decoder(), first) == [(b":status", b"%d" % status)]
    assert first[0] == bytes.fromhex(block)[0]
    assert len(first) <= len(block) // 2
    assert len(encoder.encode_head(status, [])) == 1


def test_what_comes_again_is_one_byte_a_field(room: Room) -> None:
    encoder, decoder = room.encoder.Encoder(), Decoder()
    for _ in range(3):
        block = encoder.encode_head(200, RESPONSE)
        assert decode(decoder, block) == [(b":status", b"200"), *RESPONSE]
    assert len(block) == 1 + len(RESPONSE)
    assert block == encoder.encode([(b":status", b"200"), *RESPONSE])


def test_names_are_lowered_and_found_again(room: Room) -> None:
    encoder, decoder = room.encoder.Encoder(), Decoder()
    spoken = [(b"Content-TYPE", b"Text/Plain"), (b"X-Custom", b"A"), (b"SERVER", b"S")]
    lowered = [(name.lower(), value) for name, value in spoken]
    assert decode(decoder, encoder.encode_head(200, spoken)) == [(b":status", b"200"), *lowered]
    for fields in (spoken, lowered):
        block = encoder.encode_head(200, fields)
        assert len(block) == 4
        assert decode(decoder, block)[1:] == lowered


def test_entries_of_the_static_table_are_used(room: Room) -> None:
    encoder = room.encoder.Encoder()
    fields = [(b":method", b"GET"), (b"Accept-Encoding", b"gzip, deflate"), (b"etag", b"")]
    assert encoder.encode(fields) == b"\x82\x90\xa2"


def test_a_name_is_taken_from_the_dynamic_table(room: Room) -> None:
    encoder, decoder = room.encoder.Encoder(), Decoder()
    assert encoder.encode([(b"x-a", b"\1")]) == b"\x40\x03x-a\x01\x01"
    assert encoder.encode([(b"x-b", b"\1")]) == b"\x40\x03x-b\x01\x01"
    assert encoder.encode([(b"X-A", b"\2"), (b"x-a", b"\3")]) == b"\x7f\x00\x01\x02" + b"\x7e\x01\x03"
    decode(decoder, b"\x40\x03x-a\x01\x01" + b"\x40\x03x-b\x01\x01")
    assert decode(decoder, b"\x7f\x00\x01\x02" + b"\x7e\x01\x03") == [(b"x-a", b"\2"), (b"x-a", b"\3")]


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("huffman", [False, True])
def test_secrets_are_never_indexed(room: Room, name: bytes, huffman: bool) -> None:
    encoder, decoder = room.encoder.Encoder(), Decoder()
    for value in (b"s", b"session=" + b"x" * 100):
        lengths = set()
        for spoken in (name, name.title(), name):
            block = encoder.encode([(spoken, value)], huffman)
            lengths.add(len(block))
            (field,) = decode(decoder, block)
            assert isinstance(field, NeverIndexedHeaderTuple)
            assert field == (name, value)
        assert len(lengths) == 1
    assert not decoder.header_table.dynamic_entries
    assert sum(len(encoder.encode([(b"a", b"b")])) for _ in range(2)) == 6


def test_a_tuple_that_says_so_is_never_indexed(room: Room) -> None:
    encoder, decoder = room.encoder.Encoder(), Decoder()
    fields: list[Any] = [HeaderTuple(b"x-a", b"b"), (b"x-a", b"b"), NeverIndexedHeaderTuple(b"x-a", b"b")]
    for _ in range(2):
        decoded = decode(decoder, encoder.encode(iter(fields)))
        assert decoded == fields
        assert [field.indexable for field in decoded] == [True, True, False]
    assert list(decoder.header_table.dynamic_entries) == [(b"x-a", b"b")]
    never = encoder.encode([NeverIndexedHeaderTuple(b":method", b"GET")])
    assert [type(field) for field in decode(decoder, never)] == [NeverIndexedHeaderTuple]


@pytest.mark.parametrize("name", CHANGING)
def test_what_changes_each_time_pushes_nothing_out(room: Room, name: bytes) -> None:
    encoder, decoder = room.encoder.Encoder(), Decoder()
    for number in range(3):
        fields = [(name, b"%d" % number), (b"server", b"s")]
        decoded = decode(decoder, encoder.encode_head(200, fields))
        assert decoded[1:] == fields
        assert decoded[1].indexable
    assert list(decoder.header_table.dynamic_entries) == [(b"server", b"s")]


@pytest.mark.parametrize(("size", "indexed"), [(3071, True), (3072, True), (3073, False), (5000, False)])
def test_what_would_fill_the_table_is_not_indexed(room: Room, size: int, indexed: bool) -> None:
    encoder, decoder = room.encoder.Encoder(), Decoder()
    encoder.encode([(b"server", b"s")])
    field = (b"x-a", b"\x01" * (size - 32 - 3))
    assert len(encoder.encode([field])) > size - 32
    assert len(encoder.encode([field])) == (1 if indexed else size - 32 + 5)
    assert len(encoder.encode([(b"server", b"s")])) == 1
    assert decode(decoder, room.encoder.Encoder().encode([field])) == [field]


@pytest.mark.parametrize("fields", [[(b"a",)], [(b"a", b"b", b"c")], [("a", b"b")], [(b"a", "b")], [(b"a", None)], [5]])
def test_a_field_is_a_pair_of_bytes(room: Room, fields: Any) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)):
        room.encoder.Encoder().encode(fields)


# ---- The size of the table -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sizes", "announced"), [
    ([], ""), ([4096], ""), ([65536], ""), ([4097, 2**32 - 1], ""), ([0], "20"), ([100], "3f45"), ([4095], "3fe01f"),
    ([158], "3f7f"), ([159], "3f8001"),
    ([0, 4096], "203fe11f"), ([0, 100], "203f45"), ([100, 0], "20"), ([100, 30, 65536], "3e3fe11f"), ([30, 30], "3e"),
])  # fmt: skip
def test_sizes_are_announced_once(room: Room, sizes: list[int], announced: str) -> None:
    encoder, decoder = room.encoder.Encoder(), Decoder()
    assert encoder.header_table_size == 4096
    for size in sizes:
        encoder.header_table_size = size
        assert encoder.header_table_size == min(size, 4096)
        decoder.max_allowed_table_size = size
    block = encoder.encode_head(200, [])
    assert block.hex() == announced + "88"
    assert decode(decoder, block) == [(b":status", b"200")]
    assert encoder.encode_head(200, []).hex() == "88"


def test_a_size_that_came_back_has_emptied_the_table(room: Room) -> None:
    encoder, decoder = room.encoder.Encoder(), Decoder()
    decode(decoder, encoder.encode([(b"a", b"b")]))
    encoder.header_table_size = 33
    encoder.header_table_size = 4096
    assert decode(decoder, encoder.encode([(b"a", b"b")])) == [(b"a", b"b")]
    assert len(decoder.header_table.dynamic_entries) == 1
    assert encoder.encode([(b"a", b"b")]) == b"\xbe"


def test_without_a_table_nothing_is_indexed(room: Room) -> None:
    encoder, decoder = room.encoder.Encoder(), Decoder()
    encoder.header_table_size = decoder.max_allowed_table_size = 0
    for _ in range(2):
        assert decode(decoder, encoder.encode(RESPONSE)) == RESPONSE
    assert not decoder.header_table.dynamic_entries


# ---- The dynamic table ---------------------------------------------------------------------------------------------


def test_the_table_forgets_what_it_evicts(room: Room) -> None:
    table = room.table.DynamicTable(200, True)
    value = bytes(bytearray(b"v"))
    held = sys.getrefcount(value)
    for number in range(1, 1001):
        table.add((b"%d" % (number % 7), value))
        assert table.added == number
        assert table.size <= 200
        assert len(table.numbers) == len(table.names) == min(number, 5)
        for place in range(5):
            assert (table.get(place) is None) == (place >= number)
    assert sys.getrefcount(value) == held + 5
    table.add((b"n" * 300, value))
    assert (table.size, table.numbers, table.names, table.get(0)) == (0, {}, {}, None)
    assert sys.getrefcount(value) == held


def test_the_newest_entry_of_a_name_is_the_one_found(room: Room) -> None:
    table = room.table.DynamicTable(34 * 2, True)
    for value in (b"1", b"2", b"3"):
        table.add((b"n", value))
    assert table.names == {b"n": 3}
    assert table.numbers == {(b"n", b"2"): 2, (b"n", b"3"): 3}
    table.resize(34)
    assert (table.names, table.numbers) == ({b"n": 3}, {(b"n", b"3"): 3})
    assert table.get(0) == (b"n", b"3")
    assert table.get(1) is None

"""Field sections of ours: which representation a field gets, and what is kept of it."""

import sys

import pytest

from fastserver._speedups.fields import KNOWN_FIELDS
from fastserver._speedups.qpack.decoder import decode_fields
from fastserver._speedups.qpack.encoder import encode_fields, encode_response
from fastserver._speedups.qpack.tables import STATIC_TABLE

SECRETS = [name for name, kind in KNOWN_FIELDS.items() if kind == "secret"]
RESPONSE = [(b"date", b"Thu, 01 Jan 2026 00:00:00 GMT"), (b"server", b"fastserver"), (b"x-custom", b"1")]


def decode(section: bytes) -> list[tuple[bytes, bytes]]:
    return list(decode_fields(section, 1 << 24))


def test_every_entry_of_the_static_table_is_used() -> None:
    for index, field in enumerate(STATIC_TABLE):
        line = bytes([0xC0 | index]) if index < 63 else bytes([0xFF, index - 63])
        if field[0] not in SECRETS:
            assert encode_fields([field]) == b"\0\0" + line


def test_no_fields() -> None:
    assert encode_fields([]) == b"\0\0"


@pytest.mark.parametrize(("field", "line"), [
    ((b":path", b"/a"), "51022f61"), ((b"user-agent", b"!"), "5f500121"), ((b"x!", b"(("), "227821022828"),
    ((b"www", b""), "2377777700"), ((b"custom-key", b""), "2f0125a849e95ba97d7f00"),
])  # fmt: skip
def test_other_fields(field: tuple[bytes, bytes], line: str) -> None:
    section = encode_fields([field])
    assert decode(section) == [field]
    assert section == b"\0\0" + bytes.fromhex(line)


@pytest.mark.parametrize("size", [1, 5, 6, 7, 8, 126, 127, 128, 255, 20000])
@pytest.mark.parametrize("letter", [b"e", b"~"])  # short and long in Huffman code
def test_texts_of_any_size(size: int, letter: bytes) -> None:
    field = (letter * size, letter * size)
    section = encode_fields([field])
    assert decode(section) == [field]
    assert len(section) <= 2 * size + 12


@pytest.mark.parametrize("status", [100, 103, 200, 204, 206, 301, 302, 304, 404, 418, 425, 500, 503, 599, 999])
def test_the_head_of_a_response(status: int) -> None:
    section = encode_response(status, RESPONSE)
    fields = [(b":status", b"%d" % status), *RESPONSE]
    assert decode(section) == fields
    assert section == encode_fields(fields) == encode_response(status, RESPONSE)


def test_names_are_lowered() -> None:
    for _ in range(2):
        section = encode_response(200, [(b"Content-TYPE", b"Text/Plain"), (b"X-Custom", b"A"), (b"SERVER", b"S")])
        assert decode(section)[1:] == [(b"content-type", b"Text/Plain"), (b"x-custom", b"A"), (b"server", b"S")]


def test_fields_need_not_be_tuples() -> None:
    assert encode_fields([[b"a", b"b"], (b"a", b"b")]) == encode_fields([(b"a", b"b"), [b"a", b"b"]])


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_never_indexed(name: bytes) -> None:
    for spoken in (name, name.title()):
        for value in (b"", b"s=1"):
            section = encode_fields([(spoken, value)])
            assert section[2] & 0xF0 == 0x70 or section[2] & 0xF0 == 0x30
            assert decode(section) == [(name, value)]


# ---- What is kept --------------------------------------------------------------------------------------------------


def is_kept(field: tuple[bytes, bytes]) -> bool:
    """Whether something holds the field once it has been encoded."""
    before = sys.getrefcount(field)
    encode_fields([field])
    return sys.getrefcount(field) > before


def make_field(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return bytes(bytearray(name)), bytes(bytearray(value))


def test_small_fields_are_kept() -> None:
    assert is_kept(make_field(b"x-small-kept", b"1"))
    assert is_kept(make_field(b"X-Small-Kept", b"1"))
    assert is_kept(make_field(b"x-size", b"v" * 122))


def test_large_fields_secrets_and_what_changes_are_not_kept() -> None:
    assert not is_kept(make_field(b"x-size", b"v" * 123))
    assert not is_kept(make_field(b"x-request-id", b"1"))
    assert not is_kept(make_field(b"etag", b"1"))
    for name in SECRETS:
        assert not is_kept(make_field(name, b"1"))
        assert not is_kept(make_field(name.upper(), b"1"))


def test_what_is_kept_is_bounded() -> None:
    kept = make_field(b"x-first", b"1")
    assert is_kept(kept)
    before = sys.getrefcount(kept)
    for number in range(1024):
        encode_fields([(b"x-other", b"%d" % number)])
    assert sys.getrefcount(kept) < before
    assert decode(encode_fields([kept])) == [kept]

"""The data of RFC 9204 beside what pylsqpack knows of it."""

import pytest

from fastserver._speedups.fields import KNOWN_FIELDS
from fastserver._speedups.qpack import tables


def test_the_static_table_is_that_of_pylsqpack() -> None:
    decoder = pytest.importorskip("pylsqpack").Decoder(0, 0)
    for index, field in enumerate(tables.STATIC_TABLE):
        line = bytes([0xC0 | index]) if index < 63 else bytes([0xFF, index - 63])
        assert decoder.feed_header(4 * index, b"\0\0" + line) == (b"", [field])
    assert tables.STATIC_SIZE == len(tables.STATIC_TABLE) == 99


@pytest.mark.parametrize(("index", "field"), [
    (0, (b":authority", b"")), (1, (b":path", b"/")), (15, (b":method", b"CONNECT")), (24, (b":status", b"103")),
    (31, (b"accept-encoding", b"gzip, deflate, br")), (62, (b"x-xss-protection", b"1; mode=block")),
    (63, (b":status", b"100")), (98, (b"x-frame-options", b"sameorigin")),
])  # fmt: skip
def test_entries_of_appendix_a(index: int, field: tuple[bytes, bytes]) -> None:
    assert tables.STATIC_TABLE[index] == field


def test_names_of_the_static_table_are_the_shared_objects() -> None:
    shared = {name: name for name in KNOWN_FIELDS}
    for name, _ in tables.STATIC_TABLE:
        assert name is shared.setdefault(name, name)

"""The data of RFC 7541 beside that of the `hpack` package."""

from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.table import HeaderTable

from fastserver._speedups.fields import KNOWN_FIELDS
from fastserver._speedups.hpack import tables


def test_the_static_table_is_that_of_hpack() -> None:
    assert tables.STATIC_TABLE == HeaderTable.STATIC_TABLE
    assert tables.STATIC_SIZE == 61


def test_names_of_the_static_table_are_the_shared_objects() -> None:
    shared = {name: name for name in KNOWN_FIELDS}
    for name, _ in tables.STATIC_TABLE:
        assert name is shared.setdefault(name, name)


def test_the_huffman_code_is_that_of_hpack() -> None:
    assert list(zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True)) == tables.CODES
    assert tables.CODES[tables.EOS] == (2**30 - 1, 30)

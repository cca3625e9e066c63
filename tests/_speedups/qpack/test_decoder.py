"""Field sections of a peer: what is read, what is refused, and the limit on both its sides."""

import tracemalloc

import pytest

from fastserver._speedups.fields import KNOWN_FIELDS
from fastserver._speedups.qpack.decoder import decode_fields
from fastserver._speedups.qpack.encoder import encode_fields
from fastserver._speedups.qpack.errors import DecompressionFailed, FieldSectionTooLarge, QPACKError
from fastserver._speedups.qpack.tables import STATIC_TABLE

PREFIX = b"\0\0"
AMPLE = 1 << 20


def decode(lines: str, limit: int = AMPLE) -> list[tuple[bytes, bytes]]:
    """The fields of a section of these lines, in hexadecimal, behind an empty prefix."""
    return list(decode_fields(PREFIX + bytes.fromhex(lines), limit))


def test_a_section_that_is_too_large_is_no_broken_section() -> None:
    assert not issubclass(FieldSectionTooLarge, QPACKError)
    assert DecompressionFailed("x").code == 0x200


def test_the_example_of_appendix_b_1() -> None:
    section = bytes.fromhex("0000510b2f696e6465782e68746d6c")
    assert decode_fields(section, AMPLE) == [(b":path", b"/index.html")]


@pytest.mark.parametrize("section", ["03811011", "050080c181"])
def test_the_examples_of_appendix_b_with_a_dynamic_table_are_refused(section: str) -> None:
    with pytest.raises(DecompressionFailed, match="Required Insert Count"):
        decode_fields(bytes.fromhex(section), AMPLE)


@pytest.mark.parametrize(("section", "reason"), [
    ("", "truncated"), ("00", "truncated"), ("ff", "truncated"), ("ff80", "truncated"), ("007f", "truncated"),
    ("0100", "Required Insert"), ("ff0000", "Required Insert"), ("0080", "negative"), ("00ff00", "negative"),
    ("ffffffffff08", "too large"), ("ff808080808000", "too long"), ("007f808080808000", "too long"),
])  # fmt: skip
def test_prefixes_that_are_refused(section: str, reason: str) -> None:
    with pytest.raises(DecompressionFailed, match=reason):
        decode_fields(bytes.fromhex(section), AMPLE)


@pytest.mark.parametrize("prefix", ["0000", "0001", "007e", "007f00", "007f7f", "007fffff03"])
def test_without_insertions_a_base_means_nothing(prefix: str) -> None:
    assert decode_fields(bytes.fromhex(prefix) + b"\xd1", AMPLE) == [(b":method", b"GET")]


@pytest.mark.parametrize(("lines", "reason"), [
    ("80", "dynamic"), ("bf", "dynamic"), ("bf00", "dynamic"), ("10", "dynamic"), ("1f", "dynamic"),
    ("4000", "dynamic"), ("4f0000", "dynamic"), ("6000", "dynamic"), ("0000", "dynamic"), ("0800", "dynamic"),
    ("ff24", "beyond"), ("ff25", "beyond"), ("ffffffffff06", "beyond"), ("5f5400", "beyond"), ("7f5400", "beyond"),
    ("ffffffffff08", "too large"), ("ffffffffffff00", "too long"), ("5fffffffff08", "too large"),
    ("2700ffffffff08", "truncated"), ("27808080808000", "too long"), ("51ffffffff08", "truncated"),
    ("ff", "truncated"), ("ff80", "truncated"), ("51", "truncated"), ("5f", "truncated"), ("5101", "truncated"),
    ("20", "truncated"), ("21", "truncated"), ("2161", "truncated"), ("216101", "truncated"), ("27", "truncated"),
    ("517f", "truncated"), ("51ff", "truncated"), ("2a61", "truncated"),
    ("5181ff", "Huffman"), ("518100", "Huffman"), ("5184ffffffff", "Huffman"), ("29ff00", "Huffman"),
    ("d180", "dynamic"),
])  # fmt: skip
def test_lines_that_are_refused(lines: str, reason: str) -> None:
    with pytest.raises(DecompressionFailed, match=reason):
        decode(lines)


@pytest.mark.parametrize(
    "lines",
    [
        "d1c1",
        "510b2f696e6465782e68746d6c",
        "22616201632262610163",
        "2f0125a849e95ba97d7f825aff",
        "51" + "7f01" + "61" * 128,
    ],
)
def test_what_breaks_off_is_refused_or_a_part_of_the_list(lines: str) -> None:
    section = PREFIX + bytes.fromhex(lines)
    fields = decode_fields(section, AMPLE)
    for end in range(len(section)):
        try:
            part = decode_fields(section[:end], AMPLE)
        except DecompressionFailed:
            continue
        assert part == fields[: len(part)]
        assert len(part) < len(fields)


def test_integers_may_be_padded_to_five_bytes() -> None:
    assert decode("ff8080808000") == [STATIC_TABLE[63]]
    assert decode("517f8180808000" + "61" * 128) == [(b":path", b"a" * 128)]


def test_an_empty_section_is_an_empty_list() -> None:
    assert decode("") == []
    assert decode("", limit=0) == []


def test_every_static_entry_is_the_shared_one() -> None:
    lines = b"".join(bytes([0xC0 | i]) if i < 63 else bytes([0xFF, i - 63]) for i in range(99))
    fields = decode_fields(PREFIX + lines, AMPLE)
    assert fields == list(STATIC_TABLE)
    assert all(field is entry for field, entry in zip(fields, STATIC_TABLE, strict=True))


def test_names_are_shared_however_they_come() -> None:
    shared = {name: name for name in KNOWN_FIELDS}
    for name in KNOWN_FIELDS:
        literal = bytes([0x27, len(name) - 7]) if len(name) >= 7 else bytes([0x20 | len(name)])
        for section in (PREFIX + literal + name + b"\x01v", encode_fields([(name, b"v")])):
            ((found, value),) = decode_fields(section, AMPLE)
            assert found is shared[name]
            assert value == b"v"


def test_lines_that_are_never_indexed_are_read_alike() -> None:
    assert decode("710161") == decode("510161") == [(b":path", b"a")]
    assert decode("31620163") == decode("21620163") == [(b"b", b"c")]


# ---- The limit -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [
    b"\xd1" * 5, b"\x51\x06valued" * 5, b"\x24name\x06valued" * 5, b"\x20\x00" * 5,
    encode_fields([(b"a", b"0" * 1000)])[2:], encode_fields([(b"c-r-o-w-d", b"")])[2:],
])  # fmt: skip
def test_lists_up_to_the_limit_are_taken(lines: bytes) -> None:
    section = PREFIX + lines
    fields = decode_fields(section, AMPLE)
    size = sum(len(name) + len(value) + 32 for name, value in fields)
    assert decode_fields(section, size + 1) == fields
    assert decode_fields(section, size) == fields
    for limit in (size - 1, 0):
        with pytest.raises(FieldSectionTooLarge):
            decode_fields(section, limit)


def measure_peak(section: bytes, limit: int) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(FieldSectionTooLarge):
            decode_fields(section, limit)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    """A byte that stands for 98: what follows the limit is never looked at, so the bad end is not what is told."""
    lines = b"\xff\x16" * 100_000 + b"\x80"  # content-security-policy
    assert measure_peak(PREFIX + lines, 32768) < 20_000


def test_a_string_over_the_limit_is_not_taken_out() -> None:
    long = b"x" * 1_000_000
    section = PREFIX + b"\x51\x7f\xc1\x83\x3d" + long
    assert decode_fields(section, 2 * AMPLE) == [(b":path", long)]
    assert measure_peak(section, 32768) < 20_000

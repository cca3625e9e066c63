"""Variable-length integers and heads of frames, beside aioquic where it is installed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserver._speedups.h3.varint import encode_varint, measure_varint, read_varint, render_frame_head

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


def test_frame_heads() -> None:
    assert render_frame_head(0, 5) == b"\x00\x05"
    assert render_frame_head(1, 300) == b"\x01\x41\x2c"

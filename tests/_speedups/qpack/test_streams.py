"""The peer's encoder and decoder streams, whole and cut at each byte; the examples are those of appendix B."""

from collections.abc import Iterator
from typing import Any

import pytest

from fastserver._speedups.qpack.errors import DecoderStreamError, EncoderStreamError
from fastserver._speedups.qpack.streams import DecoderStreamReader, EncoderStreamReader


def cut(data: bytes) -> Iterator[list[bytes]]:
    """The data whole, in two pieces at each place, and byte by byte."""
    for at in range(len(data) + 1):
        yield [data[:at], data[at:]]
    yield [data[at : at + 1] for at in range(len(data))]


def feed(reader: Any, pieces: list[bytes]) -> None:
    for piece in pieces:
        reader.feed(piece)


@pytest.mark.parametrize("data", ["", "20", "2020", "20" * 1000])
def test_an_encoder_may_set_the_capacity_to_0(data: str) -> None:
    for pieces in ([bytes.fromhex(data)], [b"\x20"] * (len(data) // 2)):
        feed(EncoderStreamReader(), pieces)


@pytest.mark.parametrize("data", [
    "3fbd01", "21", "3f", "3f00", "c00f7777772e6578616d706c652e636f6d", "4a637573746f6d2d6b65790c637573746f6d2d76616c",
    "02", "00", "1f", "80", "c1", "810d637573746f6d2d76616c756532", "2021", "20203fbd01",
])  # fmt: skip
def test_an_encoder_may_say_nothing_else(data: str) -> None:
    for pieces in cut(bytes.fromhex(data)):
        with pytest.raises(EncoderStreamError) as raised:
            feed(EncoderStreamReader(), pieces)
        assert raised.value.code == 0x201


CANCELLATIONS = ["", "48", "40", "4048", "7e", "7f00", "7f7f", "7fc0ffffffffffffff3f48", "7fffffffffffffffff7f48"]


@pytest.mark.parametrize("data", CANCELLATIONS)
def test_a_decoder_may_cancel_streams(data: str) -> None:
    for pieces in cut(bytes.fromhex(data)):
        feed(DecoderStreamReader(), pieces)


@pytest.mark.parametrize("data", [
    "84", "80", "ff", "ff00", "01", "00", "3f", "3f00", "4884", "7f0001",  # acknowledgments and increments
    "7fffffffffffffffffff", "7f80808080808080808000",  # numbers of ten bytes and more
])  # fmt: skip
def test_a_decoder_may_say_nothing_else(data: str) -> None:
    for pieces in cut(bytes.fromhex(data)):
        with pytest.raises(DecoderStreamError) as raised:
            feed(DecoderStreamReader(), pieces)
        assert raised.value.code == 0x202

"""Raw HTTP/3 frames as a client writes them, and a reader to read them."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastserver._speedups.h3.codes import DATA, NOTHING, REQUEST
from fastserver._speedups.h3.frames import FrameReader
from fastserver._speedups.h3.varint import encode_varint

LIMIT = 16384

#: Type and payload.
Piece = tuple[int, bytes]


def frame(kind: int, payload: bytes = b"", size: int | None = None) -> bytes:
    """One frame; ``size`` where the head is to lie about it."""
    return bytes(encode_varint(kind) + encode_varint(len(payload) if size is None else size) + payload)


def make_reader(kind: int = REQUEST, limit_bytes: int = LIMIT) -> Any:
    reader = FrameReader.__new__(FrameReader)
    reader.begin(limit_bytes, kind)
    return reader


def read_all(reader: Any) -> Iterator[Piece]:
    """The pieces that are there."""
    while (kind := reader.read()) != NOTHING:
        yield kind, reader.payload
    assert reader.payload == b""


def read_pieces(reader: Any, parts: Iterable[bytes]) -> list[Piece]:
    """Feed the parts one after another; the pieces, those of one DATA frame and of the next put together."""
    found: list[Piece] = []
    for part in parts:
        reader.feed(part)
        for kind, payload in read_all(reader):
            if kind == DATA and found and found[-1][0] == DATA:
                payload = found.pop()[1] + payload
            found.append((kind, payload))
    return found


def cut(data: bytes) -> Iterator[list[bytes]]:
    """The data whole, in two pieces at each place, and byte by byte."""
    yield [data]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]
    yield [data[at : at + 1] for at in range(len(data))]

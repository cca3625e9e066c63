"""The reader's limits, at one less, at the limit and at one more (WS-1 to WS-4)."""

import os
from functools import cache
from typing import Any

import pytest

from fastserver._speedups.websocket.bounds import CONTROL_BURST, CONTROL_RATE, FRAGMENT_BYTES, MAX_FRAGMENTS
from fastserver._speedups.websocket.deflate import Deflate
from fastserver._speedups.websocket.reader import MessageReader
from tests._speedups.websocket.wire import (
    BINARY,
    CONTINUATION,
    FIN,
    KEY,
    PING,
    PONG,
    RSV1,
    TEXT,
    cut,
    deflate,
    drain,
    frame,
    head,
    read,
)

SIZE = 1000


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [SIZE - 1, SIZE, SIZE + 1])
@pytest.mark.parametrize("first_size", [None, 0, 1, SIZE - 1, SIZE])
def test_ws_1_message_size(opcode: int, size: int, first_size: int | None) -> None:
    payload = b"x" * size
    data = frame(FIN | opcode, payload)
    if first_size is not None:
        data = frame(opcode, payload[:first_size]) + frame(FIN | CONTINUATION, payload[first_size:])
    for pieces in ([data], cut(data, 100)):
        items = read(pieces, max_bytes=SIZE)
        assert items == [("fault", 1009)] if size > SIZE else len(items[0][1]) == size


@pytest.mark.parametrize("first", [FIN | TEXT, FIN | BINARY, TEXT, BINARY, FIN | RSV1 | TEXT, RSV1 | BINARY])
@pytest.mark.parametrize("length", [SIZE * 2 + 16 * 1024, 1 << 40, (1 << 63) - 1])
def test_ws_1_a_declared_length_is_enough(first: int, length: int) -> None:
    data = head(first, length) + KEY
    assert read([data[:-1]], Deflate(), SIZE) == []
    assert read([data], Deflate(), SIZE) == [("fault", 1009)]
    assert read([data], Deflate(), 1 << 63) == ([] if length < 1 << 60 else [("fault", 1009)])


def test_a_bad_header_is_worse_than_a_long_one() -> None:
    assert read([head(TEXT | 0x20, 1 << 40) + KEY], max_bytes=SIZE) == [("fault", 1002)]


def test_text_is_measured_in_bytes() -> None:
    data = frame(FIN | TEXT, "é".encode() * (SIZE // 2))
    assert read([data], max_bytes=SIZE) == read(cut(data, 99), max_bytes=SIZE) == [("text", "é" * (SIZE // 2))]
    assert read([data], max_bytes=SIZE - 1) == [("fault", 1009)]


@pytest.mark.parametrize("size", [SIZE - 1, SIZE, SIZE + 1])
@pytest.mark.parametrize("payload", [b"x", b"noise"])
def test_ws_2_inflated_size(size: int, payload: bytes) -> None:
    plain = os.urandom(size) if payload == b"noise" else payload * size
    compressed = deflate(plain)
    whole = frame(FIN | RSV1 | BINARY, compressed)
    fragments = frame(RSV1 | BINARY, compressed[:5]) + frame(PING | FIN) + frame(FIN | CONTINUATION, compressed[5:])
    result = ("fault", 1009) if size > SIZE else ("binary", plain)
    assert read([whole], Deflate(), SIZE) == read(cut(whole, 3), Deflate(), SIZE) == [result]
    assert read([fragments], Deflate(), SIZE) == [("ping", b""), result]


@cache
def make_bomb() -> bytes:
    bomb = deflate(bytes(64 << 20))
    assert len(bomb) < 70000
    return bomb


class Spied:
    """A decompressor that notes what it was asked for and what it gave."""

    def __init__(self, inner: Any, asked: list[tuple[int, int]]) -> None:
        self._inner = inner
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        result: bytes = self._inner.decompress(data, max_length)
        self._asked.append((max_length, len(result)))
        return result


@pytest.mark.parametrize("way", ["whole", "cut", "fragments"])
@pytest.mark.parametrize("max_bytes", [1, SIZE, 1 << 20])
def test_ws_2_bomb(way: str, max_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 KiB that would be 64 MiB: zlib is never asked for more than the limit and one byte."""
    asked: list[tuple[int, int]] = []
    make = Deflate._begin_message

    def begin_message(self: Deflate) -> None:
        make(self)
        self._inflater = Spied(self._inflater, asked)  # type: ignore[assignment]

    monkeypatch.setattr(Deflate, "_begin_message", begin_message)
    bomb = make_bomb()
    pieces = [frame(FIN | RSV1 | BINARY, bomb)]
    if way == "cut":
        pieces = cut(pieces[0], 1000)
    elif way == "fragments":
        pieces = [frame(RSV1 | BINARY), *(frame(CONTINUATION, part) for part in cut(bomb, 1000))]
    assert read(pieces, Deflate(), max_bytes) == [("fault", 1009)]
    if max_bytes == 1 << 20 or way == "fragments":  # the small limits refuse the declared length
        assert asked
    assert all(limit >= 1 for limit, _ in asked)
    assert all(limit <= max_bytes + 1 for limit, _ in asked)
    assert sum(size for _, size in asked) <= max_bytes + 1


def test_a_compressed_message_that_holds_nothing_ends() -> None:
    """Empty blocks inflate to nothing, so what they take on the wire is limited too."""
    nothing = b"\x00\x00\x00\xff\xff" * 1000
    pieces = [frame(RSV1 | BINARY), *(frame(CONTINUATION, nothing) for _ in range(5))]
    assert read(pieces, Deflate(), SIZE) == [("fault", 1009)]


@pytest.mark.parametrize(("payload", "limit"), [(b"", MAX_FRAGMENTS), (b"x", MAX_FRAGMENTS + 33)])
@pytest.mark.parametrize("first", [TEXT, BINARY, RSV1 | TEXT])
def test_ws_3_fragments(payload: bytes, limit: int, first: int) -> None:
    extension = Deflate()
    if first & RSV1:
        payload, limit = b"", MAX_FRAGMENTS
    flood = frame(first, payload) + frame(CONTINUATION, payload) * (limit - 2)
    end = frame(FIN | CONTINUATION, payload)
    messages = MessageReader(1 << 20, extension)
    for _ in range(2):  # each message has its own
        messages.feed(flood + end)
        [item] = drain(messages)
        assert len(item[1]) == limit * len(payload)
    messages.feed(flood + frame(CONTINUATION, payload) + end)
    assert drain(messages) == [("fault", 1008)]


def test_a_large_message_may_come_in_small_fragments() -> None:
    payload = b"x" * FRAGMENT_BYTES
    messages = MessageReader(1 << 20)
    messages.feed(frame(BINARY, payload))
    for _ in range(3 * MAX_FRAGMENTS - 1):
        messages.feed(frame(CONTINUATION, payload))
    messages.feed(frame(FIN | CONTINUATION, payload))
    [item] = drain(messages)
    assert len(item[1]) == (3 * MAX_FRAGMENTS + 1) * FRAGMENT_BYTES


@pytest.mark.parametrize("opcode", [PING, PONG])
def test_ws_4_control_flood(opcode: int) -> None:
    messages = MessageReader(SIZE)
    messages.now = 1000.0
    for _ in range(CONTROL_BURST - 1):
        messages.feed(frame(FIN | opcode))
    messages.feed(frame(FIN | TEXT, b"between"))
    messages.feed(frame(FIN | PING) * 2)
    items = drain(messages)
    assert len(items) == CONTROL_BURST + 2
    assert items[-3:] == [("text", "between"), ("ping", b""), ("fault", 1008)]


def test_the_budget_comes_back() -> None:
    messages = MessageReader(SIZE)
    messages.feed(frame(FIN | PING) * CONTROL_BURST)
    assert len(drain(messages)) == CONTROL_BURST
    for second in range(1, 4):
        messages.now = float(second)
        messages.feed(frame(FIN | PONG) * CONTROL_RATE)
        assert drain(messages) == [("pong", b"")] * CONTROL_RATE
    messages.now = 1000.0  # no more than the burst
    messages.feed(frame(FIN | PING) * (CONTROL_BURST + 1))
    assert drain(messages) == [("ping", b"")] * CONTROL_BURST + [("fault", 1008)]


def test_the_budget_of_time_in_which_nothing_was_read() -> None:
    messages = MessageReader(SIZE)
    messages.now = 1000.0
    messages.feed(frame(FIN | PING) * CONTROL_BURST)
    assert len(drain(messages)) == CONTROL_BURST
    messages.now = 1060.0
    messages.excuse(60.0)
    messages.feed(frame(FIN | PING) * (60 * CONTROL_RATE))
    assert drain(messages) == [("ping", b"")] * (60 * CONTROL_RATE)
    messages.feed(frame(FIN | PING))
    assert drain(messages) == [("fault", 1008)]

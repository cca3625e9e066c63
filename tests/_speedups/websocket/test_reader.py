"""Frames to messages: RFC 6455's examples, order, what is consumed when, and what is refused."""

import gc

import pytest
from wsproto.frame_protocol import FrameProtocol

from fastserver._speedups.websocket.deflate import Deflate
from fastserver._speedups.websocket.reader import Close, MessageReader, Ping, ReaderFault
from tests._speedups.websocket.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    KEY,
    LIMIT,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    Item,
    cut,
    deflate,
    drain,
    frame,
    head,
    mask,
    read,
)

HELLO = frame(FIN | TEXT, b"Hello")
GREEK = "κόσμε".encode()

GOOD: dict[str, tuple[bytes, list[Item]]] = {
    # RFC 6455 section 5.7, masked where the example is not.
    "single": (bytes.fromhex("818537fa213d7f9f4d5158"), [("text", "Hello")]),
    "fragmented": (frame(TEXT, b"Hel") + frame(FIN | CONTINUATION, b"lo"), [("text", "Hello")]),
    "ping and pong": (
        frame(FIN | PING, b"Hello") + bytes.fromhex("8a8537fa213d7f9f4d5158"),
        [("ping", b"Hello"), ("pong", b"Hello")],
    ),
    "256 bytes": (frame(FIN | BINARY, b"x" * 256), [("binary", b"x" * 256)]),
    # And beyond.
    "empty": (
        frame(FIN | TEXT) + frame(FIN | BINARY) + frame(FIN | PING) + frame(TEXT) + frame(FIN | CONTINUATION),
        [("text", ""), ("binary", b""), ("ping", b""), ("text", "")],
    ),
    "the first of its form": (
        frame(FIN | BINARY, b"a" * 125) + frame(FIN | TEXT, b"b" * 126),
        [("binary", b"a" * 125), ("text", "b" * 126)],
    ),
    "control between fragments": (
        frame(BINARY, b"a") + frame(FIN | PING, b"p") + frame(CONTINUATION, b"b") + frame(FIN | PONG)
        + frame(FIN | CONTINUATION, b"c") + HELLO,
        [("ping", b"p"), ("pong", b""), ("binary", b"abc"), ("text", "Hello")],
    ),
    "a character in two fragments": (
        frame(TEXT, GREEK[:1]) + frame(CONTINUATION) + frame(FIN | CONTINUATION, GREEK[1:]), [("text", "κόσμε")]
    ),
    "beyond ASCII": (frame(FIN | TEXT, GREEK + "\U0001f600".encode()), [("text", "κόσμε\U0001f600")]),
    "keys": (
        frame(FIN | BINARY, b"abcdefghi", key=b"\0\0\0\0") + frame(FIN | TEXT, b"abcdefghi", key=b"\xff\0\x80\x7f"),
        [("binary", b"abcdefghi"), ("text", "abcdefghi")],
    ),
    "close": (HELLO + frame(FIN | CLOSE, b"\x03\xe8bye"), [("text", "Hello"), ("close", 1000, "bye")]),
    "close without a code": (frame(FIN | CLOSE), [("close", 1005, "")]),
    **{f"close {code}": (frame(FIN | CLOSE, code.to_bytes(2, "big")), [("close", code, "")])
       for code in (1000, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4999)},
    "close amid a message": (frame(TEXT, b"He") + frame(FIN | CLOSE, b"\x13\x87"), [("close", 4999, "")]),
    "the longest control": (frame(FIN | PING, b"x" * 125), [("ping", b"x" * 125)]),
    "nothing after a close": (frame(FIN | CLOSE) + HELLO + b"\xff\xff", [("close", 1005, "")]),
}  # fmt: skip

BAD: dict[str, tuple[bytes, int]] = {
    "no mask": (head(FIN | TEXT, 5, masked=False) + b"Hello", 1002),
    "no mask, empty ping": (head(FIN | PING, 0, masked=False), 1002),
    "rsv1": (frame(FIN | RSV1 | TEXT, b"Hello"), 1002),
    "rsv2": (frame(FIN | RSV2 | BINARY, b"Hello"), 1002),
    "rsv3": (frame(FIN | RSV3 | TEXT, b"Hello"), 1002),
    "rsv1 on a ping": (frame(FIN | RSV1 | PING, b""), 1002),
    **{f"opcode {code}": (frame(FIN | code, b""), 1002) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "fragmented ping": (frame(PING, b"p"), 1002),
    "fragmented close": (frame(CLOSE, b""), 1002),
    "long ping": (frame(FIN | PING, b"x" * 126), 1002),
    "long close": (frame(FIN | CLOSE, b"\x03\xe8" + b"x" * 124), 1002),
    "length of 2 bytes for 1": (frame(FIN | TEXT, b"x" * 125, form=2), 1002),
    "length of 8 bytes for 2": (frame(FIN | BINARY, b"x" * 65535, form=8), 1002),
    "length of 8 bytes for 1": (frame(FIN | BINARY, b"", form=8), 1002),
    "length beyond 63 bits": (head(FIN | BINARY, 1 << 63) + KEY, 1002),
    "length of all bits": (head(TEXT, (1 << 64) - 1) + KEY, 1002),
    "continuation of nothing": (frame(FIN | CONTINUATION, b"x"), 1002),
    "text amid a message": (frame(TEXT, b"a") + frame(FIN | TEXT, b"b"), 1002),
    "binary amid a message": (frame(BINARY, b"a") + frame(BINARY, b"b"), 1002),
    "close of 1 byte": (frame(FIN | CLOSE, b"\x03"), 1002),
    **{f"close {code}": (frame(FIN | CLOSE, code.to_bytes(2, "big")), 1002)
       for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)},
    "close reason": (frame(FIN | CLOSE, b"\x03\xe8\xff"), 1007),
    "bad text": (frame(FIN | TEXT, b"abc\xff"), 1007),
    "half a character": (frame(FIN | TEXT, GREEK[:1]), 1007),
    "surrogate": (frame(FIN | TEXT, b"\xed\xa0\x80"), 1007),
    "bad text in fragments": (frame(TEXT, GREEK[:3]) + frame(FIN | CONTINUATION, b"a"), 1007),
    "half a character at the end": (frame(TEXT, b"a") + frame(FIN | CONTINUATION, GREEK[:1]), 1007),
}  # fmt: skip


@pytest.mark.parametrize(("data", "items"), GOOD.values(), ids=list(GOOD))
def test_good(data: bytes, items: list[Item]) -> None:
    assert read([data]) == items
    for size in (1, 2, 3, 7, 64):
        assert read(cut(data, size)) == items
    for index in range(len(data)):
        assert read([data[:index], data[index:]]) == items


@pytest.mark.parametrize(("data", "code"), BAD.values(), ids=list(BAD))
@pytest.mark.parametrize("extension", [False, True], ids=["plain", "deflate"])
def test_ws_7_bad(data: bytes, code: int, extension: bool) -> None:
    """What came before is delivered, what comes after is not."""
    if extension and data[0] & RSV1 and data[0] & 0xF == TEXT:
        code = 1007  # RSV1 then means that "Hello" is compressed
    items = [("text", "Hello"), ("ping", b""), ("fault", code)]
    data = HELLO + frame(FIN | PING) + data + HELLO
    assert read([data], Deflate() if extension else None) == items
    assert read(cut(data, 1), Deflate() if extension else None) == items


@pytest.mark.parametrize("first", [TEXT, FIN | TEXT])
@pytest.mark.parametrize("bad", [b"\xff", b"\xc0", b"\xf4\x90", b"\xe0\x80", b"\xf5"])
def test_bad_text_fails_with_the_byte_that_makes_it_so(first: int, bad: bytes) -> None:
    """Autobahn 6.4: not at the frame's end."""
    data = GREEK + bad
    begun = head(first, 1000) + KEY + mask(data)
    assert read([begun[:-1]]) == []
    assert read([begun]) == [("fault", 1007)]
    assert read(cut(begun, 1)) == [("fault", 1007)]


def test_one_at_a_time() -> None:
    """The caller may stop between items: what `next` has not been asked for counts as not parsed."""
    messages = MessageReader(LIMIT)
    ping = frame(FIN | PING, b"p")
    messages.feed(HELLO + ping)
    messages.feed(HELLO + b"\x81")
    assert messages.consumed == 0
    assert messages.next() == "Hello"
    assert messages.consumed == len(HELLO)
    assert type(messages.next()) is Ping
    assert messages.consumed == len(HELLO + ping)
    messages.feed(HELLO[1:])
    assert drain(messages) == [("text", "Hello")] * 2
    assert messages.consumed == len(HELLO + ping + HELLO + HELLO)


@pytest.mark.parametrize("first", [FIN | BINARY, FIN | TEXT, BINARY, TEXT])
def test_what_is_being_assembled_is_consumed(first: int) -> None:
    """Else a message larger than a peer's credit would never end."""
    messages = MessageReader(LIMIT)
    data = frame(first, b"x" * 1000)
    messages.feed(data[:7])
    assert messages.next() is None
    assert messages.consumed == 0  # a part of the header
    messages.feed(data[7:500])
    assert messages.next() is None
    assert messages.consumed == 500
    messages.feed(data[500:])
    assert len(drain(messages)) == (1 if first & FIN else 0)
    assert messages.consumed == len(data)


@pytest.mark.parametrize("end", [frame(FIN | CLOSE), frame(FIN | 3)], ids=["close", "fault"])
def test_after_the_end_bytes_are_dropped(end: bytes) -> None:
    messages = MessageReader(LIMIT)
    messages.feed(end + HELLO)
    messages.feed(HELLO)
    assert len(drain(messages)) == 1
    assert messages.consumed == len(end + HELLO + HELLO)
    messages.feed(HELLO)
    assert messages.next() is None
    assert messages.consumed == len(end + HELLO * 3)


def test_feeding_without_reading_is_linear() -> None:
    """A peer's single bytes, held back while the application is slow, and a large message in small reads."""
    messages = MessageReader(LIMIT)
    for piece in cut(HELLO * 20000, 1):
        messages.feed(piece)
    assert drain(messages) == [("text", "Hello")] * 20000
    for first, payload in ((FIN | BINARY, b"x" * LIMIT), (FIN | TEXT, b"x" * LIMIT), (BINARY, b"x" * LIMIT)):
        items = read([*cut(head(first, LIMIT) + KEY + mask(payload), 1024), frame(FIN | CONTINUATION)])
        assert len(items[0][1]) == LIMIT
        # The last frame ends the fragmented message, and continues nothing after the others.
        assert items[1:] == ([] if first == BINARY else [("fault", 1002)])


@pytest.mark.parametrize("data", [
    frame(FIN | PING), frame(TEXT) + frame(FIN | PING) + frame(FIN | CONTINUATION), frame(FIN | CLOSE), frame(FIN | 3),
    frame(TEXT),
])  # fmt: skip
def test_wsproto_is_dropped_without_the_cycle_collector(data: bytes) -> None:
    gc.collect()
    gc.disable()
    try:
        messages = MessageReader(LIMIT)
        messages.feed(data)
        drain(messages)
        if data == frame(TEXT):
            assert any(isinstance(thing, FrameProtocol) for thing in gc.get_objects())
            messages.close()
        assert not any(isinstance(thing, FrameProtocol) for thing in gc.get_objects())
    finally:
        gc.enable()


def test_close() -> None:
    messages = MessageReader(LIMIT)
    messages.feed(HELLO[:8])
    assert messages.next() is None
    messages.feed(HELLO)
    messages.close()
    assert messages.next() is None
    assert messages.consumed == 8 + len(HELLO)


def test_facts_of_a_close_and_a_fault() -> None:
    messages = MessageReader(LIMIT)
    messages.feed(frame(FIN | CLOSE, b"\x03\xe8"))
    close = messages.next()
    assert type(close) is Close
    assert type(close.code) is int
    messages = MessageReader(LIMIT)
    messages.feed(frame(FIN | TEXT, b"\xff"))
    with pytest.raises(ReaderFault, match="invalid UTF-8") as caught:
        messages.next()
    assert type(caught.value.code) is int
    assert caught.value.reason


def test_compressed_in_one_read_or_many() -> None:
    text = "compress me " * 20
    data = frame(FIN | RSV1 | TEXT, deflate(text.encode())) + HELLO + frame(FIN | RSV1 | BINARY, deflate(b"\0" * 999))
    items: list[Item] = [("text", text), ("text", "Hello"), ("binary", b"\0" * 999)]
    for size in (len(data), 1, 5, 40):
        assert read(cut(data, size), Deflate()) == items

"""An open session: W5 to W8 of the checklist, what is out of turn (B3), and how a session is counted."""

import asyncio
from collections import UserDict
from typing import Any

import pytest

from fastserver._speedups.contract import ClientDisconnected
from tests.exchange.sessions import (
    BINARY,
    PING,
    PONG,
    TEXT,
    Frame,
    Session,
    Talk,
    close,
    closing,
    frame,
    split_frames,
    text,
    upgrade,
    wait_for_ever,
)
from tests.fakes import Gate, Message, Receive, Send, every_cut

# ---- W5 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (text("caf\u00e9"), "caf\u00e9"),
        (text(""), ""),
        (frame(BINARY, b"\0\xff"), b"\0\xff"),
        (frame(BINARY), b""),
        (frame(BINARY, bytes(70_000)), bytes(70_000)),
    ],
    ids=["text", "empty text", "bytes", "empty bytes", "large"],
)
def test_w5_messages_both_ways(sent: bytes, told: str | bytes) -> None:
    talk = Talk()
    session = Session(talk).open().feed(sent)
    assert talk.told == [told]
    payload = told if isinstance(told, bytes) else told.encode("utf-8")
    assert session.frames == [Frame(BINARY if isinstance(told, bytes) else TEXT, payload)]
    session.hang_up()


class Words(str):
    """As a framework's own kind of text, which says something else of itself."""

    def __str__(self) -> str:
        return "other"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"text": "a"}, Frame(TEXT, b"a")),
        ({"text": "a", "bytes": None}, Frame(TEXT, b"a")),
        ({"text": ""}, Frame(TEXT, b"")),
        ({"text": Words("a")}, Frame(TEXT, b"a")),
        ({"bytes": b"a", "text": None}, Frame(BINARY, b"a")),
        ({"bytes": b""}, Frame(BINARY, b"")),
        ({"bytes": bytearray(b"a")}, Frame(BINARY, b"a")),
        ({"bytes": memoryview(b"abc")[:1], "extra": 1}, Frame(BINARY, b"a")),
    ],
)
def test_w5_what_may_be_sent(message: Message, expected: Frame) -> None:
    async def body(talk: Talk) -> None:
        await talk.send({"type": "websocket.send", **message})
        await talk.take()

    session = Session(Talk(body)).open()
    assert session.frames == [expected]
    session.hang_up()
    assert session.faults == []


@pytest.mark.parametrize(
    ("message", "error", "words"),
    [
        ({"type": "websocket.send"}, ValueError, "either text or bytes"),
        ({"type": "websocket.send", "text": None, "bytes": None}, ValueError, "either text or bytes"),
        ({"type": "websocket.send", "text": "a", "bytes": b"a"}, ValueError, "either text or bytes"),
        ({"type": "websocket.send", "text": "", "bytes": b""}, ValueError, "either text or bytes"),
        ({"type": "websocket.send", "text": b"a"}, TypeError, "text must be a str"),
        ({"type": "websocket.send", "text": 1}, TypeError, "text must be a str"),
        ({"type": "websocket.send", "bytes": "a"}, TypeError, "must be bytes"),
        ({"type": "websocket.send", "bytes": [1]}, TypeError, "must be bytes"),
        ({"type": "websocket.send", "text": "\ud800"}, UnicodeEncodeError, "surrogates"),
        ({"type": "websocket.close", "code": "1000"}, TypeError, "code of websocket.close must be an int"),
        ({"type": "websocket.close", "code": True}, TypeError, "code of websocket.close must be an int"),
        ({"type": "websocket.close", "code": 999}, ValueError, "1000 to 4999"),
        ({"type": "websocket.close", "code": 5000}, ValueError, "1000 to 4999"),
        ({"type": "websocket.close", "reason": b"why"}, TypeError, "reason must be a str"),
        ({"type": "websocket.accept"}, RuntimeError, "out of turn"),
        ({"type": "websocket.connect"}, ValueError, "unknown message type"),
        ({"type": "http.response.start", "status": 200}, ValueError, "unknown message type"),
        ({"type": "websocket.nonsense"}, ValueError, "unknown message type"),
        ({}, KeyError, "type"),
    ],
)
def test_b3_what_may_not_be_sent(message: Message, error: type[Exception], words: str) -> None:
    """It raises, nothing leaves, and the session goes on."""

    async def body(talk: Talk) -> None:
        with pytest.raises(error, match=words):
            await talk.send(message)
        await talk.say("on")
        await talk.take()

    session = Session(Talk(body)).open()
    assert session.frames == [Frame(TEXT, b"on")]
    session.hang_up()
    assert session.faults == []


def test_b3_send_before_accept() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError, match=r"'websocket.accept' is expected"):
            await send({"type": "websocket.send", "text": "a"})
        await send({"type": "websocket.accept"})
        await receive()
        await receive()

    session = Session(app).open()
    session.hang_up()
    assert session.faults == []


def test_b5_messages_are_dictionaries_of_any_kind() -> None:
    async def body(talk: Talk) -> None:
        await talk.send(UserDict({"type": "websocket.send", "text": "a"}))
        await talk.take()

    session = Session(Talk(body)).open()
    assert session.frames == [Frame(TEXT, b"a")]
    session.hang_up()


# ---- W6 --------------------------------------------------------------------------------------------------------------


def test_w6_fragments_pings_and_messages_however_they_arrive() -> None:
    words = "h\u00e9llo".encode()
    payload = (
        frame(PING, b"a")
        + frame(TEXT, words[:2], fin=False)
        + frame(PING, b"b")
        + frame(0, words[2:])
        + frame(PONG, b"unasked")
        + frame(BINARY, b"", fin=False)
        + frame(0, b"x")
    )
    for reads in every_cut(payload):
        talk = Talk()
        session = Session(talk).open().feed(*reads)
        frames = session.frames
        assert [each for each in frames if each.opcode == PONG] == [Frame(PONG, b"a"), Frame(PONG, b"b")]
        assert [each for each in frames if each.opcode != PONG] == [Frame(TEXT, words), Frame(BINARY, b"x")]
        assert talk.told == ["h\u00e9llo", b"x"]
        session.hang_up()


@pytest.mark.parametrize(
    ("bad", "code", "words"),
    [
        (frame(TEXT, b"\xff"), 1007, "invalid UTF-8"),
        (frame(TEXT, b"\xed\xa0\x80", fin=False), 1007, "invalid data"),
        (frame(3), 1002, "bad frame"),
        (frame(0, b"nothing to continue"), 1002, "bad frame"),
        (b"\x81\x01a", 1002, "frame without a mask"),
        (frame(BINARY, bytes(101)), 1009, "message too big"),
        (frame(BINARY, bytes(60), fin=False) + frame(0, bytes(60)), 1009, "message too big"),
        (frame(8, b"\x03"), 1002, "bad close code"),
    ],
    ids=["utf-8", "utf-8 at once", "opcode", "continuation", "no mask", "too big", "too big in parts", "close"],
)
def test_w6_bad_frames_close_behind_what_was_before_them(bad: bytes, code: int, words: str) -> None:
    """Messages that came before are delivered, and answered, before the Close is sent."""
    for reads in every_cut(text("first") + text("second") + bad + text("never"), 60):
        talk = Talk()
        session = Session(talk, max_size=100).open().feed(*reads)
        frames = session.frames
        assert frames[:2] == [Frame(TEXT, b"first"), Frame(TEXT, b"second")]
        assert frames[2:] == [closing(code, words)]
        assert talk.told == ["first", "second", (code, words)]
        assert session.ended
        session.hang_up()
        assert session.faults == []


def test_w6_an_application_that_does_not_receive_is_not_waited_for_long() -> None:
    """The Close behind a message that nobody takes is sent after a while."""
    talk = Talk(lambda talk: wait_for_ever())
    session = Session(talk).open().feed(text("untaken") + close(4000))
    assert session.frames == []
    session.advance(9)
    assert session.frames == []
    session.advance(2)
    assert session.frames == [closing(4000)]
    assert session.ended
    for task in session.host.tasks:
        task.cancel()
    session.hang_up()


# ---- W7 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "answer", "told"),
    [
        (close(1000, "done"), closing(1000), (1000, "done")),
        (close(), closing(None), (1005, "")),
        (close(4321, "own"), closing(4321), (4321, "own")),
        (close(1001), closing(1001), (1001, "")),
    ],
)
def test_w7_close_of_the_client(sent: bytes, answer: Frame, told: tuple[int, str]) -> None:
    for reads in every_cut(sent):
        talk = Talk()
        session = Session(talk).open().feed(*reads)
        assert talk.told == [told]
        assert session.frames == [answer]
        # The server is the first to close (RFC 6455 section 7.1.1).
        assert session.connection.finished
        assert not session.connection.aborted
        session.eof()
        assert session.connection.closed
        session.hang_up()


@pytest.mark.parametrize("how", ["eof", "vanish"])
def test_w7_drop_is_1006(how: str) -> None:
    talk = Talk()
    session = Session(talk).open().feed(text("a") + text("cut")[:-1])
    getattr(session, how)()
    assert talk.told == ["a", (1006, "")]
    session.hang_up()
    assert session.faults == []


def test_w7_what_came_before_the_drop_is_delivered() -> None:
    gate = Gate()

    async def body(talk: Talk) -> None:
        await gate.wait()
        for _ in range(4):
            await talk.take()

    for last, told in ((close(4000, "bye"), (4000, "bye")), (b"", (1006, ""))):
        talk = Talk(body)
        session = Session(talk, max_queue=1).open().feed(text("a") + text("b") + last)
        session.vanish()
        gate.open(session)
        assert talk.told == ["a", "b", told, told]
        assert session.faults == []


async def close_with_reason(talk: Talk) -> None:
    await talk.close(3000, "own reason")
    await talk.take()
    await talk.take()


def test_w7_w8_own_close() -> None:
    """The application gets its disconnect at once; the connection ends when the client has answered."""
    talk = Talk(close_with_reason)
    session = Session(talk).open()
    assert session.frames == [closing(3000, "own reason")]
    assert talk.told == [(3000, "own reason")] * 2
    assert not session.ended
    session.feed(text("on its way"), frame(PING, b"too"))
    assert len(session.frames) == 1
    session.feed(close(3000))
    assert session.connection.finished
    session.hang_up()
    assert session.faults == []


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({}, closing(1000)),
        ({"code": None, "reason": None}, closing(1000)),
        ({"code": 1001}, closing(1001)),
        ({"reason": "why"}, closing(1000, "why")),
        ({"reason": "\u00e9" * 100}, closing(1000, "\u00e9" * 61)),
        ({"code": 1005}, closing(None)),
    ],
)
def test_w7_close_messages(message: Message, expected: Frame) -> None:
    async def body(talk: Talk) -> None:
        await talk.send({"type": "websocket.close", **message})

    session = Session(Talk(body)).open()
    assert session.frames == [expected]
    session.hang_up()
    assert session.faults == []


def test_w7_shutdown_is_1012() -> None:
    talk = Talk()
    session = Session(talk).open()
    session.drain()
    assert session.frames == []
    session.end_streams()
    session.end_streams()
    assert session.frames == [closing(1012)]
    assert talk.told == [(1012, "")]
    session.feed(close(1012))
    assert session.ended
    session.hang_up()


def test_w7_shutdown_leaves_what_has_come() -> None:
    gate = Gate()

    async def body(talk: Talk) -> None:
        await gate.wait()
        for _ in range(3):
            await talk.take()

    talk = Talk(body)
    session = Session(talk, max_queue=2).open().feed(text("a") + text("b") + text("late"))
    session.drain()
    session.end_streams()
    session.feed(text("later") + close(1012))
    assert session.ended
    gate.open(session)
    assert talk.told == ["a", "b", (1012, "")]
    session.hang_up()


async def fail(talk: Talk) -> None:
    await talk.take()
    raise LookupError("own")


def test_w7_application_error_is_1011_and_logged_once() -> None:
    session = Session(Talk(fail)).open().feed(text("go"))
    assert session.frames == [closing(1011)]
    session.feed(close(1011))
    session.hang_up()
    assert session.faults == ["exception in the application: GET /chat"]


def test_w7_application_that_returns_has_closed() -> None:
    async def body(talk: Talk) -> None:
        await talk.take()

    session = Session(Talk(body)).open().feed(text("go"), text("after"))
    assert session.frames == [closing(1000)]
    session.feed(close(1000))
    assert session.ended
    session.hang_up()
    assert session.faults == []


# ---- W8 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["own", "client", "drop", "drain", "fault"])
def test_w8_send_after_the_end_is_an_oserror(how: str) -> None:
    assert issubclass(ClientDisconnected, OSError)

    async def body(talk: Talk) -> None:
        if how == "own":
            await talk.close()
        assert (await talk.take())["type"] == "websocket.disconnect"
        for message in ({"type": "websocket.send", "text": "a"}, {"type": "websocket.close"}):
            with pytest.raises(ClientDisconnected):
                await talk.send(message)
        await talk.say("and it need not be caught")

    talk = Talk(body)
    session = Session(talk).open()
    if how == "client":
        session.feed(close(1000))
    elif how == "drop":
        session.vanish()
    elif how == "drain":
        session.drain()
        session.end_streams()
    elif how == "fault":
        session.feed(frame(7))
    assert isinstance(talk.failure, OSError)
    session.hang_up()
    assert session.faults == []


def test_w8_send_that_waits_for_room_when_the_session_ends() -> None:
    async def body(talk: Talk) -> None:
        while True:
            await talk.say("more")

    talk = Talk(body)
    session = Session(talk)
    session.block()
    session.open()
    assert session.frames == [Frame(TEXT, b"more")]
    session.feed(close(1000))
    assert isinstance(talk.failure, OSError)
    session.hang_up()
    assert session.faults == []


# ---- Counting --------------------------------------------------------------------------------------------------------


def test_a_session_is_counted_and_logged_once_when_it_ends() -> None:
    session = Session(Talk()).open().feed(text("hello"))
    metrics = session.host.metrics
    assert session.access == []
    assert metrics.snapshot()["requests"]["http/1.1"]["1xx"] == 0
    session.feed(close(1000)).hang_up()
    ((request, status, size, duration_s, _, head),) = session.access
    assert (request.raw_path, status, head.status) == (b"/chat", 101, 101)
    assert size == len(session.out.partition(b"\r\n\r\n")[2])
    assert duration_s > 0
    assert sum(metrics.snapshot()["requests"]["http/1.1"].values()) == 1
    assert metrics.snapshot()["requests"]["http/1.1"]["1xx"] == 1
    assert metrics.snapshot()["latency"]["count"] == 0


def test_nothing_is_parsed_as_a_request_after_a_session() -> None:
    session = Session(Talk()).open()
    session.feed(close(1000) + b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert session.out.count(b"HTTP/1.1") == 1
    assert session.ended
    session.hang_up()


def test_session_behind_pipelined_requests() -> None:
    """The request before it is answered first, and its connection is the session's then."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204})
            await send({"type": "http.response.body"})
        else:
            await Talk()(scope, receive, send)

    payload = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" + upgrade() + text("hello")
    for reads in every_cut(payload, 100):
        session = Session(app).feed(*reads)
        plain, _, rest = session.out.partition(b"\r\n\r\n")
        assert plain.startswith(b"HTTP/1.1 204")
        assert rest.startswith(b"HTTP/1.1 101")
        assert split_frames(rest.partition(b"\r\n\r\n")[2]) == [Frame(TEXT, b"hello")]
        session.hang_up()


def test_cancelled_receive_swallows_nothing() -> None:
    async def body(talk: Talk) -> None:
        waiting = asyncio.ensure_future(talk.take())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        await talk.echo()

    talk: Any = Talk(body)
    session = Session(talk).open().feed(text("kept"))
    assert session.frames == [Frame(TEXT, b"kept")]
    session.hang_up()

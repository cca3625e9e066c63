"""Time and room in a session: pings and deadlines (WS-8), queues and credit (WS-9), and the same over HTTP/2 (W9)."""

import gc
import math
import weakref
from typing import Any

import pytest

from fastserver._speedups.h1.bounds import BODY_BUFFER_BYTES
from fastserver._speedups.http import HTTPApplication
from fastserver._speedups.websocket.bounds import CLOSE_TIMEOUT_S, QUEUE_BYTES
from fastserver._speedups.websocket.settings import WebSocketSettings
from tests.exchange.sessions import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Frame,
    Session,
    StreamSession,
    Talk,
    close,
    closing,
    connect,
    frame,
    refuse,
    text,
)
from tests.fakes import Gate, Message, Receive, Send


def pings(session: Session) -> list[bytes]:
    return [each.payload for each in session.frames if each.opcode == PING]


# ---- WS-8: pings and timeouts ----------------------------------------------------------------------------------------


def test_ws_8_pings_are_answered_and_go_on() -> None:
    session = Session(Talk(), ping_interval_s=20, ping_timeout_s=20).open()
    session.advance(19)
    assert pings(session) == []
    for count in (1, 2, 3):
        session.advance(1)
        assert len(pings(session)) == count
        session.feed(frame(PONG, pings(session)[-1]))
        session.advance(19)
    assert len(set(pings(session))) == 3
    session.hang_up()


def test_ws_8_ping_without_pong() -> None:
    talk = Talk()
    session = Session(talk, ping_interval_s=20, ping_timeout_s=5).open()
    session.advance(21).feed(frame(PONG, b"another"))
    session.advance(3)
    assert talk.told == []
    session.advance(2)
    assert session.frames[1:] == [closing(1011, "keepalive ping timeout")]
    assert talk.told == [(1011, "keepalive ping timeout")]
    session.advance(CLOSE_TIMEOUT_S - 2)
    assert not session.connection.aborted
    session.advance(2)
    assert session.connection.aborted
    session.hang_up()
    assert session.faults == []


def test_ws_8_no_pings_and_no_timeout() -> None:
    session = Session(Talk(), ping_interval_s=0).open().advance(100)
    assert session.frames == []
    session.hang_up()
    session = Session(Talk(), ping_interval_s=10, ping_timeout_s=0).open().advance(100)
    assert len(pings(session)) == 10
    session.hang_up()


def test_ws_8_close_that_is_not_answered() -> None:
    session = Session(Talk(lambda talk: talk.close())).open()
    session.feed(text("still talking")).advance(CLOSE_TIMEOUT_S - 1)
    assert not session.over
    session.advance(2)
    assert session.connection.aborted
    session.hang_up()
    assert [record[1] for record in session.access] == [101]


def test_ws_8_no_ping_to_who_does_not_read() -> None:
    session = Session(Talk(), ping_interval_s=10).open()
    session.block()
    session.advance(35)
    assert session.frames == []
    session.unblock()
    session.advance(10)
    assert len(pings(session)) == 1
    session.hang_up()


def test_ws_8_pong_is_not_overdue_while_nothing_is_read() -> None:
    """The application takes nothing, so the pong waits behind its messages; then there is the whole time for it."""
    gate = Gate()

    async def body(talk: Talk) -> None:
        await gate.wait()
        await talk.echo()

    session = Session(Talk(body), max_queue=1, ping_interval_s=10, ping_timeout_s=5).open()
    session.feed(text("a") + text("b")).advance(10)
    (ping,) = pings(session)
    session.feed(frame(PONG, ping)).advance(60)
    assert session.frames == [Frame(PING, ping)]
    gate.open(session)
    session.advance(9)
    assert session.frames[1:] == [Frame(TEXT, b"a"), Frame(TEXT, b"b")]
    session.advance(2)
    assert len(pings(session)) == 2
    session.hang_up()


def test_ws_4_pongs_are_coalesced_where_the_client_does_not_read() -> None:
    session = Session(Talk()).open()
    session.block()
    session.feed(frame(PING, b"1"), frame(PING, b"2") + frame(PING, b"3"))
    assert session.frames == []
    session.unblock()
    assert session.frames == [Frame(PONG, b"3")]
    session.feed(frame(PING, b"4"))
    assert session.frames == [Frame(PONG, b"3"), Frame(PONG, b"4")]
    session.hang_up()


def test_ws_4_ping_flood_is_1008() -> None:
    session = Session(Talk()).open()
    session.feed(frame(PING) * 1000)
    assert session.frames[-1].payload[:2] == (1008).to_bytes(2, "big")
    assert session.ended
    session.hang_up()


def test_ws_4_what_comes_while_nothing_is_read_is_no_flood() -> None:
    """The application takes one message in 15 s, and the client sends nine pings a second."""
    gate = Gate()
    talk = waiting_talk(gate)
    session = Session(talk, max_queue=1, ping_interval_s=0).open().feed(text("a"))
    for _ in range(15):
        session.feed(frame(PING) * 9).advance(1)
    gate.open(session)
    session.feed(text("b"))
    assert talk.told == ["a", "b"]
    session.feed(frame(PING) * 300)
    assert session.frames[-1].payload[:2] == (1008).to_bytes(2, "big")
    session.hang_up()


@pytest.mark.parametrize(("count", "is_flood"), [(200, False), (201, True)])
def test_ws_4_time_without_reading_counts_once(count: int, is_flood: bool) -> None:
    """Ten seconds are worth a hundred pings, however often the application takes a message meanwhile."""

    async def body(talk: Talk) -> None:
        for _ in range(4):
            await gates.pop().wait()
            await talk.take()
        await talk.echo()

    gates = [Gate() for _ in range(4)]
    waiting = gates[::-1]
    session = Session(Talk(body), max_queue=1, ping_interval_s=0).open()
    session.feed(text("a") * 4 + frame(PING) * count)
    for gate, seconds in zip(waiting, (2, 3, 5, 0), strict=True):
        session.advance(seconds)
        gate.open(session)
    assert (session.frames[-1].opcode == CLOSE) is is_flood
    session.hang_up()


# ---- WS-3: the time of a message -------------------------------------------------------------------------------------


def amid_message() -> tuple[Session, Talk]:
    """A session without pings in which a message has begun."""
    talk = Talk()
    session = Session(talk, limits={"timeout_request_body_idle": 5, "request_body_rate": 100}, ping_interval_s=0)
    return session.open().feed(frame(TEXT, b"a", fin=False)), talk


@pytest.mark.parametrize("part", [b"", frame(PING, b"p" * 100), frame(0, fin=False)], ids=["nothing", "ping", "empty"])
def test_ws_3_message_that_does_not_come_on(part: bytes) -> None:
    session, talk = amid_message()
    for _ in range(4):
        session.feed(part).advance(1)
    assert not session.ended
    assert talk.told == []
    session.advance(2)
    assert session.frames[-1] == closing(1008, "message took too long")
    assert talk.told == [(1008, "message took too long")]
    session.advance(CLOSE_TIMEOUT_S + 2)
    assert session.connection.aborted
    session.hang_up()


@pytest.mark.parametrize("whole", [True, False], ids=["one frame", "fragments"])
@pytest.mark.parametrize(("rate", "comes"), [(50, False), (200, True)])
def test_ws_3_message_that_comes_slowly(whole: bool, rate: int, comes: bool) -> None:
    talk = Talk()
    session = Session(talk, limits={"request_body_rate": 100}, ping_interval_s=0).open()
    if whole:
        session.feed(frame(BINARY, bytes(20 * rate))[: -20 * rate])
    else:
        session.feed(frame(BINARY, fin=False))
    for second in range(20):
        part = frame(BINARY, bytes(20 * rate))[8:][second * rate :][:rate]
        session.feed(part if whole else frame(0, bytes(rate), fin=second == 19)).advance(1)
    assert talk.told == ([bytes(20 * rate)] if comes else [(1008, "message took too long")])
    session.hang_up()


def test_ws_3_each_message_has_a_time_of_its_own() -> None:
    session, talk = amid_message()
    for _ in range(10):
        session.advance(4)
        session.feed(frame(0, b"a" * 400) + frame(TEXT, b"a", fin=False))
    session.feed(frame(0, b"z")).advance(60)
    assert talk.told == ["a" * 401] * 10 + ["az"]
    session.hang_up()


# ---- WS-9: room ------------------------------------------------------------------------------------------------------


def waiting_talk(gate: Gate) -> Talk:
    async def body(talk: Talk) -> None:
        await gate.wait()
        await talk.echo()

    return Talk(body)


@pytest.mark.parametrize(("count", "fits"), [(31, True), (32, True), (33, False)])
def test_ws_9_queue_of_messages(count: int, fits: bool) -> None:
    """Behind a full queue nothing is parsed: the ping is answered once there is room."""
    gate = Gate()
    talk = waiting_talk(gate)
    session = Session(talk, max_queue=33).open().feed(text("a") * count + frame(PING, b"p"))
    assert (session.frames == [Frame(PONG, b"p")]) is fits
    gate.open(session)
    assert Frame(PONG, b"p") in session.frames
    assert talk.told == ["a"] * count
    session.hang_up()


@pytest.mark.parametrize(("size", "fits"), [(QUEUE_BYTES - 1, True), (QUEUE_BYTES, False), (QUEUE_BYTES + 1, False)])
def test_ws_9_queue_of_bytes(size: int, fits: bool) -> None:
    gate = Gate()
    talk = waiting_talk(gate)
    mask = bytes(4)
    session = Session(talk).open().feed(frame(BINARY, bytes(size), mask=mask), frame(PING, b"p"))
    assert (session.frames == [Frame(PONG, b"p")]) is fits
    gate.open(session)
    assert talk.told == [bytes(size)]
    session.hang_up()


@pytest.mark.parametrize(("character", "size"), [("a", 1), ("\u00e9", 1), ("\u03bb", 2), ("\U0001f600", 4)])
@pytest.mark.parametrize("fits", [True, False])
def test_ws_9_text_counts_as_what_it_holds(character: str, size: int, fits: bool) -> None:
    gate = Gate()
    talk = waiting_talk(gate)
    words = character * (QUEUE_BYTES // size - (100 if fits else 0))
    session = Session(talk).open().feed(frame(TEXT, words.encode(), mask=bytes(4)), frame(PING, b"p"))
    assert (session.frames == [Frame(PONG, b"p")]) is fits
    gate.open(session)
    assert talk.told == [words]
    assert Frame(TEXT, words.encode()) in session.frames
    session.hang_up()


def test_ws_9_reading_pauses_and_goes_on() -> None:
    gate = Gate()
    talk = waiting_talk(gate)
    message = text("x" * 100)
    session = Session(talk, max_queue=2).open()
    reads = 4 * BODY_BUFFER_BYTES // len(message)
    session.feed(*[message] * reads)
    assert session.connection.reading_paused
    assert len(session.inbox) > reads // 2
    gate.open(session)
    assert not session.connection.reading_paused
    assert not session.inbox
    assert len(talk.told) == reads
    session.hang_up()


def test_ws_9_credit_is_what_was_parsed() -> None:
    gate = Gate()
    session = StreamSession(waiting_talk(gate), settings=WebSocketSettings(max_queue=2)).start()
    message = text("x" * 10)
    session.feed(message)
    assert session.sink.consumed == len(message)
    session.feed(message * 5)
    assert session.sink.consumed == 2 * len(message)
    gate.open(session)  # type: ignore[arg-type]
    assert session.sink.consumed == 6 * len(message)


@pytest.mark.parametrize(("max_queue", "size"), [(1, 1), (32, QUEUE_BYTES)])
@pytest.mark.parametrize(
    ("tail", "more", "answer", "told"),
    [
        (close(1000), True, [closing(1000)], (1000, "")),
        (frame(3), True, [closing(1002, "bad frame")], (1002, "bad frame")),
        (b"", False, [], (1006, "")),
    ],
    ids=["close", "fault", "end"],
)
def test_ws_9_the_end_behind_a_full_queue_waits_for_the_last_answer(
    max_queue: int, size: int, tail: bytes, more: bool, answer: list[Frame], told: tuple[int, str]
) -> None:
    talk = Talk()
    session = StreamSession(talk, settings=WebSocketSettings(max_queue=max_queue)).start()
    session.do(session.exchange.on_body, frame(BINARY, bytes(size), mask=bytes(4)) + tail, more)
    assert session.frames == [Frame(BINARY, bytes(size)), *answer]
    assert talk.told == [bytes(size), told]
    assert session.sink.ended


def test_ws_9_send_waits_for_room() -> None:
    sent: list[int] = []

    async def body(talk: Talk) -> None:
        for number in range(3):
            await talk.say(str(number))
            sent.append(number)
        await talk.take()

    session = Session(Talk(body))
    session.block()
    session.open()
    assert sent == []
    session.unblock()
    assert sent == [0, 1, 2]
    session.hang_up()


# ---- W9 --------------------------------------------------------------------------------------------------------------


def test_w9_ws_10_session_over_http_2() -> None:
    talk = Talk(subprotocol="b")
    session = StreamSession(talk, connect((b"sec-websocket-protocol", b"a, b"), (b"sec-websocket-version", b"13")))
    session.start()
    assert (talk.scope["type"], talk.scope["http_version"], talk.scope["scheme"]) == ("websocket", "2", "wss")
    assert talk.scope["subprotocols"] == ["a", "b"]
    assert "method" not in talk.scope
    assert session.sink.accepted == [(b"sec-websocket-protocol", b"b")]
    session.feed(text("hello"), close(1000))
    assert session.frames == [Frame(TEXT, b"hello"), closing(1000)]
    assert session.sink.ended
    assert talk.told == ["hello", (1000, "")]
    assert session.host.metrics.snapshot()["requests"]["h2"]["2xx"] == 1


def test_w9_early_data_is_held() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await talk(scope, receive, send)

    talk = Talk()
    session = StreamSession(app).start().feed(text("ea"), text("rly"))
    assert (session.sink.out, session.sink.consumed) == (b"", 0)
    gate.open(session)  # type: ignore[arg-type]
    assert session.frames == [Frame(TEXT, b"ea"), Frame(TEXT, b"rly")]
    assert session.sink.consumed == len(text("ea") + text("rly"))


def test_w9_end_of_the_stream_is_a_drop() -> None:
    talk = Talk()
    session = StreamSession(talk).start()
    session.do(session.exchange.on_body, text("last"), False)
    assert talk.told == ["last", (1006, "")]
    assert session.sink.ended


def test_w9_reset_of_the_stream() -> None:
    talk = Talk()
    session = StreamSession(talk).start()
    session.do(session.exchange.on_disconnect)
    assert talk.told == [(1006, "")]
    assert session.sink.out == b""


def test_w9_drain_and_deadlines() -> None:
    talk = Talk()
    session = StreamSession(talk).start()
    assert session.sink.deadline == session.host.clock.now + 20
    session.do(session.exchange.on_drain)
    assert session.frames == [closing(1012)]
    session.advance(11)
    assert session.sink.aborted
    assert talk.told == [(1012, "")]
    assert session.sink.deadline == math.inf


@pytest.mark.parametrize(
    ("request_", "settings", "status"),
    [
        (connect(protocol="connect-udp"), WebSocketSettings(), 501),
        (connect((b"sec-websocket-version", b"8")), WebSocketSettings(), 426),
        (connect((b"origin", b"https://evil")), WebSocketSettings(allowed_origins=frozenset([b"https://a"])), 403),
        (connect((b"sec-websocket-protocol", b"a b")), WebSocketSettings(), 400),
    ],
)
def test_w9_ws_10_what_is_refused(request_: Any, settings: WebSocketSettings, status: int) -> None:
    session = StreamSession(refuse, request_, settings).start().feed(text("early"))
    assert session.sink.response.status == status  # type: ignore[union-attr]
    assert session.sink.ended
    assert session.sink.consumed == len(text("early"))


def test_w9_where_websockets_are_not_served() -> None:
    session = StreamSession(refuse)
    session.application = HTTPApplication(refuse, session.host)
    session.exchange = session.application.open(session.sink, session.request)
    session.start()
    assert session.sink.response.status == 501  # type: ignore[union-attr]


def test_w9_denial_must_not_look_like_consent() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        with pytest.raises(ValueError, match="would accept"):
            await send({"type": "websocket.http.response.start", "status": 200})
        await send({"type": "websocket.http.response.start", "status": 401})
        await send({"type": "websocket.http.response.body", "body": b"no"})

    session = StreamSession(app).start()
    assert session.sink.response.status == 401  # type: ignore[union-attr]
    assert (session.sink.out, session.sink.ended) == (b"no", True)


# ---- Compression, memory ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_on", [True, False])
def test_compression_is_agreed_on_where_the_settings_say_so(is_on: bool) -> None:
    session = Session(Talk(), per_message_deflate=is_on)
    session.open(b"Sec-WebSocket-Extensions: x-unknown, permessage-deflate; client_max_window_bits")
    (agreed,) = session.head.header(b"sec-websocket-extensions") or [b""]
    assert agreed.startswith(b"permessage-deflate") is is_on
    session.feed(text("a" * 1000))
    answer = session.out.partition(b"\r\n\r\n")[2]
    assert (len(answer) < 100) is is_on
    session.hang_up()


class Mark:
    """Something that lives as long as its scope."""


def test_an_ended_session_is_freed_without_the_collector() -> None:
    marks: list[weakref.ref[Mark]] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        mark = Mark()
        marks.append(weakref.ref(mark))
        scope["mark"] = mark
        while (await receive())["type"] == "websocket.receive":
            pass

    gc.collect()
    gc.disable()
    try:
        session = Session(app).open().feed(text("a"), close(1000))
        session.hang_up()
        assert marks[0]() is None
    finally:
        gc.enable()

"""WebSockets over HTTP/3 (RFC 9220): extended CONNECT on the real wire, frames inside DATA."""

import pytest

from fastserver._speedups.contract import H3Limits
from fastserver._speedups.h3.errors import H3_FRAME_UNEXPECTED, H3_INTERNAL_ERROR, H3_REQUEST_CANCELLED
from fastserver._speedups.http import HTTPApplication
from fastserver._speedups.websocket.settings import WebSocketSettings
from tests.exchange.sessions import TEXT, Frame, Talk, close, closing, split_frames, text
from tests.fakes import App, Message, Receive, Send, respond
from tests.h3wire import DATA, SETTINGS, H3Wire, frame, read_varint

CONNECT = [
    (b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"https"), (b":path", b"/chat"),
    (b":authority", b"example.org"), (b"sec-websocket-version", b"13"),
]  # fmt: skip


def open_wire(app: App, h3: H3Limits | None = None, **limits: float) -> H3Wire:
    wire = H3Wire(app, None, h3, True, **limits)
    wire.host.application = HTTPApplication(app, wire.host, websocket=WebSocketSettings())
    return wire


def connect(wire: H3Wire, ends: bool = False) -> int:
    stream = wire.take_id()
    wire.send(stream, wire.head(CONNECT), ends)
    return stream


def say(wire: H3Wire, stream: int, octets: bytes, ends: bool = False) -> None:
    wire.send(stream, frame(DATA, octets), ends)


def read(wire: H3Wire, stream: int) -> list[Frame]:
    return split_frames(wire.answer(stream).body)


def test_a_session() -> None:
    talk = Talk()
    wire = open_wire(talk)
    stream = connect(wire)
    answer = wire.answer(stream)
    assert (answer.status, answer.ended) == (200, False)
    assert answer.header(b"sec-websocket-accept") == []
    assert (talk.scope["http_version"], talk.scope["scheme"]) == ("3", "wss")
    say(wire, stream, text("hello"))
    say(wire, stream, close(1000))
    assert read(wire, stream) == [Frame(TEXT, b"hello"), closing(1000)]
    assert wire.answer(stream).ended
    assert talk.told == ["hello", (1000, "")]
    wire.send(stream, b"", True)
    wire.hang_up()


def test_frames_are_cut_where_it_pleases() -> None:
    talk = Talk()
    wire = open_wire(talk)
    octets = wire.head(CONNECT) + frame(DATA, text("hello")[:3]) + frame(0x21, b"g") + frame(DATA, text("hello")[3:])
    stream = wire.take_id()
    for byte in octets + frame(DATA, close(1001)):
        wire.send(stream, bytes([byte]))
    wire.send(stream, b"", True)
    assert read(wire, stream) == [Frame(TEXT, b"hello"), closing(1001)]
    assert wire.owed == {}
    wire.hang_up()


def test_many_sessions_one_after_another_take_no_place_for_ever() -> None:
    wire = open_wire(Talk(), H3Limits(streams=3))
    for _ in range(10):
        stream = connect(wire)
        say(wire, stream, close(1000), True)
        assert wire.answer(stream).status == 200
        assert wire.answer(stream).ended
    wire.hang_up()


@pytest.mark.parametrize("how", ["reset", "stop"])
def test_a_reset_is_a_drop(how: str) -> None:
    talk = Talk()
    wire = open_wire(talk)
    stream = connect(wire)
    getattr(wire, how)(stream)
    assert talk.told == [(1006, "")]
    assert wire.answer(stream).reset == H3_REQUEST_CANCELLED
    wire.hang_up()


def test_an_end_without_a_close_is_a_drop() -> None:
    talk = Talk()
    wire = open_wire(talk)
    stream = connect(wire)
    wire.send(stream, b"", True)
    assert talk.told == [(1006, "")]
    assert stream not in wire.protocol.streams
    wire.hang_up()


def test_an_end_with_the_head_is_a_drop_too() -> None:
    talk = Talk()
    wire = open_wire(talk)
    stream = connect(wire, ends=True)
    wire.advance(1)
    assert [told for told in talk.received if told["type"] == "websocket.disconnect"]
    assert stream not in wire.protocol.streams
    wire.hang_up()


def test_a_session_that_is_refused() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"})

    wire = open_wire(app)
    stream = connect(wire)
    assert wire.answer(stream).status == 403
    assert wire.answer(stream).ended
    wire.hang_up()


def test_a_session_beside_requests_holds_nobody_up() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            return
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    wire = open_wire(app)
    connect(wire)
    assert wire.answer(wire.request()).status == 204
    wire.hang_up()


def test_another_protocol_is_not_implemented() -> None:
    wire = open_wire(Talk())
    stream = wire.take_id()
    fields = [(name, b"webtransport" if name == b":protocol" else value) for name, value in CONNECT]
    wire.send(stream, wire.head(fields))
    assert wire.answer(stream).status == 501
    wire.hang_up()


@pytest.mark.parametrize("sessions", [True, False])
def test_where_there_are_no_sessions_none_is_offered(sessions: bool) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send)

    wire = H3Wire(app, h3=H3Limits(sessions=sessions))
    (payload,) = [payload for kind, payload in wire.control if kind == SETTINGS]
    names, at = [], 0
    while at < len(payload):
        name, at = read_varint(payload, at)
        _, at = read_varint(payload, at)
        names.append(name)
    assert (8 in names) == sessions
    assert wire.answer(connect(wire)).status == 501
    assert wire.answer(wire.request()).status == 200
    wire.hang_up()


async def leave(scope: Message, receive: Receive, send: Send) -> None:
    """It returns while its session is open: the wire alone holds the exchange then."""
    await receive()
    await send({"type": "websocket.accept"})


@pytest.mark.parametrize("ends", [True, False])
def test_an_exchange_that_ends_its_stream_outlives_the_call(ends: bool) -> None:
    wire = open_wire(leave)
    stream = connect(wire)
    assert read(wire, stream) == [closing(1000)]
    say(wire, stream, close(1000), ends)
    assert wire.answer(stream).ended
    assert wire.answer(wire.request()).status == 500  # it is no session


def test_a_client_that_never_answers_the_close_is_cut() -> None:
    wire = open_wire(leave)
    stream = connect(wire)
    wire.advance(11)
    assert wire.answer(stream).reset == H3_INTERNAL_ERROR
    assert not wire.over
    wire.hang_up()


def test_headers_have_no_place_in_a_session() -> None:
    talk = Talk()
    wire = open_wire(talk)
    stream = connect(wire)
    wire.send(stream, wire.head([(b"x", b"y")]))
    assert wire.engine.closed == (H3_FRAME_UNEXPECTED, "HEADERS on a session's stream")
    assert talk.told == [(1006, "")]
    wire.hang_up()


def test_a_drain_closes_sessions() -> None:
    talk = Talk()
    wire = open_wire(talk)
    stream = connect(wire)
    wire.drain()
    assert read(wire, stream) == []
    wire.end_streams()
    assert read(wire, stream) == [closing(1012)]
    say(wire, stream, close(1012), True)
    wire.acknowledge(stream)
    wire.advance(2)
    assert wire.over
    wire.hang_up()


def test_no_limit_of_a_body_is_a_sessions() -> None:
    talk = Talk()
    wire = open_wire(talk, request_body=10, timeout_request_body_idle=5.0)
    stream = connect(wire)
    say(wire, stream, text("more than ten"))
    wire.advance(8)
    say(wire, stream, text("and later"))
    assert [words.payload for words in read(wire, stream) if words.opcode == TEXT] == [b"more than ten", b"and later"]
    wire.hang_up()

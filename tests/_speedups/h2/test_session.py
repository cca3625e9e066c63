"""WebSockets over HTTP/2 (RFC 8441): extended CONNECT on the real wire, frames inside DATA."""

import pytest
from hyperframe.frame import DataFrame, RstStreamFrame, SettingsFrame
from wsproto.frame_protocol import FrameProtocol, Opcode

from fastserver._speedups.contract import H2Limits
from fastserver._speedups.h2.errors import CANCEL, INTERNAL_ERROR
from fastserver._speedups.http import HTTPApplication
from fastserver._speedups.websocket.settings import WebSocketSettings
from tests._speedups.websocket.wire import FIN, TEXT, frame
from tests.fakes import App, Message, Receive, Send, respond
from tests.h2wire import H2Wire

CONNECT = [
    (b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"), (b":path", b"/chat"),
    (b":authority", b"example.org"), (b"sec-websocket-version", b"13"),
]  # fmt: skip
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


def open_wire(app: App, h2: H2Limits | None = None) -> H2Wire:
    wire = H2Wire(app, h2=h2)
    wire.host.application = HTTPApplication(app, wire.host, websocket=WebSocketSettings())
    return wire.greet()


def connect(wire: H2Wire) -> int:
    stream = wire.take_id()
    wire.send(wire.head(CONNECT, stream, ends=False))
    return stream


def read(wire: H2Wire, stream: int) -> list[tuple[str, object]]:
    """What the server's frames say, parsed by wsproto in the client's role."""
    client = FrameProtocol(True, [])
    client.receive_bytes(wire.answer(stream).body)
    return [(Opcode(item.opcode).name, item.payload) for item in client.received_frames()]


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"], "bytes": message["bytes"]})


def test_a_session() -> None:
    wire = open_wire(echo)
    stream = connect(wire)
    answer = wire.answer(stream)
    assert (answer.status, answer.ended) == (200, False)
    assert answer.header(b"sec-websocket-accept") == []
    wire.send(DataFrame(stream, frame(FIN | TEXT, b"hello")))
    wire.send(DataFrame(stream, CLOSE))
    assert read(wire, stream) == [("TEXT", "hello"), ("CLOSE", (1000, ""))]
    assert wire.answer(stream).ended
    wire.hang_up()


def test_many_sessions_one_after_another_take_no_place_for_ever() -> None:
    wire = open_wire(echo, H2Limits(streams=3))
    for _ in range(10):
        stream = connect(wire)
        wire.send(DataFrame(stream, CLOSE, flags=["END_STREAM"]))
        assert wire.answer(stream).status == 200
    wire.hang_up()


def test_a_reset_is_a_drop() -> None:
    codes: list[int] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        codes.append((await receive())["code"])

    wire = open_wire(app)
    stream = connect(wire)
    wire.send(RstStreamFrame(stream, CANCEL))
    assert codes == [1006]
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
    wire = open_wire(echo)
    stream = wire.take_id()
    fields = [(name, b"webtransport" if name == b":protocol" else value) for name, value in CONNECT]
    wire.send(wire.head(fields, stream, ends=False))
    assert wire.answer(stream).status == 501
    wire.hang_up()


def test_where_there_are_no_sessions_none_is_offered() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send)

    wire = H2Wire(app, h2=H2Limits(sessions=False)).greet()
    settings = next(frame for frame in wire.frames if isinstance(frame, SettingsFrame))
    assert settings.settings.get(SettingsFrame.ENABLE_CONNECT_PROTOCOL, 0) == 0
    assert wire.answer(connect(wire)).status == 501
    assert wire.answer(wire.request()).status == 200


async def leave(scope: Message, receive: Receive, send: Send) -> None:
    """It returns while its session is open: the wire alone holds the exchange then."""
    await receive()
    await send({"type": "websocket.accept"})


@pytest.mark.parametrize("ends", [True, False])
def test_an_exchange_that_ends_its_stream_outlives_the_call(ends: bool) -> None:
    wire = open_wire(leave)
    stream = connect(wire)
    assert read(wire, stream) == [("CLOSE", (1000, ""))]
    wire.send(*wire.data(stream, CLOSE, ends))
    assert wire.answer(stream).ended
    assert wire.answer(wire.request()).status == 500  # it is no session


def test_a_client_that_never_answers_the_close_is_cut() -> None:
    wire = open_wire(leave)
    stream = connect(wire)
    wire.advance(11)
    assert wire.answer(stream).reset == INTERNAL_ERROR
    assert wire.went_away == []

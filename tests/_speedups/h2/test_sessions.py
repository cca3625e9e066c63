"""Sessions on streams (RFC 8441): where they are not served (WS-10), and how long their exchanges live."""

import pytest
from hyperframe.frame import SettingsFrame

from fastserver._speedups.contract import H2Limits
from fastserver._speedups.h2.errors import INTERNAL_ERROR
from fastserver._speedups.http import HTTPApplication
from fastserver._speedups.websocket.settings import WebSocketSettings
from tests.fakes import Message, Receive, Send, respond
from tests.h2wire import REQUEST, H2Wire

CONNECT = {**REQUEST, b":method": b"CONNECT", b":protocol": b"websocket", b"sec-websocket-version": b"13"}
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


async def app(scope: Message, receive: Receive, send: Send) -> None:
    assert scope["method"] != "CONNECT"
    await respond(send, b"-")


def test_it_is_not_offered_and_answered_with_501() -> None:
    wire = H2Wire(app, h2=H2Limits(sessions=False)).greet()
    settings = next(frame for frame in wire.frames if isinstance(frame, SettingsFrame))
    assert settings.settings.get(SettingsFrame.ENABLE_CONNECT_PROTOCOL, 0) == 0
    stream = wire.take_id()
    wire.send(wire.head(CONNECT.items(), stream, ends=False))
    assert wire.answer(stream).status == 501
    assert wire.answer(wire.request()).status == 200


async def leave(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})


def open_left_session() -> tuple[H2Wire, int]:
    """A session whose application has returned: the wire alone holds its exchange."""
    wire = H2Wire(leave)
    wire.host.application = HTTPApplication(leave, wire.host, websocket=WebSocketSettings())
    wire.greet()
    stream = wire.take_id()
    wire.send(wire.head(CONNECT.items(), stream, ends=False))
    assert wire.answer(stream).body == b"\x88\x02\x03\xe8"
    return wire, stream


@pytest.mark.parametrize("ends", [True, False])
def test_an_exchange_that_ends_its_stream_outlives_the_call(ends: bool) -> None:
    wire, stream = open_left_session()
    wire.send(*wire.data(stream, CLOSE, ends))
    assert wire.answer(stream).ended
    assert wire.answer(wire.request()).status == 500  # it is no session


def test_a_client_that_never_answers_the_close_is_cut() -> None:
    wire, stream = open_left_session()
    wire.advance(11)
    assert wire.answer(stream).reset == INTERNAL_ERROR
    assert wire.went_away == []

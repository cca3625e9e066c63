"""The HTTP/2 wire: requests and responses, windows, resets, drains and deadlines, seen by a client of frames."""

import pytest
from hyperframe.frame import SettingsFrame, WindowUpdateFrame

from fastserver._speedups.contract import H2Limits
from tests.fakes import Message, Receive, Send, read_body, respond
from tests.h2wire import H2Wire


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    body = await read_body(receive)
    await respond(send, repr((scope["method"], scope["path"])).encode() + (body or b""))


def test_request_and_response() -> None:
    wire = H2Wire(echo).greet()
    answer = wire.answer(wire.request(b"/a?b=c"))
    assert (answer.status, answer.body, answer.ended) == (200, b"('GET', '/a')", True)
    assert answer.header(b"content-length") == [b"13"]
    assert answer.header(b"server") == [b"fastserver"]
    assert answer.header(b"date") == [b"Thu, 01 Jan 2026 00:00:00 GMT"]


def test_settings_come_first_and_name_the_limits() -> None:
    wire = H2Wire(echo, h2=H2Limits(streams=7, header_list=9000, stream_window=70000, connection_window=200000))
    first, second = wire.read()
    assert isinstance(first, SettingsFrame)
    assert first.settings[SettingsFrame.MAX_CONCURRENT_STREAMS] == 7
    assert first.settings[SettingsFrame.MAX_HEADER_LIST_SIZE] == 9000
    assert first.settings[SettingsFrame.INITIAL_WINDOW_SIZE] == 70000
    assert first.settings[SettingsFrame.ENABLE_CONNECT_PROTOCOL] == 1
    assert first.settings.get(SettingsFrame.ENABLE_PUSH, 0) == 0
    assert isinstance(second, WindowUpdateFrame)
    assert 65535 + second.window_increment == 200000


def test_many_streams_at_once_leave_in_one_write() -> None:
    wire = H2Wire(echo).greet()
    wire.connection.events.clear()
    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]
    wire.send(*(wire.head(fields, number) for number in range(1, 65, 2)))
    assert sum(type(event).__name__ == "RawData" for event in wire.connection.events) == 1
    assert all(wire.answers[number].ended for number in range(1, 65, 2))


@pytest.mark.parametrize("size", [0, 1, 16384, 65535, 250_000])
def test_bodies_of_any_size_go_both_ways(size: int) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, await read_body(receive) or b"")

    wire = H2Wire(app).greet()
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    answer = wire.answer(wire.request(b"/", body=body))
    assert answer.body == body
    assert answer.ended

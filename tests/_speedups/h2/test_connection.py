"""The HTTP/2 wire: requests and responses, windows, resets, drains and deadlines, seen by a client of frames."""

import pytest
from hyperframe.frame import DataFrame, SettingsFrame, WindowUpdateFrame

from fastserver._speedups.contract import ClientDisconnected, H2Limits
from fastserver._speedups.events import RawData
from fastserver._speedups.h2.errors import INTERNAL_ERROR
from tests.fakes import Gate, Message, Receive, Send, read_body, respond
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


@pytest.mark.parametrize("te", [True, False])
def test_trailers_are_for_those_who_ask(te: bool) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"body"})
        await send({"type": "http.response.trailers", "headers": [(b"X-Sum", b"7")]})

    wire = H2Wire(app).greet()
    answer = wire.answer(wire.request(b"/", *([(b"te", b"trailers")] if te else [])))
    assert (answer.body, answer.ended) == (b"body", True)
    assert answer.trailers == ([(b"x-sum", b"7")] if te else None)
    wire.hang_up()


def test_early_hints() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
        await respond(send, b"body")

    wire = H2Wire(app).greet()
    answer = wire.answer(wire.request())
    assert answer.interim == [(103, [(b"link", b"</a>; rel=preload")])]
    assert (answer.status, answer.body) == (200, b"body")
    wire.hang_up()


@pytest.mark.parametrize("reads", [True, False])
def test_continue_is_said_to_those_whose_body_is_wanted(reads: bool) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, await read_body(receive) or b"" if reads else b"unread")

    wire = H2Wire(app).greet()
    stream = wire.request(b"/", (b"expect", b"100-continue"), method=b"POST", ends=False)
    answer = wire.answer(stream)
    if reads:
        assert (answer.interim, answer.status) == ([(100, [])], 0)
        wire.send(*wire.data(stream, b"body", ends=True))
        assert (answer.interim, answer.status, answer.body) == ([(100, [])], 200, b"body")
    else:
        assert (answer.interim, answer.status, answer.body, answer.reset) == ([], 200, b"unread", None)
    wire.hang_up()


def test_no_continue_where_the_body_came_uncalled() -> None:
    gate = Gate()

    async def late(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, await read_body(receive) or b"")

    wire = H2Wire(late).greet()
    stream = wire.request(b"/", (b"expect", b"100-continue"), body=b"body")
    gate.open(wire)
    assert wire.answer(stream).interim == []
    assert wire.answer(stream).body == b"body"
    wire.hang_up()


@pytest.mark.parametrize(
    ("method", "status", "length"), [(b"HEAD", 200, [b"4"]), (b"GET", 204, []), (b"GET", 304, [b"4"])]
)
def test_responses_without_a_body(method: bytes, status: int, length: list[bytes]) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, b"body", status)

    wire = H2Wire(app).greet()
    answer = wire.answer(wire.request(method=method))
    assert (answer.status, answer.body, answer.ended) == (status, b"", True)
    assert answer.header(b"content-length") == length
    assert not any(isinstance(frame, DataFrame) for frame in wire.frames)
    wire.hang_up()


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_endless_body_that_is_not_sent_is_stopped(method: bytes, status: int) -> None:
    """The client has the whole response with its head; the application is told that it has left."""
    errors: list[BaseException] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status})
        try:
            for _ in range(1000):
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
        except ClientDisconnected as error:
            errors.append(error)
            raise

    wire = H2Wire(app).greet()
    for _ in range(2):
        answer = wire.answer(wire.request(method=method))
        assert (answer.status, answer.body, answer.ended, answer.reset) == (status, b"", True, None)
    assert len(errors) == 2
    assert wire.log == []
    wire.hang_up()


@pytest.mark.parametrize("path", [b"/" + b"a" * 9000, b"/"])
def test_refusals_of_head_have_no_body(path: bytes) -> None:
    wire = H2Wire(echo).greet()
    fields = [] if len(path) > 1 else [(b"expect", b"x")]
    answer = wire.answer(wire.request(path, *fields, method=b"HEAD"))
    assert answer.status in (414, 417)
    assert (answer.body, answer.ended) == (b"", True)
    assert not any(isinstance(frame, DataFrame) for frame in wire.frames)
    wire.hang_up()


def test_chunks_of_one_step_leave_in_one_write() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(10):
            await send({"type": "http.response.body", "body": b"0123456789", "more_body": True})
        await send({"type": "http.response.body"})

    wire = H2Wire(app).greet()
    wire.connection.events.clear()
    answer = wire.answer(wire.request())
    assert answer.body == b"0123456789" * 10
    assert sum(isinstance(event, RawData) for event in wire.connection.events) == 1
    wire.hang_up()


def test_error_before_the_response() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise ValueError("mine")

    wire = H2Wire(app).greet()
    answer = wire.answer(wire.request())
    assert (answer.status, answer.body, answer.ended) == (500, b"Internal Server Error", True)
    assert len(wire.log) == 1
    assert wire.log[0].exc_info is not None
    wire.hang_up()


def test_error_within_the_response_is_no_end_of_it() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise ValueError("mine")

    wire = H2Wire(app).greet()
    answer = wire.answer(wire.request())
    assert (answer.status, answer.body, answer.ended, answer.reset) == (200, b"a", False, INTERNAL_ERROR)
    assert wire.answer(wire.request()).reset == INTERNAL_ERROR
    assert wire.went_away == []
    wire.hang_up()


def test_body_shorter_than_announced_is_no_end_of_it() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"a"})

    wire = H2Wire(app).greet()
    answer = wire.answer(wire.request())
    assert (answer.ended, answer.reset) == (False, INTERNAL_ERROR)
    wire.hang_up()

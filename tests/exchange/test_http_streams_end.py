"""A stop that has no more time for streams: which exchanges are told, what they may still say, and how they end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from fastserver._speedups.http import HTTPApplication
from fastserver.exchange.pathsend import send_path
from tests.exchange.test_http_scope import get
from tests.fakes import App, Gate, Message, Receive, Recorder, Send, Wire, read_body, respond
from tests.h2wire import H2Wire
from tests.h3wire import H3Wire

EVENTS = [(b"Content-Type", b"text/event-stream; charset=utf-8")]
TOLD = {"type": "http.disconnect"}


@dataclass
class End:
    """What the client has of one response."""

    status: int
    body: bytes
    whole: bool
    cut: bool


class H1Client:
    def __init__(self, app: App) -> None:
        self.wire = Wire(app)

    def ask(self) -> None:
        self.wire.feed(get())

    def look(self) -> End:
        if not self.wire.out:
            return End(0, b"", False, self.wire.connection.aborted)
        (response,) = self.wire.responses("GET")
        return End(response.status, response.body, response.complete, self.wire.connection.aborted)


class StreamClient:
    """Over HTTP/2 and HTTP/3, by stream."""

    def __init__(self, wire: Any) -> None:
        self.wire = wire

    def ask(self) -> None:
        self.stream = self.wire.request()

    def look(self) -> End:
        answer = self.wire.answer(self.stream)
        return End(answer.status, answer.body, answer.ended and answer.reset is None, answer.reset is not None)


def open_h2_client(app: App) -> StreamClient:
    return StreamClient(H2Wire(app).greet())


def open_h3_client(app: App) -> StreamClient:
    return StreamClient(H3Wire(app))


Open = Callable[[App], Any]
each_wire = pytest.mark.parametrize("open_client", [H1Client, open_h2_client, open_h3_client])


async def stream(send: Send, *parts: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Begin a response of no announced length."""
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})


def stop(wire: Wire) -> None:
    wire.drain()
    wire.end_streams()


def faults(wire: Wire) -> list[str]:
    return [record.getMessage() for record in wire.log if record.levelname not in ("DEBUG", "INFO")]


@each_wire
def test_a_stream_is_told_and_may_say_its_last_words(open_client: Open) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await stream(send, b"data: 1\n\n", headers=EVENTS)
        while (await receive())["type"] != "http.disconnect":
            pass
        await send({"type": "http.response.body", "body": b"data: bye\n\n", "more_body": True})
        await send({"type": "http.response.body"})

    recorder = Recorder(app)
    client = open_client(recorder)
    client.ask()
    client.wire.drain()
    client.wire.advance(5)
    assert TOLD not in recorder.call.received
    assert not client.look().whole
    client.wire.end_streams()
    assert recorder.call.received[-1] == TOLD
    assert client.look() == End(200, b"data: 1\n\ndata: bye\n\n", True, False)
    client.wire.hang_up()
    assert faults(client.wire) == []


@each_wire
@pytest.mark.parametrize("parts", [[], [b"data: 1\n\n"], [b"data: 1\n\n", b"data: ha"]])
def test_a_stream_of_events_that_is_left_as_it_stands_is_whole(open_client: Open, parts: list[bytes]) -> None:
    """Also where no event has come yet, so that the head is still held."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await stream(send, *parts, headers=EVENTS)
        await receive()

    recorder = Recorder(app)
    client = open_client(recorder)
    client.ask()
    stop(client.wire)
    assert recorder.call.returned
    assert client.look() == End(200, b"".join(parts), True, False)
    client.wire.hang_up()
    assert faults(client.wire) == []


@each_wire
def test_any_other_response_that_is_left_as_it_stands_is_cut(open_client: Open) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await stream(send, b"half of it", headers=[(b"content-type", b"text/csv")])
        await receive()

    recorder = Recorder(app)
    client = open_client(recorder)
    client.ask()
    stop(client.wire)
    assert recorder.call.returned
    assert client.look() == End(200, b"half of it", False, True)
    client.wire.hang_up()
    assert faults(client.wire) == []  # it believes that its client has gone


@each_wire
def test_any_other_response_of_which_nothing_has_left_is_a_500(open_client: Open) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await stream(send)
        await receive()

    client = open_client(app)
    client.ask()
    stop(client.wire)
    assert client.look() == End(500, b"Internal Server Error", True, False)
    client.wire.hang_up()
    assert faults(client.wire) == []


@each_wire
def test_a_stream_that_fails_when_it_is_told_is_cut(open_client: Open) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await stream(send, b"data: 1\n\n", headers=EVENTS)
        await receive()
        raise LookupError("own")

    client = open_client(app)
    client.ask()
    stop(client.wire)
    assert client.look() == End(200, b"data: 1\n\n", False, True)
    client.wire.hang_up()
    assert faults(client.wire) == ["exception in the application: GET /"]


@each_wire
def test_a_response_of_known_length_is_not_told(open_client: Open) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await stream(send, b"ab", headers=[(b"content-length", b"4"), *EVENTS])
        await gate.wait()
        await send({"type": "http.response.body", "body": b"cd"})

    recorder = Recorder(app)
    client = open_client(recorder)
    client.ask()
    stop(client.wire)
    gate.open(client.wire)
    assert client.look() == End(200, b"abcd", True, False)
    client.wire.hang_up()
    assert faults(client.wire) == []


@each_wire
def test_a_request_without_an_answer_yet_has_the_whole_grace(open_client: Open) -> None:
    """A long poll: nothing of it has begun, and its answer is worth waiting for."""
    gate = Gate()
    heard: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        heard.append(await receive())
        await gate.wait()
        await respond(send, b"news")

    client = open_client(app)
    client.ask()
    stop(client.wire)
    client.wire.end_streams()
    gate.open(client.wire)
    assert heard == [{"type": "http.request", "body": b"", "more_body": False}]
    assert client.look() == End(200, b"news", True, False)
    client.wire.hang_up()


@each_wire
def test_a_stream_that_begins_behind_the_deadline_is_told_the_next_time(open_client: Open) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await gate.wait()
        await stream(send, b"data: 1\n\n", headers=EVENTS)
        await receive()

    recorder = Recorder(app)
    client = open_client(recorder)
    client.ask()
    stop(client.wire)
    gate.open(client.wire)
    assert not client.look().whole
    client.wire.end_streams()
    assert client.look() == End(200, b"data: 1\n\n", True, False)
    client.wire.hang_up()


def test_what_has_come_of_a_body_is_delivered_first() -> None:
    """A dialogue: both sides talk, and neither has an end in sight."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await stream(send, b"hello", headers=EVENTS)
        await gate.wait()
        while (await receive())["type"] != "http.disconnect":
            pass

    gate = Gate()
    recorder = Recorder(app)
    wire = H2Wire(recorder).greet()
    stream_id = wire.request(body=b"one", ends=False)
    stop(wire)
    gate.open(wire)
    assert recorder.call.received == [{"type": "http.request", "body": b"one", "more_body": True}, TOLD]
    assert not recorder.call.complete
    assert wire.answer(stream_id).ended
    wire.hang_up()


def test_a_stream_of_events_with_trailers_ends_without_them() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": EVENTS, "trailers": True})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await receive()

    wire = Wire(app).feed(get())
    stop(wire)
    assert wire.response().complete
    assert wire.response().body == b"data: 1\n\n"
    wire.hang_up()
    assert faults(wire) == []


def test_an_http_1_0_stream_of_events_ends_with_its_connection() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await stream(send, b"data: 1\n\n", headers=EVENTS)
        await receive()

    wire = Wire(app).feed(b"GET / HTTP/1.0\r\n\r\n")
    stop(wire)
    assert wire.ended
    assert wire.response().body == b"data: 1\n\n"
    wire.hang_up()


def test_a_file_that_is_being_sent_is_not_told(tmp_path: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    sending: list[Any] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await send({"type": "http.response.start", "status": 200})
        sending.append(send({"type": "http.response.pathsend", "path": str(path)}))
        await gate.wait()
        sending.append(receive())
        await gate.wait()

    gate = Gate()
    wire = Wire(app)
    wire.host.application = HTTPApplication(app, wire.host, "", send_path)
    wire.feed(get())
    stop(wire)
    gate.open(wire)
    waiter = sending[1].send(None)  # it waits, where it would say http.disconnect
    assert not waiter.done()
    for each in sending:
        each.close()
    wire.vanish()


def test_the_log_of_requests_has_what_was_sent() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)
        await stream(send, b"data: 1\n\n", headers=EVENTS)
        await receive()

    wire = Wire(app)
    records: list[tuple[Any, ...]] = []
    wire.host.access_log = lambda *record: records.append(record)
    wire.feed(get())
    stop(wire)
    ((_, status, sent, *_),) = records
    assert (status, sent) == (200, 9)
    assert wire.connection.tally.snapshot_requests()["2xx"] == 1
    wire.hang_up()

"""The life of an HTTP/3 connection: how streams and the connection end, who hears of it, and what is left."""

import gc
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastserver._speedups.contract import ClientDisconnected, H3Limits
from fastserver._speedups.events import Updated
from fastserver._speedups.h3.errors import (
    H3_EXCESSIVE_LOAD,
    H3_FRAME_UNEXPECTED,
    H3_INTERNAL_ERROR,
    H3_NO_ERROR,
    H3_REQUEST_CANCELLED,
)
from fastserver._speedups.h3.state import H3State
from tests.fakes import Gate, Message, Receive, Recorder, Send, echo, ignore, read_body, respond
from tests.h3wire import DATA, REQUEST, H3Wire, frame

#: What is made for a connection.
NAMES = {"H3Connection", "FakeEngine", "H3Stream", "FrameReader", "HTTPExchange", "Request", "Lanes", "Driver",
         "DatagramConnection", "Budget", "BodyClock"}  # fmt: skip


def kinds(wire: H3Wire) -> list[str]:
    """What was sent to the transport since `events` was cleared: idle, active, data or closed."""
    return [
        ("idle" if event.idle else "active") if isinstance(event, Updated) else type(event).__name__
        for event in wire.connection.events
    ]


async def wait(scope: Message, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


# ---- Turns -----------------------------------------------------------------------------------------------------------


def test_active_and_idle() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send)

    wire = H3Wire(app)
    wire.connection.events.clear()
    for _ in range(3):
        wire.request()
    assert kinds(wire) == ["active"]
    gate.open(wire)
    gate.open(wire)
    assert kinds(wire) == ["active", "RawData", "RawData"]
    gate.open(wire)
    assert kinds(wire) == ["active", "RawData", "RawData", "RawData", "idle"]
    wire.hang_up()


def test_idle_when_all_has_left() -> None:
    wire = H3Wire(ignore)
    wire.connection.events.clear()
    wire.engine.room = 10
    wire.request()
    assert kinds(wire) == ["active", "RawData"]
    wire.make_room(1000)
    assert kinds(wire) == ["active", "RawData", "RawData", "idle"]
    wire.hang_up()


def test_all_of_one_turn_leaves_together() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(10):
            await send({"type": "http.response.body", "body": b"0123456789", "more_body": True})
        await send({"type": "http.response.body"})

    wire = H3Wire(app)
    wire.connection.events.clear()
    head = wire.head(REQUEST.items())
    with wire.loop.running():
        for stream in range(0, 80, 4):
            wire.tell(stream, head, True)
    wire.settle()
    assert kinds(wire) == ["active", "RawData", "idle"]
    assert all(wire.answer(stream).body == b"0123456789" * 10 for stream in range(0, 80, 4))
    wire.hang_up()


# ---- Disconnects -----------------------------------------------------------------------------------------------------


class Ends:
    """Applications that stand somewhere, and what they heard there."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.heard: list[str] = []

    async def receiving(self, scope: Message, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "http.request":
            pass
        self.heard.append(message["type"])

    async def sending(self, scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": bytes(20_000), "more_body": True})
        except ClientDisconnected:
            self.heard.append("ClientDisconnected")
            raise

    async def sleeping(self, scope: Message, receive: Receive, send: Send) -> None:
        await self.gate.wait()
        try:
            await respond(send)
        except OSError as error:
            self.heard.append(type(error).__name__)
            raise


WAYS: dict[str, Callable[[H3Wire, int], Any]] = {
    "reset": lambda wire, stream: wire.reset(stream),
    "stop": lambda wire, stream: wire.stop(stream),
    "malformed": lambda wire, stream: wire.send(stream, wire.head([(b":path", b"/")])),
    "fault": lambda wire, stream: wire.send(stream, frame(0x5)),
    "lost": lambda wire, stream: wire.vanish(),
    "terminated": lambda wire, stream: wire.terminate(),
}
STANDS = {"receiving": "http.disconnect", "sending": "ClientDisconnected", "sleeping": "ClientDisconnected"}


@pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
@pytest.mark.parametrize(("stand", "word"), STANDS.items())
def test_an_application_hears_once_that_its_client_has_left(
    way: Callable[[H3Wire, int], Any], stand: str, word: str
) -> None:
    ends = Ends()
    recorder = Recorder(getattr(ends, stand))
    wire = H3Wire(recorder)
    wire.engine.room = 1000
    stream = wire.request(body=b"x", ends=False)
    way(wire, stream)
    while ends.gate.waiting:
        ends.gate.open(wire)
    assert ends.heard == [word]
    assert not wire.host.tasks
    assert wire.log == [] or {record.levelname for record in wire.log} == {"DEBUG"}
    wire.hang_up()


def test_a_reset_answers_with_a_reset() -> None:
    wire = H3Wire(wait)
    stream = wire.request(method=b"POST", ends=False)
    wire.reset(stream)
    assert wire.answer(stream).reset == H3_REQUEST_CANCELLED
    assert wire.protocol.count_streams() == 0
    wire.hang_up()


def test_a_stop_stops_both_ways() -> None:
    wire = H3Wire(wait)
    stream = wire.request(method=b"POST", ends=False)
    wire.stop(stream)
    assert wire.engine.stops == {stream: H3_REQUEST_CANCELLED}
    wire.hang_up()


@pytest.mark.parametrize("how", ["reset", "stop"])
def test_a_stream_that_is_given_up_before_anything_came(how: str) -> None:
    """Its data are lost or behind: our side of it must end too, or the client's place for it is lost for good."""
    recorder = Recorder(ignore)
    wire = H3Wire(recorder)
    stream = wire.take_id()
    getattr(wire, how)(stream)
    assert wire.answer(stream).reset == H3_REQUEST_CANCELLED
    wire.send(stream, wire.head(REQUEST.items()), True)
    assert recorder.calls == []
    assert wire.owed == {}
    assert wire.protocol.passed == {stream}
    wire.acknowledge(stream)
    assert wire.protocol.passed == set()
    assert wire.answer(wire.request()).status == 200
    wire.hang_up()


# ---- Errors of applications ------------------------------------------------------------------------------------------


def test_error_before_the_response() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise ValueError("mine")

    wire = H3Wire(app)
    answer = wire.answer(wire.request())
    assert (answer.status, answer.body, answer.ended) == (500, b"Internal Server Error", True)
    assert len(wire.log) == 1
    assert wire.log[0].exc_info is not None
    wire.hang_up()


@pytest.mark.parametrize("ends", [True, False])
def test_error_within_the_response_is_no_end_of_it(ends: bool) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await gate.wait()
        raise ValueError("mine")

    wire = H3Wire(app)
    for _ in range(2):
        stream = wire.request(ends=ends)
        assert wire.answer(stream).body == b"a"
        gate.open(wire)
        assert (wire.answer(stream).ended, wire.answer(stream).reset) == (False, H3_INTERNAL_ERROR)
        assert wire.engine.stops.get(stream) == (None if ends else H3_INTERNAL_ERROR)
    assert not wire.over
    wire.hang_up()


def test_body_shorter_than_announced_is_no_end_of_it() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"a"})

    wire = H3Wire(app)
    answer = wire.answer(wire.request())
    assert (answer.ended, answer.reset) == (False, H3_INTERNAL_ERROR)
    wire.hang_up()


# ---- Time ------------------------------------------------------------------------------------------------------------


class Endless:
    """An application without end."""

    def __init__(self, size: int = 4096) -> None:
        self.size = size
        self.ended = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": bytes(self.size), "more_body": True})
        finally:
            self.ended += 1


def test_a_response_of_which_nothing_is_taken() -> None:
    app = Endless()
    wire = H3Wire(app)
    wire.engine.room = 0
    stream = wire.request()
    wire.advance(30)
    assert wire.answer(stream).reset is None
    wire.advance(2)
    assert wire.answer(stream).reset == H3_REQUEST_CANCELLED
    assert (app.ended, wire.host.metrics.timeouts_write) == (1, 1)
    wire.hang_up()


def test_a_whole_response_of_which_nothing_is_taken() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, bytes(1000))

    wire = H3Wire(app)
    wire.engine.room = 10
    stream = wire.request()
    assert wire.protocol.streams == {}
    wire.advance(32)
    assert wire.answer(stream).reset == H3_REQUEST_CANCELLED
    assert wire.host.metrics.timeouts_write == 1
    wire.acknowledge(stream)
    assert wire.protocol.tails == {}
    wire.hang_up()


@pytest.mark.parametrize("step", [1, 100, 4096])
def test_a_response_that_goes_slowly_is_not_stalled(step: int) -> None:
    """However much is behind at each tick, be it the same each time."""
    app = Endless(step - 3 if step > 100 else 4096)
    wire = H3Wire(app)
    wire.engine.room = 0
    stream = wire.request()
    for _ in range(100):
        wire.make_room(step)
        wire.advance(1)
    assert wire.answer(stream).reset is None
    wire.advance(32)
    assert wire.answer(stream).reset == H3_REQUEST_CANCELLED
    wire.hang_up()


def test_stalled_streams_count_as_resets() -> None:
    app = Endless()
    wire = H3Wire(app, h3=H3Limits(resets=4))
    wire.engine.room = 0
    for _ in range(8):
        wire.request()
    wire.advance(32)
    assert app.ended == 8
    assert wire.engine.closed == (H3_EXCESSIVE_LOAD, "too many streams reset")
    assert wire.over
    wire.hang_up()


def test_an_idle_connection_says_goaway() -> None:
    wire = H3Wire(ignore)
    stream = wire.request()
    wire.advance(74)
    assert not wire.over
    wire.advance(2)
    assert wire.went_away == [stream + 4]
    assert wire.engine.gone[3] == len(wire.engine.said[3])
    assert wire.engine.closed == (H3_NO_ERROR, "")
    assert wire.over
    wire.hang_up()


# ---- The end ---------------------------------------------------------------------------------------------------------


def test_a_fault_tells_every_application() -> None:
    recorder = Recorder(echo)
    wire = H3Wire(recorder)
    streams = [wire.request(body=b"x" * 1000, ends=False) for _ in range(3)]
    wire.send(streams[1], frame(0x5))
    assert wire.engine.closed == (H3_FRAME_UNEXPECTED, "not a frame of a request stream")
    assert all(call.disconnected for call in recorder.calls)
    assert not wire.host.tasks
    assert wire.over
    assert kinds(wire)[-1] == "Closed"
    wire.hang_up()


def test_the_engine_ends() -> None:
    recorder = Recorder(wait)
    wire = H3Wire(recorder)
    wire.request()
    wire.terminate()
    assert recorder.call.disconnected
    assert wire.over
    assert wire.protocol.state is H3State.CLOSED
    wire.hang_up()


def test_nothing_is_kept_of_requests_that_are_over() -> None:
    wire = H3Wire(echo)
    for number in range(1000):
        stream = wire.request(body=b"x", ends=number % 3 > 0)
        if number % 3 == 0:
            wire.reset(stream)
        wire.acknowledge(stream)
    assert (wire.protocol.streams, wire.protocol.tails, wire.protocol.passed) == ({}, {}, set())
    wire.hang_up()


@pytest.mark.parametrize("how", ["answered", "reset", "lost", "cut", "drained"])
@pytest.mark.usefixtures("_collector_off")
def test_nothing_is_left_when_it_is_over(how: str) -> None:
    """Connection, engine, streams and exchanges are gone without the collector's help."""
    before = census()
    gone = live_and_die(how)
    assert census() - before == Counter()
    assert gone() is None


@pytest.fixture
def _collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def census() -> "Counter[str]":
    return Counter(name for name in (type(thing).__name__ for thing in gc.get_objects()) if name in NAMES)


def live_and_die(how: str) -> "weakref.ref[Any]":
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        if body is not None:
            await respond(send, body)

    wire = H3Wire(app)
    assert wire.answer(wire.request(body=b"x" * 1000)).ended
    stream = wire.request(body=b"x" * 1000, ends=False)
    assert census()["HTTPExchange"] >= 1
    if how == "answered":
        wire.send(stream, b"", True)
    elif how == "reset":
        wire.reset(stream)
    elif how == "cut":
        wire.send(stream, frame(0x5))
    elif how == "drained":
        wire.drain()
        wire.send(stream, frame(DATA, b"y"), True)
        wire.advance(2)
    if not wire.connection.lost:
        wire.vanish()
    # The test's own: the protocol, which it holds, and the transport that knows it.
    gone = weakref.ref(wire.engine)
    wire.connection.protocol = None
    del wire.protocol, wire.engine
    return gone

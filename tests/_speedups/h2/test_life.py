"""The life of an HTTP/2 connection: turns of the loop, both its ends, and what is left of it."""

import gc
from collections import Counter
from collections.abc import Iterator

import pytest
from hyperframe.frame import GoAwayFrame, PingFrame

from fastserver._speedups.contract import H2Limits
from fastserver._speedups.events import RawData, Updated
from fastserver._speedups.h2.errors import CANCEL, ENHANCE_YOUR_CALM, NO_ERROR, REFUSED_STREAM
from tests.fakes import Gate, Message, Receive, Recorder, Send, echo, ignore, read_body, respond
from tests.h2wire import REQUEST, H2Wire

MANY = H2Limits(streams=1000)
#: What is made for a connection; names that h2 has as well count for both.
NAMES = {"H2Connection", "_Connection", "Engine", "FrameScanner", "H2Stream", "HTTPExchange", "Request", "_Decoder",
         "Decoder", "Encoder", "FakeConnection", "H2StreamStateMachine", "Driver"}  # fmt: skip


def requests(wire: H2Wire, first: int, last: int) -> bytes:
    return b"".join(wire.head(REQUEST.items(), stream).serialize() for stream in range(first, last, 2))


def kinds(wire: H2Wire) -> list[str]:
    """What was sent to the transport since `events` was cleared: idle, active, data or closed."""
    return [
        ("idle" if event.idle else "active") if isinstance(event, Updated) else type(event).__name__
        for event in wire.connection.events
    ]


def test_active_and_idle() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send)

    wire = H2Wire(app).greet()
    wire.connection.events.clear()
    wire.feed(requests(wire, 1, 6))
    assert kinds(wire) == ["active"]
    gate.open(wire)
    gate.open(wire)
    assert kinds(wire) == ["active", "RawData", "RawData"]
    gate.open(wire)
    assert kinds(wire) == ["active", "RawData", "RawData", "RawData", "idle"]
    wire.hang_up()


def test_the_loop_has_its_turn() -> None:
    """256 frames at once, then other connections are served."""
    recorder = Recorder(ignore)
    wire = H2Wire(recorder, h2=MANY).greet()
    octets = requests(wire, 1, 1200)
    with wire.loop.running():
        wire.protocol.handle(RawData(octets))
        begun = len(recorder.calls)
    assert begun == 256
    wire.settle()
    assert len(recorder.calls) == 600
    assert all(wire.answer(stream).ended for stream in range(1, 1200, 2))
    wire.hang_up()


def test_what_comes_meanwhile_waits_behind() -> None:
    recorder = Recorder(echo)
    wire = H2Wire(recorder, h2=MANY).greet()
    octets, more = requests(wire, 1, 1200), requests(wire, 1201, 1801)
    with wire.loop.running():
        wire.protocol.handle(RawData(octets))
        wire.protocol.handle(RawData(more))
    wire.settle()
    assert len(recorder.calls) == 900
    assert all(wire.answer(stream).ended for stream in range(1, 1801, 2))
    wire.hang_up()


def test_too_much_that_waits_pauses_reading() -> None:
    wire = H2Wire(ignore, h2=MANY).greet()
    octets = requests(wire, 1, 800) + b"".join(
        wire.head([*REQUEST.items(), (b"x", b"y" * 8000)], stream).serialize() for stream in range(801, 841, 2)
    )
    with wire.loop.running():
        wire.protocol.handle(RawData(octets))
    assert wire.connection.reading_paused
    wire.settle()
    assert not wire.connection.reading_paused
    assert all(wire.answer(stream).ended for stream in range(1, 841, 2))
    wire.hang_up()


def test_eof_behind_requests_that_wait() -> None:
    """A client that has said all and closes its side gets all its answers."""
    recorder = Recorder(ignore)
    wire = H2Wire(recorder, h2=MANY).greet()
    octets = requests(wire, 1, 1200)
    with wire.loop.running():
        wire.protocol.handle(RawData(octets))
        wire.protocol.on_eof()
    wire.settle()
    assert len(recorder.calls) == 600
    assert all(wire.answer(stream).ended for stream in range(1, 1200, 2))
    assert wire.over
    assert wire.connection.breaches == []


def test_eof_while_requests_are_open() -> None:
    """Whole ones are answered, the others are over."""
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        if body is not None:
            await gate.wait()
            await respond(send, b"whole")

    recorder = Recorder(app)
    wire = H2Wire(recorder).greet()
    whole = wire.request()
    part = wire.request(method=b"POST", ends=False)
    wire.eof()
    assert not wire.over
    assert [call.disconnected for call in recorder.calls] == [False, True]
    assert wire.answer(part).reset == CANCEL
    gate.open(wire)
    assert wire.answer(whole).body == b"whole"
    assert wire.over
    assert wire.connection.breaches == []
    assert not wire.host.tasks


def test_eof_of_an_idle_connection() -> None:
    wire = H2Wire(echo).greet()
    wire.request()
    wire.eof()
    assert wire.over
    wire.hang_up()


def test_drain_while_requests_are_open() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, b"late")

    wire = H2Wire(app).greet()
    stream = wire.request()
    wire.drain()
    wire.advance(5)
    assert [code for code, _ in wire.went_away] == [NO_ERROR, NO_ERROR]
    assert not wire.over
    gate.open(wire)
    assert wire.answer(stream).body == b"late"
    assert wire.over
    assert wire.connection.breaches == []


def test_requests_behind_the_last_goaway_are_counted() -> None:
    """As many as may have been under way cost nothing; beyond them each is a reset."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)

    wire = H2Wire(app, h2=H2Limits(streams=10, resets=5)).greet()
    wire.request(method=b"POST", ends=False)
    wire.drain()
    wire.advance(1)
    late = [wire.request() for _ in range(10 + 5)]
    assert all(wire.answer(stream).reset == REFUSED_STREAM for stream in late)
    assert [code for code, _ in wire.went_away] == [NO_ERROR, NO_ERROR]
    wire.request()
    assert [code for code, _ in wire.went_away] == [NO_ERROR, NO_ERROR, ENHANCE_YOUR_CALM]
    wire.hang_up()


def test_client_goes_away_from_an_idle_connection() -> None:
    wire = H2Wire(echo).greet()
    wire.request()
    wire.advance(30)
    wire.send(GoAwayFrame(0, last_stream_id=0))
    wire.advance(1)
    assert wire.over
    assert wire.connection.breaches == []


def test_fault_tells_every_application() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await read_body(receive)

    recorder = Recorder(app)
    wire = H2Wire(recorder).greet()
    for _ in range(3):
        stream = wire.request(method=b"POST", ends=False)
        wire.send(*wire.data(stream, b"x" * 1000))
    wire.feed(PingFrame(0, b"12345678").serialize()[:-1].replace(b"\x00\x00\x08", b"\x00\x00\x07", 1))
    wire.read()
    assert isinstance(wire.frames[-1], GoAwayFrame)
    assert all(call.disconnected for call in recorder.calls)
    assert not wire.host.tasks
    wire.hang_up()


@pytest.mark.parametrize("how", ["answered", "reset", "lost", "cut", "drained"])
@pytest.mark.usefixtures("_collector_off")
def test_nothing_is_left_when_it_is_over(how: str) -> None:
    """Connection, engine, streams and exchanges are gone without the collector's help."""
    before = census()
    live_and_die(how)
    assert census() - before == Counter()


@pytest.fixture
def _collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def census() -> "Counter[str]":
    return Counter(name for name in (type(thing).__name__ for thing in gc.get_objects()) if name in NAMES)


def live_and_die(how: str) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        if body is not None:
            await respond(send, body)

    wire = H2Wire(app).greet()
    assert wire.answer(wire.request(body=b"x" * 1000)).ended
    stream = wire.request(method=b"POST", ends=False)
    wire.send(*wire.data(stream, b"x" * 1000))
    assert census()["HTTPExchange"] >= 1
    if how == "answered":
        wire.send(*wire.data(stream, b"", ends=True))
        wire.eof()
    elif how == "reset":
        wire.feed(bytes((0, 0, 4, 3, 0, 0, 0, 0, stream, 0, 0, 0, 8)))
    elif how == "cut":
        wire.feed(bytes((0, 0, 0, 6, 0, 0, 0, 0, 0)))
        wire.advance(3)
    elif how == "drained":
        wire.drain()
        wire.send(*wire.data(stream, b"", ends=True))
        wire.advance(2)
    if not wire.connection.lost:
        wire.vanish()
    # The test's own: the protocol, which it holds, and the transport that knows it.
    wire.connection.protocol = None
    del wire.protocol

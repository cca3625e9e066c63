"""Back-pressure both ways: every byte of a stream goes back once, when it is taken or when the stream is over."""

import tracemalloc
from collections.abc import Callable

import pytest

from fastserver._speedups.contract import Application, Exchange, H3Limits, Request, Sink
from tests.fakes import App, Gate, Message, Receive, Recorder, Send, echo, ignore, read_body, respond
from tests.h3wire import DATA, REQUEST, H3Wire, frame

POST = {**REQUEST, b":method": b"POST"}


def begin(wire: H3Wire, *fields: tuple[bytes, bytes], size: int = 0) -> int:
    """An upload of which `size` bytes have come."""
    return wire.request(b"/", *fields, body=bytes(size), ends=False)


async def fail(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    raise OSError("mine")


async def drop(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    raise OSError("mine")


async def read_some(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await respond(send, b"enough")


def stop_and_go_on(wire: H3Wire, stream: int) -> None:
    wire.stop(stream)
    wire.send(stream, frame(DATA, b"x"))


ENDS: dict[str, Callable[[H3Wire, int], object]] = {
    "the end": lambda wire, stream: wire.send(stream, b"", True),
    "more and the end": lambda wire, stream: wire.send(stream, frame(DATA, bytes(700)), True),
    "trailers": lambda wire, stream: wire.send(stream, wire.head([(b"x", b"y")]), True),
    "malformed trailers": lambda wire, stream: wire.send(stream, wire.head([(b":x", b"y")]), True),
    "trailers that are too large": lambda wire, stream: wire.send(stream, b"\x01\x80\x10\x00\x00" + bytes(99)),
    "a reset": lambda wire, stream: wire.reset(stream),
    "a stop": lambda wire, stream: wire.stop(stream),
    "a stop, then more": stop_and_go_on,
    "too much": lambda wire, stream: wire.send(stream, frame(DATA, bytes(90_000)) + frame(0x21, b"grease")),
    "time": lambda wire, stream: wire.advance(40),
}


@pytest.mark.parametrize("app", [echo, ignore, fail, drop, read_some])
@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
@pytest.mark.parametrize("fields", [[], [(b"content-length", b"1000")]])
def test_every_byte_goes_back_once(
    app: App, end: Callable[[H3Wire, int], object], fields: list[tuple[bytes, bytes]]
) -> None:
    """Whatever the application does and however the stream ends; `H3Wire` sees what is given back too often."""
    wire = H3Wire(app, request_body=50_000)
    stream = begin(wire, *fields, size=300)
    end(wire, stream)
    wire.advance(7)
    assert wire.owed == {}
    if stream not in wire.protocol.streams:
        assert wire.engine.credit[stream] == wire.engine.fed[stream]
    wire.hang_up()


@pytest.mark.parametrize("app", [echo, ignore, fail, read_some])
@pytest.mark.parametrize("piece", [1, 7, 1200])
def test_every_byte_goes_back_however_it_comes(app: App, piece: int) -> None:
    wire = H3Wire(app)
    stream = wire.take_id()
    said = wire.head(POST.items()) + frame(0x21, b"grease") + frame(DATA, bytes(500)) + frame(DATA, bytes(9))
    said += wire.head([(b"x", b"y")])
    for start in range(0, len(said), piece):
        wire.send(stream, said[start : start + piece])
    wire.send(stream, b"", True)
    assert wire.engine.credit[stream] == wire.engine.fed[stream] == len(said)
    wire.hang_up()


def test_body_bytes_stay_until_they_are_taken() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        while True:
            await gate.wait()
            if not (await receive())["more_body"]:
                break
        await respond(send)

    wire = H3Wire(app)
    stream = begin(wire, size=1000)
    wire.send(stream, frame(DATA, bytes(500)))
    fed = wire.engine.fed[stream]
    assert wire.engine.credit[stream] == fed - 1500
    gate.open(wire)
    assert wire.engine.credit[stream] == fed
    wire.send(stream, frame(DATA, bytes(100)), True)
    assert wire.engine.fed[stream] - wire.engine.credit[stream] == 100
    gate.open(wire)
    assert wire.answer(stream).ended
    wire.hang_up()


def test_a_stuck_application_holds_its_own_bytes_alone() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/stuck":
            await gate.wait()
        await respond(send, b"%d" % len(await read_body(receive) or b""))

    wire = H3Wire(app)
    stuck = wire.request(b"/stuck", body=bytes(50_000), ends=False)
    for _ in range(30):
        other = wire.request(body=bytes(60_000))
        assert wire.answer(other).body == b"60000"
        assert wire.engine.credit[other] == wire.engine.fed[other]
    assert wire.engine.fed[stuck] - wire.engine.credit[stuck] == 50_000
    gate.open(wire)
    wire.send(stuck, frame(DATA, b"z"), True)
    assert wire.answer(stuck).body == b"50001"
    wire.hang_up()


class Holding(Exchange):
    """An exchange that takes what it is given when the test says so."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.ends = 0

    def start(self) -> None:
        pass

    def on_body(self, data: bytes, more: bool) -> None:
        pass

    def on_disconnect(self) -> None:
        self.ends += 1


class Opening(Application):
    """Opens `Holding`s and keeps them."""

    def __init__(self) -> None:
        self.exchanges: list[Holding] = []

    def open(self, sink: Sink, request: Request) -> Exchange:
        self.exchanges.append(Holding(sink))
        return self.exchanges[-1]


def test_what_is_taken_after_the_end_was_given_back_already() -> None:
    wire = H3Wire(echo)
    application = wire.host.application = Opening()
    over, held = begin(wire, size=40_000), begin(wire, size=20_000)
    wire.reset(over)
    assert wire.owed == {}
    with wire.loop.running():
        application.exchanges[0].sink.consume(40_000)
        application.exchanges[1].sink.consume(1000)
    assert wire.engine.credit[over] == wire.engine.fed[over]
    assert wire.engine.fed[held] - wire.engine.credit[held] == 19_000
    wire.hang_up()
    assert [exchange.ends for exchange in application.exchanges] == [1, 1]


@pytest.mark.parametrize("parts", [1, 2])
def test_more_of_a_stream_behind_its_end_in_one_packet(parts: int) -> None:
    """The engine tells of all frames of a packet, whatever the first of them led to."""
    wire = H3Wire(echo)
    stream = wire.take_id()
    with wire.loop.running():
        wire.tell(stream, wire.head([*REQUEST.items(), (b"Upper", b"case")]))
        for _ in range(parts):
            wire.tell(stream, wire.head(REQUEST.items()))
    wire.settle()
    assert wire.answer(stream).reset == 0x10E
    assert not wire.protocol.streams
    wire.hang_up()


def test_application_waits_while_its_stream_has_no_room() -> None:
    gate = Gate()
    said: list[int] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await gate.wait()
        for number in range(200):
            said.append(number)
            await send({"type": "http.response.body", "body": bytes(1000), "more_body": number < 199})

    wire = H3Wire(app)
    stream = wire.request()
    wire.engine.room = 0
    gate.open(wire)
    assert 64 <= len(said) <= 67
    assert wire.answer(stream).body == b""
    wire.make_room(50_000)
    assert len(said) > 110
    wire.make_room(1 << 20)
    assert wire.answer(stream).body == bytes(200_000)
    assert wire.answer(stream).ended
    wire.hang_up()


def test_all_streams_together_have_room_for_a_mebibyte() -> None:
    said = 0

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        nonlocal said
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            said += 4096
            await send({"type": "http.response.body", "body": bytes(4096), "more_body": True})

    wire = H3Wire(app)
    wire.engine.room = 0
    for _ in range(100):
        wire.request()
    assert 1 << 20 <= said <= (1 << 20) + 100 * 4200
    wire.hang_up()


def test_one_large_body_is_taken_whole_and_holds_the_application() -> None:
    returned: list[bool] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(3_000_000), "more_body": True})
        returned.append(True)
        await send({"type": "http.response.body"})

    wire = H3Wire(app)
    wire.engine.room = 0
    stream = wire.request()
    assert not returned
    wire.make_room(2_990_000)
    assert returned
    wire.make_room(20_000)
    assert len(wire.answer(stream).body) == 3_000_000
    assert wire.answer(stream).ended
    wire.hang_up()


@pytest.mark.parametrize("size", [3, 100, 4095, 4096, 10_000])
def test_unread_body_takes_little_more_memory_than_its_bytes(size: int) -> None:
    """However small the frames are in which it comes: an object for each would be fifteen times as much."""
    bodies: list[bytes] = []
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        bodies.append((await receive())["body"])
        await respond(send)

    text = (bytes(range(251)) * 100)[:20_000]
    payload = b"".join(frame(DATA, text[start : start + size]) for start in range(0, len(text), size))
    wire = H3Wire(app)
    stream = begin(wire)
    tracemalloc.start()
    try:
        wire.send(stream, payload)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * len(text) + 12_000
    gate.open(wire)
    assert bodies == [text]
    wire.hang_up()


def test_small_windows_do_not_matter_to_what_is_given_back() -> None:
    recorder = Recorder(ignore)
    wire = H3Wire(recorder, h3=H3Limits(stream_window=1, connection_window=1))
    stream = wire.request(body=b"")
    assert wire.answer(stream).status == 200
    wire.hang_up()

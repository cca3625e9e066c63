"""Back-pressure both ways: each window is given back when its octets are taken, and to the octet."""

import tracemalloc

import pytest
from hyperframe.frame import DataFrame, Frame, HeadersFrame, RstStreamFrame, WindowUpdateFrame

from fastserver._speedups.contract import Application, Exchange, H2Limits, Request, Sink
from tests.fakes import App, Gate, Message, Receive, Send, echo, ignore, read_body, respond
from tests.h2wire import REQUEST, H2Wire

WINDOW = 65535
SMALL = H2Limits(stream_window=WINDOW, connection_window=WINDOW)


class Account:
    """What a client may still send, by the rules of RFC 9113 section 6.9; the server's frames change it."""

    def __init__(self, wire: H2Wire, connection: int, stream: int) -> None:
        self.wire = wire
        self.connection = connection
        self.initial = stream
        self.streams: dict[int, int] = {}

    def take(self, frame: DataFrame) -> DataFrame:
        size = frame.flow_controlled_length
        self.connection -= size
        self.streams[frame.stream_id] = self.streams.get(frame.stream_id, self.initial) - size
        assert self.connection >= 0, "the window of the connection has leaked away"
        return frame

    def look(self) -> None:
        for frame in self.wire.read():
            if isinstance(frame, WindowUpdateFrame) and frame.stream_id:
                self.streams[frame.stream_id] = self.streams.get(frame.stream_id, self.initial) + frame.window_increment
            elif isinstance(frame, WindowUpdateFrame):
                self.connection += frame.window_increment
        assert self.connection <= WINDOW
        assert all(window <= self.initial for window in self.streams.values())


def head(wire: H2Wire, stream: int, ends: bool = False) -> HeadersFrame:
    return wire.head({**REQUEST, b":method": b"POST"}.items(), stream, ends)


@pytest.mark.parametrize(("app", "uploads"), [(echo, 2000), (ignore, 10_000)])
def test_small_uploads_leak_nothing(app: App, uploads: int) -> None:
    """Read by their application, or by nobody."""
    wire = H2Wire(app, h2=SMALL).greet()
    account = Account(wire, WINDOW, WINDOW)
    for first in range(1, 2 * uploads, 100):
        frames: list[Frame] = []
        for stream in range(first, first + 100, 2):
            frames += [head(wire, stream), account.take(DataFrame(stream, b"x" * 100, flags=["END_STREAM"]))]
        wire.feed(b"".join(frame.serialize() for frame in frames))
        account.look()
    assert wire.went_away == []
    assert account.connection > WINDOW // 4
    wire.hang_up()


@pytest.mark.parametrize("padding", [0, 1, 255])
@pytest.mark.parametrize("size", [0, 1, 100, 10_000])
def test_windows_to_the_octet(size: int, padding: int) -> None:
    """What has been taken comes back, in pieces: never more than was sent, and never less than half a window."""
    wire = H2Wire(echo, h2=SMALL).greet()
    account = Account(wire, WINDOW, WINDOW)
    wire.send(head(wire, 1))
    for _ in range(min(1000, 300_000 // (size + padding)) if size else 10):
        frame = DataFrame(1, b"x" * size, pad_length=padding, flags=["PADDED"] if padding else [])
        wire.feed(account.take(frame).serialize())
        account.look()
        assert account.connection >= WINDOW // 2 - 1
        assert account.streams[1] >= WINDOW // 2 - 1
    wire.hang_up()


def test_a_stuck_application_stops_its_own_stream() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/stuck":
            await gate.wait()
        await respond(send, b"%d" % len(await read_body(receive) or b""))

    limits = H2Limits(stream_window=WINDOW, connection_window=4 * WINDOW)
    wire = H2Wire(app, h2=limits).greet()
    stuck = wire.request(b"/stuck", method=b"POST", ends=False)
    wire.send(*wire.data(stuck, b"x" * WINDOW))
    others = 0
    for _ in range(30):
        other = wire.request(b"/", body=b"y" * 60_000)
        assert wire.answer(other).body == b"60000"
        others += 60_000
    credit = {0: 0, stuck: 0}
    for frame in wire.frames:
        if isinstance(frame, WindowUpdateFrame) and frame.stream_id in credit:
            credit[frame.stream_id] += frame.window_increment
    # The first is that of the connection's window beyond 65,535.
    assert credit[stuck] == 0
    assert others - 2 * WINDOW <= credit[0] - 3 * WINDOW <= others
    gate.open(wire)
    wire.send(*wire.data(stuck, b"z", ends=True))
    assert wire.answer(stuck).body == b"%d" % (WINDOW + 1)
    wire.hang_up()


@pytest.mark.parametrize("by", ["reset", "answer", "error"])
def test_what_nobody_has_read_comes_back_with_the_end_of_its_stream(by: str) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        if by == "error":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            raise OSError("mine")
        await respond(send, b"late")

    wire = H2Wire(app, h2=SMALL).greet()
    account = Account(wire, WINDOW, WINDOW)
    for stream in range(1, 40, 2):
        wire.send(head(wire, stream))
        for frame in wire.data(stream, b"x" * 40_000):
            assert isinstance(frame, DataFrame)
            wire.feed(account.take(frame).serialize())
        if by == "reset":
            wire.feed(RstStreamFrame(stream, error_code=8).serialize())
        gate.open(wire)
        account.look()
    assert account.connection >= WINDOW // 4
    wire.hang_up()


def test_streams_take_turns_when_the_window_is_scarce() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, b"x" * 60_000)

    wire = H2Wire(app, reads=False).greet(initial_window_size=1 << 20)
    for stream in (1, 3, 5, 7):
        wire.send(head(wire, stream, ends=True))
    before = len(wire.frames)
    for _ in range(8):
        wire.send(WindowUpdateFrame(0, 16384))
    turns = [frame.stream_id for frame in wire.frames[before:] if isinstance(frame, DataFrame)]
    assert len(turns) >= 8
    for stream in (3, 5, 7):
        shares = [turn for turn in turns if turn == stream]
        assert 2 <= len(shares) <= 4, turns
    wire.send(WindowUpdateFrame(0, 1 << 20))
    assert all(wire.answer(stream).body == b"x" * 60_000 for stream in (1, 3, 5, 7))
    wire.hang_up()


def test_one_window_for_all_is_shared() -> None:
    """However many wait, a window for four frames serves four streams."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, b"x" * 32768)

    wire = H2Wire(app, reads=False).greet(initial_window_size=1 << 20)
    for stream in range(1, 20, 2):
        wire.send(head(wire, stream, ends=True))
    before = len(wire.frames)
    wire.send(WindowUpdateFrame(0, 4 * 16384))
    turns = [frame.stream_id for frame in wire.frames[before:] if isinstance(frame, DataFrame)]
    assert len(set(turns)) >= 4
    wire.hang_up()


def test_application_waits_while_the_transport_is_full() -> None:
    gate = Gate()
    said: list[int] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await gate.wait()
        for number in range(200):
            said.append(number)
            await send({"type": "http.response.body", "body": bytes(1000), "more_body": number < 199})

    wire = H2Wire(app).greet()
    stream = wire.request()
    wire.block()
    assert wire.connection.reading_paused
    gate.open(wire)
    assert wire.answer(stream).body == b""
    assert 65 <= len(said) <= 66
    wire.unblock()
    assert not wire.connection.reading_paused
    assert wire.answer(stream).body == bytes(200_000)
    assert wire.answer(stream).ended
    wire.hang_up()


class Holding(Exchange):
    """An exchange that takes what it is given when the test says so."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def start(self) -> None:
        pass

    def on_body(self, data: bytes, more: bool) -> None:
        pass

    def on_disconnect(self) -> None:
        pass


class Opening(Application):
    """Opens `Holding`s and keeps them."""

    def __init__(self) -> None:
        self.exchanges: list[Holding] = []

    def open(self, sink: Sink, request: Request) -> Exchange:
        self.exchanges.append(Holding(sink))
        return self.exchanges[-1]


def open_holding(*sizes: int) -> tuple[H2Wire, list[Holding]]:
    """A connection with a stream and an exchange for each of `sizes`, and that many octets that are not taken yet."""
    wire = H2Wire(echo, h2=SMALL).greet()
    application = wire.host.application = Opening()
    for index, size in enumerate(sizes):
        wire.send(head(wire, 2 * index + 1), *wire.data(2 * index + 1, b"x" * size))
    return wire, application.exchanges


def consume(wire: H2Wire, exchange: Holding, size: int) -> int:
    """Let `exchange` take octets; returns what has been given back of the connection's window so far."""
    with wire.loop.running():
        exchange.sink.consume(size)
    wire.read()
    return sum(
        frame.window_increment for frame in wire.frames if isinstance(frame, WindowUpdateFrame) and frame.stream_id == 0
    )


def test_credit_comes_while_something_is_still_untaken() -> None:
    wire, (exchange,) = open_holding(40_000)
    assert consume(wire, exchange, 10_000) == 0
    assert consume(wire, exchange, 10_000) == 0
    assert consume(wire, exchange, 19_000) == 39_000
    assert consume(wire, exchange, 1000) == 39_000


def test_what_is_taken_after_the_end_was_given_back_already() -> None:
    wire, (held, over) = open_holding(20_000, 40_000)
    wire.send(RstStreamFrame(3, error_code=8))
    assert consume(wire, over, 40_000) == 40_000
    assert consume(wire, held, 1000) == 40_000


@pytest.mark.parametrize("size", [3, 100, 4095, 4096, 10_000])
def test_unread_body_takes_little_more_memory_than_its_bytes(size: int) -> None:
    """However small the frames are in which it comes: an object for each would be fifteen times as much."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for _ in range(2):
            await gate.wait()
            message = await receive()
            assert type(message["body"]) is bytes
            bodies.append(message["body"])
        await respond(send)

    gate = Gate()
    bodies: list[bytes] = []
    text = (bytes(range(251)) * 100)[:20_000]
    parts = [text[start : start + size] for start in range(0, len(text), size)]
    mixed = [b"a", b"b" * 5000, b"c", b"d", b"e" * 5000, b"f"]
    wire = H2Wire(app).greet()
    stream = wire.request(method=b"POST", ends=False)
    payload = b"".join(DataFrame(stream, part).serialize() for part in parts)
    tracemalloc.start()
    try:
        wire.feed(payload)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * len(text) + 10_000
    gate.open(wire)
    wire.feed(b"".join(DataFrame(stream, part).serialize() for part in mixed))
    gate.open(wire)
    assert bodies == [text, b"".join(mixed)]
    wire.hang_up()

"""Fakes of everything around a wire: a clock moved by hand, a transport that remembers, applications that record.

A test makes a `Wire`, feeds bytes, moves time and reads what came out as `Response`s.  Nothing here sleeps, opens a
socket or reads the time.  `Recorder` is the application's side: plain ASGI that remembers what it was given.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from typing import Any, TypeAlias

from fastserver._speedups.clock import Clock
from fastserver._speedups.contract import Connection, Host, Limits, Peer
from fastserver._speedups.events import Closed, Event, RawData, Updated
from fastserver._speedups.h1.connection import H1Connection
from fastserver._speedups.http import HTTPApplication
from tests.handloop import HandLoop
from tests.responses import Response, split_responses

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

#: 2026-01-01 00:00:00 UTC, so that a Date field is the same in every run.
WALL_S = 1_767_225_600.0
#: The defaults of `fastserver.config.model.Config`, as the wire sees them.
DEFAULT_LIMITS: dict[str, float] = {
    "request_line": 8190,
    "request_head": 32768,
    "request_field": 16384,
    "request_fields": 100,
    "request_body": 1 << 30,
    "request_body_rate": 240,
    "connections": 1024,
    "timeout_request_header": 10,
    "timeout_request_body_idle": 30,
    "timeout_keep_alive": 75,
    "timeout_keep_alive_min": 2,
    "timeout_write": 30,
    "keep_alive_max_requests": 0,
}


class FakeConnection(Connection):
    """The transport's side of one peer, as `contract.Connection` promises it, that remembers what was asked.

    After `Closed` was sent or `abort` called it hands `Closed` back to the protocol, as a transport does.  `breaches`
    lists what no protocol may do: writing after the writing half was closed.
    """

    def __init__(self, host: Host, peer: Peer | None = None) -> None:
        self.host = host
        self.requests = 0
        self.tally = host.metrics.get_tally("http/1.1")
        self.peer = peer or Peer(("127.0.0.1", 50000), ("127.0.0.1", 8000), "http")
        self.protocol: Any = None
        self.events: list[Event] = []
        self.out = bytearray()
        self.closed = False
        self.aborted = False
        self.finished = False
        self.lost = False
        self.reading_paused = False
        self.pauses = 0
        self.idle_until = math.inf
        self.breaches: list[str] = []

    def send(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, RawData):
            if self.finished or self.closed:
                self.breaches.append(f"written after the end: {event.data!r}")
            if not self.aborted:
                self.out += event.data
        elif isinstance(event, Closed):
            self._lose("closed")
        elif isinstance(event, Updated):
            limits = self.host.limits
            timeout_s = limits.timeout_keep_alive_min if self.host.draining else limits.timeout_keep_alive
            self.idle_until = self.host.clock.now + timeout_s if event.idle else math.inf

    def abort(self) -> None:
        self._lose("aborted")

    def _lose(self, how: str) -> None:
        if not (self.closed or self.aborted):
            self.host.loop.call_soon(self._report_loss)
        setattr(self, how, True)

    def _report_loss(self) -> None:
        if not self.lost:
            self.lost = True
            self.protocol.handle(Closed())

    def finish_writing(self) -> None:
        self.finished = True

    def pause_reading(self) -> None:
        self.reading_paused = True
        self.pauses += 1

    def resume_reading(self) -> None:
        self.reading_paused = False

    def get_peer(self) -> Peer:
        return self.peer


class RecordingHandler(logging.Handler):
    """Keeps log records in a list."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def make_log() -> tuple[logging.Logger, list[logging.LogRecord]]:
    """A logger that belongs to nobody, and the list of its records."""
    handler = RecordingHandler()
    log = logging.Logger("fastserver.error", logging.DEBUG)
    log.addHandler(handler)
    return log, handler.records


def make_host(app: App, loop: Any = None, error_log: logging.Logger | None = None, /, **limits: float) -> Host:
    """A worker's services for `app`: `loop` is a `HandLoop` unless given, `limits` override `DEFAULT_LIMITS`."""
    loop = loop or HandLoop()
    unknown = limits.keys() - DEFAULT_LIMITS.keys()
    assert not unknown, f"no such limits: {unknown}"
    host = Host(
        loop=loop,
        clock=Clock(loop.time(), WALL_S),
        limits=Limits(**{**DEFAULT_LIMITS, **limits}),
        error_log=error_log or make_log()[0],
    )
    host.application = HTTPApplication(app, host)
    return host


class Wire:
    """One HTTP/1 connection under test: a peer's hands on one end, the host's clock on the other."""

    def __init__(self, app: App, peer: Peer | None = None, /, **limits: float) -> None:
        self.loop = HandLoop()
        self.wall_s = WALL_S
        error_log, self.log = make_log()
        self.host = make_host(app, self.loop, error_log, **limits)
        self.connection = FakeConnection(self.host, peer)
        self.inbox: deque[bytes | None] = deque()
        with self.loop.running():
            self.protocol = self._open()
            self.connection.protocol = self.protocol

    def _open(self) -> Any:
        return H1Connection(self.connection, self.host)

    # ---- The peer's side -------------------------------------------------------------------------------------------

    def feed(self, *reads: bytes) -> "Wire":
        """Each argument is one read; while reading is paused the rest waits in `inbox`, as in a kernel's buffer."""
        self.inbox.extend(reads)
        self._deliver()
        return self

    def eof(self) -> None:
        """The peer closes its writing half, after all that it has sent."""
        self.inbox.append(None)
        self._deliver()

    def vanish(self) -> None:
        """The connection is reset: no further read, no further write."""
        self.inbox.clear()
        if not self.connection.lost:
            self.connection.lost = True
            with self.loop.running():
                self.protocol.handle(Closed())
        self.loop.settle()

    def _deliver(self) -> None:
        connection = self.connection
        while self.inbox and not connection.reading_paused and not (connection.closed or connection.aborted):
            data = self.inbox.popleft()
            with self.loop.running():
                if data is None:
                    self.protocol.on_eof()
                else:
                    self.protocol.handle(RawData(data))
            self.loop.settle()
        self.loop.settle()

    def block(self) -> None:
        """The peer stops reading: the transport's buffer is above its high-water mark."""
        with self.loop.running():
            self.protocol.pause_writing()
        self.loop.settle()

    def unblock(self) -> None:
        with self.loop.running():
            self.protocol.resume_writing()
        self.settle()

    # ---- The host's side -------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Run the loop to rest, and deliver what reading, once resumed, lets in."""
        self.loop.settle()
        self._deliver()

    def advance(self, seconds: float, tick: float = 1.0) -> "Wire":
        """Let `seconds` pass in ticks, each with the sweep that a worker does."""
        while seconds > 0:
            step = min(tick, seconds)
            seconds -= step
            self.wall_s += step
            self.host.clock.tick(self.loop.now + step, self.wall_s)
            self.loop.advance(step)
            self._sweep()
            self.settle()
        return self

    def _sweep(self) -> None:
        now = self.host.clock.now
        with self.loop.running():
            if not self.connection.lost and self.protocol.deadline <= now:
                self.protocol.on_deadline(now)
            if not self.connection.lost and self.connection.idle_until <= now:
                self.connection.idle_until = math.inf
                self.protocol.on_idle_timeout()

    def drain(self) -> None:
        """The worker is stopping: an idle connection keeps a last moment, as `tcp.drain` gives it."""
        with self.loop.running():
            self.host.draining = True
            if self.connection.idle_until < math.inf:
                self.connection.idle_until = self.host.clock.now + self.host.limits.timeout_keep_alive_min
            self.protocol.drain()
        self.settle()

    def end_streams(self) -> None:
        """The worker's stop has no more time for what has no end of its own, as `connection.end_streams` says it."""
        with self.loop.running():
            self.host.streams_over = True
            self.protocol.end_streams()
        self.settle()

    # ---- What came of it -------------------------------------------------------------------------------------------

    @property
    def out(self) -> bytes:
        """Everything that the server has written."""
        return bytes(self.connection.out)

    @property
    def over(self) -> bool:
        """The connection is closed on both sides."""
        return self.connection.closed or self.connection.aborted

    @property
    def ended(self) -> bool:
        """The server will write no more, and what it wrote has a clean end."""
        return (self.connection.closed or self.connection.finished) and not self.connection.aborted

    def responses(self, *methods: str) -> list[Response]:
        """All responses so far, parsed strictly; `methods` are those of the requests, GET where none is given."""
        return split_responses(self.out, methods, self.ended)

    def response(self, method: str = "GET") -> Response:
        """The only response."""
        responses = self.responses(method)
        assert len(responses) == 1, self.out
        return responses[0]

    def hang_up(self) -> None:
        """End the connection from the peer's side, and check that nothing of it is left behind."""
        self.eof()
        self.vanish()
        assert self.connection.breaches == []
        assert self.loop.faults == []
        assert not self.host.tasks, "an application task outlives its connection"


class Call:
    """One call of a recorded application: what it was given, what it sent, how it ended."""

    def __init__(self, scope: Message) -> None:
        self.scope = scope
        self.received: list[Message] = []
        self.sent: list[Message] = []
        self.error: BaseException | None = None
        self.returned = False

    @property
    def target(self) -> bytes:
        query = self.scope["query_string"]
        return bytes(self.scope["raw_path"] + (b"?" + query if query else b""))

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.received if message["type"] == "http.request")

    @property
    def complete(self) -> bool:
        """The application was told that it has the whole body."""
        return any(
            message["type"] == "http.request" and not message.get("more_body", False) for message in self.received
        )

    @property
    def disconnected(self) -> bool:
        return any(message["type"] == "http.disconnect" for message in self.received)

    def header(self, name: bytes) -> list[bytes]:
        """Values of a request header, in order."""
        return [value for key, value in self.scope["headers"] if key == name]


async def read_body(receive: Receive) -> bytes | None:
    """The whole request body, or `None` where the client left first."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def respond(
    send: Send, body: bytes = b"", status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """A response of known length in two messages."""
    length = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Reads the whole body and answers `method target body`; says nothing where the body did not come whole."""
    body = await read_body(receive)
    if body is None:
        return
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    await respond(send, b"%s %s %s" % (scope["method"].encode("ascii"), target, body))


async def ignore(scope: Message, receive: Receive, send: Send) -> None:
    """Answers `method target` without asking for the body."""
    await respond(send, scope["method"].encode("ascii") + b" " + scope["raw_path"])


class Recorder:
    """An ASGI application around `app` that records every call."""

    def __init__(self, app: App = echo) -> None:
        self.app = app
        self.calls: list[Call] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        call = Call(scope)
        self.calls.append(call)

        async def recording_receive() -> Message:
            message = await receive()
            call.received.append(message)
            return message

        async def recording_send(message: Message) -> None:
            await send(message)
            call.sent.append(message)

        try:
            await self.app(scope, recording_receive, recording_send)
            call.returned = True
        except BaseException as error:
            call.error = error
            raise

    @property
    def targets(self) -> list[bytes]:
        return [call.target for call in self.calls]

    @property
    def call(self) -> Call:
        """The only call."""
        assert len(self.calls) == 1, self.targets
        return self.calls[0]


class Gate:
    """Holds applications back: each `await gate.wait()` goes on once the test says `open`."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def wait(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    @property
    def waiting(self) -> int:
        return sum(not future.done() for future in self._waiting)

    def open(self, wire: Wire) -> None:
        """Let the longest waiting one go on, and the loop come to rest."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                break
        wire.settle()


def every_cut(payload: bytes, most: int = 400) -> Iterator[list[bytes]]:
    """Ways in which `payload` may arrive: whole, byte by byte, and in two reads cut at each byte.

    Cuts above `most` are left out (the first and last are kept), so that a long payload costs no more than a short one.
    """
    yield [payload]
    yield [payload[index : index + 1] for index in range(len(payload))]
    cuts = range(1, len(payload))
    chosen = cuts if len(cuts) <= most else [*cuts[: most // 2], *cuts[-(most // 2) :]]
    for cut in chosen:
        yield [payload[:cut], payload[cut:]]

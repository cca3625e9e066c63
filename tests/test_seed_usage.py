"""The ways in which user code works with events: a handler, a queue, a connection table, a state machine, metrics.

Each class below is one such piece of user code, small but whole, driven by events alone.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

import pytest

from fastserver.events import Closed, Event, RawData, Updated

REQUEST = b"GET / HTTP/1.1\r\nhost: example.test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n"
CLIENT = ("127.0.0.1", 54321)


class ProtocolHandler:
    """Dispatches by ``isinstance`` to one coroutine method for each event; keeps what it was told."""

    def __init__(self) -> None:
        self.connection_active = True
        self.idle_timer_armed = False
        self.received: list[tuple[bytes, tuple[Any, ...] | None]] = []
        self.unknown: list[object] = []

    async def handle_event(self, event: Event) -> None:
        if isinstance(event, RawData):
            self.received.append((event.data, event.address))
        elif isinstance(event, Closed):
            self.connection_active = False
        elif isinstance(event, Updated):
            self.idle_timer_armed = event.idle
        else:
            self.unknown.append(type(event))


class EventProcessor:
    """Takes events from an ``asyncio.Queue`` until ``Closed``; an error of one handler does not end the loop."""

    def __init__(self) -> None:
        self.event_queue: asyncio.Queue[Event] = asyncio.Queue()
        self.running = True
        self.calls: list[tuple[Any, ...]] = []
        self.errors: list[Exception] = []

    async def process_events(self) -> None:
        while self.running:
            event = await self.event_queue.get()
            try:
                await self.dispatch_event(event)
            except ValueError as error:
                self.errors.append(error)
            finally:
                self.event_queue.task_done()

    async def dispatch_event(self, event: Event) -> None:
        handlers: dict[type, Callable[[Any], Awaitable[None]]] = {
            RawData: self.on_data_received,
            Closed: self.on_connection_closed,
            Updated: self.on_connection_updated,
        }
        await handlers[type(event)](event)

    async def on_data_received(self, event: RawData) -> None:
        if not event.data:
            raise ValueError("empty read")
        self.calls.append(("data", event.data, event.address))

    async def on_connection_updated(self, event: Updated) -> None:
        self.calls.append(("updated", event.idle))

    async def on_connection_closed(self, event: Closed) -> None:
        self.calls.append(("closed",))
        self.running = False


class ConnectionState(Enum):
    ACTIVE = "active"
    IDLE = "idle"
    CLOSED = "closed"


class ConnectionManager:
    """A table of connections by name that closes those idle for ``idle_timeout_s``; time is an argument."""

    def __init__(self, idle_timeout_s: float) -> None:
        self.idle_timeout_s = idle_timeout_s
        self.states: dict[str, ConnectionState] = {}
        self.idle_since_s: dict[str, float] = {}

    def handle_connection_update(self, name: str, event: Updated, now_s: float) -> float | None:
        """Note the change; how long the connection was idle where it just became active, else ``None``."""
        if name not in self.states:
            return None
        if event.idle:
            self.states[name] = ConnectionState.IDLE
            self.idle_since_s[name] = now_s
            return None
        self.states[name] = ConnectionState.ACTIVE
        since_s = self.idle_since_s.pop(name, None)
        return None if since_s is None else now_s - since_s

    def close_idle(self, now_s: float) -> dict[str, Event]:
        """The event to send on each connection whose time is over."""
        over = [name for name, since_s in self.idle_since_s.items() if now_s - since_s >= self.idle_timeout_s]
        for name in over:
            del self.idle_since_s[name]
            self.states[name] = ConnectionState.CLOSED
        return {name: Closed() for name in over}


class ProtocolState(Enum):
    WAITING_REQUEST = "waiting_request"
    RECEIVING_HEADERS = "receiving_headers"
    RECEIVING_BODY = "receiving_body"
    KEEP_ALIVE = "keep_alive"
    CLOSED = "closed"


class HTTPProtocolStateMachine:
    """A toy HTTP/1.1 server: its state moves by events alone, whatever pieces the bytes arrive in."""

    def __init__(self) -> None:
        self.state = ProtocolState.WAITING_REQUEST
        self.buffer = b""
        self.requests: list[tuple[bytes, bytes]] = []
        self.sent: list[Event] = []

    async def handle_event(self, event: Event) -> None:
        match event:
            case RawData(data):
                self.buffer += data
                self._advance()
            case Updated(idle=False) if self.state is ProtocolState.KEEP_ALIVE:
                self.state = ProtocolState.WAITING_REQUEST
            case Closed():
                self.state = ProtocolState.CLOSED

    def _advance(self) -> None:
        if self.state is ProtocolState.WAITING_REQUEST and b"\r\n" in self.buffer:
            self.state = ProtocolState.RECEIVING_HEADERS
        if self.state is ProtocolState.RECEIVING_HEADERS and b"\r\n\r\n" in self.buffer:
            self.state = ProtocolState.RECEIVING_BODY
        if self.state is ProtocolState.RECEIVING_BODY:
            head, _, body = self.buffer.partition(b"\r\n\r\n")
            wanted = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
            if len(body) >= wanted:
                self.requests.append((head.partition(b"\r\n")[0], body[:wanted]))
                self.buffer = body[wanted:]
                self.sent += [RawData(b"HTTP/1.1 204 No Content\r\n\r\n"), Updated(idle=True)]
                self.state = ProtocolState.KEEP_ALIVE


class EventMetrics:
    """Counts events by the names of their classes, and the bytes that they carry."""

    def __init__(self) -> None:
        self.event_counts: Counter[str] = Counter()
        self.data_bytes = 0
        self.connection_count = 1

    async def record_event(self, event: Event) -> None:
        self.event_counts[type(event).__name__] += 1
        if isinstance(event, RawData):
            self.data_bytes += len(event.data)
        elif isinstance(event, Closed):
            self.connection_count -= 1


async def feed(handle: Callable[[Any], Awaitable[None]], events: list[Any]) -> None:
    for event in events:
        await handle(event)


def test_handler_dispatches_by_class() -> None:
    class Unheard(Event):
        pass

    handler = ProtocolHandler()
    asyncio.run(
        feed(handler.handle_event, [RawData(REQUEST), RawData(b"datagram", CLIENT), Updated(idle=True), Unheard()])
    )
    assert handler.received == [(REQUEST, None), (b"datagram", CLIENT)]
    assert handler.unknown == [Unheard]
    assert handler.idle_timer_armed
    assert handler.connection_active
    asyncio.run(feed(handler.handle_event, [Updated(idle=False), Closed()]))
    assert not handler.idle_timer_armed
    assert not handler.connection_active


def test_queue_keeps_order_and_outlives_an_error() -> None:
    async def main() -> EventProcessor:
        processor = EventProcessor()
        for event in (
            RawData(REQUEST),
            Updated(idle=False),
            RawData(b""),
            RawData(b"d", CLIENT),
            Updated(True),
            Closed(),
        ):
            await processor.event_queue.put(event)
        await processor.process_events()
        await processor.event_queue.join()
        return processor

    processor = asyncio.run(main())
    assert processor.calls == [
        ("data", REQUEST, None),
        ("updated", False),
        ("data", b"d", CLIENT),
        ("updated", True),
        ("closed",),
    ]
    assert [str(error) for error in processor.errors] == ["empty read"]


def test_queue_serves_a_producer_that_runs_beside_it() -> None:
    async def main() -> EventProcessor:
        processor = EventProcessor()
        consumer = asyncio.create_task(processor.process_events())
        for event in (Updated(idle=False), RawData(REQUEST), Closed()):
            await processor.event_queue.put(event)
            await processor.event_queue.join()
        await consumer
        return processor

    assert asyncio.run(main()).calls == [("updated", False), ("data", REQUEST, None), ("closed",)]


def test_connection_table_closes_what_stays_idle() -> None:
    table = ConnectionManager(idle_timeout_s=60.0)
    table.states = dict.fromkeys(("first", "second"), ConnectionState.ACTIVE)
    assert table.handle_connection_update("first", Updated(idle=True), now_s=10.0) is None
    assert table.handle_connection_update("second", Updated(idle=True), now_s=20.0) is None
    assert table.handle_connection_update("stranger", Updated(idle=True), now_s=20.0) is None
    assert table.handle_connection_update("second", Updated(idle=False), now_s=24.5) == 4.5
    assert table.close_idle(now_s=69.9) == {}
    assert table.close_idle(now_s=70.0) == {"first": Closed()}
    assert table.states == {"first": ConnectionState.CLOSED, "second": ConnectionState.ACTIVE}


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_state_machine_whatever_the_pieces(size: int) -> None:
    data = POST + b"hello"
    machine = HTTPProtocolStateMachine()
    asyncio.run(feed(machine.handle_event, [RawData(data[at : at + size]) for at in range(0, len(data), size)]))
    assert machine.requests == [(b"POST / HTTP/1.1", b"hello")]
    assert machine.state is ProtocolState.KEEP_ALIVE
    assert machine.sent == [RawData(data=b"HTTP/1.1 204 No Content\r\n\r\n"), Updated(True)]


def test_state_machine_reuses_and_closes_a_connection() -> None:
    machine = HTTPProtocolStateMachine()
    asyncio.run(feed(machine.handle_event, [RawData(REQUEST), Updated(idle=False), RawData(b"GET /2 HTTP/1.1\r\n")]))
    assert machine.state.value == "receiving_headers"
    asyncio.run(feed(machine.handle_event, [RawData(b"\r\n")]))
    assert machine.requests == [(b"GET / HTTP/1.1", b""), (b"GET /2 HTTP/1.1", b"")]
    asyncio.run(feed(machine.handle_event, [Updated(idle=True), Closed()]))
    assert machine.state.value == "closed"


def test_metrics_count_by_class_name() -> None:
    metrics = EventMetrics()
    events = [RawData(b"HTTP data", CLIENT), Updated(idle=False), Updated(idle=True), Closed()]
    asyncio.run(feed(metrics.record_event, events))
    assert metrics.event_counts == {"RawData": 1, "Updated": 2, "Closed": 1}
    assert (metrics.data_bytes, metrics.connection_count) == (9, 0)

"""A protocol handler under test: a peer's hands on one end of its connection, the host's clock on the other."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from fastserver._speedups.contract import Host
from fastserver._speedups.events import Closed, Event, RawData, Updated
from fastserver.protocol.facade import HandlerConnection
from fastserver.protocol.factory import HandlerFactory
from tests.fakes import WALL_S, FakeConnection, Wire, ignore, make_host, make_log
from tests.handloop import HandLoop


class NumberedConnection(FakeConnection):
    """A `FakeConnection` with the number that a live one has."""

    id = 7
    #: The write at which the transport's buffer is full.
    full_at: bytes | None = None

    def send(self, event: Event) -> None:
        super().send(event)
        if isinstance(event, RawData) and event.data == self.full_at:
            self.protocol.pause_writing()

    @property
    def writes(self) -> list[bytes]:
        return [event.data for event in self.events if isinstance(event, RawData)]

    @property
    def updates(self) -> list[bool]:
        """What the transport was told of idleness."""
        return [event.idle for event in self.events if isinstance(event, Updated)]


class Bench(Wire):
    """A `Wire` whose protocol is a user's handler."""

    def __init__(self, target: Callable[..., Any], /, *, opened: bool = True, **limits: float) -> None:
        self.loop = HandLoop()
        self.wall_s = WALL_S
        error_log, self.log = make_log()
        self.host: Host = make_host(ignore, self.loop, error_log, **limits)
        self.inbox = deque()
        self.connection: NumberedConnection = NumberedConnection(self.host)
        with self.loop.running():
            self.protocol: Any = HandlerFactory("test:Handler", target).open(self.connection, self.host)
            self.connection.protocol = self.protocol
        # A transport takes a connection for idle from its first moment.
        self.connection.idle_until = self.host.clock.now + self.host.limits.timeout_keep_alive
        if opened:
            self.act(self.protocol.handle, Updated(True))
        self.updates_of_opening = len(self.connection.updates)

    def feed(self, *reads: bytes) -> "Bench":
        super().feed(*reads)
        return self

    def advance(self, seconds: float, tick: float = 1.0) -> "Bench":
        super().advance(seconds, tick)
        return self

    @property
    def writes(self) -> list[bytes]:
        return self.connection.writes

    @property
    def updates(self) -> list[bool]:
        """What the transport was told of idleness since the opening."""
        return self.connection.updates[self.updates_of_opening :]

    @property
    def faults(self) -> list[str]:
        """What the log says, with the exception that it shows."""
        return [
            f"{record.getMessage()}: {record.exc_info[1]!r}" if record.exc_info else record.getMessage()
            for record in self.log
        ]

    def act(self, action: Callable[..., object], *arguments: object) -> None:
        """Call something in the loop, as code of the user's elsewhere would, and let the loop come to rest."""
        with self.loop.running():
            action(*arguments)
        self.settle()


def spell(event: Event) -> str:
    """An event in a word: what a list of them is compared by."""
    if isinstance(event, RawData):
        return event.data.decode()
    if isinstance(event, Updated):
        return "IDLE" if event.idle else "ACTIVE"
    assert isinstance(event, Closed)
    return "CLOSED"


class Recorder:
    """Remembers what it hears; `answer` maps a read to what it returns.  `last` is the one that was made last."""

    last: Any = None
    answer: Callable[[Any, RawData], object] | None = None

    def __init__(self, connection: HandlerConnection) -> None:
        self.connection = connection
        self.heard: list[str] = []
        self.depth = 0
        type(self).last = self

    def note(self, event: Event) -> object:
        assert self.depth == 0, "events at the same time"
        self.depth += 1
        try:
            self.heard.append(spell(event))
            answer = type(self).answer
            return answer(self, event) if isinstance(event, RawData) and answer is not None else None
        finally:
            self.depth -= 1


class Plain(Recorder):
    """Hears its events in place."""

    def handle(self, event: Event) -> object:
        return self.note(event)


class Coroutine(Recorder):
    """Hears its events in a coroutine that does not wait."""

    async def handle_event(self, event: Event) -> object:
        return self.note(event)


def make_recorder(base: type[Recorder], answer: Callable[[Any, RawData], object] | None = None) -> type[Recorder]:
    """A `Recorder` class of its own, so that `last` and `answer` are this test's."""
    return type(base.__name__, (base,), {"last": None, "answer": answer})


class Busy:
    """A coroutine handler that waits on each read until the test lets it go on; echoes what it got."""

    last: Any = None

    def __init__(self, connection: HandlerConnection) -> None:
        self.connection = connection
        self.heard: list[str] = []
        self.gate: asyncio.Future[None] | None = None
        type(self).last = self

    async def handle_event(self, event: Event) -> Event | None:
        self.heard.append(spell(event))
        if not isinstance(event, RawData):
            return None
        self.gate = asyncio.get_running_loop().create_future()
        await self.gate
        return event

    def go_on(self) -> None:
        assert self.gate is not None
        self.gate.set_result(None)


def make_busy() -> type[Busy]:
    return type("Busy", (Busy,), {"last": None})


#: For a test that holds for plain and coroutine handlers alike.
BOTH = pytest.mark.parametrize("base", [Plain, Coroutine])

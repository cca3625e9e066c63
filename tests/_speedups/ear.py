"""What listens to a live connection under test, and what holds its requests back."""

import asyncio
from collections.abc import Callable

from fastserver._speedups.connection import LiveConnection
from fastserver._speedups.observers import Observer, Observers
from fastserver.events import Closed, ConnectionState, Direction, RawData, Updated
from tests.fakes import App, Message, Receive, Send, make_log
from tests.site import Site, wait_until


def name(direction: Direction, event: object) -> str:
    """An event in two words: `out idle`, `in data`, `out active`, `out data`, `in closed`."""
    if isinstance(event, Updated):
        kind = "idle" if event.idle else "active"
    else:
        assert isinstance(event, (RawData, Closed))
        kind = "data" if isinstance(event, RawData) else "closed"
    return f"{direction.value} {kind}"


class Ear:
    """An observer that remembers what it heard; `on_event(connection, name)` is called for each, if given."""

    def __init__(self, site: Site, on_event: Callable[[LiveConnection, str], None] | None = None) -> None:
        self.names: list[str] = []
        self.states: list[ConnectionState] = []
        self.connections: set[LiveConnection] = set()
        self.bytes_in = b""
        self.bytes_out = b""
        self._on_event = on_event
        self.observer = Observer(self._hear, "tests:ear", make_log()[0], None)
        site.host.observers = Observers([self.observer])

    def _hear(self, connection: LiveConnection, direction: Direction, event: object) -> None:
        self.connections.add(connection)
        self.names.append(name(direction, event))
        self.states.append(connection.state)
        if isinstance(event, RawData):
            if direction is Direction.IN:
                self.bytes_in += event.data
            else:
                self.bytes_out += event.data
        if self._on_event is not None:
            self._on_event(connection, self.names[-1])

    @property
    def connection(self) -> LiveConnection:
        """The only one that it heard of."""
        (connection,) = self.connections
        return connection

    async def wait_closed(self) -> None:
        """Wait for `Closed`, and see that it is the last and the only one."""
        await wait_until(lambda: bool(self.names) and self.names[-1].endswith("closed"))
        await asyncio.sleep(0)
        assert [heard.endswith("closed") for heard in self.names].count(True) == 1
        assert self.names[-1].endswith("closed")
        assert self.names[0] == "out idle"
        assert self.observer.errors == 0

    def check_account(self) -> None:
        """What the connection counted is what was heard."""
        connection = self.connection
        assert (connection.bytes_in, connection.bytes_out) == (len(self.bytes_in), len(self.bytes_out))
        metrics = connection.host.metrics
        assert (metrics.bytes_in, metrics.bytes_out) == (len(self.bytes_in), len(self.bytes_out))
        counts = metrics.snapshot()["events"]
        assert counts == {
            "raw_data_in": self.names.count("in data"),
            "raw_data_out": self.names.count("out data"),
            "updated_idle": self.names.count("out idle"),
            "updated_active": self.names.count("out active"),
            "closed": 1,
        }


class Hold:
    """An application that answers when it is told to; `waiting` tells that a request is there."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.go = asyncio.Event()
        self.waiting = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.waiting = True
        await self.go.wait()
        await self.app(scope, receive, send)

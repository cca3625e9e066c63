"""The end of sessions by a drain (W7): of the whole worker at its deadline for streams, or of one connection at once,
over both wires, at any moment."""

from collections.abc import Callable
from typing import Any

import pytest
from hyperframe.frame import GoAwayFrame

from tests._speedups.h2.test_session import connect, open_wire, read
from tests.exchange.sessions import Session, Talk, closing, upgrade
from tests.fakes import App, Gate, Message, Receive, Send, Wire


class H1Client:
    """What the tests need of a session over HTTP/1."""

    def __init__(self, app: App) -> None:
        self.wire = Session(app)

    def ask(self) -> None:
        self.wire.feed(upgrade())

    def list_closes(self) -> list[int]:
        assert set(self.wire.frames) <= {closing(1012)}
        return [1012 for _ in self.wire.frames]


class H2Client:
    """The same over HTTP/2."""

    def __init__(self, app: App) -> None:
        self.wire = open_wire(app)

    def ask(self) -> None:
        self.stream = connect(self.wire)

    def list_closes(self) -> list[int]:
        said: list[tuple[str, Any]] = read(self.wire, self.stream)
        assert {name for name, _ in said} <= {"CLOSE"}
        return [payload[0] for _, payload in said]


def stop_worker(wire: Wire) -> None:
    """A stop that has come to its deadline for streams."""
    wire.drain()
    wire.end_streams()


def end_connection(wire: Wire) -> None:
    """What an operator's close of one connection does."""
    with wire.loop.running():
        wire.protocol.drain()
    wire.settle()


@pytest.mark.parametrize("moment", ["before the request", "before the accept", "in the session"])
@pytest.mark.parametrize("drain", [stop_worker, end_connection])
@pytest.mark.parametrize("make_client", [H1Client, H2Client])
def test_w7_a_drain_ends_sessions_with_1012_once(make_client: Any, drain: Callable[[Wire], None], moment: str) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await Talk()(scope, receive, send)

    client = make_client(app)
    wire: Wire = client.wire
    if moment == "before the request":
        drain(wire)
    client.ask()
    if moment == "before the accept":
        drain(wire)
    gate.open(wire)
    assert client.list_closes() == ([] if moment == "in the session" else [1012])
    if moment == "in the session":
        drain(wire)
    assert client.list_closes() == [1012]
    wire.hang_up()


@pytest.mark.parametrize("moment", ["before the request", "before the accept", "in the session"])
@pytest.mark.parametrize("make_client", [H1Client, H2Client])
def test_w7_a_stop_leaves_sessions_alone_until_its_deadline_for_streams(make_client: Any, moment: str) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await Talk()(scope, receive, send)

    client = make_client(app)
    wire: Wire = client.wire
    if moment == "before the request":
        wire.drain()
    client.ask()
    if moment == "before the accept":
        wire.drain()
    gate.open(wire)
    if moment == "in the session":
        wire.drain()
    wire.advance(5)
    assert client.list_closes() == []
    wire.end_streams()
    wire.end_streams()
    assert client.list_closes() == [1012]
    wire.hang_up()


def test_w7_a_client_that_goes_away_keeps_its_sessions() -> None:
    """GOAWAY of the client ends no session: it begins no more, and that is all."""
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await Talk()(scope, receive, send)

    client = H2Client(app)
    client.ask()
    client.wire.send(GoAwayFrame(0))
    gate.open(client.wire)
    assert client.list_closes() == []
    client.wire.hang_up()

"""A live connection on real sockets: what it says of itself, its graceful close, and what is left of it."""

import asyncio
import gc
import os
import socket
import struct
import weakref
from pathlib import Path
from typing import Any, Final

import pytest

from fastserver._speedups.connection import LiveConnection, survey
from fastserver.events import ConnectionState
from tests._speedups.conftest import Run
from tests._speedups.ear import Ear, Hold
from tests.fakes import Message, Receive, Send, echo
from tests.site import Client, Site, wait_until

ACTIVE, IDLE = ConnectionState.ACTIVE, ConnectionState.IDLE
RESET: Final = struct.pack("ii", 1, 0)
REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"

# What it says of itself.


@pytest.mark.parametrize("family", ["tcp", "tls", "unix"])
def test_facts(run: Run, family: str, tmp_path: Path) -> None:
    facts: list[tuple[str, Any, str]] = []

    def note(connection: LiveConnection, heard: str) -> None:
        facts.append((connection.protocol, connection.peer, connection.protocol_state))

    async def main() -> None:
        async with Site(echo, family, tmp_path / "a.sock") as site:
            begun = site.host.clock.wall_s
            ear = Ear(site, note)
            client = await site.connect()
            await client.fetch()
            await wait_until(lambda: ear.names[-1] == "out idle")
            connection = ear.connection
            assert begun <= connection.opened <= connection.since <= site.host.clock.wall_s
            assert connection.id == site.host.connections_seen == 1
            assert repr(connection) == "<connection 1 http/1.1 idle>"
            last = connection.since
            await wait_until(lambda: site.host.clock.wall_s > last)
            client.close()
            await ear.wait_closed()
            assert connection.since > last
            assert connection.protocol_state == ""
            second = await site.connect()
            await second.fetch()
            assert sorted(each.id for each in ear.connections) == [1, 2]

    run(main())
    peer = facts[0][1]
    assert [state for _, _, state in facts[:5]] == [
        "waiting_request",
        "waiting_request",
        "receiving_headers",
        "keep_alive",
        "keep_alive",
    ]
    assert {protocol for protocol, _, _ in facts} == {"http/1.1"}
    assert all(each is peer for _, each, _ in facts[:6])
    assert peer.scheme == ("https" if family == "tls" else "http")
    assert peer.client is None if family == "unix" else peer.client[0] == "127.0.0.1"
    assert peer.server == (str(tmp_path / "a.sock"), None) if family == "unix" else peer.server[0] == "127.0.0.1"


async def accept_one(site: Site) -> tuple[Any, socket.socket]:
    """A connection of `site`, and the client's end of it as a bare socket that does not wait for the loop."""
    theirs, ours = socket.socketpair()
    ours.settimeout(5)
    connection: Any = site.make_connection()
    await site.host.loop.connect_accepted_socket(lambda: connection, theirs)
    return connection, ours


def read_all(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> "asyncio.Future[bytes]":
    def read() -> bytes:
        with sock:
            return b"".join(iter(lambda: sock.recv(65536), b""))

    return loop.run_in_executor(None, read)


# A graceful close.


def test_close_an_idle_one(run: Run) -> None:
    """At once, and not before the caller has gone on; again, and after the end, it does nothing."""

    async def main() -> None:
        async with Site(echo, timeout_keep_alive=600, timeout_keep_alive_min=600) as site:
            ear = Ear(site)
            client = await site.connect()
            await client.fetch()
            await wait_until(lambda: ear.names[-1] == "out idle")
            ear.connection.close()
            ear.connection.close()
            assert ear.connection.state is IDLE
            assert await client.read_rest() == b""
            await ear.wait_closed()
            assert ear.names[-1] == "out closed"
            ear.connection.close()
            await asyncio.sleep(0)
            ear.check_account()

    run(main())


def test_close_with_a_request_on_its_way(run: Run) -> None:
    async def main() -> None:
        async with Site(echo, timeout_keep_alive=600, timeout_keep_alive_min=600) as site:
            ear = Ear(site)
            connection, client = await accept_one(site)
            client.send(REQUEST)
            connection._close_gracefully()  # what `close` leaves to the loop, which might read first
            answer = await read_all(site.host.loop, client)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"\r\nconnection: close\r\n" in answer
            await ear.wait_closed()
            assert ear.names == ["out idle", "in data", "out active", "out data", "out closed"]

    run(main())


def test_close_a_busy_one(run: Run) -> None:
    async def main() -> None:
        app = Hold(echo)
        async with Site(app, timeout_keep_alive=600, timeout_keep_alive_min=600) as site:
            ear = Ear(site)
            client = await site.connect()
            client.ask()
            await wait_until(lambda: app.waiting)
            ear.connection.close()
            await asyncio.sleep(0)
            assert ear.connection.state is ACTIVE
            app.go.set()
            status, headers = await client.read_head()
            assert (status, headers["connection"]) == (200, "close")
            assert await client.read_rest() == b"GET / "
            client.close()
            await ear.wait_closed()
            assert ear.names[-1] == "out closed"

    run(main())


def test_close_one_whose_response_has_begun(run: Run) -> None:
    """Its head has promised to keep the connection: it goes when it is idle."""

    async def main() -> None:
        go = asyncio.Event()

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            await go.wait()
            await send({"type": "http.response.body", "body": b"b"})

        async with Site(app, timeout_keep_alive=600, timeout_keep_alive_min=600) as site:
            ear = Ear(site)
            client = await site.connect()
            client.ask()
            _, headers = await client.read_head()
            assert "connection" not in headers
            ear.connection.close()
            await asyncio.sleep(0)
            go.set()
            assert await client.read_rest() == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
            await ear.wait_closed()
            assert ear.names[-2:] == ["out idle", "out closed"]

    run(main())


@pytest.mark.parametrize("kind", ["out idle", "in data", "out active", "out data", "in closed"])
def test_close_from_an_observer(run: Run, kind: str) -> None:
    def close(connection: LiveConnection, heard: str) -> None:
        if heard == kind:
            connection.close()

    async def main() -> None:
        async with Site(echo, timeout_keep_alive=600, timeout_keep_alive_min=600) as site:
            ear = Ear(site, close)
            client: Client = await site.connect()
            if kind != "out idle":
                await client.fetch()
            if kind == "in closed":
                client.close()
            assert await client.read_rest() == b""
            await ear.wait_closed()
            assert ear.names[-1] == (kind if kind == "in closed" else "out closed")
            assert ear.connection.requests == (kind != "out idle")

    run(main())


# What is left of it.


@pytest.mark.parametrize("family", ["tcp", "tls", "unix"])
@pytest.mark.parametrize("end", ["close", "reset", "server", "busy"])
def test_nothing_refers_to_one_that_is_gone(run: Run, family: str, end: str, tmp_path: Path) -> None:
    """No collector is needed: the server's side of it is no cycle."""

    async def main() -> None:
        app = Hold(echo)
        async with Site(app, family, tmp_path / "a.sock") as site:
            app.go.set()
            client = await site.connect()
            await client.fetch()
            if end == "busy":
                app.go.clear()
                app.waiting = False
                client.ask()
                await wait_until(lambda: app.waiting)
            gone = weakref.ref(site.connections.pop())
            if end == "server":
                gone().close()  # type: ignore[union-attr]
                await client.read_rest()
                client.close()
            else:
                client.close() if end == "close" else client.reset()
            if family == "unix":
                app.go.set()  # no reset there: the answer tells that nobody takes it
            await wait_until(lambda: not site.host.connections)
            app.go.set()
            await wait_until(lambda: not site.host.tasks)
            await wait_until(lambda: gone() is None, 2)
            assert not site.host.arriving

    gc.collect()
    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


def test_ten_thousand(run: Run) -> None:
    """They leave nothing behind.

    Each batch needs what the one before has given back, so memory grows in the first ones only.  A connection that left
    but one of its objects would show: a `TCPConnection` alone has more than the 256 bytes that each may cost here.
    """
    batch, batches, warm = 100, 100, 20

    async def main() -> None:
        async with Site(echo) as site:
            host = site.host
            address = site.address

            async def open_and_close(count: int) -> None:
                for _ in range(count):
                    clients = [socket.create_connection(address, 5) for _ in range(batch)]
                    await wait_until(lambda: len(host.connections) == batch)
                    site.connections.clear()
                    for client in clients:
                        # No port is left waiting for late segments.
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                        client.close()
                    await wait_until(lambda: not host.connections)
                assert not host.arriving

            await open_and_close(warm)
            gc.collect()
            before = read_resident_bytes()
            await open_and_close(batches)
            gc.collect()
            assert read_resident_bytes() - before < 256 * batch * batches
            snapshot = host.metrics.snapshot()
            assert snapshot["connections_opened"] == snapshot["events"]["closed"] == batch * (batches + warm)
            assert survey(host) == {}

    run(main())


def read_resident_bytes() -> int:
    """What this process has in memory; 0 where the system does not tell so."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")

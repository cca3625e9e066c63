"""A live connection on real sockets: what observers hear of it, in which order, and who ended it."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastserver._speedups.connection import abort, drain
from fastserver.events import ConnectionState
from tests._speedups.conftest import Run
from tests._speedups.ear import Ear, Hold
from tests.fakes import App, Message, Receive, Send, echo, read_body, respond
from tests.site import Site, wait_until

IDLE, ACTIVE = ConnectionState.IDLE, ConnectionState.ACTIVE
CLOSING, CLOSED = ConnectionState.CLOSING, ConnectionState.CLOSED
REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def stream(scope: Message, receive: Receive, send: Send) -> None:
    """Reads the body, and answers in three parts with a turn of the loop between them."""
    await read_body(receive)
    await send({"type": "http.response.start", "status": 200})
    for _ in range(3):
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body"})


# What is heard, and in which order.


@pytest.mark.parametrize("family", ["tcp", "tls", "unix"])
def test_two_requests_of_a_connection_that_is_kept(run: Run, family: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with Site(echo, family, tmp_path / "a.sock") as site:
            ear = Ear(site)
            client = await site.connect()
            request = ["out active", "out data", "out idle"]
            for number in (1, 2):
                await client.fetch()
                await wait_until(lambda: ear.names[-1] == "out idle")
                assert ear.names == ["out idle", *["in data", *request] * number]
                assert ear.connection.requests == number
            client.close_half() if family != "tls" else client.close()
            await ear.wait_closed()
            assert ear.names[-1] == "in closed"
            assert ear.states == [IDLE, *[IDLE, ACTIVE, ACTIVE, IDLE] * 2, CLOSED]
            assert ear.bytes_in == REQUEST * 2
            ear.check_account()

    run(main())


@pytest.mark.parametrize("app", [echo, stream], ids=["at once", "later"])
def test_pipelined_requests_are_one_activity(run: Run, app: App) -> None:
    async def main() -> None:
        async with Site(app) as site:
            ear = Ear(site)
            client = await site.connect()
            client.ask()
            client.ask()
            client.ask("/", "GET", "connection: close")
            received = await client.read_rest()
            await ear.wait_closed()
            assert received.count(b"HTTP/1.1 200") == 3
            assert received == ear.bytes_out
            assert [each for each in ear.names if each.endswith(("idle", "active", "closed"))] == [
                "out idle",
                "out active",
                "out closed",
            ]
            assert ear.connection.requests == 3
            ear.check_account()

    run(main())


@pytest.mark.parametrize("family", ["tcp", "tls"])
def test_bodies_both_ways_one_event_a_read_and_a_write(run: Run, family: str) -> None:
    """And the bytes of the events are those of the peer, whatever TLS makes of them underneath."""

    async def main() -> None:
        async with Site(stream, family) as site:
            ear = Ear(site)
            client = await site.connect()
            client.ask("/", "POST", "content-length: 300000")
            await wait_until(lambda: ear.names == ["out idle", "in data", "out active"])
            client.send(bytes(300000))
            await client.read_head()
            body = await client.reader.readuntil(b"0\r\n\r\n")
            await wait_until(lambda: ear.names[-1] == "out idle")
            assert body == b"4\r\npart\r\n" * 3 + b"0\r\n\r\n"
            assert ear.bytes_out.endswith(b"\r\n\r\n" + body)
            assert ear.bytes_in.endswith(bytes(300000))
            assert len(ear.bytes_in) < 300200
            reads = ear.names.count("in data")
            assert reads > 2
            writes = ear.names.count("out data")
            assert 3 <= writes <= 4
            assert ear.names == [
                *["out idle", "in data", "out active"],
                *["in data"] * (reads - 1),
                *["out data"] * writes,
                "out idle",
            ]
            client.close()
            await ear.wait_closed()
            ear.check_account()

    run(main())


# Who ended it.


async def fail_late(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    raise ValueError("late")


@pytest.mark.parametrize("how", ["reset", "close", "close_half"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_the_peer_ends_it(run: Run, how: str, busy: bool) -> None:
    async def main() -> None:
        app = Hold(echo)
        async with Site(app) as site:
            ear = Ear(site)
            client = await site.connect()
            if busy:
                client.ask()
            await wait_until(lambda: app.waiting if busy else bool(ear.names))
            getattr(client, how)()
            app.go.set()
            await ear.wait_closed()
            assert ear.names[-1] == "in closed"
            ear.check_account()

    run(main())


def test_the_server_aborts_it(run: Run) -> None:
    async def main() -> None:
        async with Site(fail_late) as site:
            ear = Ear(site)
            client = await site.connect()
            client.ask()
            await client.read_rest()
            await ear.wait_closed()
            assert ear.names == ["out idle", "in data", "out active", "out data", "out closed"]
            ear.check_account()

    run(main())


def test_the_server_refuses_what_it_hears(run: Run) -> None:
    """It lingers: its end was first, though the peer's socket is what closes."""

    async def main() -> None:
        async with Site(echo) as site:
            ear = Ear(site)
            client = await site.connect()
            client.send(b"no request\r\n\r\n")
            assert (await client.read_rest()).startswith(b"HTTP/1.1 400 ")
            assert ear.connection.state is CLOSING
            client.close()
            await ear.wait_closed()
            assert ear.names == ["out idle", "in data", "out active", "out data", "out closed"]
            assert site.host.metrics.snapshot()["refused_requests"] == {"http/1.1": {"400": 1}}
            assert ear.connection.requests == 0
            ear.check_account()

    run(main())


def test_an_idle_one_is_closed_after_its_time(run: Run) -> None:
    async def main() -> None:
        async with Site(echo, timeout_keep_alive=0.1) as site:
            ear = Ear(site)
            client = await site.connect()
            assert await client.read_rest() == b""
            await ear.wait_closed()
            assert ear.names == ["out idle", "out closed"]
            assert site.host.metrics.snapshot()["timeouts"] == {"idle": 1, "write": 0}

    run(main())


def test_a_timeout_counts_once_though_the_peer_never_answers_the_end(run: Run) -> None:
    """TLS waits for the peer's own end, through many ticks, in which the connection is still among the open ones."""

    async def main() -> None:
        async with Site(echo, "tls", timeout_keep_alive=0.1) as site:
            ear = Ear(site)
            client = await site.connect()
            await wait_until(lambda: bool(ear.names))
            client.stop_reading()
            await wait_until(lambda: site.host.metrics.timeouts_idle > 0)
            before = site.host.clock.now
            await wait_until(lambda: site.host.clock.now > before + 0.1)
            assert site.host.metrics.timeouts_idle == 1
            abort(site.host)
            await ear.wait_closed()
            assert ear.names == ["out idle", "out closed"]

    run(main())


def test_a_peer_that_does_not_read_is_dropped(run: Run) -> None:
    async def large(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, bytes(4 << 20))

    async def main() -> None:
        async with Site(large, send_buffer=65536, timeout_write=0.1) as site:
            ear = Ear(site)
            client = await site.connect(receive_buffer=65536)
            client.ask()
            await ear.wait_closed()
            assert ear.names[-1] == "out closed"
            assert site.host.metrics.snapshot()["timeouts"] == {"idle": 0, "write": 1}
            assert ear.bytes_out.startswith(await client.read_rest())
            ear.check_account()

    run(main())


@pytest.mark.parametrize("stop", [drain, abort])
def test_the_worker_stops(run: Run, stop: Callable[[Any], None]) -> None:
    async def main() -> None:
        async with Site(echo, timeout_keep_alive_min=0.05) as site:
            ear = Ear(site)
            client = await site.connect()
            await client.fetch()
            stop(site.host)
            await client.read_rest()
            await ear.wait_closed()
            assert ear.names == ["out idle", "in data", "out active", "out data", "out idle", "out closed"]

    run(main())


def test_nothing_is_heard_of_one_above_the_limit(run: Run) -> None:
    async def main() -> None:
        async with Site(echo, connections=1) as site:
            ear = Ear(site)
            first = await site.connect()
            await first.fetch()
            late = await site.connect()
            assert (await late.read_rest()).startswith(b"HTTP/1.1 503 ")
            refused = site.connections[-1]
            await wait_until(lambda: refused.state is CLOSED)
            assert len(ear.connections) == 1
            assert refused not in ear.connections
            snapshot = site.host.metrics.snapshot()
            assert (snapshot["connections_opened"], snapshot["connections_refused"]) == (1, 1)
            assert not site.host.arriving

    run(main())


# Files.


@pytest.mark.parametrize("family", ["tcp", "tls"])
@pytest.mark.parametrize("observed", [True, False])
def test_a_file(run: Run, family: str, observed: bool, tmp_path: Path) -> None:
    """Who observes hears of every byte; else the kernel may send it, and it is counted all the same."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(300_000))

    async def main() -> None:
        async def app(scope: Message, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.pathsend", "path": str(path)})

        async with Site(app, family) as site:
            ear = Ear(site) if observed else None
            client = await site.connect()
            client.ask("/", "GET", "connection: close")
            received = await client.read_rest()
            assert received.endswith(path.read_bytes())
            connection = site.connections[0]
            await wait_until(lambda: connection.state is CLOSED)
            assert connection.bytes_out == site.host.metrics.bytes_out == len(received)
            if ear is not None:
                assert ear.bytes_out == received
                ear.check_account()
            else:
                by_kernel = family == "tcp"
                assert (site.host.metrics.raw_data_out == 1) == by_kernel

    run(main())

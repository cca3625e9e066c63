"""The asyncio edge on real sockets: deadlines of writing and of idleness, the cap on connections, the reset."""

import asyncio
import time
from collections.abc import Callable

import pytest

from fastserver._speedups.connection import abort, drain
from fastserver._speedups.contract import ClientDisconnected
from fastserver.events import ConnectionState
from tests.fakes import App, Message, Receive, Send, echo
from tests.site import LOOPS, Client, Site, run_in_loop, wait_until

LARGE = 8 * 1024 * 1024

pytestmark = pytest.mark.parametrize("make_loop", LOOPS.values(), ids=LOOPS)
MakeLoop = Callable[[], asyncio.AbstractEventLoop]


def send_large(ends: list[BaseException | None]) -> App:
    """An application that sends `LARGE` bytes in parts of 64 KiB and notes how that ended."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        try:
            headers = [(b"content-length", b"%d" % LARGE)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for _ in range(LARGE // 65536):
                await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
            await send({"type": "http.response.body"})
        except BaseException as error:
            ends.append(error)
            raise
        ends.append(None)

    return app


def test_h1_30_a_peer_that_does_not_read_is_cut(make_loop: MakeLoop) -> None:
    ends: list[BaseException | None] = []

    async def main() -> None:
        async with Site(send_large(ends), send_buffer=65536, timeout_write=0.3) as site:
            client = await site.connect(receive_buffer=65536)
            client.ask()
            await wait_until(lambda: bool(ends))
            await wait_until(lambda: not site.host.connections)
            assert len(await client.read_rest()) < LARGE
            assert site.failures == []

    run_in_loop(make_loop, main())
    assert [type(end) for end in ends] == [ClientDisconnected]


def test_h1_30_a_slow_peer_is_not_cut(make_loop: MakeLoop) -> None:
    """It takes far longer than `timeout_write`, and never stops for so long."""
    ends: list[BaseException | None] = []

    async def main() -> None:
        async with Site(send_large(ends), send_buffer=2 * 1024 * 1024, timeout_write=0.3) as site:
            client = await site.connect(receive_buffer=65536)
            client.ask()
            await client.read_head()
            started = time.monotonic()
            left = LARGE
            while time.monotonic() - started < 1.5:
                left -= len(await client.read_body(32768))
                await asyncio.sleep(0.05)  # the pace of the peer is what this is about
            await client.read_body(left)
            assert site.failures == []

    run_in_loop(make_loop, main())
    assert ends == [None]


async def is_over(client: Client) -> bool:
    return await client.read_rest() == b""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_silent_connection_does_not_hold_a_stop(make_loop: MakeLoop, when: str) -> None:
    async def main() -> None:
        async with Site(echo, timeout_request_header=600, timeout_keep_alive_min=0.2) as site:
            silent = await site.connect() if when == "before" else None
            if silent is not None:
                await wait_until(lambda: len(site.host.connections) == 1)
            drain(site.host)
            client = silent or await site.connect()
            assert await is_over(client)

    run_in_loop(make_loop, main())


def test_a_silent_connection_is_served_in_its_last_moment(make_loop: MakeLoop) -> None:
    async def main() -> None:
        async with Site(echo, timeout_keep_alive_min=5) as site:
            client = await site.connect()
            await wait_until(lambda: len(site.host.connections) == 1)
            drain(site.host)
            status, headers, _ = await client.fetch()
            assert (status, headers["connection"]) == (200, "close")

    run_in_loop(make_loop, main())


def test_what_is_said_to_its_end_is_not_destroyed_by_the_end_of_a_stop(make_loop: MakeLoop) -> None:
    """The client has not read yet, and the connection waits for its last bytes: a reset would take the answer away."""

    async def main() -> None:
        async with Site(echo, timeout_keep_alive_min=5) as site:
            client = await site.connect()
            await wait_until(lambda: len(site.host.connections) == 1)
            drain(site.host)
            client.ask()
            await wait_until(lambda: site.connections[0].state is ConnectionState.CLOSING)
            abort(site.host)
            await wait_until(lambda: not site.host.connections)
            status, headers = await client.read_head()
            assert status == 200
            await client.read_body(int(headers["content-length"]))
            assert await client.reader.read() == b""  # not a reset

    run_in_loop(make_loop, main())


def test_a_stop_leaves_a_busy_connection_alone(make_loop: MakeLoop) -> None:
    gate: list[asyncio.Future[None]] = []

    async def wait_first(scope: Message, receive: Receive, send: Send) -> None:
        gate.append(asyncio.get_running_loop().create_future())
        await gate[0]
        await echo(scope, receive, send)

    async def main() -> None:
        async with Site(wait_first, timeout_keep_alive_min=0.05) as site:
            client = await site.connect()
            client.ask()
            await wait_until(lambda: bool(gate))
            drain(site.host)
            before = site.host.clock.now
            await wait_until(lambda: site.host.clock.now > before + 0.2)
            gate[0].set_result(None)
            status, headers = await client.read_head()
            assert (status, headers["connection"]) == (200, "close")

    run_in_loop(make_loop, main())


@pytest.mark.parametrize("keep_alive_s", [0.2, 0])
def test_idle_connections_are_closed_where_there_is_a_limit(make_loop: MakeLoop, keep_alive_s: float) -> None:
    async def main() -> None:
        async with Site(echo, timeout_keep_alive=keep_alive_s, timeout_keep_alive_min=0.1) as site:
            client = await site.connect()
            await client.fetch()
            if keep_alive_s == 0:
                before = site.host.clock.now
                await wait_until(lambda: site.host.clock.now > before + 0.3)
                await client.fetch()
                drain(site.host)
            assert await is_over(client)

    run_in_loop(make_loop, main())


@pytest.mark.parametrize("taken", [1, 2])
def test_connections_are_capped(make_loop: MakeLoop, taken: int) -> None:
    async def main() -> None:
        async with Site(echo, connections=2) as site:
            clients = [await site.connect() for _ in range(taken)]
            await wait_until(lambda: len(site.host.connections) == taken)
            late = await site.connect()
            if taken < 2:
                assert (await late.fetch())[0] == 200
            else:
                status, headers = await late.read_head()
                assert (status, headers["connection"]) == (503, "close")
                assert await is_over(late)
            assert (await clients[0].fetch())[0] == 200

    run_in_loop(make_loop, main())


def test_an_abort_is_a_reset(make_loop: MakeLoop) -> None:
    async def fail_late(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise ValueError("late")

    async def main() -> None:
        async with Site(fail_late) as site:
            client = await site.connect()
            client.ask()
            await client.read_head()
            await client.reader.readuntil(b"part\r\n")
            with pytest.raises(ConnectionResetError):
                await client.reader.read()
            assert [record.getMessage() for record in site.log if record.levelname == "ERROR"] == [
                "exception in the application: GET /"
            ]

    run_in_loop(make_loop, main())

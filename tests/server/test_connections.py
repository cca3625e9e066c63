"""`server.connections` on live sockets: what it lists, what it counts, and whom it closes without loss."""

import asyncio
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from fastserver import Config, Server
from fastserver._speedups.connection import LiveConnection
from fastserver.events import Closed, ConnectionState, RawData, Updated
from fastserver.metrics.process import read_resident_bytes
from fastserver.server.connections import ConnectionTable
from tests.e2e.applications import app as answer_as_asked
from tests.e2e.processes import Load
from tests.server.applications import (
    Message,
    Receive,
    Recorder,
    Send,
    answer,
    connect_blocking,
    open_stream,
    read_response,
    render_request,
)
from tests.site import LOOPS, Main, run_in_loop, wait_until

Run = Callable[[Main], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return lambda main: run_in_loop(LOOPS[request.param], main)


def make_config(**settings: Any) -> Config:
    return Config(**{"bind": "127.0.0.1:0", "timeout_keep_alive_min": 0.1, **settings})


def count(server: Server) -> dict[str, int]:
    return {state.value: number for state, number in server.connections.count().items()}


class Echo:
    """Says each read back; ``hold`` keeps it active."""

    def handle(self, event: RawData | Updated | Closed) -> list[Any] | None:
        if not isinstance(event, RawData):
            return None
        return [event, Updated(idle=False)] if event.data == b"hold" else [event]


def test_without_a_server_there_are_none() -> None:
    table = ConnectionTable(None)
    assert (len(table), list(table), table.get(1), table.count(), table.close_idle()) == (0, [], None, {}, 0)
    assert len(Server(Recorder(), make_config()).connections) == 0


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_each_connection_is_listed_with_its_facts(run: Run, family: str, tmp_path: Path) -> None:
    app = Recorder()
    bind = "127.0.0.1:0" if family == "tcp" else f"unix:{tmp_path / 'app.sock'}"

    async def main() -> None:
        before = time.time() - 1.5  # the clock that is read moves once a tick
        async with Server(app, make_config(bind=bind)) as server:
            reader, writer = await open_stream(server.addresses[0])
            writer.write(render_request("/one"))
            assert (await read_response(reader))[0] == 200
            (connection,) = server.connections
            assert isinstance(connection, LiveConnection)
            await wait_until(lambda: connection.state is ConnectionState.IDLE)
            assert server.connections.get(connection.id) is connection
            assert server.connections.get(connection.id + 1) is None
            assert (connection.protocol, connection.protocol_state) == ("http/1.1", "keep_alive")
            assert connection.requests == 1
            assert connection.bytes_in == len(render_request("/one"))
            assert connection.bytes_out > 4
            assert before < connection.opened <= connection.since <= time.time()
            if family == "tcp":
                assert connection.peer.client == writer.get_extra_info("sockname")
            assert connection.peer.scheme == "http"
            writer.write(render_request("/hold"))
            await app.holding.wait()
            assert (connection.state, connection.protocol_state) == (ConnectionState.ACTIVE, "processing")
            assert count(server) == {"active": 1}
            app.release.set()
            assert await read_response(reader) == (200, b"/hold")
            writer.close()
            await wait_until(lambda: len(server.connections) == 0)
            assert connection.state is ConnectionState.CLOSED
            connection.close()  # of one that is closed means nothing

    run(main())


def test_handlers_and_handshakes_are_listed_too(run: Run, tmp_path: Path) -> None:
    authority = trustme.CA()
    path = tmp_path / "server.pem"
    path.write_bytes(authority.issue_cert("localhost").private_key_and_cert_chain_pem.bytes())

    async def main() -> None:
        async with Server(Recorder(), make_config(certfile=str(path), protocols=[("127.0.0.1:0", Echo)])) as server:
            (address,) = server.protocol_addresses.values()
            with connect_blocking(address):
                await wait_until(lambda: count(server) == {"connecting": 1})
                (connection,) = server.connections
                assert (connection.protocol, connection.protocol_state, connection.requests) == ("", "", 0)
                assert server.connections.close_idle(0) == 0
            await wait_until(lambda: len(server.connections) == 0)
            assert connection.state is ConnectionState.CLOSED
            assert server.get_stats()["connections_opened"] == 0

    run(main())


def test_the_connections_of_a_handler_are_told_apart_by_their_protocol(run: Run) -> None:
    async def main() -> None:
        async with Server(Recorder(), make_config(protocols=[("127.0.0.1:0", Echo)])) as server:
            (address,) = server.protocol_addresses.values()
            name = f"{__name__}:Echo"
            reader, writer = await open_stream(address)
            writer.write(b"hold")
            assert await reader.readexactly(4) == b"hold"
            (connection,) = server.connections
            assert (connection.protocol, connection.protocol_state) == (name, "held")
            assert count(server) == {"active": 1}
            assert server.get_stats()["active_connections"] == 1
            assert server.connections.close_idle(0) == 0
            writer.close()
            await wait_until(lambda: len(server.connections) == 0)

    run(main())


def test_one_connection_is_closed_and_the_others_stay(run: Run) -> None:
    async def main() -> None:
        async with Server(Recorder(), make_config()) as server:
            streams = [await open_stream(server.addresses[0]) for _ in range(3)]
            for reader, writer in streams:
                writer.write(render_request("/"))
                await read_response(reader)
            await wait_until(lambda: count(server) == {"idle": 3})
            ports = {connection.peer.client[1]: connection for connection in server.connections}
            ports[streams[1][1].get_extra_info("sockname")[1]].close()
            assert await streams[1][0].read() == b""
            for reader, writer in (streams[0], streams[2]):
                writer.write(render_request("/again"))
                assert await read_response(reader) == (200, b"/again")
            for _, writer in streams:
                writer.close()

    run(main())


def test_a_busy_connection_is_closed_behind_its_answer(run: Run) -> None:
    app = Recorder()

    async def main() -> None:
        async with Server(app, make_config()) as server:
            reader, writer = await open_stream(server.addresses[0])
            writer.write(render_request("/hold"))
            await app.holding.wait()
            (connection,) = server.connections
            connection.close()
            connection.close()
            await asyncio.sleep(0)
            assert connection.state is ConnectionState.ACTIVE
            app.release.set()
            answer = await reader.read()
            assert answer.endswith(b"\r\n\r\n/hold")
            assert b"\r\nconnection: close\r\n" in answer
            writer.close()
            await wait_until(lambda: len(server.connections) == 0)

    run(main())


def test_only_what_is_idle_for_long_enough_is_closed(run: Run) -> None:
    app = Recorder()

    async def main() -> None:
        async with Server(app, make_config(timeout_write=0.2)) as server:  # ticks of 50 ms
            old, old_writer = await open_stream(server.addresses[0])
            await wait_until(lambda: count(server) == {"idle": 1})
            (connection,) = server.connections
            await wait_until(lambda: time.time() - connection.since > 0.5)
            young = await open_stream(server.addresses[0])
            busy = await open_stream(server.addresses[0])
            busy[1].write(render_request("/hold"))
            await app.holding.wait()
            await wait_until(lambda: server.connections.close_idle(0.3) == 1)
            assert await old.read() == b""
            old_writer.close()
            assert count(server) == {"idle": 1, "active": 1}
            assert server.connections.close_idle(600) == 0
            app.release.set()
            for reader, writer in (young, busy):
                if writer is young[1]:
                    writer.write(render_request("/young"))
                assert (await read_response(reader))[0] == 200
                writer.close()

    run(main())


def test_closing_idle_ones_again_and_again_loses_no_request() -> None:
    """What was at work a moment ago, or has just come, is left alone."""

    async def main() -> None:
        async with Server(answer_as_asked, make_config(timeout_keep_alive_min=1.0, lifespan="off")) as server:
            idle = [await open_stream(server.addresses[0]) for _ in range(20)]
            assert isinstance(server.addresses[0], tuple)
            load = Load(server.addresses[0][1])
            ends = asyncio.gather(*(reader.read() for reader, _ in idle))
            closed = 0
            while not ends.done():
                closed += server.connections.close_idle()
                await asyncio.sleep(0)
            assert await ends == [b""] * 20
            await load.wait_answers(100)
            await load.stop()
            assert (load.failures, load.outcomes["REFUSED"]) == ({}, 0)
            assert closed >= 20
            for _, writer in idle:
                writer.close()

    run_in_loop(LOOPS["uvloop"], main())


async def answer_empty(scope: Message, receive: Receive, send: Send) -> None:
    await answer(send, b"")


def test_ten_thousand_leave_nothing_behind() -> None:
    async def main() -> None:
        async with Server(answer_empty, make_config(observers=[lambda *event: None], lifespan="off")) as server:
            address = server.addresses[0]

            async def open_and_close(number: int) -> None:
                for _ in range(number):
                    reader, writer = await open_stream(address)
                    writer.write(render_request("/", "connection: close"))
                    assert (await read_response(reader))[0] == 200
                    writer.close()

            await asyncio.gather(*(open_and_close(20) for _ in range(50)))
            gc.collect()
            others = sum(issubclass(type(each), LiveConnection) for each in gc.get_objects())
            before = read_resident_bytes()
            for _ in range(10):
                await asyncio.gather(*(open_and_close(20) for _ in range(50)))
                await wait_until(lambda: len(server.connections) == 0)
            gc.collect()
            assert server.get_stats()["connections_opened"] == 11000
            assert server.connections.count() == {}
            assert read_resident_bytes() - before < 1 << 20  # 100 bytes each; a leaked one takes 2 KB
            # A test that failed before may hold connections of its own in its traceback.
            assert sum(issubclass(type(each), LiveConnection) for each in gc.get_objects()) <= others

    run_in_loop(LOOPS["uvloop"], main())

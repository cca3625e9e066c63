"""The stop of a server, step by step: its health check, the delay before the drain, and the deadline of its streams."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from fastserver import Config, Server
from tests.server.applications import (
    Address,
    Message,
    Receive,
    Recorder,
    Send,
    fetch,
    is_refused,
    open_stream,
    read_response,
    render_request,
)
from tests.site import LOOPS, Main, run_in_loop, wait_until

Run = Callable[[Main], None]
#: Longer than any test may take.
LONG_S = 600.0


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return lambda main: run_in_loop(LOOPS[request.param], main)


def make_server(app: Any, **settings: Any) -> Server:
    return Server(app, Config(**{"bind": "127.0.0.1:0", "timeout_keep_alive_min": 0.1, **settings}))


class Streams(Recorder):
    """``/events`` goes on until it is told; then it says so, and leaves its stream as it stands.  And WebSockets."""

    def __init__(self) -> None:
        super().__init__()
        self.open = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            self.open += 1
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})
        elif scope["type"] == "http" and scope["path"] == "/events":
            await receive()
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"data: open\n\n", "more_body": True})
            self.open += 1
            assert (await receive())["type"] == "http.disconnect"
            await send({"type": "http.response.body", "body": b"data: bye\n\n", "more_body": True})
        else:
            await super().__call__(scope, receive, send)


async def ask_health(address: Address) -> int:
    status, _ = await fetch(address, "/up")
    return status


# The health check and the delay.


def test_a_server_without_a_health_check_leaves_every_path_to_its_application(run: Run) -> None:
    async def main() -> None:
        async with make_server(Recorder()) as server:
            assert await fetch(server.addresses[0], "/up") == (200, b"/up")

    run(main())


def test_in_the_delay_everything_is_served_and_the_health_check_says_503(run: Run) -> None:
    async def main() -> None:
        app = Recorder()
        server = make_server(app, health_check_path="/up", metrics_bind="127.0.0.1:0", drain_delay=LONG_S)
        await server.start()
        address = server.addresses[0]
        reader, writer = await open_stream(address)
        writer.write(render_request("/before"))
        await read_response(reader)
        assert await ask_health(address) == 200
        assert (await fetch(server.metrics_addresses[0], "/ready"))[0] == 200
        stopping = asyncio.create_task(server.shutdown())
        await asyncio.sleep(0)
        assert await ask_health(address) == 503
        assert (await fetch(server.metrics_addresses[0], "/ready"))[0] == 503
        assert (await fetch(server.metrics_addresses[0], "/live"))[0] == 200
        assert await fetch(address, "/new") == (200, b"/new")
        for path in ("/kept", "/alive"):
            writer.write(render_request(path))
            assert await read_response(reader) == (200, path.encode())
        assert server.started
        await server.shutdown(timeout=0)  # a second call ends the delay too
        await stopping
        assert is_refused(address)
        writer.close()
        assert app.heard == ["lifespan.startup", "lifespan.shutdown"]

    run(main())


def test_behind_the_delay_the_server_drains(run: Run) -> None:
    async def main() -> None:
        app = Recorder()
        server = make_server(app, drain_delay=0.05)
        await server.start()
        request = asyncio.create_task(fetch(server.addresses[0], "/hold"))
        await app.holding.wait()
        stopping = asyncio.create_task(server.shutdown())
        await wait_until(lambda: is_refused(server.addresses[0]))
        app.release.set()
        assert await request == (200, b"/hold")
        await stopping

    run(main())


@pytest.mark.parametrize("options", [{"delay": 0}, {"timeout": 0}, {"shared": True}, {"timeout": 0.01, "delay": 0.01}])
def test_whoever_stops_it_may_spare_the_delay(run: Run, options: dict[str, Any]) -> None:
    async def main() -> None:
        server = make_server(Recorder(), drain_delay=LONG_S)
        await server.start()
        await server.shutdown(**options)
        assert not server.started

    run(main())


def test_a_cancelled_delay_leaves_nothing(run: Run) -> None:
    async def main() -> None:
        app = Recorder()
        server = make_server(app, drain_delay=LONG_S)
        await server.start()
        stopping = asyncio.create_task(server.shutdown())
        await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait({stopping})
        assert not server.started
        assert app.heard == ["lifespan.startup", "lifespan.shutdown"]

    run(main())


def test_a_server_that_retires_beside_others_stays_ready(run: Run) -> None:
    """The others serve, and go on: what is asked on its open connections is answered for the server as a whole."""

    async def main() -> None:
        app = Recorder()
        server = make_server(app, health_check_path="/up", timeout_keep_alive_min=LONG_S)
        await server.start()
        reader, writer = await open_stream(server.addresses[0])
        writer.write(render_request("/"))
        await read_response(reader)
        stopping = asyncio.create_task(server.shutdown(shared=True))
        await wait_until(lambda: is_refused(server.addresses[0]))
        writer.write(render_request("/up"))
        assert await read_response(reader) == (200, b"ready\n")
        assert await reader.read() == b""
        writer.close()
        await stopping

    run(main())


def test_a_server_can_be_withdrawn_without_a_stop(run: Run) -> None:
    async def main() -> None:
        server = make_server(Recorder(), health_check_path="/up")
        server.withdraw()
        await server.start()
        assert await ask_health(server.addresses[0]) == 503
        assert await fetch(server.addresses[0], "/") == (200, b"/")
        await server.shutdown()

    run(main())


# Streams.


async def open_events(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await open_stream(address)
    writer.write(render_request("/events"))
    await reader.readuntil(b"data: open\n\n\r\n")
    return reader, writer


def test_streams_are_told_at_their_deadline_and_requests_go_on(run: Run) -> None:
    async def main() -> None:
        app = Streams()
        server = make_server(app, timeout_stream_shutdown=0.05, timeout_graceful_shutdown=LONG_S)
        await server.start()
        address = server.addresses[0]
        request = asyncio.create_task(fetch(address, "/hold"))
        await app.holding.wait()
        reader, writer = await open_events(address)
        async with connect(f"ws://127.0.0.1:{address[1]}/") as session:
            stopping = asyncio.create_task(server.shutdown())
            with pytest.raises(ConnectionClosed):
                await session.recv()
            assert session.close_code == 1012
        assert await reader.read() == b"b\r\ndata: bye\n\n\r\n0\r\n\r\n"
        writer.close()
        assert not stopping.done()
        assert app.cancelled == []
        app.release.set()
        assert await request == (200, b"/hold")
        await stopping

    run(main())


def test_streams_go_on_until_their_deadline(run: Run) -> None:
    async def main() -> None:
        app = Streams()
        server = make_server(app, timeout_stream_shutdown=LONG_S, timeout_graceful_shutdown=2 * LONG_S)
        await server.start()
        address = server.addresses[0]
        reader, writer = await open_events(address)
        async with connect(f"ws://127.0.0.1:{address[1]}/") as session:
            stopping = asyncio.create_task(server.shutdown())
            await wait_until(lambda: is_refused(address))
            await session.send("still")
            assert await session.recv() == "still"
        assert not stopping.done()
        await server.shutdown(timeout=0)
        assert (await reader.read()).endswith(b"0\r\n\r\n")
        writer.close()
        await stopping

    run(main())


def test_a_session_that_begins_in_the_stop_is_served_until_the_deadline(run: Run) -> None:
    async def main() -> None:
        app = Streams()
        settings = {"timeout_stream_shutdown": LONG_S, "timeout_graceful_shutdown": LONG_S}
        server = make_server(app, timeout_keep_alive_min=LONG_S, **settings)
        await server.start()
        address = server.addresses[0]
        sock = (await open_stream(address))[1]
        await fetch(address)
        stopping = asyncio.create_task(server.shutdown())
        await wait_until(lambda: is_refused(address))
        transport_socket = sock.get_extra_info("socket").dup()
        async with connect(f"ws://127.0.0.1:{address[1]}/", sock=transport_socket) as session:
            await session.send("late")
            assert await session.recv() == "late"
            await server.shutdown(timeout=0)
            with pytest.raises(ConnectionClosed):
                await session.recv()
            assert session.close_code == 1012
        sock.transport.abort()
        await stopping

    run(main())


def test_with_a_short_grace_streams_are_told_before_anything_is_cancelled(run: Run) -> None:
    async def main() -> None:
        app = Streams()
        server = make_server(app, timeout_graceful_shutdown=0.05)
        await server.start()
        reader, writer = await open_events(server.addresses[0])
        await server.shutdown()
        assert (await reader.read()).endswith(b"data: bye\n\n\r\n0\r\n\r\n")
        writer.close()

    run(main())


def test_a_stream_that_begins_behind_the_deadline_is_told_too(run: Run) -> None:
    async def main() -> None:
        begin = asyncio.Event()
        streams = Streams()

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await begin.wait()
            await streams(scope, receive, send)

        server = make_server(app, timeout_stream_shutdown=0, timeout_graceful_shutdown=LONG_S)
        await server.start()
        reader, writer = await open_stream(server.addresses[0])
        writer.write(render_request("/events"))
        await wait_until(lambda: len(server.connections) == 1)
        stopping = asyncio.create_task(server.shutdown())
        await wait_until(lambda: is_refused(server.addresses[0]))
        begin.set()
        assert (await reader.read()).endswith(b"data: bye\n\n\r\n0\r\n\r\n")
        writer.close()
        await stopping

    run(main())

"""Sessions with the `websockets` client over real sockets, under both loops."""

import asyncio
from typing import Any

import pytest

from fastserver._speedups.http import HTTPApplication
from fastserver._speedups.websocket.settings import WebSocketSettings
from tests.exchange.sessions import Talk
from tests.fakes import App
from tests.site import LOOPS, Site, run_in_loop, wait_until

websockets = pytest.importorskip("websockets.asyncio.client")
exceptions = pytest.importorskip("websockets.exceptions")

pytestmark = pytest.mark.parametrize("make_loop", LOOPS.values(), ids=LOOPS)


def serve(app: App, **settings: Any) -> Site:
    """A site that serves WebSockets."""
    site = Site(app)
    site.host.application = HTTPApplication(app, site.host, websocket=WebSocketSettings(**settings))
    return site


def connect(site: Site, **options: Any) -> Any:
    host, port = site.address
    return websockets.connect(f"ws://{host}:{port}/chat", proxy=None, max_size=None, **options)


@pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflate"])
def test_echo(make_loop: Any, deflate: bool) -> None:
    messages: list[str | bytes] = ["", "caf\u00e9", b"", b"\0" * 125, "x" * 126, bytes(65_536), "y" * 300_000]

    async def main() -> None:
        talk = Talk(subprotocol="b")
        async with serve(talk, per_message_deflate=deflate) as site:
            async with connect(site, subprotocols=["a", "b"], compression="deflate" if deflate else None) as client:
                assert client.subprotocol == "b"
                for message in messages:
                    await client.send(message)
                    assert await client.recv() == message
                # In fragments.
                await client.send(["one ", "message"])
                assert await client.recv() == "one message"
                await (await client.ping())
                await client.close(3000, "done")
            assert (client.close_code, client.close_reason) == (3000, "")
            await wait_until(lambda: not site.host.connections)
            assert talk.told == [*messages, "one message", (3000, "done")]
            assert site.failures == []
            assert [record[1] for record in site.access] == [101]

    run_in_loop(make_loop, main())


def test_close_by_the_server(make_loop: Any) -> None:
    async def main() -> None:
        talk = Talk(lambda talk: talk.close(4001, "go away"))
        async with serve(talk) as site:
            async with connect(site) as client:
                with pytest.raises(exceptions.ConnectionClosed):
                    await client.recv()
            assert (client.close_code, client.close_reason) == (4001, "go away")
            await wait_until(lambda: not site.host.connections)

    run_in_loop(make_loop, main())


def test_denial(make_loop: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"because")]})
        await send({"type": "websocket.http.response.body", "body": b"no"})

    async def main() -> None:
        async with serve(app) as site:
            with pytest.raises(exceptions.InvalidStatus) as caught:
                await connect(site)
            response = caught.value.response
            assert (response.status_code, response.headers["x-why"], response.body) == (401, "because", b"no")
            await wait_until(lambda: not site.host.connections)

    run_in_loop(make_loop, main())


def test_both_sides_wait_for_each_other(make_loop: Any) -> None:
    """A client that does not read stops the application; one that is not read is stopped by it; nothing is lost."""
    count = 200
    block = bytes(50_000)

    async def main() -> None:
        gate = asyncio.Event()
        received: list[int] = []

        async def body(talk: Talk) -> None:
            for _ in range(count):
                await talk.send({"type": "websocket.send", "bytes": block})
            await gate.wait()
            while (message := await talk.receive())["type"] == "websocket.receive":
                received.append(len(message["bytes"]))

        async with serve(Talk(body), max_queue=2) as site:
            async with connect(site, compression=None, max_queue=1) as client:
                assert [await client.recv() for _ in range(count)] == [block] * count
                sending = asyncio.ensure_future(send_all(client))
                await asyncio.wait({sending}, timeout=0.1)
                assert not sending.done()
                gate.set()
                await sending
            await wait_until(lambda: not site.host.connections)
            assert received == [len(block)] * count
            assert site.failures == []

    async def send_all(client: Any) -> None:
        for _ in range(count):
            await client.send(block)

    run_in_loop(make_loop, main())

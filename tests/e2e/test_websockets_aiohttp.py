"""WebSockets as the client of ``aiohttp`` speaks them, over TCP and TLS."""

import asyncio
import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType

from tests.e2e.conftest import Served
from tests.e2e.processes import PATIENCE_S

APP = "tests.e2e.websocket_application:app"
ARGUMENTS = ["--ws-per-message-deflate", "true"]
MIB = 1 << 20


def run(talk: Any, site: Served, trust: ssl.SSLContext, path: str = "/", **options: Any) -> None:
    """Let ``talk`` use a session."""

    async def main() -> None:
        async with aiohttp.ClientSession() as client:
            url = site.ws.rstrip("/") + path
            async with client.ws_connect(url, ssl=trust, max_msg_size=0, **options) as session:
                await talk(session)

    async def bounded() -> None:
        await asyncio.wait_for(main(), PATIENCE_S)

    asyncio.run(bounded())


Session = aiohttp.ClientWebSocketResponse


@pytest.mark.parametrize("compress", [0, 15])
def test_text_binary_and_much_of_both(site: Served, trust: ssl.SSLContext, compress: int) -> None:
    async def talk(session: Session) -> None:
        assert bool(session.compress) is bool(compress)
        for size in (0, 10, 70_000, MIB):
            await session.send_str("ü" * size)
            assert await session.receive_str() == "ü" * size
            await session.send_bytes(bytes(size))
            assert await session.receive_bytes() == bytes(size)

    run(talk, site, trust, compress=compress)


def test_pings_and_heartbeats(site: Served, trust: ssl.SSLContext) -> None:
    async def talk(session: Session) -> None:
        await session.ping(b"payload")
        message = await session.receive()
        assert (message.type, message.data) == (WSMsgType.PONG, b"payload")

    run(talk, site, trust, autoping=False)


def test_the_clients_close(site: Served, trust: ssl.SSLContext) -> None:
    async def talk(session: Session) -> None:
        assert await session.close(code=4242, message=b"bye")
        assert session.close_code == 4242

    run(talk, site, trust)


@pytest.mark.parametrize(("path", "code", "reason"), [("/tell", 3001, "told"), ("/return", 1000, "")])
def test_the_servers_close(site: Served, trust: ssl.SSLContext, path: str, code: int, reason: str) -> None:
    async def talk(session: Session) -> None:
        async for message in session:
            assert message.type is WSMsgType.TEXT
        assert session.close_code == code

    run(talk, site, trust, path)


def test_subprotocols(site: Served, trust: ssl.SSLContext) -> None:
    async def talk(session: Session) -> None:
        assert session.protocol == "two"
        assert (await session.receive_str()).endswith(" 1.1 one,two")

    run(talk, site, trust, "/tell", protocols=("one", "two"))


def test_a_denial_has_its_status_and_fields(site: Served, trust: ssl.SSLContext) -> None:
    async def talk(session: Session) -> None:
        raise AssertionError("it is denied")

    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        run(talk, site, trust, "/deny")
    assert caught.value.status == 401
    assert caught.value.headers is not None
    assert caught.value.headers["www-authenticate"] == "Basic"


def test_the_connection_of_a_denial_is_not_used_again_wrongly(site: Served, trust: ssl.SSLContext) -> None:
    """One pool for requests and sessions, as an application of aiohttp's has it."""

    async def main() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, limit=1)) as client:
            for _ in range(5):
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await client.ws_connect(site.ws.rstrip("/") + "/deny")
                async with client.get(site.url()) as answer:
                    assert answer.status == 200
                    await answer.read()
                async with client.ws_connect(site.ws) as session:
                    await session.send_str("x")
                    assert await session.receive_str() == "x"

    async def bounded() -> None:
        await asyncio.wait_for(main(), PATIENCE_S)

    asyncio.run(bounded())

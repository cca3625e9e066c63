"""A server with its real parts: what a request over HTTP/3 meets on its way, and how the server stops under it."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fastserver import Config, Server
from tests.certificates import CERTIFICATE
from tests.server.applications import Recorder
from tests.site import run_in_loop

pytest.importorskip("aioquic")

from aioquic.h3.connection import ErrorCode

from tests.h3live import H3Client, make_config, turn_until


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_config(tmp_path, timeout_keep_alive_min=0.1, timeout_graceful_shutdown=5)


def test_a_request_and_its_response(new_loop: Any, config: Config, caplog: pytest.LogCaptureFixture) -> None:
    app = Recorder()

    async def main() -> None:
        async with Server(app, config) as server, H3Client(server) as client:
            answer = await client.fetch("/a?b")
            assert (answer.status, answer.body) == (200, b"/a")
            assert "alt-svc" not in answer.heads[0]
            (connection,) = server.connections
            assert (connection.protocol, connection.requests) == ("h3", 1)
            assert server.get_stats()["requests"]["h3"]

    run_in_loop(new_loop, main())
    (scope,) = app.scopes
    assert (scope["http_version"], scope["scheme"], scope["query_string"]) == ("3", "https", b"b")
    tls = scope["extensions"]["tls"]
    assert tls["server_cert"] == CERTIFICATE.cert_chain_pems[0].bytes().decode()
    assert (tls["tls_version"], tls["client_cert_chain"]) == (0x0304, [])
    assert tls["cipher_suite"] in (0x1301, 0x1302, 0x1303)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_stop_loses_no_request(new_loop: Any, config: Config) -> None:
    """What is open is finished, and then QUIC ends by H3_NO_ERROR."""
    app = Recorder()

    async def main() -> None:
        server = Server(app, config)
        await server.start()
        async with H3Client(server) as client:
            held = asyncio.ensure_future(client.fetch("/hold"))
            await app.holding.wait()
            stopping = asyncio.ensure_future(server.shutdown())
            while not server.should_exit:
                await asyncio.sleep(0)
            app.release.set()
            answer = await held
            assert (answer.status, answer.body) == (200, b"/hold")
            await stopping
            await turn_until(lambda: client.terminated)
            assert client.terminated is not None
            assert client.terminated.error_code == ErrorCode.H3_NO_ERROR

    run_in_loop(new_loop, main())


def test_a_stop_that_is_forced_waits_for_nobody(new_loop: Any, config: Config) -> None:
    app = Recorder()

    async def main() -> None:
        server = Server(app, config)
        await server.start()
        async with H3Client(server) as client:
            held = asyncio.ensure_future(client.fetch("/hold"))
            await app.holding.wait()
            await server.shutdown(timeout=0)
            assert len(server.connections) == 0
            assert (await held).status == 500

    run_in_loop(new_loop, main())
    assert app.cancelled == ["/hold"]

"""A server with its real parts, and a client of aioquic's own: what a request over HTTP/3 meets on its way."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from fastserver import Config, Server
from tests.server.applications import Recorder
from tests.site import run_in_loop

pytest.importorskip("aioquic")

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost")


class Client(QuicConnectionProtocol):
    """One connection; ``fetch`` gives the fields and the body of a response, ``ended`` how QUIC has ended."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.events: dict[int, list[H3Event]] = {}
        self.done: dict[int, asyncio.Future[None]] = {}
        self.ended: asyncio.Future[ConnectionTerminated] = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            self.ended.set_result(event)
        for each in self.http.handle_event(event):
            assert isinstance(each, (HeadersReceived, DataReceived))
            self.events[each.stream_id].append(each)
            if each.stream_ended:
                self.done[each.stream_id].set_result(None)

    async def fetch(self, path: str) -> tuple[dict[bytes, bytes], bytes]:
        stream = self._quic.get_next_available_stream_id()
        self.events[stream], self.done[stream] = [], asyncio.get_running_loop().create_future()
        fields = {":method": "GET", ":scheme": "https", ":authority": "localhost", ":path": path}
        self.http.send_headers(stream, [(name.encode(), value.encode()) for name, value in fields.items()], True)
        self.transmit()
        await self.done[stream]
        heads = [each.headers for each in self.events[stream] if isinstance(each, HeadersReceived)]
        parts = [each.data for each in self.events[stream] if isinstance(each, DataReceived)]
        return dict(heads[0]), b"".join(parts)


@asynccontextmanager
async def open_client(server: Server) -> AsyncIterator[Client]:
    (address,) = server.quic_addresses
    configuration = QuicConfiguration(alpn_protocols=["h3"], server_name="localhost")
    configuration.load_verify_locations(cadata=AUTHORITY.cert_pem.bytes())
    async with connect(*address, configuration=configuration, create_protocol=Client) as client:
        assert isinstance(client, Client)
        yield client


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "server.pem"
    CERTIFICATE.private_key_and_cert_chain_pem.write_to_path(str(path))
    return Config(
        bind="127.0.0.1:0",
        quic_bind="127.0.0.1:0",
        certfile=str(path),
        timeout_keep_alive_min=0.1,
        timeout_graceful_shutdown=5,
    )


def test_a_request_and_its_response(new_loop: Any, config: Config, caplog: pytest.LogCaptureFixture) -> None:
    app = Recorder()

    async def main() -> None:
        async with Server(app, config) as server, open_client(server) as client:
            fields, body = await client.fetch("/a?b")
            assert (fields[b":status"], body) == (b"200", b"/a")
            assert b"alt-svc" not in fields
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
        async with open_client(server) as client:
            held = asyncio.ensure_future(client.fetch("/hold"))
            await app.holding.wait()
            stopping = asyncio.ensure_future(server.shutdown())
            while not server.should_exit:
                await asyncio.sleep(0)
            app.release.set()
            fields, body = await held
            assert (fields[b":status"], body) == (b"200", b"/hold")
            await stopping
            assert (await client.ended).error_code == ErrorCode.H3_NO_ERROR

    run_in_loop(new_loop, main())


def test_a_stop_that_is_forced_waits_for_nobody(new_loop: Any, config: Config) -> None:
    app = Recorder()

    async def main() -> None:
        server = Server(app, config)
        await server.start()
        async with open_client(server) as client:
            held = asyncio.ensure_future(client.fetch("/hold"))
            await app.holding.wait()
            await server.shutdown(timeout=0)
            assert len(server.connections) == 0
            fields, _ = await held
            assert fields[b":status"] == b"500"

    run_in_loop(new_loop, main())
    assert app.cancelled == ["/hold"]

"""A live server of HTTP/3 in this loop, and an HTTP/3 client by aioquic that counts its datagrams and may move."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fastserver import Config, Server
from tests.certificates import AUTHORITY, write_server_pem

pytest.importorskip("aioquic")

from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, StreamReset

PATIENCE_S = 10.0

App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass
class Answer:
    """What came on one stream; ``reset`` is the code by which it was cut."""

    heads: list[dict[str, str]] = field(default_factory=list)
    body: bytes = b""
    over: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.heads[-1][":status"]) if self.heads else 0


def make_config(folder: Path, **settings: Any) -> Config:
    """Of a server with TLS and HTTP/3 on ports of its own choice."""
    path = write_server_pem(folder)
    given = {"bind": "127.0.0.1:0", "quic_bind": "127.0.0.1:0", "certfile": path, "timeout_graceful_shutdown": 3}
    return Config(**{**given, **settings})


def make_context() -> ssl.SSLContext:
    """What a client over TCP trusts."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


async def turn_until(condition: Callable[[], object]) -> None:
    """Let the loop turn until ``condition`` holds."""

    async def turn() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(turn(), PATIENCE_S)


class H3Client(asyncio.DatagramProtocol):
    """One connection; use it as a context manager.

    ``local`` is where the server sees it, ``sent`` and ``received`` are the sizes of its datagrams, and
    ``tokens`` those of NEW_TOKEN, of which it shows one that it is given.  One that ``keeps_silent`` takes nothing of
    what the server says.
    """

    def __init__(
        self, server: Server, *, alpn: list[str] | None = None, keeps_silent: bool = False, token: bytes = b""
    ) -> None:
        configuration = QuicConfiguration(is_client=True, alpn_protocols=alpn or H3_ALPN, server_name="localhost")
        configuration.token = token
        configuration.load_verify_locations(cadata=AUTHORITY.cert_pem.bytes())
        configuration.verify_mode = ssl.CERT_REQUIRED
        self.tokens: list[bytes] = []
        self.quic = QuicConnection(configuration=configuration, token_handler=self.tokens.append)
        self.http = H3Connection(self.quic)
        self.sent: list[int] = []
        self.received: list[int] = []
        self.answers: dict[int, Answer] = {}
        self.terminated: ConnectionTerminated | None = None
        self._keeps_silent = keeps_silent
        self._to = server.quic_addresses[0]
        self.local = ("", 0)
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> "H3Client":
        await self.move()
        self.quic.connect(self._to, self._loop.time())
        self.flush()
        return self

    async def __aexit__(self, *exception: object) -> None:
        if not self._transport.is_closing():
            self.quic.close(0x100)
            self.flush()
            self.vanish()

    async def move(self, host: str = "127.0.0.1") -> None:
        """Go on from another address, as after a NAT has forgotten."""
        old = self._transport
        self._transport, _ = await self._loop.create_datagram_endpoint(lambda: self, local_addr=(host, 0))
        self.local = self._transport.get_extra_info("sockname")
        if old is not None:
            old.close()

    def send_raw(self, data: bytes) -> None:
        """Send what is no packet of this connection."""
        self._transport.sendto(data, self._to)

    def vanish(self) -> None:
        """Say nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport.close()

    def begin(
        self,
        path: str = "/",
        *fields: tuple[str, str],
        method: str = "GET",
        body: bytes | None = None,
        ends: bool = True,
        **pseudo: str,
    ) -> int:
        """A request: its stream."""
        stream = self.quic.get_next_available_stream_id()
        self.answers[stream] = Answer()
        head = {":method": method, ":scheme": "https", ":authority": "localhost", ":path": path}
        head |= {f":{name}": value for name, value in pseudo.items()}
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in (*head.items(), *fields)]
        self.http.send_headers(stream, encoded, end_stream=ends and body is None)
        if body is not None:
            self.http.send_data(stream, body, end_stream=ends)
        self.flush()
        return stream

    def say(self, stream: int, data: bytes, ends: bool = False) -> None:
        self.http.send_data(stream, data, end_stream=ends)
        self.flush()

    async def finish(self, stream: int) -> Answer:
        """The answer, when it is whole or cut."""
        answer = self.answers[stream]
        await turn_until(lambda: answer.over or answer.reset is not None or self.terminated)
        return answer

    async def fetch(self, path: str = "/", *fields: tuple[str, str], **options: Any) -> Answer:
        return await self.finish(self.begin(path, *fields, **options))

    # What the loop calls.

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.received.append(len(data))
        if self._keeps_silent and self.sent[1:]:
            return
        self.quic.receive_datagram(data, address, self._loop.time())
        self.flush()

    def flush(self) -> None:
        """Take what has come, and say what there is to say."""
        while (event := self.quic.next_event()) is not None:
            if isinstance(event, ConnectionTerminated):
                self.terminated = event
            elif isinstance(event, StreamReset) and event.stream_id in self.answers:
                self.answers[event.stream_id].reset = event.error_code
            for found in self.http.handle_event(event):
                self._take(found)
        for data, address in self.quic.datagrams_to_send(self._loop.time()):
            self.sent.append(len(data))
            self._transport.sendto(data, address)
        if self._timer is not None:
            self._timer.cancel()
        due = self.quic.get_timer()
        self._timer = None if due is None else self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self.quic.handle_timer(self._loop.time())
        self.flush()

    def _take(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            answer = self.answers[event.stream_id]
            answer.heads.append({name.decode(): value.decode("latin-1") for name, value in event.headers})
            answer.over |= event.stream_ended
        elif isinstance(event, DataReceived):
            answer = self.answers[event.stream_id]
            answer.body += event.data
            answer.over |= event.stream_ended

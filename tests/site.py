"""An application served on a real socket by the running loop, and a client that reads as slowly as a test wants.

`Site` puts `TCPConnection` behind the loop's own server, with the hooks for files and the tick that a worker gives it.
"""

import asyncio
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable, Coroutine
from logging import LogRecord
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import trustme
import uvloop

from fastserver._speedups.connection import abort, sweep
from fastserver._speedups.contract import Host
from fastserver._speedups.http import HTTPApplication
from fastserver._speedups.tcp import TCPConnection
from fastserver.exchange.pathsend import send_path
from fastserver.server.pipeline import Pipeline
from fastserver.transport.sendfile import send_file
from tests.fakes import App, make_host, make_log

Main: TypeAlias = Coroutine[Any, Any, None]

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
TICK_S = 0.02
AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost")


def run_in_loop(make_loop: Callable[[], asyncio.AbstractEventLoop], main: Main) -> None:
    """Run `main` in a loop of its own, and see that it leaves no task, no descriptor and no fault of the loop."""
    loop = make_loop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: faults.append(context))

    async def checked() -> None:
        await loop.getaddrinfo("127.0.0.1", 1)  # starts what the loop keeps: an executor
        before = list_descriptors()
        await asyncio.wait_for(main, 30)
        await wait_until(lambda: asyncio.all_tasks() == {asyncio.current_task()}, 5)
        await wait_until(lambda: len(list_descriptors()) <= len(before), 5)

    try:
        loop.run_until_complete(checked())
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    assert faults == []


def list_descriptors() -> dict[str, str]:
    """What every open descriptor of this process leads to, where the system tells; without a loop's own."""
    found = {}
    if os.path.isdir("/proc/self/fd"):
        for name in os.listdir("/proc/self/fd"):
            try:
                target = os.readlink(f"/proc/self/fd/{name}")
            except FileNotFoundError:  # the listing's own
                continue
            if not target.startswith(("anon_inode:", "/dev/")):
                found[name] = target
    return found


def count_open(path: Path) -> int:
    """How many descriptors of this process lead to the file at `path`."""
    return list(list_descriptors().values()).count(str(path))


async def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Turn the loop until `condition` holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "a condition that never came true"
        await asyncio.sleep(0.001)


class Site:
    """`app` on a socket of `family` ("tcp", "unix" or "tls"); `limits` override the defaults.

    `send_buffer` is the size of the socket's send buffer, small so that a file does not fit into it.
    """

    def __init__(
        self, app: App, family: str = "tcp", /, path: Path | None = None, send_buffer: int = 0, **limits: float
    ) -> None:
        self.family = family
        self.log: list[LogRecord]
        error_log, self.log = make_log()
        self.host: Host = make_host(app, asyncio.get_running_loop(), error_log, **limits)
        self.host.application = HTTPApplication(app, self.host, "", send_path)
        self.host.send_file = send_file
        self.access: list[tuple[Any, ...]] = []
        self.host.access_log = lambda *record: self.access.append(record)
        self.path = path
        self.connections: list[TCPConnection] = []
        self._send_buffer = send_buffer
        self._timer: asyncio.TimerHandle | None = None
        self._clients: list[Client] = []

    @property
    def failures(self) -> list[str]:
        """What the error log holds above debug level."""
        return [record.getMessage() for record in self.log if record.levelname != "DEBUG"]

    @property
    def address(self) -> Any:
        """Where it listens."""
        return self._socket.getsockname()

    def make_connection(self) -> TCPConnection:
        """What the next client gets."""
        self.connections.append(TCPConnection(self.host, Pipeline()))
        return self.connections[-1]

    async def __aenter__(self) -> "Site":
        if self.family == "unix":
            assert self.path is not None
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(str(self.path))
        else:
            self._socket = socket.socket()
            self._socket.bind(("127.0.0.1", 0))
        if self._send_buffer:
            # What is accepted inherits it.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer)
        context = None
        if self.family == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            CERTIFICATE.configure_cert(context)
        create = self.host.loop.create_unix_server if self.family == "unix" else self.host.loop.create_server
        self._server = await create(self.make_connection, sock=self._socket, ssl=context)
        self._tick()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.close()
        self._server.close()
        abort(self.host)
        await wait_until(lambda: not self.host.connections and not self.host.tasks)
        assert self._timer is not None
        self._timer.cancel()

    def _tick(self) -> None:
        loop = self.host.loop
        self.host.clock.tick(loop.time(), time.time())
        sweep(self.host)
        self._timer = loop.call_later(TICK_S, self._tick)

    async def connect(self, receive_buffer: int = 0) -> "Client":
        """A new client; with `receive_buffer` bytes in its kernel it soon fills up."""
        sock = socket.socket(socket.AF_UNIX if self.family == "unix" else socket.AF_INET)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await self.host.loop.sock_connect(sock, self.address)
        context = None
        if self.family == "tls":
            context = ssl.create_default_context()
            AUTHORITY.configure_trust(context)
        name = "localhost" if context else None
        reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=name, limit=16384)
        self._clients.append(Client(reader, writer, sock))
        return self._clients[-1]


class Client:
    """One connection to a `Site`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sock: socket.socket) -> None:
        self.reader = reader
        self._writer = writer
        self._sock = sock

    def ask(self, target: str = "/", method: str = "GET", *fields: str) -> None:
        """Send a request."""
        lines = [f"{method} {target} HTTP/1.1", "host: localhost", *fields]
        self.send("\r\n".join([*lines, "", ""]).encode("ascii"))

    def send(self, data: bytes) -> None:
        """Send `data` as it is."""
        self._writer.write(data)

    async def read_head(self) -> tuple[int, dict[str, str]]:
        """The next response's status and fields."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        status, *fields = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        pairs = [field.split(": ", 1) for field in fields]
        return int(status.split()[1]), {name.lower(): value for name, value in pairs}

    async def read_body(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        pieces = []
        while size > 0:
            pieces.append(await self.reader.readexactly(min(size, 65536)))
            size -= len(pieces[-1])
        return b"".join(pieces)

    async def fetch(self, target: str = "/", method: str = "GET", *fields: str) -> tuple[int, dict[str, str], bytes]:
        """Ask, and read the whole response."""
        self.ask(target, method, *fields)
        status, headers = await self.read_head()
        return status, headers, await self.read_body(0 if method == "HEAD" else int(headers["content-length"]))

    async def read_rest(self) -> bytes:
        """All bytes to the end of the connection, clean or not."""
        pieces = []
        try:
            while piece := await self.reader.read(65536):
                pieces.append(piece)
        except OSError:
            pass
        return b"".join(pieces)

    def stop_reading(self) -> None:
        """Take no more of what the server sends, the end of TLS included."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def close_half(self) -> None:
        """Say that no more is coming."""
        self._writer.write_eof()

    def reset(self) -> None:
        """Drop the connection so that the server is told at once, whatever is unread."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Drop the connection."""
        self._writer.transport.abort()

"""Applications and clients that the server's tests share."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Address = tuple[str, int] | str


async def answer(send: Send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Recorder:
    """Follows the lifespan protocol, answers ``/hold`` once ``release`` is set, ``/stubborn`` never, others at once."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.scopes: list[Message] = []
        self.cancelled: list[str] = []
        self.holding = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for kind in ("lifespan.startup", "lifespan.shutdown"):
                assert (await receive())["type"] == kind
                self.heard.append(kind)
                scope["state"]["since"] = "startup"
                await send({"type": f"{kind}.complete"})
            return
        self.scopes.append(scope)
        path = scope["path"]
        if path == "/hold":
            await self.hold(path)
        elif path == "/stubborn":
            while not self.release.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.hold(path)
        await answer(send, path.encode())

    async def hold(self, path: str) -> None:
        self.holding.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.append(path)
            raise


async def open_stream(address: Address, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(address, str):
        return await asyncio.open_unix_connection(address, **options)
    return await asyncio.open_connection(*address, **options)


def render_request(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "host: test", *headers, "", ""]).encode()


async def read_response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one response with a content-length; the head is checked to be whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:-2])
    return int(lines[0].split()[1]), await reader.readexactly(int(fields["content-length"]))


async def fetch(address: Address, path: str = "/", **options: Any) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    reader, writer = await open_stream(address, **options)
    try:
        writer.write(render_request(path))
        return await read_response(reader)
    finally:
        writer.close()


def connect_blocking(address: Address) -> socket.socket:
    """A connection that the kernel has made and queued, without a turn of any loop."""
    client = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    client.settimeout(5)
    client.connect(address)
    return client


def is_refused(address: Address) -> bool:
    """Whether a new connection would be refused.  Where the kernel tells, no client tries: a sealed port ignores it."""
    if isinstance(address, tuple) and os.path.exists("/proc/net/tcp"):
        return not any(port == address[1] for port in list_listening_ports())
    try:
        connect_blocking(address).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    return False


def list_listening_ports() -> list[int]:
    """TCP ports in state LISTEN, from the kernel's table."""
    ports = []
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(name, encoding="ascii") as table:
            rows = [line.split() for line in table][1:]
        ports += [int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"]
    return ports

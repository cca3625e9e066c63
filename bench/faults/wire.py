"""One TCP connection of the client, with or without TLS: what has arrived, and how it ended.

Before a request goes out on a connection that was idle, ``is_open`` asks the kernel whether the server's FIN or RST has
arrived, so that only what the server does *after* the request was sent is held against it.
"""

import asyncio
import contextlib
import hashlib
import select
import socket
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import cast

#: Loop turns in which what the kernel holds has to have been read.
_TURNS = 50


class End(Enum):
    """How a connection ended."""

    FIN = "closed"
    RST = "reset"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect; ``tls`` gives a context for the protocols that it is asked for."""

    port: int
    tls: bool = False
    host: str = "127.0.0.1"


class Refused(Exception):
    """No connection."""


class BrokenHandshake(Exception):
    """The connection was accepted, and TLS did not come about on it."""


class Wire(asyncio.Protocol):
    """``received`` is for its user to consume; ``end`` is set once, to how the other side ended it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.end: End | None = None
        self.on_change: Callable[[], None] = lambda: None
        self._transport: asyncio.Transport | None = None
        self._changed: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._tell()

    def eof_received(self) -> bool:
        self._finish(End.FIN)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(End.RST if isinstance(exc, ConnectionError) else End.FIN)
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What the client calls.

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    def wait(self) -> asyncio.Future[None]:
        """Done once something more has arrived than at this call, or the connection has ended."""
        self._changed = asyncio.get_running_loop().create_future()
        if self.end is not None:
            self._changed.set_result(None)
        return self._changed

    async def write(self, data: bytes) -> None:
        """Send; what is written after the end goes nowhere."""
        if not self.transport.is_closing():
            self.transport.write(data)
            await self._writable.wait()

    async def is_open(self) -> bool:
        """Whether nothing has arrived that would forbid to send now; the send has to follow without a wait."""
        sock = self.transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN | select.POLLRDHUP)
        for _ in range(_TURNS):
            if self.end is not None or self.transport.is_closing():
                return False
            events = [event for _, event in poll.poll(0)]
            if not events:
                return not self.received
            if events[0] & (select.POLLRDHUP | select.POLLHUP | select.POLLERR):
                return False
            await asyncio.sleep(0)  # bytes of TLS, perhaps a ticket, perhaps its end
        return False

    def close(self) -> None:
        """In order."""
        self.transport.close()

    def abort(self) -> None:
        """By RST, and without TLS's own end."""
        sock = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def half_close(self) -> None:
        """Send FIN."""
        self.transport.write_eof()

    @property
    def alpn(self) -> str:
        connection = self.transport.get_extra_info("ssl_object")
        return (connection.selected_alpn_protocol() or "") if connection is not None else ""

    @property
    def serial(self) -> str:
        """The digest of the certificate that the server has shown, or an empty string."""
        connection = self.transport.get_extra_info("ssl_object")
        return hash_certificate(connection.getpeercert(True)) if connection is not None else ""

    def _finish(self, end: End) -> None:
        if self.end is None:
            self.end = end
            self._tell()

    def _tell(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
        self.on_change()


def hash_certificate(der: bytes) -> str:
    """A short name for a certificate."""
    return hashlib.sha256(der).hexdigest()[:16]


def make_context(*alpn: str) -> ssl.SSLContext:
    """A client's context that trusts whatever it is shown: the certificate is read, not judged."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


async def connect(target: Target, context: ssl.SSLContext | None = None, timeout_s: float = 10.0) -> Wire:
    """Connect, and shake hands where the target has TLS.

    Raises ``Refused`` and ``BrokenHandshake``; a connect or handshake that takes longer than ``timeout_s`` is one too.
    """
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.wait_for(loop.sock_connect(sock, (target.host, target.port)), timeout_s)
    except (OSError, asyncio.TimeoutError) as error:
        sock.close()
        raise Refused(str(error) or "no answer to the connect") from None
    if target.tls and context is None:
        context = make_context("http/1.1")
    name = target.host if target.tls else None
    opening = loop.create_connection(
        Wire, sock=sock, ssl=context if target.tls else None, server_hostname=name and "localhost"
    )
    try:
        _, wire = await asyncio.wait_for(opening, timeout_s)
    except (OSError, asyncio.TimeoutError) as error:
        sock.close()
        raise BrokenHandshake(str(error) or type(error).__name__) from None
    return wire

"""The floor under every Python server: a uvloop protocol that writes a constant and parses nothing.

Run as ``python -m bench.macro.floor PORT``.  One read is one request, so it serves plain GETs without pipelining and
nothing else; what a server costs above it is parsing, the ASGI application and correctness.  After a WebSocket
handshake one read is one message, and the answer is the message of ``ws-125``, which it has not looked at.
"""

import asyncio
import re
import sys
from base64 import b64encode
from hashlib import sha1
from typing import cast

import uvloop

from bench.macro.workload import WORKLOADS, build_body

_ANSWER = (
    b"HTTP/1.1 200 OK\r\nserver: floor\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    b"content-type: text/plain\r\ncontent-length: 14\r\n\r\nHello, World!\n"
)


_KEY = re.compile(rb"\r\nsec-websocket-key: *(\S+)", re.IGNORECASE)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MESSAGE = build_body(WORKLOADS["ws-125"])
_ECHO = bytes([0x81, len(_MESSAGE)]) + _MESSAGE


class Session(asyncio.Protocol):
    """Answers each read with the constant message; ends with its transport."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.write = transport.write

    def data_received(self, data: bytes) -> None:
        self.write(_ECHO)


class Floor(asyncio.Protocol):
    """Answers each read with the constant, and hands a connection with a WebSocket handshake to a ``Session``."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.write = self.transport.write

    def data_received(self, data: bytes) -> None:
        if b"pgrade: websocket" in data:
            self.upgrade(data)
        else:
            self.write(_ANSWER)

    def upgrade(self, data: bytes) -> None:
        """The handshake of RFC 6455 section 4.2.2 and nothing of its checks."""
        key = cast("re.Match[bytes]", _KEY.search(data)).group(1)
        accept = b64encode(sha1(key + _GUID).digest())
        self.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n")
        self.write(b"sec-websocket-accept: " + accept + b"\r\n\r\n")
        self.transport.set_protocol(Session(self.transport))


async def main(port: int) -> None:
    """Serve on the loopback ``port`` until a signal ends the process."""
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))

"""The floor under every Python server: a uvloop protocol that writes a constant and parses nothing.

Run as ``python -m bench.macro.floor PORT``.  One read is one request, so it serves plain GETs without pipelining and
nothing else; what a server costs above it is parsing, the ASGI application and correctness.
"""

import asyncio
import sys
from typing import cast

import uvloop

_ANSWER = (
    b"HTTP/1.1 200 OK\r\nserver: floor\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    b"content-type: text/plain\r\ncontent-length: 14\r\n\r\nHello, World!\n"
)


class Floor(asyncio.Protocol):
    """Answers each read with the constant."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        self.write(_ANSWER)


async def main(port: int) -> None:
    """Serve on the loopback ``port`` until a signal ends the process."""
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))

"""An operator's desk: a second, private server that shows the connections of the first and closes them.

::

    python -m examples.events.connection_manager 127.0.0.1:8000 127.0.0.1:8001
    curl http://127.0.0.1:8001/                            # who is connected, as JSON
    curl -X POST http://127.0.0.1:8001/close/3             # close connection 3, after its request if it has one open
    curl -X POST http://127.0.0.1:8001/close-idle/30       # close all that were idle for 30 seconds

Keep a connection of the first server open to see it listed, such as a browser's.
"""

import asyncio
import json
import sys
import time
from typing import Any

import fastserver
from fastserver.typing import Receive, Scope, Send


class ConnectionManager:
    """An ASGI application that speaks of another server of this process."""

    def __init__(self, server: fastserver.Server) -> None:
        self.server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError("HTTP only")
        status, answer = self.answer(scope["method"], scope["path"])
        body = json.dumps(answer, indent=2).encode() + b"\n"
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def answer(self, method: str, path: str) -> tuple[int, Any]:
        """Status and content."""
        command, _, number = path.strip("/").partition("/")
        if method == "GET" and not command:
            return 200, [describe(connection) for connection in self.server.connections]
        if method == "POST" and number.isdecimal() and command == "close":
            connection = self.server.connections.get(int(number))
            if connection is not None:
                connection.close()  # returns at once; an idle connection closes now, a busy one when it is idle
                return 202, {"closing": connection.id}
        if method == "POST" and number.isdecimal() and command == "close-idle":
            return 202, {"closing": self.server.connections.close_idle(int(number))}
        return 404, {"error": "GET /, POST /close/ID or POST /close-idle/SECONDS"}


def describe(connection: fastserver.Connection) -> dict[str, Any]:
    return {
        "id": connection.id,
        "state": connection.state.value,
        "for_s": round(time.time() - connection.since, 1),
        "protocol": connection.protocol,
        "client": connection.peer.client,
        "bytes_in": connection.bytes_in,
        "bytes_out": connection.bytes_out,
        "requests": connection.requests,
    }


async def main(address: str, desk_address: str) -> None:
    async with fastserver.Server("examples.hello:app", fastserver.Config(bind=address)) as server:
        server.announce()
        await fastserver.serve(ConnectionManager(server), fastserver.Config(bind=desk_address))


if __name__ == "__main__":
    asyncio.run(main(*(sys.argv[1:] or ("127.0.0.1:8000", "127.0.0.1:8001"))))

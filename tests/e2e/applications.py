"""Applications for server processes, and ways to fail at each step of a start."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answers with its process id and the query; the path says how."""
    if scope["type"] == "lifespan":
        await follow_lifespan(receive, send)
        return
    path, query = scope["path"], scope["query_string"].decode()
    if path == "/echo":
        await asyncio.sleep(0.002)
        query += " " + "x" * 2000
    elif path == "/sleep":
        await asyncio.sleep(float(query))
    elif path == "/block":
        time.sleep(float(query))  # what must not be done
    elif path == "/die":
        os.kill(os.getpid(), int(query))
    elif path == "/pgid":
        query = str(os.getppid())
    body = f"{os.getpid()} {query}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def follow_lifespan(receive: Receive, send: Send) -> None:
    for kind in ("startup", "shutdown"):
        await receive()
        os.write(1, f"lifespan {kind} {os.getpid()}\n".encode())  # in one piece: workers share standard output
        await send({"type": f"lifespan.{kind}.complete"})


async def refuse(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def never_start(scope: Message, receive: Receive, send: Send) -> None:
    sys.stderr.write("starting\n")
    await asyncio.Event().wait()


def die_while_loading() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def block_while_loading() -> None:
    sys.stderr.write("loading\n")
    time.sleep(60)


def fail_while_loading() -> None:
    raise RuntimeError("bad setting")

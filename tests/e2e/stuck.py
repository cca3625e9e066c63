"""An application that gets stuck, leaks and crashes as its clients wish."""

import asyncio
import faulthandler
import os
import sys
import time
from typing import Any

from tests.e2e.applications import follow_lifespan

hoard: list[bytes] = []


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await follow_lifespan(receive, send)
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    what = scope["path"].strip("/")
    if what == "sleep_in_python":
        sleep_in_python()
    elif what == "count_in_c":
        sum(range(1 << 50))  # one call that keeps the GIL for good: nothing of Python runs any more
    elif what == "wait":
        await wait_forever()
    elif what == "hoard":
        hoard.append(b"x" * (64 << 20))
    elif what == "crash":
        faulthandler._sigsegv()  # type: ignore[attr-defined]
    body = f"{os.getpid()} {os.getppid()}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def sleep_in_python() -> None:
    while True:
        time.sleep(600)


async def wait_forever() -> None:
    await asyncio.Event().wait()


def load_slowly() -> Any:
    """A factory that takes longer than any health check of the tests, without a turn of the loop."""
    time.sleep(3)
    return app


def block_startup() -> Any:
    """An application whose startup blocks the loop, so that no timeout of the loop ends it."""

    async def block(scope: Any, receive: Any, send: Any) -> None:
        sys.stderr.write("blocking\n")
        time.sleep(600)

    return block

"""Applications that fail at every point where one can (FI-17): in which way the last part of the path says.

``MODE`` of the environment makes the whole application fail before it serves, or when it has served.
"""

import asyncio
import os
from collections.abc import AsyncIterator

from tests.e2e.applications import Message, Receive, Send

MODE = os.environ.get("FAIL", "")


class OwnBaseException(BaseException):
    """What no ``except Exception`` catches."""


def fail(kind: str) -> None:
    """Raise what ``kind`` names."""
    if kind == "RecursionError":
        fail(kind)
    if kind == "MemoryError":
        bytearray(1 << 60)
    if kind == "CancelledError":
        raise asyncio.CancelledError
    raise {
        "Exception": LookupError("own"),
        "BaseException": OwnBaseException("own"),
        "SystemExit": SystemExit(0),
        "KeyboardInterrupt": KeyboardInterrupt(),
    }[kind]


if MODE.startswith("import-"):
    fail(MODE.removeprefix("import-"))


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    _, where, *kind = scope["path"].split("/")
    if where == "pid":
        await _answer(send, b"%d" % os.getpid())
        return
    await WAYS[where](receive, send, kind[0])


async def _live(receive: Receive, send: Send) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        if MODE.startswith(f"{step}-"):
            fail(MODE.removeprefix(f"{step}-"))
        await send({"type": f"lifespan.{step}.complete"})
        os.write(1, f"{step} is complete\n".encode())


async def _answer(send: Send, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _fail_at_once(receive: Receive, send: Send, kind: str) -> None:
    fail(kind)


async def _fail_later(receive: Receive, send: Send, kind: str) -> None:
    """Once it has been suspended: then it is a task of its own."""
    await asyncio.sleep(0.001)
    fail(kind)


async def _fail_behind_start(receive: Receive, send: Send, kind: str) -> None:
    await send({"type": "http.response.start", "status": 200})
    fail(kind)


async def _fail_in_body(receive: Receive, send: Send, kind: str) -> None:
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    await asyncio.sleep(0.001)
    fail(kind)


async def _fail_in_announced_body(receive: Receive, send: Send, kind: str) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"8")]})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    fail(kind)


async def _fail_behind_body(receive: Receive, send: Send, kind: str) -> None:
    await _answer(send, b"whole")
    fail(kind)


async def _fail_in_generator_close(receive: Receive, send: Send, kind: str) -> None:
    """The generator that makes the body fails when it is closed, behind a part that has left."""

    async def make() -> AsyncIterator[bytes]:
        try:
            yield b"half"
            yield b"more"
        finally:
            fail(kind)

    await send({"type": "http.response.start", "status": 200})
    parts = make()
    await send({"type": "http.response.body", "body": await anext(parts), "more_body": True})
    await parts.aclose()  # type: ignore[attr-defined]


WAYS = {
    "before": _fail_at_once,
    "later": _fail_later,
    "start": _fail_behind_start,
    "body": _fail_in_body,
    "announced": _fail_in_announced_body,
    "behind": _fail_behind_body,
    "generator": _fail_in_generator_close,
}

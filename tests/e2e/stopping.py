"""The application of the tests of stops and of clients that go: it says on standard error what becomes of each call."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from tests.e2e.applications import Message, Receive, Send

EVENTS = [(b"content-type", b"text/event-stream")]


def tell(line: str) -> None:
    os.write(2, f"{line}\n".encode())  # in one piece: workers share it


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
            tell(f"{step} is complete")
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await (_ignore(receive, send) if scope["path"] == "/deaf" else _echo(receive, send))
    else:
        await WAYS.get(scope["path"], _answer)(scope, receive, send)


async def _answer(scope: Message, receive: Receive, send: Send, body: bytes = b"") -> None:
    body = body or scope["query_string"] or b"answer"
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _answer_late(scope: Message, receive: Receive, send: Send) -> None:
    await asyncio.sleep(float(scope["query_string"]))
    await _answer(scope, receive, send)
    tell("answered")


async def _hang(scope: Message, receive: Receive, send: Send) -> None:
    tell("hanging")
    try:
        await asyncio.sleep(600)
    finally:
        await asyncio.sleep(0.05)
        tell("finally")


async def _say_events(scope: Message, receive: Receive, send: Send) -> None:
    """Until it is told; its last event is said then, and its end left to the server."""
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    assert (await receive())["type"] == "http.disconnect"
    await send({"type": "http.response.body", "body": b"data: bye\n\n", "more_body": True})
    tell("told")


async def _say_events_deaf(scope: Message, receive: Receive, send: Send) -> None:
    """Until it is cancelled, or nobody listens."""
    await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
            await asyncio.sleep(0.01)
    except OSError:
        tell("gone")
        raise
    except asyncio.CancelledError:
        tell("cancelled")
        raise


async def _read_upload(scope: Message, receive: Receive, send: Send) -> None:
    size, more = 0, True
    tell("uploading")
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            tell("upload cut")
            return
        size += len(message["body"])
        more = message["more_body"]
    tell("upload complete")
    await _answer(scope, receive, send, b"%d" % size)


async def _echo(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
    tell(f"session ended with {message['code']}")


async def _ignore(receive: Receive, send: Send) -> None:
    tell("hanging")
    try:
        await asyncio.sleep(600)
    finally:
        tell("finally")


WAYS = {
    "/late": _answer_late,
    "/hang": _hang,
    "/events": _say_events,
    "/deaf": _say_events_deaf,
    "/upload": _read_upload,
}


def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterator[bytes]:
    """Goes on for ever, as events or as text."""
    kind = "text/event-stream" if environ["PATH_INFO"] == "/events" else "text/plain"
    start_response("200 OK", [("Content-Type", kind)])
    try:
        while True:
            yield b"data: 1\n\n"
            time.sleep(0.01)
    finally:
        tell("closed")


def make_starlette() -> object:
    """A stream of events as Starlette sends it: it does not ask ``receive()`` whether its client is there."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    async def say() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"data: 1\n\n"
                await asyncio.sleep(0.02)
        finally:
            tell("the events are over")

    async def events(request: Request) -> StreamingResponse:
        return StreamingResponse(say(), media_type="text/event-stream")

    return Starlette(routes=[Route("/events", events)])

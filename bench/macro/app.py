"""The ASGI application that every Python server of the benchmark serves: plain ASGI 3, no framework.

It never checks what a server gives it and does no more work than an answer needs, so that the server is what is timed.
The answers are the ones that ``bench.macro.workload`` verifies.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PLAINTEXT = b"Hello, World!\n"
DOCUMENT = {"message": "Hello, World!", "items": [1, 2, 3], "ok": True}
CHUNK = b"0123456789abcdef" * 64
CHUNKS = 10
SLEEP_S = 0.010
BODY = bytes(range(256)) * 4096
DOWNLOAD = BODY * 10
PIECE = 65536

_PLAIN_HEADERS = [(b"content-type", b"text/plain"), (b"content-length", str(len(PLAINTEXT)).encode())]
_BODY_HEADERS = [(b"content-type", b"application/octet-stream"), (b"content-length", str(len(BODY)).encode())]
_DOWNLOAD_HEADERS = [(b"content-type", b"application/octet-stream"), (b"content-length", str(len(DOWNLOAD)).encode())]
_STREAM_HEADERS = [(b"content-type", b"application/octet-stream")]


async def plaintext(receive: Receive, send: Send) -> None:
    """Fourteen bytes."""
    await send({"type": "http.response.start", "status": 200, "headers": _PLAIN_HEADERS})
    await send({"type": "http.response.body", "body": PLAINTEXT})


async def document(receive: Receive, send: Send) -> None:
    """A small JSON document, encoded for each request as a handler would."""
    body = json.dumps(DOCUMENT).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo(receive: Receive, send: Send) -> None:
    """The request's body, read to its end and sent back."""
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(parts)
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def stream(receive: Receive, send: Send) -> None:
    """Ten chunks of 1 KiB without a length, then the empty end, as streaming responses of frameworks do."""
    await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
    for _ in range(CHUNKS):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def sleep(receive: Receive, send: Send) -> None:
    """The plain answer after ten milliseconds."""
    await asyncio.sleep(SLEEP_S)
    await plaintext(receive, send)


async def body(receive: Receive, send: Send) -> None:
    """One mebibyte in one message."""
    await send({"type": "http.response.start", "status": 200, "headers": _BODY_HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def download(receive: Receive, send: Send) -> None:
    """Ten mebibytes in messages of 64 KiB, as a file is sent."""
    await send({"type": "http.response.start", "status": 200, "headers": _DOWNLOAD_HEADERS})
    for start in range(0, len(DOWNLOAD), PIECE):
        piece = DOWNLOAD[start : start + PIECE]
        await send({"type": "http.response.body", "body": piece, "more_body": start + PIECE < len(DOWNLOAD)})


async def missing(receive: Receive, send: Send) -> None:
    """404, so that a misspelt workload cannot pass for a fast one."""
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def lifespan(receive: Receive, send: Send) -> None:
    """Accept start-up and shutdown."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def session(receive: Receive, send: Send) -> None:
    """A WebSocket that sends every message back as it came."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] != "websocket.receive":
            return
        data = message.get("bytes")
        if data is not None:
            await send({"type": "websocket.send", "bytes": data})
        else:
            await send({"type": "websocket.send", "text": message["text"]})


ROUTES: dict[str, Callable[[Receive, Send], Awaitable[None]]] = {
    "/plaintext": plaintext,
    "/json": document,
    "/echo": echo,
    "/stream": stream,
    "/sleep": sleep,
    "/body": body,
    "/download": download,
}


async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """The ASGI callable."""
    if scope["type"] == "http":
        await ROUTES.get(scope["path"], missing)(receive, send)
    elif scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await session(receive, send)

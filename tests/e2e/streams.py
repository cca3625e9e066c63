"""The application of the HTTP/2 tests: each path is one way to answer, by ASGI or by Starlette.

Counts that a test asks for are those of the worker that answers.
"""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, StreamingResponse
from starlette.routing import Route

from tests.e2e.applications import Message, Receive, Send, follow_lifespan

MIB = 1 << 20
#: What `/file` serves: something large that is always there.
FILE = Path(__file__).parent / "test_processes.py"


def make_bytes(size: int) -> bytes:
    """Bytes that are wrong wherever a piece is lost, doubled or moved."""
    return b"".join(number.to_bytes(8, "big") for number in range(-(-size // 8)))[:size]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answers as the first segment of the path says; the query is its argument."""
    if scope["type"] == "lifespan":
        await follow_lifespan(receive, send)
        return
    if scope["type"] == "websocket":
        await echo_session(receive, send)
        return
    answer = WAYS.get(scope["path"], _answer_facts)
    await answer(scope, receive, send)


async def _answer_facts(scope: Message, receive: Receive, send: Send) -> None:
    """Method, version, worker and query."""
    query = scope["query_string"].decode()
    body = f"{scope['method']} {scope['http_version']} {os.getpid()} {query}".encode()
    await _respond(send, body)


async def _tell_port(scope: Message, receive: Receive, send: Send) -> None:
    """The client's port, which tells connections apart, after a while."""
    await asyncio.sleep(0.01)
    await _respond(send, b"%d" % scope["client"][1])


async def _respond(send: Send, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    fields = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def _sleep(scope: Message, receive: Receive, send: Send) -> None:
    await asyncio.sleep(float(scope["query_string"]))
    await _answer_facts(scope, receive, send)


async def _digest(scope: Message, receive: Receive, send: Send) -> None:
    """Size and SHA-256 of the body, as it came."""
    found = hashlib.sha256()
    size = 0
    async for piece in _read(receive):
        found.update(piece)
        size += len(piece)
    await _respond(send, f"{size} {found.hexdigest()}".encode())


async def _echo(scope: Message, receive: Receive, send: Send) -> None:
    """Each piece of the body as soon as it comes."""
    await send({"type": "http.response.start", "status": 200})
    async for piece in _read(receive):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def _read(receive: Receive) -> Any:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise OSError("the client has gone")
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def _bytes(scope: Message, receive: Receive, send: Send) -> None:
    """As many bytes as the query says, in pieces of 64 KiB, of unknown length."""
    body = make_bytes(int(scope["query_string"]))
    await send({"type": "http.response.start", "status": 200})
    for start in range(0, len(body), 65536):
        await send({"type": "http.response.body", "body": body[start : start + 65536], "more_body": True})
    await send({"type": "http.response.body"})


async def _refuse(scope: Message, receive: Receive, send: Send) -> None:
    """An answer without a look at the body."""
    await _respond(send, b"no", status=403)


async def _fail(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise RuntimeError("in the middle of a response")


async def _trail(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "trailers": True})
    await send({"type": "http.response.body", "body": b"body"})
    await send({"type": "http.response.trailers", "headers": [(b"x-checksum", b"42")]})


async def _hint(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload; as=style"]})
    await _answer_facts(scope, receive, send)


_gate = asyncio.Event()


async def _wait_gate(scope: Message, receive: Receive, send: Send) -> None:
    """Takes nothing of the body until `/open` was asked for, and then all of it."""
    await _gate.wait()
    await _digest(scope, receive, send)


async def _open_gate(scope: Message, receive: Receive, send: Send) -> None:
    _gate.set()
    await _answer_facts(scope, receive, send)
    _gate.clear()


_gone = 0


async def _count_gone(scope: Message, receive: Receive, send: Send) -> None:
    """How many were told that their client has gone."""
    await _respond(send, b"%d" % _gone)


async def _endless(scope: Message, receive: Receive, send: Send) -> None:
    """Goes on until the client wants no more."""
    global _gone
    await send({"type": "http.response.start", "status": 200})
    try:
        while True:
            await send({"type": "http.response.body", "body": bytes(4096), "more_body": True})
            await asyncio.sleep(0)
    except OSError:
        _gone += 1


async def _file(scope: Message, receive: Receive, send: Send) -> None:
    fields = [(b"content-length", b"%d" % FILE.stat().st_size)]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.pathsend", "path": str(FILE)})


async def echo_session(receive: Receive, send: Send) -> None:
    """What a session says comes back."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"], "bytes": message["bytes"]})


WAYS = {
    "/port": _tell_port,
    "/sleep": _sleep,
    "/digest": _digest,
    "/echo": _echo,
    "/bytes": _bytes,
    "/refuse": _refuse,
    "/fail": _fail,
    "/trailers": _trail,
    "/hint": _hint,
    "/gate": _wait_gate,
    "/open": _open_gate,
    "/gone": _count_gone,
    "/endless": _endless,
    "/pathsend": _file,
}


# Starlette's.


async def _send_file(request: Request) -> FileResponse:
    return FileResponse(FILE)


async def _upload(request: Request) -> StreamingResponse:
    return StreamingResponse(request.stream())


starlette = Starlette(routes=[Route("/file", _send_file), Route("/upload", _upload, methods=["POST"])])

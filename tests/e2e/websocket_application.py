"""The application of the WebSocket tests: each path is one way to behave."""

import asyncio
import os
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from tests.e2e.applications import Message, Receive, Send, follow_lifespan


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Behaves as the path says; what is not one of `WAYS` echoes."""
    if scope["type"] == "lifespan":
        await follow_lifespan(receive, send)
    elif scope["type"] == "http":
        await _answer(send)
    else:
        await receive()
        await WAYS.get(scope["path"], _echo)(scope, receive, send)


async def _answer(send: Send) -> None:
    """How the last session that told of its end has ended."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": " ".join(_ends).encode()})
    _ends.clear()


#: Code and reason of each end that an application was told since the last question.
_ends: list[str] = []


async def _echo(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"], "bytes": message["bytes"]})
    _ends.append(f"{message['code']}:{message['reason']}")


async def _tell(scope: Message, receive: Receive, send: Send) -> None:
    """Worker, scheme, version of HTTP and subprotocols; then it closes."""
    protocols = scope["subprotocols"]
    await send({"type": "websocket.accept", "subprotocol": protocols[-1] if protocols else None})
    text = f"{os.getpid()} {scope['scheme']} {scope['http_version']} {','.join(protocols)}"
    await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.close", "code": 3001, "reason": "told"})


async def _deny(scope: Message, receive: Receive, send: Send) -> None:
    start = {"status": 401, "headers": [(b"www-authenticate", b"Basic"), (b"content-length", b"9")]}
    await send({"type": "websocket.http.response.start", **start})
    await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"then?"})


async def _reject(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.close", "code": 1000})


async def _fail(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    await receive()
    raise RuntimeError("in the middle of a session")


async def _fail_early(scope: Message, receive: Receive, send: Send) -> None:
    raise RuntimeError("before the session")


async def _return(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})


async def _pour(scope: Message, receive: Receive, send: Send) -> None:
    """Sends 64 MiB in messages of 64 KiB, each numbered, as fast as it may; then closes."""
    await send({"type": "websocket.accept"})
    for number in range(1024):
        await send({"type": "websocket.send", "bytes": number.to_bytes(4, "big") + bytes(65532)})
    await send({"type": "websocket.close"})


_gate = asyncio.Event()


async def _sleep(scope: Message, receive: Receive, send: Send) -> None:
    """Takes nothing until another session came to `/open`, and then counts what has come."""
    await send({"type": "websocket.accept"})
    await _gate.wait()
    size = 0
    while (message := await receive())["type"] == "websocket.receive" and message["text"] is None:
        size += len(message["bytes"])
    await send({"type": "websocket.send", "text": str(size)})


async def _open(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})
    _gate.set()
    await asyncio.sleep(0)
    _gate.clear()


WAYS: dict[str, Any] = {
    "/tell": _tell,
    "/deny": _deny,
    "/reject": _reject,
    "/fail": _fail,
    "/fail-early": _fail_early,
    "/return": _return,
    "/pour": _pour,
    "/sleep": _sleep,
    "/open": _open,
}


# The frameworks'.


async def _greet(session: WebSocket) -> None:
    await session.accept(subprotocol="chat")
    data = await session.receive_json()
    await session.send_json({"hello": data["name"]})
    await session.send_bytes(await session.receive_bytes())
    await session.close(4000, "enough")


starlette = Starlette(routes=[WebSocketRoute("/ws", _greet)])

fastapi = FastAPI()


@fastapi.websocket("/items/{item}")
async def _follow(session: WebSocket, item: int, token: str = "") -> None:
    await session.accept()
    try:
        while True:
            await session.send_text(f"{item} {token} {await session.receive_text()}")
    except WebSocketDisconnect as end:
        _ends.append(f"{end.code}:{end.reason}")


@fastapi.get("/")
async def _list_ends() -> list[str]:
    return _ends

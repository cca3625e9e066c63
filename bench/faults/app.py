"""The ASGI application of all servers under test, without a framework: it answers truly, or misbehaves as it is asked.

``FAULTS_DIR`` is the directory of the run: ``truth/`` takes what is seen here (see ``truth``); ``generation`` is read
at import and stands for a version of the code, and one that starts with ``broken`` cannot be imported.
``FAULTS_FAIL`` is ``startup`` or ``shutdown`` where the lifespan is to fail.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from bench.faults.content import RAISABLE, fill, summarise
from bench.faults.hanging import block_the_loop, hold_the_gil
from bench.faults.truth import END, GONE, LOADED, READY, START, STOPPED, WHOLE, Witness

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Query = dict[str, str]

DIRECTORY = Path(os.environ["FAULTS_DIR"])
FAIL = os.environ.get("FAULTS_FAIL", "")
#: Pieces of a streamed answer.
PIECE_BYTES = 1024

WITNESS = Witness(DIRECTORY / "truth")
GENERATION = (DIRECTORY / "generation").read_text().strip()
WITNESS.note(LOADED, GENERATION)
if GENERATION.startswith("broken"):
    raise RuntimeError(f"this generation is broken: {GENERATION}")

_kept: list[bytes] = []


class Exchange:
    """One request on its way through the application."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.query: Query = dict(parse_qsl(scope["query_string"].decode()))
        self.ident = self.query.get("id", "-")
        self.receive = receive
        self._send = send

    def note(self, event: str) -> None:
        WITNESS.note(event, self.ident)

    async def begin(self, length: int | None, status: int = 200) -> None:
        """Send the head; without ``length`` the body is streamed."""
        fields = [("content-type", "application/octet-stream"), ("x-id", self.ident), ("x-pid", str(os.getpid()))]
        fields.append(("x-generation", GENERATION))
        if length is not None:
            fields.append(("content-length", str(length)))
        headers = [(name.encode(), value.encode()) for name, value in fields]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, body: bytes, more: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def answer(self, body: bytes, status: int = 200) -> None:
        """A whole answer."""
        await self.begin(len(body), status)
        await self.write(body)

    async def pause(self) -> None:
        """What the request asks for as the application's own time."""
        await asyncio.sleep(int(self.query.get("ms", "0")) / 1000)

    async def read(self) -> bytes | None:
        """The body, or ``None`` where the client went away before its end."""
        parts = []
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                self.note(GONE)
                return None
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                self.note(WHOLE)
                return b"".join(parts)


async def get(exchange: Exchange) -> None:
    """``size`` bytes by the formula, after ``ms``."""
    await exchange.pause()
    await exchange.answer(fill(exchange.ident, int(exchange.query.get("size", "64"))))


async def upload(exchange: Exchange) -> None:
    """Takes a body, and says what has come."""
    body = await exchange.read()
    if body is not None:
        await exchange.pause()
        await exchange.answer(summarise(body))


async def stream(exchange: Exchange) -> None:
    """The same bytes as ``get`` in pieces, with ``ms`` before each."""
    body = fill(exchange.ident, int(exchange.query.get("size", "4096")))
    await exchange.begin(None)
    for start in range(0, len(body), PIECE_BYTES):
        await exchange.pause()
        await exchange.write(body[start : start + PIECE_BYTES], True)
    await exchange.write(b"")


async def watch(exchange: Exchange) -> None:
    """Begins an answer without end, and waits for the client to go away."""
    await exchange.begin(None)
    await exchange.write(b"watching", True)
    while True:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            exchange.note(GONE)
            return


async def hang(exchange: Exchange) -> None:
    """Waits for ever."""
    await asyncio.get_running_loop().create_future()


async def block(exchange: Exchange) -> None:
    """Blocks the event loop, with the GIL released."""
    block_the_loop(float(exchange.query.get("s", "60")))
    await exchange.answer(b"awake")


async def spin(exchange: Exchange) -> None:
    """Blocks the event loop, with the GIL held: no other thread of Python gets to run."""
    hold_the_gil()
    await exchange.answer(b"done")


async def grow(exchange: Exchange) -> None:
    """Keeps ``mb`` megabytes for ever."""
    _kept.append(b"\x01" * (int(exchange.query.get("mb", "10")) << 20))
    await exchange.answer(b"grown")


async def die(exchange: Exchange) -> None:
    """Ends the process by a signal."""
    os.kill(os.getpid(), int(exchange.query.get("signal", str(int(signal.SIGKILL)))))


async def fail(exchange: Exchange) -> None:
    """Raises ``what`` at ``where``: before, started (head sent), middle (of the body) or after (its end)."""
    where = exchange.query.get("where", "before")
    error = RAISABLE[exchange.query.get("what", "Exception")]()
    if where == "before":
        raise error
    body = fill(exchange.ident, 4 * PIECE_BYTES)
    await exchange.begin(None)
    if where == "started":
        raise error
    await exchange.write(body[: 2 * PIECE_BYTES], True)
    if where == "middle":
        await asyncio.sleep(0.01)
        raise error
    await exchange.write(body[2 * PIECE_BYTES :])
    raise error


ROUTES: dict[str, Callable[[Exchange], Awaitable[None]]] = {
    "/get": get,
    "/upload": upload,
    "/stream": stream,
    "/watch": watch,
    "/hang": hang,
    "/block": block,
    "/spin": spin,
    "/grow": grow,
    "/die": die,
    "/raise": fail,
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI 3."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["type"] == "websocket":
        await _echo(scope, receive, send)
    else:
        exchange = Exchange(scope, receive, send)
        exchange.note(START)
        route = ROUTES.get(scope["path"])
        if route is None:
            await exchange.answer(b"no such path", 404)
        else:
            await route(exchange)
        exchange.note(END)


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    if FAIL == "startup":
        await send({"type": "lifespan.startup.failed", "message": "the startup fails as asked"})
        return
    WITNESS.note(READY, GENERATION)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    WITNESS.note(STOPPED, GENERATION)
    if FAIL == "shutdown":
        raise RuntimeError("the shutdown fails as asked")
    await send({"type": "lifespan.shutdown.complete"})


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Each message is ``ident text`` and comes back with the process before it."""
    ident = dict(parse_qsl(scope["query_string"].decode())).get("id", "-")
    await receive()
    await send({"type": "websocket.accept"})
    WITNESS.note(START, ident)
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            WITNESS.note(GONE, ident)
            return
        text = message.get("text") or ""
        WITNESS.note(START, text.partition(" ")[0])
        await send({"type": "websocket.send", "text": f"{os.getpid()} {text}"})
        WITNESS.note(END, text.partition(" ")[0])

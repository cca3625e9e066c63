"""The application of the HTTP/3 tests: what ``streams`` answers, server-sent events, large fields and large bodies."""

import asyncio
import hashlib
import os

from tests.e2e.applications import Message, Receive, Send
from tests.e2e.streams import app as streams

PIECE = 65536
EVENTS = 5


def make_piece(number: int) -> bytes:
    """One piece of what ``/flood`` sends: none is like another, and each is dear to nobody."""
    return number.to_bytes(8, "big") * (PIECE // 8)


def hash_flood(size: int) -> str:
    """SHA-256 of what ``/flood?SIZE`` sends."""
    found = hashlib.sha256()
    for number in range(-(-size // PIECE)):
        found.update(make_piece(number)[: size - number * PIECE])
    return found.hexdigest()


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answers as the path says; the query is its argument."""
    way = WAYS.get(scope.get("path", ""))
    await (way or streams)(scope, receive, send)


async def _send_events(scope: Message, receive: Receive, send: Send) -> None:
    """Each event is sent only a while after the one before."""
    fields = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    for number in range(EVENTS):
        await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
        await asyncio.sleep(0.01)
    await send({"type": "http.response.body"})


async def _flood(scope: Message, receive: Receive, send: Send) -> None:
    """As many bytes as the query says, made piece by piece as they are taken; which worker sends them is in a field."""
    size = int(scope["query_string"])
    fields = [(b"content-length", b"%d" % size), (b"x-worker", b"%d" % os.getpid())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    for number in range(-(-size // PIECE)):
        piece = make_piece(number)[: size - number * PIECE]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def _return_fields(scope: Message, receive: Receive, send: Send) -> None:
    """Every field of the request whose name begins with x- comes back."""
    fields = [(name, value) for name, value in scope["headers"] if name.startswith(b"x-")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body"})


async def _miss(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"7")]})
    await send({"type": "http.response.body", "body": b"nothing"})


WAYS = {
    "/events": _send_events,
    "/flood": _flood,
    "/fields": _return_fields,
    "/missing": _miss,
}

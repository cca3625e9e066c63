"""The application that is flooded: it raises nothing at clients that go, so what the log says is the server's."""

import asyncio

from tests.e2e.applications import Message, Receive, Send, follow_lifespan

PIECE = bytes(65536)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """The path says how: at once, a piece after another, after the body, or never."""
    if scope["type"] == "lifespan":
        await follow_lifespan(receive, send)
        return
    path, query = scope["path"], scope["query_string"]
    if path == "/never":
        await asyncio.Event().wait()
    if path == "/take" and not await take(receive):
        return
    await send({"type": "http.response.start", "status": 200})
    try:
        for _ in range(int(query or 0) if path == "/pieces" else 0):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await send({"type": "http.response.body", "body": query})
    except OSError:
        pass


async def take(receive: Receive) -> bool:
    """Whether the body came whole."""
    while (message := await receive())["type"] == "http.request":
        if not message.get("more_body"):
            return True
    return False

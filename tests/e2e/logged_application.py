"""An application whose logs are looked at: it answers, refuses sessions, raises, and waits for a client that leaves."""

import asyncio
from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    if scope["type"] == "websocket":
        await receive()
        if scope["path"] == "/denied":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        await receive()
        return
    if scope["path"] == "/fail":
        raise ValueError("bad\n2026-01-01 00:00:00.000 +0000 [1] INFO forged \x1b[2J\u202e")
    if scope["path"] == "/wait":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await asyncio.sleep(0)
    ids = [value for name, value in scope["headers"] if name == b"x-request-id"]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b",".join(ids)})


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    if environ["PATH_INFO"] == "/fail":
        environ["wsgi.errors"].write("one\r\n2026-01-01 forged\x1b[2J\n")
        raise ValueError("bad\n2026-01-01 forged\x1b[2J")
    start_response("200 OK", [("content-type", "text/plain")])
    return [environ.get("HTTP_X_REQUEST_ID", "").encode()]

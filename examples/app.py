"""What ``make run`` serves: plain ASGI, no framework, one page that looks at its own server.

It shows by which protocol each request came.  Try it by hand as well; ``-k`` trusts any certificate::

    curl -k --http1.1 https://127.0.0.1:8000/facts             # or --http2, or --http3 where curl has it
    curl -kN https://127.0.0.1:8000/events                     # server-sent events, four a second
    curl -kN -T some.file https://127.0.0.1:8000/upload        # the server counts while you send
    curl -kN https://127.0.0.1:8000/mandelbrot --output rows   # a row of the picture in each chunk
"""

import asyncio
import json
import os
import platform
import tempfile
import time
from pathlib import Path

from fastserver._speedups import is_compiled

PAGE = Path(__file__).with_name("page.html").read_text("utf-8")
FILE_SIZE = 32_000_000
TICK_S = 0.25
JSON = b"application/json"


class Meter:
    """What this worker has done since it started."""

    def __init__(self):
        self.started_s = time.monotonic()
        self.requests = 0
        self.open = 0
        self.received_bytes = 0

    def read(self):
        return {
            "uptime": time.monotonic() - self.started_s,
            "clock": time.time(),
            "requests": self.requests,
            "open": self.open,
            "received": self.received_bytes,
            "worker": os.getpid(),
        }


meter = Meter()


async def app(scope, receive, send):
    """The whole application: a lifespan, one WebSocket, and a table of paths."""
    if scope["type"] == "lifespan":
        return await live(scope, receive, send)
    if scope["type"] == "websocket":
        return await talk(scope, receive, send)
    if scope["type"] != "http":
        raise NotImplementedError(f"no {scope['type']} here")
    handler = ROUTES.get((scope["method"].replace("HEAD", "GET"), scope["path"]), send_not_found)
    meter.requests += 1
    meter.open += 1
    try:
        await handler(scope, receive, send)
    except OSError:
        pass  # The client has left in the middle: send() says so, and there is nobody to tell.
    finally:
        meter.open -= 1


async def live(scope, receive, send):
    """Startup and shutdown.  What is put into ``scope["state"]`` here, each request finds in its own scope."""
    with tempfile.TemporaryDirectory() as folder:
        await receive()
        path = Path(folder, "zeros.bin")
        with path.open("wb") as file:
            file.truncate(FILE_SIZE)
        scope["state"]["file"] = path
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def talk(scope, receive, send):
    """A WebSocket: it says by which protocol it has come, then every text again."""
    await receive()
    if scope["path"] != "/socket":
        return await send({"type": "websocket.close"})
    await send({"type": "websocket.accept"})
    greeting = {"http_version": scope["http_version"], "client": scope["client"], "worker": os.getpid()}
    try:
        await send({"type": "websocket.send", "text": json.dumps(greeting)})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message.get("text") or ""})
    except OSError:
        pass  # The client has left: there is nobody to tell.


def describe(scope):
    """What the server told the application about this request, and a little about the server."""
    extensions = scope.get("extensions") or {}
    tls = extensions.get("tls")
    return {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode("latin-1"),
        "http_version": scope["http_version"],
        "scheme": scope["scheme"],
        "client": scope["client"],
        "server": scope["server"],
        "tls": None if tls is None else hex(tls.get("tls_version") or 0),
        "asgi": scope["asgi"],
        "extensions": sorted(extensions),
        "headers": [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
        "worker": os.getpid(),
        "compiled": is_compiled(),
        "loop": type(asyncio.get_running_loop()).__module__.partition(".")[0],
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "requests": meter.requests,
    }


async def start(send, content_type, *headers, status=200):
    fields = [(b"content-type", content_type), (b"cache-control", b"no-store"), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})


async def send_whole(send, content_type, body, status=200):
    await start(send, content_type, (b"content-length", b"%d" % len(body)), status=status)
    await send({"type": "http.response.body", "body": body})


async def send_page(scope, receive, send):
    # "<" is escaped, so that no header value can end the script element that holds the facts.
    facts = json.dumps(describe(scope)).replace("<", "\\u003c")
    await send_whole(send, b"text/html; charset=utf-8", PAGE.replace("{{ facts }}", facts).encode())


async def send_facts(scope, receive, send):
    await send_whole(send, JSON, json.dumps(describe(scope)).encode())


async def send_pong(scope, receive, send):
    await send_whole(send, b"text/plain", b"pong\n")


async def send_events(scope, receive, send):
    """Server-sent events without end: each goes out when it is sent, in a chunk of its own."""
    await start(send, b"text/event-stream")
    while True:
        event = b"event: tick\ndata: %s\n\n" % json.dumps(meter.read()).encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(TICK_S)


async def count_upload(scope, receive, send):
    """Read the body as it arrives, keep none of it, and report on it in the middle: one JSON line for each MiB."""
    await start(send, b"application/x-ndjson")
    began_s, received, reported, pieces, more = time.perf_counter(), 0, 0, 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        piece, more = message.get("body", b""), message.get("more_body", False)
        received += len(piece)
        pieces += bool(piece)
        meter.received_bytes += len(piece)
        if received - reported >= 1024 * 1024 or not more:
            reported = received
            line = {"received": received, "pieces": pieces, "seconds": time.perf_counter() - began_s, "done": not more}
            body = json.dumps(line).encode() + b"\n"
            await send({"type": "http.response.body", "body": body, "more_body": more})


async def send_mandelbrot(scope, receive, send, width=288, height=162, limit=96):
    """A picture computed while it is sent: each row is one chunk of ``width`` bytes, the escape time of each point."""
    await start(send, b"application/octet-stream", (b"x-picture", b"%dx%d" % (width, height)))
    for y in range(height):
        row = bytearray()
        for x in range(width):
            point = complex(-0.7436 + 0.0070 * (x / width - 0.5), 0.1318 + 0.0070 * (y / height - 0.5) * height / width)
            z, step = 0j, 0
            while step < limit and z.real * z.real + z.imag * z.imag < 16.0:
                z, step = z * z + point, step + 1
            row.append(step * 255 // limit)
        await send({"type": "http.response.body", "body": bytes(row), "more_body": True})
        await asyncio.sleep(0)  # Computing is no waiting: let this worker's other requests go on between two rows.
    await send({"type": "http.response.body"})


async def send_file(scope, receive, send):
    """A file of 32 MB: the server sends it by the kernel if it can (``pathsend``); else it goes piece by piece."""
    path = scope["state"]["file"]
    await start(send, b"application/octet-stream", (b"content-length", b"%d" % FILE_SIZE))
    if "http.response.pathsend" in (scope.get("extensions") or {}):
        await send({"type": "http.response.pathsend", "path": str(path)})
        return
    with path.open("rb") as file:
        while piece := file.read(256 * 1024):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def send_not_found(scope, receive, send):
    await send_whole(send, b"text/plain", b"There is nothing here.\n", status=404)


ROUTES = {
    ("GET", "/"): send_page,
    ("GET", "/facts"): send_facts,
    ("GET", "/ping"): send_pong,
    ("GET", "/events"): send_events,
    ("GET", "/mandelbrot"): send_mandelbrot,
    ("GET", "/file"): send_file,
    ("POST", "/upload"): count_upload,
    ("PUT", "/upload"): count_upload,
}

"""Starlette: ``fastserver examples.starlette_app:app --workers 2``."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Path]]:
    """Each worker makes its own file at the start and removes it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "numbers.txt")
        path.write_text("".join(f"{number}\n" for number in range(20_000)))
        yield {"numbers": path}


async def read_root(request: Request) -> Response:
    return JSONResponse({"message": "Hello from Starlette", "worker": os.getpid()})


async def echo(request: Request) -> Response:
    """The body comes in pieces, as it arrives; none of it is kept but its length."""
    received = 0
    async for piece in request.stream():
        received += len(piece)
    return JSONResponse({"received": received})


async def send_numbers(request: Request) -> Response:
    """A file: the server sends it by the kernel where it can (the ``pathsend`` extension)."""
    return FileResponse(request.state.numbers, media_type="text/plain")


async def log_later(request: Request) -> Response:
    """A background task: it runs once the response is on its way, and nobody waits for it."""
    line = f"background task of {request.client}"
    return PlainTextResponse("accepted\n", status_code=202, background=BackgroundTask(print, line, flush=True))


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", read_root),
        Route("/echo", echo, methods=["POST"]),
        Route("/numbers", send_numbers),
        Route("/later", log_later, methods=["POST"]),
    ],
)

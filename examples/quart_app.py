"""Quart: ``fastserver examples.quart_app:app --workers 2``."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, request

app = Quart(__name__)


@app.get("/")
async def read_root() -> dict[str, Any]:
    return {"message": "Hello from Quart", "worker": os.getpid()}


@app.post("/echo")
async def echo() -> tuple[bytes | str, int, dict[str, str]]:
    return await request.get_data(as_text=False), 200, {"content-type": request.content_type or "text/plain"}


@app.get("/countdown/<int:start>")
async def count_down(start: int) -> tuple[AsyncIterator[bytes], int, dict[str, str]]:
    async def lines() -> AsyncIterator[bytes]:
        for number in range(start, 0, -1):
            yield b"%d\n" % number
            await asyncio.sleep(0.1)
        yield b"lift-off\n"

    return lines(), 200, {"content-type": "text/plain"}

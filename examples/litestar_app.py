"""Litestar: ``fastserver examples.litestar_app:app --workers 2``."""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass

from litestar import Litestar, Request, get, post
from litestar.response import Stream


@dataclass
class Item:
    name: str
    price: float
    quantity: int = 1


@get("/")
async def read_root() -> dict[str, str | int]:
    return {"message": "Hello from Litestar", "worker": os.getpid()}


@post("/items")
async def create_item(data: Item) -> dict[str, str | float]:
    return {"name": data.name, "total": data.price * data.quantity}


@post("/echo")
async def echo(request: Request) -> Stream:
    """The body goes back as it comes in: neither side holds the whole of it."""

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in request.stream():
            yield piece

    return Stream(pieces())


app = Litestar([read_root, create_item, echo])

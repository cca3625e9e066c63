"""Litestar: ``fastserver examples.litestar_app:app --workers 2``."""

import os
from dataclasses import dataclass
from typing import Any

from litestar import Litestar, Request, get, post


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


@post("/count")
async def count(request: Request[Any, Any, Any]) -> dict[str, int]:
    """The body comes in pieces, as it arrives; none of it is kept but its length."""
    received = 0
    async for piece in request.stream():
        received += len(piece)
    return {"received": received}


app = Litestar([read_root, create_item, count])

"""FastAPI: ``fastserver examples.fastapi_app:app --workers 2``, then look at http://127.0.0.1:8000/docs."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    """What is yielded here is the state of every request: the server hands each one a copy."""
    yield {"greeting": "Hello"}


app = FastAPI(title="fastserver example", lifespan=lifespan)


class Item(BaseModel):
    name: str
    price: float
    quantity: int = 1


@app.get("/")
async def read_root(request: Request) -> dict[str, str | int]:
    return {"message": f"{request.state.greeting} from FastAPI", "worker": os.getpid()}


@app.post("/items", status_code=201)
async def create_item(item: Item) -> dict[str, str | float]:
    return {"name": item.name, "total": item.price * item.quantity}


@app.get("/countdown/{start}")
async def count_down(start: int) -> StreamingResponse:
    """One line for each number, a tenth of a second apart: ``curl -N`` shows them as they come."""

    async def lines() -> AsyncIterator[str]:
        for number in range(start, 0, -1):
            yield f"{number}\n"
            await asyncio.sleep(0.1)
        yield "lift-off\n"

    return StreamingResponse(lines(), media_type="text/plain")

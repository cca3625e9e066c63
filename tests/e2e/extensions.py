"""Observers and protocol handlers for server processes: those that tell what they heard, and one for each misdeed."""

import asyncio
import os
import sys
import time
from typing import Any

from fastserver.events import Closed, RawData, Updated

NOT_CALLABLE = "a text"


def tell(line: str) -> None:
    """In one piece: workers share standard output."""
    os.write(1, f"{line}\n".encode())


def describe(connection: Any, direction: Any, event: Any) -> str:
    """``heard PID CONNECTION DIRECTION EVENT SIZE``."""
    kind = type(event).__name__
    if isinstance(event, Updated):
        kind = "idle" if event.idle else "active"
    size = len(event.data) if isinstance(event, RawData) else 0
    return f"heard {os.getpid()} {connection.id} {direction.value} {kind} {size}"


class Witness:
    """Tells that it was made, and whatever it hears."""

    def __init__(self) -> None:
        tell(f"made {os.getpid()}")

    def __call__(self, connection: Any, direction: Any, event: Any) -> None:
        tell(describe(connection, direction, event))


async def witness(connection: Any, direction: Any, event: Any) -> None:
    await asyncio.sleep(0)
    tell(f"async {describe(connection, direction, event)}")


def fail(connection: Any, direction: Any, event: Any) -> None:
    raise ValueError("an observer's own fault")


async def fail_later(connection: Any, direction: Any, event: Any) -> None:
    await asyncio.sleep(0)
    raise ValueError("an observer's own fault")


class Blocker:
    """Holds up the whole worker once, when the first bytes come."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, connection: Any, direction: Any, event: Any) -> None:
        if isinstance(event, RawData) and not self.done:
            self.done = True
            time.sleep(0.3)


async def crawl(connection: Any, direction: Any, event: Any) -> None:
    await asyncio.sleep(30)


def mutate(connection: Any, direction: Any, event: Any) -> None:
    """Events are frozen, so that this fails where it is tried."""
    if isinstance(event, RawData):
        event.data = b"GET /evil HTTP/1.1\r\n\r\n"  # type: ignore[misc]
    elif isinstance(event, Updated):
        event.idle = not event.idle  # type: ignore[misc]


def leave(connection: Any, direction: Any, event: Any) -> None:
    sys.exit(5)


async def leave_later(connection: Any, direction: Any, event: Any) -> None:
    sys.exit(5)


def interrupt(connection: Any, direction: Any, event: Any) -> None:
    raise KeyboardInterrupt


async def interrupt_later(connection: Any, direction: Any, event: Any) -> None:
    raise KeyboardInterrupt


def hear_two(connection: Any, event: Any) -> None:
    """Too few arguments for an observer."""


class Broken:
    def __init__(self) -> None:
        raise RuntimeError("no licence")


#: Each harms itself only.
MISDEEDS = (fail, fail_later, Blocker, crawl, mutate, leave, leave_later, interrupt, interrupt_later)


class Lines:
    """A plain handler: ``pid`` is answered with the worker's; ``hold`` keeps the connection active until ``go``.

    ``fail`` is what it raises on.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.held = b""

    def handle(self, event: Any) -> Any:
        if not isinstance(event, RawData):
            return None
        *lines, self.held = (self.held + event.data).split(b"\n")
        return [answer for line in lines for answer in self.answer(line)]

    def answer(self, line: bytes) -> list[Any]:
        if line == b"pid":
            return [RawData(b"%d\n" % os.getpid())]
        if line == b"alpn":
            return [RawData(f"{self.connection.peer.scheme} {self.connection.peer.alpn}\n".encode())]
        if line == b"hold":
            return [RawData(b"holding\n"), Updated(idle=False)]
        if line == b"go":
            return [RawData(b"gone\n"), Updated(idle=True)]
        raise ValueError(f"rubbish: {line!r}")


class Sleeper:
    """A coroutine handler: each line is a number of seconds after which it is answered."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def handle_event(self, event: Any) -> None:
        if isinstance(event, RawData):
            self.connection.send(RawData(b"sleeping\n"))
            await asyncio.sleep(float(event.data))
            self.connection.send(RawData(b"slept\n"))
        elif isinstance(event, Closed):
            tell("sleeper closed")


class Deaf:
    """No handler: it has neither ``handle`` nor ``handle_event``."""

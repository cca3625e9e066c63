"""Two observers of a live server: one counts in place, the other takes its time.

Let any server have them, and talk to it: ``curl http://127.0.0.1:8000/``::

    fastserver --observer examples.events.event_processor:EventCounter \\
               --observer examples.events.event_processor:EventProcessor examples.hello:app

or have a program serve with them, at an address of your choice::

    python -m examples.events.event_processor 127.0.0.1:8000

One request shows a line for each of its six events, and the counts each time that a connection closes.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable

import fastserver
from fastserver.events import Closed, Direction, Event, RawData, Updated

BATCH = 100


class EventCounter:
    """A synchronous observer.  The server calls it in place and waits for it, so it does little."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.bytes = {Direction.IN: 0, Direction.OUT: 0}

    def __call__(self, connection: fastserver.Connection, direction: Direction, event: Event) -> None:
        self.counts[f"{type(event).__name__} {direction.value}"] += 1
        if isinstance(event, RawData):
            self.bytes[direction] += len(event.data)
        elif isinstance(event, Closed):
            print(f"counted: {self.bytes[Direction.IN]} bytes in, {self.bytes[Direction.OUT]} out, {dict(self.counts)}")


class EventProcessor:
    """An asynchronous observer.  The server awaits it in a task beside the connections, one event after another.

    Its queue is its own: whatever waits there is processed together, as one would to store events by the hundred.
    """

    def __init__(self) -> None:
        self.event_queue: asyncio.Queue[tuple[int, Direction, Event]] = asyncio.Queue(BATCH)
        self.task: asyncio.Task[None] | None = None

    async def __call__(self, connection: fastserver.Connection, direction: Direction, event: Event) -> None:
        if self.task is None:
            self.task = asyncio.create_task(self.process_events())
        await self.event_queue.put((connection.id, direction, event))
        if isinstance(event, Closed):
            # The server waits for its observers when it stops: so it waits for what they keep, too.
            await self.event_queue.join()

    async def process_events(self) -> None:
        """Take all that waits, for ever."""
        while True:
            batch = [await self.event_queue.get()]
            while not self.event_queue.empty():
                batch.append(self.event_queue.get_nowait())
            await self.dispatch_batch(batch)
            for _ in batch:
                self.event_queue.task_done()

    async def dispatch_batch(self, batch: list[tuple[int, Direction, Event]]) -> None:
        """Here a program would await its database."""
        for id, direction, event in batch:
            print(f"connection {id} {direction.value:3} {describe(event)}")


def describe(event: Event) -> str:
    if isinstance(event, RawData):
        return f"{len(event.data)} bytes, {event.data[:24]!r}"
    if isinstance(event, Updated):
        return "idle" if event.idle else "active"
    return "closed"


async def main(address: str) -> None:
    observers: list[Callable[..., object]] = [EventCounter(), EventProcessor()]
    await fastserver.serve("examples.hello:app", fastserver.Config(bind=address), observers=observers)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8000"))

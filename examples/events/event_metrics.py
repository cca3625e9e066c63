"""What a live server counts, as seen by a program that embeds it, by an observer of its own, and by everybody else.

::

    python -m examples.events.event_metrics 127.0.0.1:8000 127.0.0.1:9090

prints a line each second while you send requests to the first address.  The second one is for the tools::

    curl http://127.0.0.1:9090/metrics       # for Prometheus
    curl http://127.0.0.1:9090/stats         # the same counters as JSON
    fastserver top 127.0.0.1:9090            # live in the terminal, with the extra top

The command has the same, and any number of workers at one address: ``fastserver --metrics-bind :9090 --workers 2 ...``.
"""

import asyncio
import signal
import sys
import time
from collections import Counter
from typing import Any

import fastserver
from fastserver.events import Closed, Direction, Event, RawData, Updated


class EventMetrics:
    """An observer that counts for itself; ``Server.get_stats()`` has these keys and more, and needs no observer."""

    def __init__(self) -> None:
        self.event_counts: Counter[str] = Counter()
        self.data_bytes = 0
        self.active: set[int] = set()
        self.start_time = time.time()

    def __call__(self, connection: fastserver.Connection, direction: Direction, event: Event) -> None:
        self.event_counts[type(event).__name__] += 1
        if isinstance(event, RawData):
            self.data_bytes += len(event.data)
        elif isinstance(event, Updated) and not event.idle:
            self.active.add(connection.id)
        elif isinstance(event, (Updated, Closed)):
            self.active.discard(connection.id)

    def get_stats(self) -> dict[str, Any]:
        uptime = time.time() - self.start_time
        return {
            "uptime": uptime,
            "event_counts": dict(self.event_counts),
            "total_data_bytes": self.data_bytes,
            "active_connections": len(self.active),
            "events_per_second": sum(self.event_counts.values()) / uptime,
        }


def describe(stats: dict[str, Any]) -> str:
    events = ", ".join(f"{count} {name}" for name, count in stats["event_counts"].items())
    return f"{stats['total_data_bytes']} bytes in {events}; {stats['active_connections']} connections active"


async def main(address: str, metrics_address: str) -> None:
    metrics = EventMetrics()
    config = fastserver.Config(bind=address, metrics_bind=metrics_address, observers=[metrics])
    stop = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    async with fastserver.Server("examples.hello:app", config) as server:
        server.announce()
        while not stopping.done():
            await asyncio.wait({stopping}, timeout=1.0)
            stats = server.get_stats()
            median_ms = stats["latency"]["p50"] * 1000
            print(f"server:   {describe(stats)}; half of the requests took less than {median_ms:.2f} ms", flush=True)
            print(f"observer: {describe(metrics.get_stats())}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*(sys.argv[1:] or ("127.0.0.1:8000", "127.0.0.1:9090"))))

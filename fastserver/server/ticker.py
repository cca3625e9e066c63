"""The heartbeat of a worker: what time it is, how late its loop runs, whose deadline is over.

One timer for all connections: none of them has its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from fastserver._speedups.connection import sweep
from fastserver._speedups.contract import Host
from fastserver.config.model import Config
from fastserver.server.monitor import PUBLISH_S, has_readers

#: Bounds of the seconds between two looks at the deadlines of all connections.
TICK_MIN_S: Final = 0.05
TICK_MAX_S: Final = 1.0


class Ticker:
    """Ticks for ``hosts`` every ``period_s`` seconds, and calls ``work`` with the Unix time when all else is done.

    The hosts share a loop and a clock; the first one counts how late the loop is.
    """

    def __init__(self, hosts: Sequence[Host], period_s: float, work: Callable[[float], None]) -> None:
        self._hosts = hosts
        self._period_s = period_s
        self._work = work
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Tick, and go on with it."""
        self._due = self._hosts[0].loop.time()
        self._tick()

    def stop(self) -> None:
        """Tick no more; safe to repeat."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        host = self._hosts[0]
        now, wall_s = host.loop.time(), time.time()
        host.metrics.tick()
        host.metrics.loop_lag.add(max(0.0, now - self._due))
        self._due = now + self._period_s
        self._timer = host.loop.call_later(self._period_s, self._tick)
        host.clock.tick(now, wall_s)
        for each in self._hosts:
            sweep(each)
        self._work(wall_s)


def get_tick_s(config: Config) -> float:
    """Seconds between two sweeps: often enough for the shortest timeout and for metrics, at least once a second."""
    timeouts = (
        config.timeout_keep_alive,
        config.timeout_keep_alive_min,
        config.timeout_request_header,
        config.timeout_request_body_idle,
        config.timeout_write,
    )
    shortest = min((timeout for timeout in timeouts if timeout > 0), default=TICK_MAX_S)
    longest = PUBLISH_S if has_readers(config) else TICK_MAX_S
    return max(TICK_MIN_S, min(shortest / 4, longest))

"""The open connections of a server, for its operator: what they are, and a way to end them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fastserver._speedups.connection import LiveConnection
from fastserver._speedups.contract import Host
from fastserver._speedups.lifecycle import ConnectionState


class ConnectionTable:
    """A view of the connections that are open or arriving now; iterating gives those of that moment.

    Of one process and for its event loop's thread: where there are several workers, each has its own.
    """

    def __init__(self, host: Host | None) -> None:
        self._host = host

    def __len__(self) -> int:
        return 0 if self._host is None else len(self._host.connections) + len(self._host.arriving)

    def __iter__(self) -> Iterator[LiveConnection]:
        return iter([] if self._host is None else [*self._host.connections, *self._host.arriving])

    def get(self, id: int) -> LiveConnection | None:
        """The connection of that number, or ``None`` where it is not open (any more)."""
        return next((connection for connection in self if connection.id == id), None)

    def count(self) -> dict[ConnectionState, int]:
        """How many there are in each state."""
        return dict(Counter(connection.state for connection in self))

    def close_idle(self, idle_s: float | None = None) -> int:
        """End gracefully those that have been idle for at least ``idle_s`` seconds: how many.  It returns at once.

        One whose next request has arrived answers it first.  What a client is sending at this moment nobody can see, so
        that one which was answered just now, or has just come, may lose its request by a short ``idle_s``; the default
        is the configuration's ``timeout_keep_alive_min``.
        """
        host = self._host
        if host is None:
            return 0
        latest = host.clock.wall_s - (host.limits.timeout_keep_alive_min if idle_s is None else idle_s)
        idle = [each for each in self if each.state is ConnectionState.IDLE and each.since <= latest]
        for connection in idle:
            connection.close()
        return len(idle)

"""Which worker number is whose: one byte that the connection IDs of QUIC carry, so that datagrams find their worker.

No two living workers have the same number.  There are more numbers than workers, since one that drains lives on beside
its successor.  Of the free ones the longest free is given out: clients of a dead worker go on sending for a while, and
their datagrams, as those of a number that nobody has, are spread over all workers and not a burden on one newcomer.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from fastserver.config.errors import ConfigError
from fastserver.protocol.quic.cids import MAX_WORKERS
from fastserver.transport.udpgroup import QUICPlace, UDPGroup

#: Numbers beyond two for each worker: one that starts and one that is killed belong to neither generation.
SPARE: Final = 2


def count_numbers(workers: int) -> int:
    """How many numbers ``workers`` need; 0 is a server that is alone.  ``ConfigError`` where they are too many."""
    if workers == 0:
        return 1
    if workers + SPARE > MAX_WORKERS:
        raise ConfigError("workers", f"HTTP/3 is served by at most {MAX_WORKERS - SPARE} workers")
    return min(2 * workers + SPARE, MAX_WORKERS)


def get_workers_max(numbers: int) -> int:
    """How many workers have room among so many numbers, with one that starts beside them."""
    return max(1, numbers - 1)


class WorkerNumbers:
    """The numbers of one supervisor; every change of them is told to the kernel at once."""

    def __init__(self, group: UDPGroup) -> None:
        self.group = group
        self._free = deque(range(group.numbers))
        self._living: set[int] = set()
        self._accepting: set[int] = set()

    def claim(self) -> QUICPlace | None:
        """For a worker that is about to start: its number is its own, and nothing is sent there yet; ``None``: no
        number is free."""
        return QUICPlace(self.group, self._free.popleft()) if self._free else None

    def at(self, number: int) -> QUICPlace:
        """What was claimed in another process."""
        return QUICPlace(self.group, number)

    def accept(self, place: QUICPlace) -> None:
        """The worker is ready: it gets new connections and its own."""
        self._change(self._accepting | {place.number}, self._living | {place.number})

    def retire(self, *places: QUICPlace) -> None:
        """The workers drain: they get their own connections only."""
        self._change(self._accepting - {place.number for place in places}, self._living)

    def release(self, place: QUICPlace) -> None:
        """The worker is gone: what its clients send goes to others, who answer with a stateless reset."""
        self._change(self._accepting - {place.number}, self._living - {place.number})
        self._free.append(place.number)

    def _change(self, accepting: set[int], living: set[int]) -> None:
        if (accepting, living) != (self._accepting, self._living):
            self._accepting, self._living = accepting, living
            self.group.steer(accepting, living)

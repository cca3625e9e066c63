"""The tide of memory: what is kept from one large message to the next, and what goes back to the system after a flood.

glibc gives a large block back to the system as soon as it is free, and each page of the next one is then a fault: for a
WebSocket echo of 1 MiB these were 540 of 950 us.
"""

from __future__ import annotations

import os
from typing import Final

from fastserver._speedups.kernels import keep_memory, trim_memory

#: Connections at one time that are worth the look: two megabytes.  Trimming takes some milliseconds.
FLOOD: Final = 1000

#: Free memory that a process keeps, and the size from which a block is mapped on its own; bytes.
KEPT: Final = 32 << 20
MAPPED: Final = 8 << 20
#: Variables by which an operator has decided this already (mallopt(3)).
DECIDED: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")


def keep_tide() -> bool:
    """Keep some free memory in this process, unless the environment says how much: whether it is kept."""
    return not any(name in os.environ for name in DECIDED) and keep_memory(KEPT, MAPPED)


class Ebb:
    """Watches how many connections are open, and trims the process's memory when most of a flood has gone."""

    def __init__(self) -> None:
        self._highest = 0

    def watch(self, count: int) -> None:
        """``count`` connections are open now."""
        self._highest = max(self._highest, count)
        if self._highest >= FLOOD and count < self._highest // 4:
            self._highest = count
            trim_memory()

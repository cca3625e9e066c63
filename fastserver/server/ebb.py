"""Memory after a flood: what many connections took is given back to the system once they have gone."""

from __future__ import annotations

from typing import Final

from fastserver._speedups.kernels import trim_memory

#: Connections at one time that are worth the look: two megabytes.  Trimming takes some milliseconds.
FLOOD: Final = 1000


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

"""The supervisor's part of the metrics: places on the scoreboard for its workers, and the reports to StatsD."""

from __future__ import annotations

import math
import time
from logging import Logger
from typing import Final

from fastserver.config.model import Config
from fastserver.metrics.scoreboard import Scoreboard
from fastserver.server.monitor import REPORT_S, Place, open_statsd

#: Places for each worker: a worker that retires, or dies slowly, has its own beside its successor's.
PLACES_PER_WORKER: Final = 4

#: As many at least, for workers that are added later.  Places that are never written to take no memory.
PLACES_MIN: Final = 64


class Report:
    """What ``count`` workers have counted together, those that are gone included."""

    def __init__(self, config: Config, count: int, log: Logger) -> None:
        self._log = log
        self._board = Scoreboard(max(PLACES_PER_WORKER * count, PLACES_MIN), time.time(), log)
        self._statsd = open_statsd(config, log)
        self._due = 0.0 if self._statsd is not None else math.inf

    def claim(self) -> Place:
        """A place for a worker that is about to be forked; one without a slot where too many are still ending."""
        slot = self._board.claim()
        if slot is None:
            self._log.warning("metrics: no place is left for another worker: what it does is not counted")
        return self._board, slot

    def at(self, slot: int | None) -> Place:
        """A place that was claimed in another process."""
        return self._board, slot

    def retire(self, place: Place | None) -> None:
        """The worker that had ``place`` is gone: what it has counted stays."""
        if place is not None and place[1] is not None:
            self._board.retire(place[1])

    def tick(self, now: float) -> float:
        """Report where it is due: when the next report is; both are monotonic seconds."""
        if now >= self._due:
            self._due = now + REPORT_S
            self._send()
        return self._due

    def close(self) -> None:
        """Send the last report."""
        if self._statsd is not None:
            self._send()
            self._statsd.close()

    def _send(self) -> None:
        if self._statsd is not None:
            self._statsd.report(self._board.read(), time.time())

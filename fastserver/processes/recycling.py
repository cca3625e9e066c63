"""When a worker has done enough: after so many requests, so long, or with so much memory, each with some chance in it.

Pure figures: the supervisor asks at its looks, and replaces one worker at a time.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from fastserver.config.model import Config
from fastserver.processes.heartbeat import Vitals

#: What a successor that did not start puts off the next attempt by: seconds.
RETRY_S: Final = 10.0

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one worker may do before it is replaced; infinite where there is no limit.  Drawn once, at its start."""

    requests: float = math.inf
    lifetime_s: float = math.inf
    rss_bytes: float = math.inf

    @classmethod
    def draw(cls, config: Config, chance: random.Random) -> Allowance:
        """The limits of ``config``, each with up to its jitter on top."""

        def pick(limit: float, jitter: float) -> float:
            return limit + chance.uniform(0, jitter) if limit else math.inf

        return cls(
            pick(config.max_requests, config.max_requests_jitter),
            pick(config.worker_lifetime, config.worker_lifetime_jitter),
            pick(config.worker_max_rss, config.worker_max_rss_jitter),
        )

    def find_excess(self, vitals: Vitals, age_s: float) -> str | None:
        """Why it is time, for the log; ``None`` while it is not.  ``age_s`` is since the worker was ready."""
        if vitals.requests >= self.requests:
            return f"after {vitals.requests} requests"
        if age_s >= self.lifetime_s:
            return f"after {age_s:.0f} s"
        if vitals.rss_bytes >= self.rss_bytes:
            return f"with {vitals.rss_bytes / _MIB:.0f} MiB of memory"
        return None

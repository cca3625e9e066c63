"""How many workers a configuration means."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Final

from fastserver.config.model import Config

#: What only a supervisor can do: a configuration that has one of these gets a worker below one.
SUPERVISED: Final = ("preload", "max_requests", "worker_lifetime", "worker_max_rss", "control_socket", "reload")


def count_workers(config: Config) -> int:
    """The number of workers that ``config`` asks for; 0 is to serve in this process, without a supervisor.

    ``auto`` is one for each CPU that this process may use.  Without workers there is one still where a setting needs a
    supervisor.
    """
    count = count_cpus() if config.workers == "auto" else int(config.workers)
    return count or int(any(getattr(config, key) for key in SUPERVISED))


def count_cpus(cgroup: str = "/sys/fs/cgroup") -> int:
    """CPUs that this process may use: its affinity, and the quota of its control group (version 2) rounded up."""
    affinity: Callable[[int], Sequence[int] | set[int]] | None = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    try:
        with open(os.path.join(cgroup, "cpu.max"), encoding="ascii") as file:
            quota, period = file.read().split()
        if quota != "max":
            count = min(count, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        pass  # no control group, or another kind
    return max(1, count)

"""What the operating system says of this process.  Cheap enough to be asked several times a second."""

from __future__ import annotations

import os
import resource
import sys


def read_resident_bytes() -> int:
    """Bytes of this process that are in memory now; without /proc (macOS), the most there ever were."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as statm:
            return int(statm.read(256).split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def read_cpu_s() -> float:
    """Seconds of processor time that this process has taken, its own and the system's for it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

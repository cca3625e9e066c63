"""Stats as a server would give them, and readings of them."""

import json
from typing import Any

from fastserver._speedups.histogram import BOUNDS
from fastserver.top.facts import Facts, Reading, compare
from fastserver.top.stats import parse_stats

STARTED = 1_790_000_000.0


def compose_snapshot(
    requests: int = 0, *, failed: int = 0, slow: int = 0, pid: int = 4711, **facts: Any
) -> dict[str, Any]:
    """A snapshot after ``requests`` good answers of 0.2 ms, ``failed`` bad ones, and ``slow`` ones of a minute."""
    buckets = [0] * (len(BOUNDS) + 1)
    buckets[1], buckets[-1] = requests, slow
    return {
        "bytes_in": requests * 100,
        "bytes_out": requests * 1024,
        "requests": {"http/1.1": {"2xx": requests + slow, "5xx": failed}},
        "refused_requests": {"http/1.1": {"400": failed}, "h2": {"431": failed}},
        "protocol_faults": {"h2": {"ENHANCE_YOUR_CALM": failed}} if failed else {},
        "websocket": {"opened": slow, "messages_in": slow * 10, "messages_out": slow * 20},
        "latency": {"count": requests + slow, "sum": requests * 0.0002 + slow * 60, "buckets": buckets},
        "gauges": {
            "pid": pid,
            "started": STARTED,
            "connections": {"http/1.1": {"connecting": 1, "active": 2, "idle": 40, "closing": 3}},
            "streams": {"http/1.1": 2},
            "websocket_sessions": slow,
            "cpu_s": requests / 1000,
            "resident_bytes": 31_000_000,
        },
        **facts,
    }


def compose_stats(
    *workers: dict[str, Any], total: dict[str, Any] | None = None, uptime: float = 60.0
) -> dict[str, Any]:
    return {"uptime": uptime, "version": "1.2.3", "total": total or workers[0], "workers": list(workers)}


def take_reading(stats: dict[str, Any], at: float = 0.0) -> Reading:
    return Reading(parse_stats(json.dumps(stats).encode()), at, STARTED + 60 + at)


def compare_totals(before: dict[str, Any], now: dict[str, Any], seconds: float = 2.0) -> Facts:
    earlier = take_reading(compose_stats(before))
    return compare(earlier, take_reading(compose_stats(now, uptime=60 + seconds), seconds))

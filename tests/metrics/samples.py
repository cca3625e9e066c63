"""Snapshots to publish and boards to render."""

from typing import Any

from fastserver._speedups.histogram import BOUNDS
from fastserver.metrics.scoreboard import Board
from fastserver.metrics.snapshot import Snapshot


def make_histogram(**counts: int) -> dict[str, Any]:
    """Of the buckets by index: ``make_histogram(b0=3, b16=1)``."""
    buckets = [counts.get(f"b{index}", 0) for index in range(len(BOUNDS) + 1)]
    return {"count": sum(buckets), "sum": 0.25, "buckets": buckets}


def make_snapshot(pid: int = 7, **changes: Any) -> Snapshot:
    """A worker that has done something of everything."""
    return {
        "events": {"raw_data_in": 5, "raw_data_out": 4, "updated_idle": 3, "updated_active": 2, "closed": 1},
        "bytes_in": 500,
        "bytes_out": 4000,
        "connections_opened": 3,
        "connections_refused": 1,
        "handshakes_failed": 4,
        "timeouts": {"idle": 2, "write": 0},
        "requests": {"http/1.1": {"2xx": 12, "4xx": 1, "aborted": 2}, "redis": {"2xx": 3}},
        "log_lines_dropped": {"access": 2, "error": 0},
        "refused_requests": {"http/1.1": {"400": 1, "431": 1}, "h2": {"431": 1}},
        "protocol_faults": {"h2": {"ENHANCE_YOUR_CALM": 2}, "websocket": {"1002": 1}},
        "websocket": {"opened": 9, "closed": 4, "messages_in": 70, "messages_out": 80},
        "datagrams": {"in": 90, "out": 60, "dropped": 8, "forwarded": 0},
        "quic_replies": {"retry": 11, "reset": 2, "version": 0, "refusal": 0, "farewell": 0},
        "latency": make_histogram(b0=3, b2=10, b16=1),
        "loop_lag": make_histogram(b1=4),
        "observers": {"app.seen:hear": {"errors": 1, "dropped": 6}},
        "gauges": {
            "pid": pid,
            "started": 1790000000.5,
            "connections": {"http/1.1": {"active": 2, "idle": 40}, "redis": {"active": 1, "idle": 0}},
            "streams": {"http/1.1": 2, "h2": 30},
            "websocket_sessions": 5,
            "quic_handshakes": 6,
            "tasks": 3,
            "resident_bytes": 31000000,
            "cpu_s": 1.25,
        },
        **changes,
    }


def make_board(*workers: Snapshot, past: Snapshot | None = None) -> Board:
    return Board(started=1790000000.0, past=past or {}, workers=workers)

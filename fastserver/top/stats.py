"""The answer of ``/stats`` as frozen facts: what is not of its shape is refused, so the rest of this room may trust it.

Absent keys mean 0, as the server may leave them out, and so do numbers below 0: one wrong gauge is no reason to show
nothing.  Unknown keys are passed over, as a newer server may have them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from fastserver._speedups.histogram import BOUNDS

_Table: TypeAlias = dict[str, object]

_LIMIT_LABEL = 100
_NO_BUCKETS: Final = (0,) * (len(BOUNDS) + 1)


class ShapeError(ValueError):
    """The answer is no stats; the text is the reason, one line."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Durations in seconds; ``buckets`` are not cumulative, one more than ``BOUNDS``."""

    sum: float
    buckets: tuple[int, ...]


_NOTHING: Final = Histogram(0.0, _NO_BUCKETS)


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters and gauges of one worker, or of all.

    ``connections`` go by protocol and state, ``requests`` by protocol and class, ``faults`` by protocol and code; an
    observer has errors and drops.  ``started`` is Unix seconds.
    """

    bytes_in: int
    bytes_out: int
    refused: int
    requests: Mapping[str, Mapping[str, int]]
    faults: Mapping[str, Mapping[str, int]]
    sessions: int
    messages_in: int
    messages_out: int
    latency: Histogram
    lag: Histogram
    observers: Mapping[str, tuple[int, int]]
    connections: Mapping[str, Mapping[str, int]]
    streams: Mapping[str, int]
    open_sessions: int
    pid: int
    started: float
    cpu_s: float
    resident_bytes: int
    tasks: int


@dataclass(frozen=True, slots=True)
class Stats:
    """One answer.  ``uptime_s`` is the server's."""

    version: str
    uptime_s: float
    total: Counters
    workers: tuple[Counters, ...]


#: What a worker has published before anything happened.
EMPTY: Final = Counters(0, 0, 0, {}, {}, 0, 0, 0, _NOTHING, _NOTHING, {}, {}, {}, 0, 0, 0.0, 0.0, 0, 0)


def parse_stats(body: bytes) -> Stats:
    """The stats in ``body``; ``ShapeError`` where there are none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise ShapeError("its answer is not JSON") from None
    if not isinstance(answer, dict) or not {"uptime", "total", "workers"} <= answer.keys():
        raise ShapeError("its answer is JSON, but not a server's stats")
    workers = answer["workers"]
    if not isinstance(workers, list):
        _refuse("workers")
    return Stats(
        version=_clean(answer.get("version", "")),
        uptime_s=_number(answer, "uptime"),
        total=_parse_counters(_table(answer, "total")),
        workers=tuple(_parse_counters(_take_table(worker, "workers")) for worker in workers),
    )


def _parse_counters(snapshot: _Table) -> Counters:
    gauges = _table(snapshot, "gauges")
    observers = _tables(snapshot, "observers")
    sessions = _counts(snapshot, "websocket")
    return Counters(
        bytes_in=_count(snapshot, "bytes_in"),
        bytes_out=_count(snapshot, "bytes_out"),
        refused=sum(sum(counts.values()) for counts in _tables(snapshot, "refused_requests").values()),
        requests=_tables(snapshot, "requests"),
        faults=_tables(snapshot, "protocol_faults"),
        sessions=sessions.get("opened", 0),
        messages_in=sessions.get("messages_in", 0),
        messages_out=sessions.get("messages_out", 0),
        latency=_parse_histogram(_table(snapshot, "latency")),
        lag=_parse_histogram(_table(snapshot, "loop_lag")),
        observers={name: (facts.get("errors", 0), facts.get("dropped", 0)) for name, facts in observers.items()},
        connections=_tables(gauges, "connections"),
        streams=_counts(gauges, "streams"),
        open_sessions=_count(gauges, "websocket_sessions"),
        pid=_count(gauges, "pid"),
        started=_number(gauges, "started"),
        cpu_s=_number(gauges, "cpu_s"),
        resident_bytes=_count(gauges, "resident_bytes"),
        tasks=_count(gauges, "tasks"),
    )


def _parse_histogram(table: _Table) -> Histogram:
    buckets = table.get("buckets", list(_NO_BUCKETS))
    if not isinstance(buckets, list) or len(buckets) != len(_NO_BUCKETS):
        _refuse("buckets")
    numbers = tuple(int(_take_number(bucket, "buckets")) for bucket in buckets)
    return Histogram(_number(table, "sum"), numbers)


def _tables(table: _Table, key: str) -> dict[str, dict[str, int]]:
    inner = _table(table, key)
    return {_clean(name): _counts(inner, name) for name in inner}


def _counts(table: _Table, key: str) -> dict[str, int]:
    inner = _table(table, key)
    return {_clean(name): _count(inner, name) for name in inner}


def _table(table: _Table, key: str) -> _Table:
    return _take_table(table.get(key, {}), key)


def _take_table(value: object, key: str) -> _Table:
    if not isinstance(value, dict):
        _refuse(key)
    return value


def _count(table: _Table, key: str) -> int:
    return int(_number(table, key))


def _number(table: _Table, key: str) -> float:
    return _take_number(table.get(key, 0), key)


def _take_number(value: object, key: str) -> float:
    # The ends keep out infinity and what no float holds; NaN is never within.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1 << 63 < value < 1 << 63:
        _refuse(key)
    return max(value, 0)


def _clean(text: object) -> str:
    """``text`` fit for a terminal: what another process says could hold escape codes."""
    if not isinstance(text, str):
        _refuse("version")
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_LIMIT_LABEL])


def _refuse(key: str) -> NoReturn:
    raise ShapeError(f"its answer is not a server's stats: {_clean(key)!r} is not what it should be")

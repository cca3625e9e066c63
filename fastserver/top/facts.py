"""What two readings of a server say: rates, quantiles and shares of the time between.  Pure; it reads no clock.

A rate is ``None`` where it cannot be known: there is no earlier reading, or the counter went down since (a restart).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fastserver.metrics.snapshot import quantile
from fastserver.top.stats import EMPTY, Counters, Histogram, Stats

#: Those of status classes that are shown though nothing was counted yet.
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx", "aborted")
#: What a server's operator calls an error: an answer 5xx, or an exchange that never got to its end.
_ERRORS = ("5xx", "aborted")


@dataclass(frozen=True, slots=True)
class Reading:
    """Stats, when they were read on the reader's monotonic clock, and what its wall clock said (both seconds)."""

    stats: Stats
    at: float
    wall: float


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Seconds; ``None`` where nothing was measured between the readings."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Flow:
    """What went through a worker, or through all, in each second between the readings."""

    requests: float | None
    errors: float | None
    bytes_in: float | None
    bytes_out: float | None
    latency: Quantiles
    lag: Quantiles


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """``cpu`` is a share of one core, 1.0 for all of it."""

    pid: int
    uptime_s: float
    cpu: float | None
    resident_bytes: int
    tasks: int
    active: int
    idle: int
    flow: Flow


@dataclass(frozen=True, slots=True)
class ProtocolFacts:
    """The connections of a protocol by state, its open streams, and its requests a second."""

    name: str
    states: Mapping[str, int]
    streams: int
    requests: float | None


@dataclass(frozen=True, slots=True)
class Count:
    """A counter: all since the server's start, and each second between the readings."""

    name: str
    total: int
    rate: float | None


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """WebSocket sessions: how many are open, and were accepted in all; each second, those opened and the messages."""

    open: int
    total: int
    opened: float | None
    messages_in: float | None
    messages_out: float | None


@dataclass(frozen=True, slots=True)
class ObserverFacts:
    """An observer that failed or had to drop something, since the server's start."""

    name: str
    errors: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All that there is to show."""

    version: str
    uptime_s: float
    flow: Flow
    workers: tuple[WorkerFacts, ...]
    protocols: tuple[ProtocolFacts, ...]
    requests: tuple[Count, ...]
    sessions: SessionFacts
    faults: tuple[Count, ...]
    observers: tuple[ObserverFacts, ...]


def compare(before: Reading | None, now: Reading) -> Facts:
    """The facts of ``now``, with rates over the time since ``before``."""
    stats, seconds = now.stats, 0.0
    past, lives = EMPTY, dict[tuple[int, float], Counters]()
    # With a shorter uptime it is another life of the server, in which nothing can be compared.
    if before is not None and before.stats.uptime_s <= stats.uptime_s:
        seconds = now.at - before.at
        past = before.stats.total
        lives = {(worker.pid, worker.started): worker for worker in before.stats.workers}
    return Facts(
        version=stats.version,
        uptime_s=stats.uptime_s,
        flow=_compare_flow(past, stats.total, seconds),
        workers=tuple(
            _compare_worker(lives.get((worker.pid, worker.started)), worker, seconds, now.wall)
            for worker in stats.workers
        ),
        protocols=tuple(
            _compare_protocol(name, past, stats.total, seconds)
            for name in sorted({*stats.total.connections, *stats.total.requests})
        ),
        requests=_compare_requests(past, stats.total, seconds),
        sessions=_compare_sessions(past, stats.total, seconds),
        faults=tuple(_compare_faults(past, stats.total, seconds)),
        observers=tuple(
            ObserverFacts(name, errors, dropped)
            for name, (errors, dropped) in sorted(stats.total.observers.items())
            if errors or dropped
        ),
    )


def _compare_worker(past: Counters | None, now: Counters, seconds: float, wall: float) -> WorkerFacts:
    if past is None:
        past, seconds = EMPTY, 0.0
    return WorkerFacts(
        pid=now.pid,
        uptime_s=max(0.0, wall - now.started),
        cpu=_rate(past.cpu_s, now.cpu_s, seconds),
        resident_bytes=now.resident_bytes,
        tasks=now.tasks,
        active=_count_state(now, "active"),
        idle=_count_state(now, "idle"),
        flow=_compare_flow(past, now, seconds),
    )


def _compare_flow(past: Counters, now: Counters, seconds: float) -> Flow:
    earlier, later = _count_classes(past), _count_classes(now)
    return Flow(
        requests=_rate(earlier.total(), later.total(), seconds),
        errors=_rate(_count_errors(earlier), _count_errors(later), seconds),
        bytes_in=_rate(past.bytes_in, now.bytes_in, seconds),
        bytes_out=_rate(past.bytes_out, now.bytes_out, seconds),
        latency=_measure(past.latency, now.latency, seconds),
        lag=_measure(past.lag, now.lag, seconds),
    )


def _compare_protocol(name: str, past: Counters, now: Counters, seconds: float) -> ProtocolFacts:
    earlier, later = (sum(counters.requests.get(name, {}).values()) for counters in (past, now))
    states, streams = now.connections.get(name, {}), now.streams.get(name, 0)
    return ProtocolFacts(name, states, streams, _rate(earlier, later, seconds))


def _compare_requests(past: Counters, now: Counters, seconds: float) -> tuple[Count, ...]:
    earlier, later = _count_classes(past), _count_classes(now)
    classes = [Count(name, later[name], _rate(earlier[name], later[name], seconds)) for name in sorted(later)]
    return (*classes, Count("refused", now.refused, _rate(past.refused, now.refused, seconds)))


def _compare_sessions(past: Counters, now: Counters, seconds: float) -> SessionFacts:
    return SessionFacts(
        open=now.open_sessions,
        total=now.sessions,
        opened=_rate(past.sessions, now.sessions, seconds),
        messages_in=_rate(past.messages_in, now.messages_in, seconds),
        messages_out=_rate(past.messages_out, now.messages_out, seconds),
    )


def _compare_faults(past: Counters, now: Counters, seconds: float) -> Iterator[Count]:
    """Each kind of fault that has ever been; its name has the protocol and the code."""
    for protocol, codes in sorted(now.faults.items()):
        earlier = past.faults.get(protocol, {})
        for code, total in sorted(codes.items()):
            yield Count(f"{protocol} {code}", total, _rate(earlier.get(code, 0), total, seconds))


def _count_classes(counters: Counters) -> Counter[str]:
    """Finished exchanges by status class, of all protocols; each class that there is has its entry."""
    classes = Counter(dict.fromkeys(CLASSES, 0))
    for counts in counters.requests.values():
        classes.update(counts)
    return classes


def _count_errors(classes: Counter[str]) -> int:
    return sum(classes[name] for name in _ERRORS)


def _count_state(counters: Counters, state: str) -> int:
    return sum(states.get(state, 0) for states in counters.connections.values())


def _rate(earlier: float, later: float, seconds: float) -> float | None:
    return (later - earlier) / seconds if seconds > 0 and later >= earlier else None


def _measure(earlier: Histogram, later: Histogram, seconds: float) -> Quantiles:
    buckets = [new - old for old, new in zip(earlier.buckets, later.buckets, strict=True)]
    if seconds <= 0 or min(buckets) < 0 or not any(buckets):
        return Quantiles()
    between = {"count": sum(buckets), "sum": max(0.0, later.sum - earlier.sum), "buckets": buckets}
    return Quantiles(*(quantile(between, share) for share in (0.5, 0.95, 0.99)))

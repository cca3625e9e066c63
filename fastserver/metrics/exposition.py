"""The board in Prometheus' text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).

Every family is a line of ``FAMILIES`` or ``WORKER_FAMILIES``; the names, units and labels are an interface that users'
dashboards stand on.  A family with labels and no sample yet is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fastserver._speedups.histogram import BOUNDS
from fastserver.metrics.scoreboard import Board
from fastserver.metrics.snapshot import Histogram, select

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_EMPTY: Final = {"sum": 0.0, "buckets": [0] * (len(BOUNDS) + 1)}

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Family:
    """``at`` are the steps to its values (see ``snapshot.select``), with blanks between; ``{label}`` names a label."""

    name: str
    kind: str
    at: str
    help: str
    path: tuple[str, ...] = field(init=False)
    labels: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        path = tuple(self.at.split())
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "labels", tuple(step.partition("{")[2][:-1] for step in path if "{" in step))


#: What is asked of all workers together, the ended ones included.  ``build``, ``started`` and ``workers`` are no
#: counters of a snapshot: ``render`` puts them beside.
FAMILIES: Final = tuple(
    Family(f"fastserver_{name}", kind, at, text)
    for name, kind, at, text in (
        ("build_info", "gauge", "build {version}", "Always 1; the label has the server's version."),
        ("start_time_seconds", "gauge", "started", "When the server started, in Unix seconds."),
        ("workers", "gauge", "workers", "Living workers."),
        ("events_total", "counter", "events {event}", "Events of connections, by what they are and their direction."),
        ("received_bytes_total", "counter", "bytes_in", "Bytes read from connections, without what TLS adds."),
        ("sent_bytes_total", "counter", "bytes_out", "Bytes written to connections, without what TLS adds."),
        ("connections", "gauge", "gauges connections {protocol} {state}", "Open connections."),
        ("connections_opened_total", "counter", "connections_opened", "Connections that were accepted and served."),
        ("connections_refused_total", "counter", "connections_refused", "Connections closed at once: above the limit."),
        ("handshakes_failed_total", "counter", "handshakes_failed", "Handshakes that failed or took too long."),
        ("timeouts_total", "counter", "timeouts {kind}", "Connections closed since they took too long."),
        ("requests_total", "counter", "requests {protocol} {status}", "Finished requests."),
        (
            "refused_requests_total",
            "counter",
            "refused_requests {protocol} {status}",
            "Requests that the server answered itself.",
        ),
        (
            "protocol_faults_total",
            "counter",
            "protocol_faults {protocol} {code}",
            "Connections and WebSocket sessions ended since the peer broke the protocol.",
        ),
        ("streams", "gauge", "gauges streams {protocol}", "Open streams: of HTTP/2 many on a connection, else one."),
        ("websocket_sessions_total", "counter", "websocket opened", "WebSocket sessions that were accepted."),
        ("websocket_sessions_open", "gauge", "gauges websocket_sessions", "Open WebSocket sessions."),
        ("websocket_messages_total", "counter", "websocket messages_{direction}", "Messages of WebSocket sessions."),
        ("quic_handshakes", "gauge", "gauges quic_handshakes", "Handshakes of QUIC that are under way."),
        ("quic_replies_total", "counter", "quic_replies {kind}", "Answers to datagrams of no connection."),
        ("udp_datagrams_total", "counter", "datagrams {what}", "Datagrams of HTTP/3, by what became of them."),
        ("request_duration_seconds", "histogram", "latency", "From a request's whole head to its last byte out."),
        ("event_loop_lag_seconds", "histogram", "loop_lag", "How late the event loop ran what was due."),
        ("observer_errors_total", "counter", "observers {observer} errors", "Exceptions that an observer raised."),
        (
            "observer_dropped_total",
            "counter",
            "observers {observer} dropped",
            "Events that an observer had no room for.",
        ),
        ("log_lines_dropped_total", "counter", "log_lines_dropped {log}", "Lines that a log could not take."),
        ("tasks", "gauge", "gauges tasks", "Tasks of applications that have not ended."),
    )
)

#: What is asked of each living worker; the first label is always its ``pid``.
WORKER_FAMILIES: Final = tuple(
    Family(f"fastserver_worker_{name}", kind, at, text)
    for name, kind, at, text in (
        ("start_time_seconds", "gauge", "gauges started", "When the worker started, in Unix seconds."),
        ("requests_total", "counter", "requests * *", "Finished requests of the worker."),
        ("connections", "gauge", "gauges connections * *", "Open connections of the worker."),
        ("resident_memory_bytes", "gauge", "gauges resident_bytes", "Memory of the worker."),
        ("cpu_seconds_total", "counter", "gauges cpu_s", "Processor time that the worker has taken."),
    )
)


def render(board: Board, version: str) -> bytes:
    """The whole page."""
    facts = {"build": {version: 1}, "started": board.started, "workers": len(board.workers)}
    total = {**board.total(), **facts}
    lines: list[str] = []
    for family in FAMILIES:
        lines += _render_family(family, family.labels, select(total, family.path))
    by_pid = {str(worker.get("gauges", {}).get("pid", 0)): worker for worker in board.workers}
    for family in WORKER_FAMILIES:
        lines += _render_family(family, ("pid", *family.labels), select(by_pid, ("{pid}", *family.path)))
    lines.append("")
    # A name may have come from anywhere, and half of a surrogate pair is no UTF-8.
    return "\n".join(lines).encode("utf-8", "replace")


def _render_family(family: Family, labels: tuple[str, ...], samples: Mapping[tuple[str, ...], Any]) -> Iterator[str]:
    if not samples:
        return
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for values, sample in samples.items():
        if family.kind == "histogram":
            yield from _render_histogram(family.name, sample or _EMPTY)
        else:
            yield f"{family.name}{_render_labels(labels, values)} {sample}"


def _render_histogram(name: str, histogram: Histogram) -> Iterator[str]:
    """Its lines, without labels.  The count is that of the buckets, so that ``+Inf`` cannot contradict it."""
    below = 0
    for bound, count in zip((*BOUNDS, "+Inf"), histogram["buckets"], strict=True):
        below += count
        yield f'{name}_bucket{{le="{bound}"}} {below}'
    yield f"{name}_sum {histogram['sum']}"
    yield f"{name}_count {below}"


def _render_labels(labels: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not labels:
        return ""
    pairs = (f'{label}="{value.translate(_ESCAPES)}"' for label, value in zip(labels, values, strict=True))
    return f"{{{','.join(pairs)}}}"

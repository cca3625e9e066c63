"""What a worker tells of itself: its counters as a snapshot, on the scoreboard, at the metrics' address, to StatsD.

Where there is a supervisor, it owns the scoreboard and reports to StatsD for all workers; a server that is alone does
both itself.
"""

from __future__ import annotations

import os
import time
from logging import Logger
from typing import Any, Final, TypeAlias

from fastserver._speedups.connection import count_streams, survey
from fastserver._speedups.contract import Host
from fastserver._speedups.lifecycle import SERVED_STATES, ConnectionState
from fastserver.config.model import Config
from fastserver.logs.errorlog import find_handlers
from fastserver.metrics.application import MetricsApp
from fastserver.metrics.process import read_cpu_s, read_resident_bytes
from fastserver.metrics.scoreboard import Board, Scoreboard
from fastserver.metrics.snapshot import Snapshot, quantile
from fastserver.metrics.statsd import StatsdReporter
from fastserver.observe import Observation
from fastserver.version import VERSION

#: Seconds between two reports to StatsD.
REPORT_S: Final = 1.0

#: Seconds between two publications on the scoreboard, at most.
PUBLISH_S: Final = 0.25

#: A scoreboard, and the slot on it where one process publishes; ``None`` where there was none left: it only reads then.
Place: TypeAlias = tuple[Scoreboard, int | None]


def has_readers(config: Config) -> bool:
    """Whether anybody outside the process gets to see the metrics."""
    return bool(config.metrics_bind) or config.statsd_host is not None


def open_statsd(config: Config, log: Logger) -> StatsdReporter | None:
    """What sends to StatsD, where ``config`` asks for it."""
    target = config.statsd_target
    return None if target is None else StatsdReporter(target, config.statsd_prefix, config.dogstatsd_tags, log)


class Monitor:
    """The account of the worker of ``host``; ``place`` is what a supervisor has claimed for it."""

    def __init__(self, config: Config, host: Host, observation: Observation, log: Logger, place: Place | None) -> None:
        self.started = time.time()
        self._config = config
        self._host = host
        self._observation = observation
        self._statsd: StatsdReporter | None = None
        self._report_at = 0.0
        if place is None and has_readers(config):
            board = Scoreboard(1, self.started, log)
            place = board, board.claim()
            self._statsd = open_statsd(config, log)
        self._place = place

    def snapshot(self) -> Snapshot:
        """All that is counted, and the state of the process, as ``fastserver.metrics`` wants it."""
        host = self._host
        snapshot: Snapshot = host.metrics.snapshot()
        snapshot["observers"] = self._observation.counts()
        snapshot["log_lines_dropped"] = {
            "access": host.access_log.dropped if host.access_log is not None else 0,
            "error": sum(handler.dropped for handler in find_handlers(host.error_log)),
        }
        sessions = snapshot["websocket"]
        connections = survey(host)
        streams = count_streams(host)
        for protocol in snapshot["requests"]:
            connections.setdefault(protocol, {state.value: 0 for state in SERVED_STATES})
            streams.setdefault(protocol, 0)
        connections["none"] = {ConnectionState.CONNECTING.value: len(host.arriving)}
        snapshot["gauges"] = {
            "connections": connections,
            "streams": streams,
            "websocket_sessions": sessions["opened"] - sessions["closed"],
            "quic_handshakes": host.metrics.half_open,
            "pid": os.getpid(),
            "started": self.started,
            "tasks": len(host.tasks),
            "resident_bytes": read_resident_bytes(),
            "cpu_s": read_cpu_s(),
        }
        return snapshot

    def get_stats(self) -> dict[str, Any]:
        """A summary for people; ``snapshot`` is the whole."""
        snapshot = self.snapshot()
        uptime_s = max(time.time() - self.started, 1e-9)
        events = snapshot["events"]
        open_connections = snapshot["gauges"]["connections"].values()
        latency, lag = snapshot["latency"], snapshot["loop_lag"]
        return {
            "uptime": uptime_s,
            "event_counts": {
                "RawData": events["raw_data_in"] + events["raw_data_out"],
                "Updated": events["updated_idle"] + events["updated_active"],
                "Closed": events["closed"],
            },
            "events_per_second": sum(events.values()) / uptime_s,
            "total_data_bytes": snapshot["bytes_in"] + snapshot["bytes_out"],
            "bytes_in": snapshot["bytes_in"],
            "bytes_out": snapshot["bytes_out"],
            "active_connections": sum(states.get("active", 0) for states in open_connections),
            "idle_connections": sum(states.get("idle", 0) for states in open_connections),
            "connections_opened": snapshot["connections_opened"],
            "connections_refused": snapshot["connections_refused"],
            "requests": {name: counts for name, counts in snapshot["requests"].items() if any(counts.values())},
            "refused_requests": {name: counts for name, counts in snapshot["refused_requests"].items() if counts},
            "protocol_faults": snapshot["protocol_faults"],
            "open_streams": snapshot["gauges"]["streams"],
            "websocket": {"open": snapshot["gauges"]["websocket_sessions"], **snapshot["websocket"]},
            "quic": {
                "handshakes": snapshot["gauges"]["quic_handshakes"],
                "datagrams": snapshot["datagrams"],
                "replies": snapshot["quic_replies"],
            },
            "latency": _summarise(latency),
            "loop_lag": _summarise(lag),
            "observers": snapshot["observers"],
            "resident_bytes": snapshot["gauges"]["resident_bytes"],
        }

    def tick(self, now: float) -> None:
        """Publish, and report where it is due; ``now`` in Unix seconds."""
        if self._place is None:
            return
        board = self._publish(self._place)
        if self._statsd is not None and now >= self._report_at:
            self._report_at = now + REPORT_S
            self._statsd.report(board.read(), now)

    def close(self) -> None:
        """Say the last words: what has been counted since the last tick."""
        self._report_at = 0.0
        self.tick(time.time())
        if self._statsd is not None:
            self._statsd.close()

    def make_app(self) -> MetricsApp:
        """What answers at the metrics' address."""
        return MetricsApp(self._read, time.time, VERSION, self._config.metrics_path, lambda: self._host.ready)

    def _read(self) -> Board:
        """The board with this worker as it is now, and the others as they were at their last tick."""
        assert self._place is not None
        return self._publish(self._place).read()

    def _publish(self, place: Place) -> Scoreboard:
        board, slot = place
        if slot is not None:
            board.publish(slot, self.snapshot())
        return board


def _summarise(histogram: dict[str, Any]) -> dict[str, float]:
    count = histogram["count"]
    return {
        "count": count,
        "mean": histogram["sum"] / count if count else 0.0,
        **{f"p{percent}": quantile(histogram, percent / 100) for percent in (50, 95, 99)},
    }

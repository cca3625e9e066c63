"""Sends the board to a StatsD server: UDP or a Unix datagram socket, plain StatsD or with DogStatsD tags.

All names start with the prefix.  Gunicorn's are taken where it has one.

=============================  =====  ====================================================================
name                           type   what
=============================  =====  ====================================================================
``requests``                   ``c``  finished requests
``request.status.2xx``         ``c``  the same by class of status, and ``request.status.aborted``
``request.refused.400``        ``c``  requests that no application saw, by status
``fault.h2.PROTOCOL_ERROR``    ``c``  connections and sessions ended since the peer broke the protocol, by its name
                                      and the code
``request.duration.p50``       ``g``  milliseconds, as are ``p95`` and ``p99``: of the requests since the last
                                      report, from a request's whole head to its last byte out
``connections.opened``         ``c``  and ``connections.refused``, ``connections.handshakes_failed``
``connections.idle``           ``g``  open connections by state
``streams.h2``                 ``g``  open streams by protocol
``websocket.opened``           ``c``  and ``websocket.closed``: sessions; ``websocket.messages.in`` and ``.out``
``websocket.open``             ``g``  open sessions
``quic.handshakes``            ``g``  handshakes that are under way
``quic.replies.retry``         ``c``  answers to datagrams of no connection, by kind
``datagrams.in``               ``c``  and ``.out``, ``.dropped``, ``.forwarded``: of UDP
``timeouts.idle``              ``c``  connections closed since they took too long, by kind
``bytes.received``             ``c``  and ``bytes.sent``
``events.raw_data_in``         ``c``  events of connections, by what they are
``event_loop.lag.p99``         ``g``  milliseconds, since the last report
``observer.NAME.errors``       ``c``  and ``observer.NAME.dropped``
``workers``                    ``g``  living workers; ``tasks``, ``memory.resident_bytes``: what they have
``uptime``                     ``g``  seconds
=============================  =====  ====================================================================

Counters are sent as what was added since the last report, and only then.  Gauges are sent each time: a datagram may get
lost, and a gauge that is not sent again would stay wrong.  The durations are gauges and not timers, since the server
keeps buckets and not single times.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from logging import Logger
from typing import Any, Final

from fastserver.config.statsd import StatsdTarget
from fastserver.metrics.scoreboard import Board
from fastserver.metrics.snapshot import Histogram, Snapshot, quantile, select

#: What fits into one packet of an Ethernet (1,500 bytes with its headers), whatever tunnel it goes through.
PACKET_BYTES: Final = 1400

_COUNTERS: Final = (
    ("requests", "requests * *"),
    ("request.status.{}", "requests * {status}"),
    ("request.refused.{}", "refused_requests * {status}"),
    ("fault.{}.{}", "protocol_faults {protocol} {code}"),
    ("connections.opened", "connections_opened"),
    ("connections.refused", "connections_refused"),
    ("connections.handshakes_failed", "handshakes_failed"),
    ("timeouts.{}", "timeouts {kind}"),
    ("websocket.opened", "websocket opened"),
    ("websocket.closed", "websocket closed"),
    ("websocket.messages.{}", "websocket messages_{direction}"),
    ("quic.replies.{}", "quic_replies {kind}"),
    ("datagrams.{}", "datagrams {what}"),
    ("bytes.received", "bytes_in"),
    ("bytes.sent", "bytes_out"),
    ("events.{}", "events {event}"),
    ("observer.{}.errors", "observers {observer} errors"),
    ("observer.{}.dropped", "observers {observer} dropped"),
)
_GAUGES: Final = (
    ("connections.{}", "gauges connections * {state}"),
    ("streams.{}", "gauges streams {protocol}"),
    ("quic.handshakes", "gauges quic_handshakes"),
    ("websocket.open", "gauges websocket_sessions"),
    ("tasks", "gauges tasks"),
    ("memory.resident_bytes", "gauges resident_bytes"),
)
_QUANTILES: Final = (
    ("request.duration", "latency", (50, 95, 99)),
    ("event_loop.lag", "loop_lag", (99,)),
)
_NOT_OF_A_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")


class StatsdReporter:
    """Sends to ``target``, without ever waiting for it or failing because of it.

    ``prefix``, as in ``fastserver``, and ``tags``, as in ``env:live,region:eu``, are what the config has checked;
    either may be empty.  The target's name is looked up here, once, which may take a while.
    """

    def __init__(self, target: StatsdTarget, prefix: str, tags: str, log: Logger) -> None:
        self._prefix = f"{prefix}." if prefix else ""
        self._suffix = f"|#{tags}" if tags else ""
        self._log = log
        self._target = target
        self._told = False
        self._counters: dict[str, int] | None = None
        self._histograms: dict[str, list[int]] = {}
        self._socket: socket.socket | None = None
        self._address: Any = None
        self._open(target.address)

    def report(self, board: Board, now: float) -> None:
        """Send what has changed since the last report; ``now`` in Unix seconds.

        The first one sends gauges only, and counting starts from it: so that whoever takes over from another reporter
        does not send again what that one sent.  Call it once at the start.
        """
        total = board.total()
        lines = [*self._list_counters(total), *self._list_gauges(board, total, now), *self._list_quantiles(total)]
        if self._socket is None:
            return
        for packet in _pack(f"{self._prefix}{line}{self._suffix}".encode() for line in lines):
            try:
                self._socket.sendto(packet, self._address)
            except BlockingIOError:
                pass  # the kernel has no room: lost, like any datagram
            except OSError as error:
                self._warn(error)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self, address: tuple[str, int] | str) -> None:
        try:
            if isinstance(address, str):
                family, self._address = socket.AF_UNIX, address
            else:
                family, _, _, _, self._address = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        except (OSError, UnicodeError) as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            self._log.warning("metrics cannot be sent to %s: %s", self._target, error)

    def _list_counters(self, total: Snapshot) -> Iterator[str]:
        counters = {
            template.format(*map(_clean, labels)): value
            for template, at in _COUNTERS
            for labels, value in select(total, tuple(at.split())).items()
        }
        last, self._counters = self._counters, counters
        if last is None:
            return
        for name, value in counters.items():
            added = value - last.get(name, 0)
            if added > 0:
                yield f"{name}:{added}|c"

    def _list_gauges(self, board: Board, total: Snapshot, now: float) -> Iterator[str]:
        yield f"uptime:{max(now - board.started, 0.0):.0f}|g"
        yield f"workers:{len(board.workers)}|g"
        for template, at in _GAUGES:
            for labels, value in select(total, tuple(at.split())).items():
                yield f"{template.format(*map(_clean, labels))}:{value}|g"

    def _list_quantiles(self, total: Snapshot) -> Iterator[str]:
        for name, key, percents in _QUANTILES:
            histogram: Histogram = total.get(key, {})
            buckets = histogram.get("buckets", [])
            last = self._histograms.get(key)
            self._histograms[key] = buckets
            if last is None:
                continue
            added = [new - old for new, old in zip(buckets, last or [0] * len(buckets), strict=True)]
            if any(added):
                for percent in percents:
                    yield f"{name}.p{percent}:{quantile({'buckets': added}, percent / 100) * 1000:.3f}|g"


def _clean(label: str) -> str:
    """``label`` as one part of a name: a dot would divide it, and ``:|@#`` are StatsD's own."""
    return _NOT_OF_A_NAME.sub("_", label)


def _pack(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Packets of ``lines``; one that is too long for a packet goes alone, and the network may cut it."""
    packet = b""
    for line in lines:
        if packet and len(packet) + 1 + len(line) > PACKET_BYTES:
            yield packet
            packet = b""
        packet = packet + b"\n" + line if packet else line
    if packet:
        yield packet

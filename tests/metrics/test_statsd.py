"""StatsD: names and numbers, and what arrives on real sockets."""

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserver.config.statsd import PREFIX_BYTES, TAGS_BYTES, StatsdTarget
from fastserver.metrics.statsd import PACKET_BYTES, StatsdReporter
from tests.metrics.samples import make_board, make_histogram, make_snapshot

LOG = logging.getLogger("tests.metrics.statsd")
STARTED = make_board().started

#: What else is sent of a board without gauges.
NOTHING = {
    "app.quic.handshakes": "0|g",
    "app.websocket.open": "0|g",
    "app.tasks": "0|g",
    "app.memory.resident_bytes": "0|g",
}


class Sink:
    """A StatsD server."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.setblocking(False)

    @property
    def target(self) -> StatsdTarget:
        name = self.sock.getsockname()
        return StatsdTarget(path=name) if isinstance(name, str) else StatsdTarget(*name[:2])

    def take_packets(self) -> list[bytes]:
        """What has arrived: on this machine a datagram is there once it is sent."""
        packets = []
        while True:
            try:
                packets.append(self.sock.recv(65536))
            except BlockingIOError:
                return packets

    def take(self) -> dict[str, str]:
        """Values with their types by name."""
        lines = b"\n".join(self.take_packets()).decode().splitlines()
        values = {name: value for name, _, value in (line.partition(":") for line in lines)}
        assert len(values) == len(lines)
        return values


@pytest.fixture
def sink() -> Iterator[Sink]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield Sink(sock)


def test_the_first_report_has_gauges_only(sink: Sink) -> None:
    reporter = StatsdReporter(sink.target, "fastserver", "", LOG)
    reporter.report(make_board(make_snapshot(1), make_snapshot(2)), STARTED + 12.3)
    assert sink.take() == {
        "fastserver.uptime": "12|g",
        "fastserver.workers": "2|g",
        "fastserver.connections.active": "6|g",
        "fastserver.connections.idle": "80|g",
        "fastserver.streams.http_1_1": "4|g",
        "fastserver.streams.h2": "60|g",
        "fastserver.quic.handshakes": "12|g",
        "fastserver.websocket.open": "10|g",
        "fastserver.tasks": "6|g",
        "fastserver.memory.resident_bytes": "62000000|g",
    }
    reporter.close()


def test_counters_are_what_was_added(sink: Sink) -> None:
    reporter = StatsdReporter(sink.target, "app", "", LOG)
    reporter.report(make_board(), STARTED)
    sink.take()
    reporter.report(make_board(make_snapshot()), STARTED + 1)
    counters = {name: value for name, value in sink.take().items() if value.endswith("|c")}
    assert counters == {
        "app.requests": "18|c",
        "app.request.status.2xx": "15|c",
        "app.request.status.4xx": "1|c",
        "app.request.status.aborted": "2|c",
        "app.request.refused.400": "1|c",
        "app.request.refused.431": "2|c",
        "app.fault.h2.ENHANCE_YOUR_CALM": "2|c",
        "app.fault.websocket.1002": "1|c",
        "app.connections.opened": "3|c",
        "app.connections.refused": "1|c",
        "app.connections.handshakes_failed": "4|c",
        "app.timeouts.idle": "2|c",
        "app.websocket.opened": "9|c",
        "app.websocket.closed": "4|c",
        "app.websocket.messages.in": "70|c",
        "app.websocket.messages.out": "80|c",
        "app.quic.replies.retry": "11|c",
        "app.quic.replies.reset": "2|c",
        "app.datagrams.in": "90|c",
        "app.datagrams.out": "60|c",
        "app.datagrams.dropped": "8|c",
        "app.bytes.received": "500|c",
        "app.bytes.sent": "4000|c",
        "app.events.raw_data_in": "5|c",
        "app.events.raw_data_out": "4|c",
        "app.events.updated_idle": "3|c",
        "app.events.updated_active": "2|c",
        "app.events.closed": "1|c",
        "app.observer.app_seen_hear.errors": "1|c",
        "app.observer.app_seen_hear.dropped": "6|c",
    }
    # The worker has ended: its counters are in the past, and nothing was added.
    past = make_snapshot()
    del past["gauges"]
    reporter.report(make_board(past=past), STARTED + 2)
    assert sink.take() == {"app.uptime": "2|g", "app.workers": "0|g", **NOTHING}
    reporter.report(make_board({"bytes_in": 7}, past=past), STARTED + 3)
    assert sink.take() == {"app.uptime": "3|g", "app.workers": "1|g", "app.bytes.received": "7|c", **NOTHING}
    reporter.close()


def test_latency_is_of_the_interval_in_milliseconds(sink: Sink) -> None:
    reporter = StatsdReporter(sink.target, "", "", LOG)
    slow, late = make_histogram(b15=1000), make_histogram(b3=1)
    reporter.report(make_board({"latency": slow, "loop_lag": late}), STARTED)
    assert not {name for name in sink.take() if ".p" in name}
    reporter.report(make_board({"latency": make_histogram(b15=1000, b3=100), "loop_lag": late}), STARTED)
    assert {name: value for name, value in sink.take().items() if ".p" in name} == {
        "request.duration.p50": "0.750|g",
        "request.duration.p95": "0.975|g",
        "request.duration.p99": "0.995|g",
    }
    reporter.close()


def test_tags_follow_every_line(sink: Sink) -> None:
    reporter = StatsdReporter(sink.target, "fastserver", "env:live,région:eu", LOG)
    reporter.report(make_board(make_snapshot()), STARTED)
    values = list(sink.take().values())
    assert len(values) == 10
    assert all(value.endswith("|g|#env:live,région:eu") for value in values)
    reporter.close()


@given(st.text(min_size=1, max_size=12), st.integers(1, 60), st.integers(0, TAGS_BYTES))
def test_packets_are_short_and_their_lines_whole(name: str, count: int, tags: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sink = Sink(sock)
        reporter = StatsdReporter(sink.target, "p" * PREFIX_BYTES, "t" * tags, LOG)
        reporter.report(make_board(), STARTED)
        sink.take_packets()
        observers = {f"{name}{index}": {"errors": index + 1} for index in range(count)}
        reporter.report(make_board({"observers": observers}), STARTED)
        reporter.close()
        packets = sink.take_packets()
    assert all(0 < len(packet) <= PACKET_BYTES for packet in packets)
    suffix = "|#" + "t" * tags if tags else ""
    lines = [line for packet in packets for line in packet.decode().split("\n")]
    assert len(lines) == count + 6
    for index, line in enumerate(lines[:count]):
        assert line.startswith("p" * PREFIX_BYTES + ".observer.")
        assert line.endswith(f"{index}.errors:{index + 1}|c{suffix}")
        assert line.count(":") == 1


@pytest.mark.parametrize(("spare", "first_packet"), [(0, PACKET_BYTES), (1, PACKET_BYTES - 1), (-1, 700)])
def test_a_packet_is_filled_to_the_last_byte(sink: Sink, spare: int, first_packet: int) -> None:
    reporter = StatsdReporter(sink.target, "", "", LOG)
    reporter.report(make_board(), STARTED)
    sink.take()
    around = len("observer..errors:1|c")
    names = "a" * (700 - around), "b" * (PACKET_BYTES - 701 - around - spare)
    reporter.report(make_board({"observers": {name: {"errors": 1} for name in names}}), STARTED)
    assert len(sink.take_packets()[0]) == first_packet
    reporter.close()


def test_a_line_that_fits_into_no_packet_goes_alone(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    reporter = StatsdReporter(sink.target, "", "", LOG)
    reporter.report(make_board(), STARTED)
    sink.take_packets()
    name = "a" * PACKET_BYTES
    reporter.report(make_board({"bytes_in": 1, "observers": {name: {"errors": 1}}}), STARTED)
    before, alone, after = sink.take_packets()
    assert before == b"bytes.received:1|c"
    assert alone == f"observer.{name}.errors:1|c".encode()
    assert after.startswith(b"uptime:")
    assert caplog.messages == []
    reporter.close()


def test_a_line_that_the_system_refuses_is_told(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    reporter = StatsdReporter(sink.target, "", "", LOG)
    reporter.report(make_board(), STARTED)
    sink.take_packets()
    reporter.report(make_board({"observers": {"a" * 65536: {"errors": 1}}}), STARTED)
    assert len(sink.take_packets()) == 1
    (message,) = caplog.messages
    assert "too long" in message
    reporter.close()


def test_a_unix_socket_that_comes_late_and_comes_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = str(tmp_path / "dsd.socket")
    reporter = StatsdReporter(StatsdTarget(path=path), "app", "", LOG)
    for _ in range(2):
        reporter.report(make_board(), STARTED)
    (message,) = caplog.messages
    assert path in message
    for _ in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(path)
            sink = Sink(sock)
            reporter.report(make_board(), STARTED)
            assert sink.take() == {"app.uptime": "0|g", "app.workers": "0|g", **NOTHING}
        os.unlink(path)
    reporter.close()


def test_nobody_listens(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    reporter = StatsdReporter(sink.target, "fastserver", "", LOG)
    sink.sock.close()
    for _ in range(3):
        reporter.report(make_board(make_snapshot()), STARTED)
    reporter.close()
    reporter.report(make_board(make_snapshot()), STARTED)
    assert caplog.messages == []


def test_a_reader_that_does_not_read_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "dsd.socket"))
        reporter = StatsdReporter(Sink(sock).target, "fastserver", "", LOG)
        for count in range(2000):
            reporter.report(make_board({"bytes_in": count}), STARTED)
        reporter.close()
        assert len(Sink(sock).take_packets()) < 2000
    assert caplog.messages == []


def test_ipv6() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        sink = Sink(sock)
        reporter = StatsdReporter(sink.target, "fastserver", "", LOG)
        reporter.report(make_board(), STARTED)
        assert "fastserver.workers" in sink.take()
        reporter.close()


@pytest.mark.parametrize("fault", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_does_not_resolve_is_told_once(
    fault: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise fault

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    reporter = StatsdReporter(StatsdTarget("nowhere.example"), "fastserver", "", LOG)
    for _ in range(2):
        reporter.report(make_board(make_snapshot()), STARTED)
    reporter.close()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "nowhere.example:8125" in record.getMessage()

"""The supervisor's part of the metrics: places for workers, and what is sent to StatsD."""

import logging
import math
import socket
from collections.abc import Iterator

import pytest

from fastserver import Config
from fastserver.metrics.statsd import StatsdReporter
from fastserver.processes.report import PLACES_MIN, PLACES_PER_WORKER, Report
from fastserver.server.monitor import REPORT_S

LOG = logging.getLogger("test.report")


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


def make_report(receiver: socket.socket | None = None, count: int = 1) -> Report:
    host = None if receiver is None else f"127.0.0.1:{receiver.getsockname()[1]}"
    return Report(Config(statsd_host=host), count, LOG)


def read_lines(receiver: socket.socket) -> list[str]:
    """What has arrived: the kernel of the same machine is done when ``sendto`` returns."""
    lines: list[str] = []
    try:
        while packet := receiver.recv(65536):
            lines += packet.decode().splitlines()
    except BlockingIOError:
        return lines
    return lines


def count_requests(number: int) -> dict[str, object]:
    return {"requests": {"http/1.1": {"2xx": number}}, "gauges": {"pid": 1}}


def test_each_worker_gets_a_place_and_one_too_many_only_reads(caplog: pytest.LogCaptureFixture) -> None:
    count = 1 + PLACES_MIN // PLACES_PER_WORKER
    report = make_report(count=count)
    places = [report.claim() for _ in range(count * PLACES_PER_WORKER)]
    assert [slot for _, slot in places] == list(range(count * PLACES_PER_WORKER))
    assert places[5] == report.at(5)
    assert caplog.records == []
    board, slot = report.claim()
    assert slot is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    places[0][0].publish(0, count_requests(3))
    assert board.read().total()["requests"] == {"http/1.1": {"2xx": 3}}
    report.retire((board, None))
    report.retire(None)
    assert len(board.read().workers) == 1
    report.retire(places[0])
    assert len(board.read().workers) == 0
    assert board.read().total()["requests"] == {"http/1.1": {"2xx": 3}}
    assert report.claim()[1] == 0


def test_without_statsd_nothing_is_ever_due() -> None:
    report = make_report()
    assert report.tick(1e12) == math.inf
    report.close()


def test_reports_are_due_once_in_a_while_and_at_the_end(receiver: socket.socket) -> None:
    report = make_report(receiver)
    place = report.claim()
    board, slot = place
    assert slot is not None
    assert report.tick(100.0) == 100.0 + REPORT_S
    assert "fastserver.workers:0|g" in read_lines(receiver)
    board.publish(slot, count_requests(3))
    assert report.tick(100.5) == 100.0 + REPORT_S
    assert read_lines(receiver) == []
    assert report.tick(101.0) == 101.0 + REPORT_S
    assert "fastserver.requests:3|c" in read_lines(receiver)
    board.publish(slot, count_requests(5))
    report.retire(place)
    report.close()
    lines = read_lines(receiver)
    assert "fastserver.requests:2|c" in lines
    assert "fastserver.workers:0|g" in lines


def test_the_last_report_is_sent_before_the_socket_goes(
    receiver: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(StatsdReporter, "report", lambda self, board, now: calls.append("report"))
    monkeypatch.setattr(StatsdReporter, "close", lambda self: calls.append("close"))
    report = make_report(receiver)
    report.close()
    assert calls == ["report", "close"]

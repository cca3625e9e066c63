"""The shape of an answer: what is absent is 0, and rubbish is refused."""

import asyncio
import json
from typing import Any

import pytest

from fastserver._speedups.metrics import Metrics
from fastserver.metrics.application import MetricsApp
from fastserver.metrics.scoreboard import Board
from fastserver.top.stats import ShapeError, parse_stats
from tests.top.samples import STARTED


def test_what_the_server_says_is_read() -> None:
    metrics = Metrics()
    tally = metrics.get_tally("http/1.1")
    tally.count_request(204)
    tally.refuse_request(431)
    metrics.count_fault("h2", "CANCEL")
    metrics.sessions_opened = metrics.messages_in = 3
    metrics.latency.add(0.02)
    snapshot = metrics.snapshot()
    snapshot["gauges"] = {
        "connections": {"http/1.1": {"active": 1}},
        "streams": {"h2": 4},
        "pid": 7,
        "started": STARTED,
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        raise AssertionError("a GET has no body")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    app = MetricsApp(lambda: Board(STARTED, {"bytes_in": 5}, (snapshot, snapshot)), lambda: STARTED + 9, "1.2.3")
    asyncio.run(app({"type": "http", "method": "GET", "path": "/stats", "headers": []}, receive, send))
    stats = parse_stats(sent[1]["body"])
    assert (stats.version, stats.uptime_s) == ("1.2.3", 9)
    assert [(worker.pid, worker.started) for worker in stats.workers] == [(7, STARTED)] * 2
    assert (stats.total.bytes_in, stats.total.refused) == (5, 2)
    assert stats.total.requests["http/1.1"]["2xx"] == stats.total.connections["http/1.1"]["active"] == 2
    assert (stats.total.faults, stats.total.streams) == ({"h2": {"CANCEL": 2}}, {"h2": 8})
    assert (stats.total.sessions, stats.total.messages_in, stats.total.messages_out) == (6, 6, 0)
    assert (sum(stats.total.latency.buckets), stats.total.latency.sum) == (2, 0.04)


def test_absent_keys_mean_nothing_counted() -> None:
    stats = parse_stats(b'{"uptime": 1, "total": {}, "workers": [{}]}')
    assert stats.workers == (stats.total,)
    assert stats.total.bytes_in == stats.total.latency.sum == sum(stats.total.lag.buckets) == 0


def test_numbers_below_0_are_0() -> None:
    gauges = {"connections": {"http/1.1": {"active": -1, "idle": 3}}, "tasks": -2, "cpu_s": -0.5, "resident_bytes": 7}
    stats = parse_stats(json.dumps({"uptime": -1, "total": {"gauges": gauges}, "workers": []}).encode())
    assert stats.uptime_s == stats.total.tasks == stats.total.cpu_s == 0
    assert stats.total.connections == {"http/1.1": {"active": 0, "idle": 3}}
    assert stats.total.resident_bytes == 7


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"# HELP requests_total\n",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"uptime": 1, "total": [], "workers": []}',
        b'{"uptime": 1, "total": {}, "workers": {}}',
        b'{"uptime": 1, "total": {}, "workers": [1]}',
        b'{"uptime": "long", "total": {}, "workers": []}',
        b'{"uptime": NaN, "total": {}, "workers": []}',
        b'{"uptime": Infinity, "total": {}, "workers": []}',
        b'{"uptime": -Infinity, "total": {}, "workers": []}',
        b'{"uptime": -1' + b"0" * 400 + b', "total": {}, "workers": []}',
        b'{"uptime": true, "total": {}, "workers": []}',
        b'{"uptime": 1' + b"0" * 400 + b', "total": {}, "workers": []}',
        b'{"uptime": 1' + b"0" * 5000 + b', "total": {}, "workers": []}',
        b'{"uptime": 1, "total": {}, "workers": [], "version": 1}',
        b'{"uptime": 1, "total": {"latency": {"buckets": [1, 2]}}, "workers": []}',
        b'{"uptime": 1, "total": {"latency": {"buckets": {}}}, "workers": []}',
        b'{"uptime": 1, "total": {"requests": {"http/1.1": {"2xx": null}}}, "workers": []}',
        b'{"uptime": 1, "total": {"requests": {"http/1.1": 3}}, "workers": []}',
        b'{"uptime": 1, "total": {"x\\u001b[2J\\n": 1, "bytes_in": "\\u001b[2J"}, "workers": []}',
    ],
)
def test_rubbish_is_refused_in_one_line(body: bytes) -> None:
    with pytest.raises(ShapeError) as caught:
        parse_stats(body)
    assert str(caught.value).isprintable()

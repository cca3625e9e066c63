"""The heartbeat: the clock moves, lag is counted, deadlines are looked at, and it can end."""

from typing import Any

import pytest

from fastserver import Config
from fastserver._speedups.contract import Host
from fastserver.server import ticker as module
from fastserver.server.ticker import Ticker, get_tick_s
from tests.fakes import ignore, make_host
from tests.handloop import HandLoop


def test_a_tick_moves_the_clock_counts_the_lag_and_sweeps_each_host(monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[Host] = []
    monkeypatch.setattr(module, "sweep", swept.append)
    loop = HandLoop()
    hosts = [make_host(ignore, loop), make_host(ignore, loop)]
    worked: list[float] = []

    def work(wall_s: float) -> None:
        assert wall_s == hosts[0].clock.wall_s
        worked.append(loop.now)

    ticker = Ticker(hosts, 0.5, work)
    ticker.start()
    assert (swept, worked) == (hosts, [1000.0])
    loop.advance(0.4)
    assert worked == [1000.0]
    loop.advance(0.4)
    assert hosts[0].clock.now == 1000.8
    loop.advance(0.5)
    assert (swept, worked) == (hosts * 3, [1000.0, 1000.8, 1001.3])
    lag = hosts[0].metrics.snapshot()["loop_lag"]
    assert (lag["count"], lag["sum"]) == (3, pytest.approx(0.3))
    assert hosts[1].metrics.snapshot()["loop_lag"]["count"] == 0


def test_a_stopped_one_does_not_tick() -> None:
    loop = HandLoop()
    worked: list[float] = []
    ticker = Ticker([make_host(ignore, loop)], 0.5, worked.append)
    ticker.stop()
    ticker.start()
    ticker.stop()
    ticker.stop()
    loop.advance(10)
    assert len(worked) == 1


@pytest.mark.parametrize(
    ("settings", "tick_s"),
    [
        ({}, 0.5),  # a quarter of timeout_keep_alive_min
        ({"timeout_keep_alive_min": 0}, 1.0),
        ({"timeout_request_header": 0.4}, 0.1),
        ({"timeout_write": 0.01}, 0.05),
        ({"metrics_bind": "127.0.0.1:0"}, 0.25),
    ],
)
def test_deadlines_are_looked_at_often_enough(settings: dict[str, Any], tick_s: float) -> None:
    assert get_tick_s(Config(**settings)) == pytest.approx(tick_s)


def test_a_clock_that_jumps_moves_the_date_at_the_next_tick_and_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """FI-24: an hour forwards, an hour back, and a smeared leap second; ticks are at most a second apart."""
    wall_s = 1_000_000_000.0
    monkeypatch.setattr(module.time, "time", lambda: wall_s)
    loop = HandLoop()
    host = make_host(ignore, loop)
    ticker = Ticker([host], get_tick_s(Config()), lambda _: None)
    ticker.start()
    for jump_s, date in ((3600, b"02:46:41"), (-7200, b"00:46:42"), (0.5, b"00:46:43")):
        now = loop.now
        wall_s += jump_s + 1.0
        loop.advance(1.0)
        assert host.clock.date_field == b"date: Sun, 09 Sep 2001 " + date + b" GMT\r\n"
        assert host.clock.now - now <= 1.0
    ticker.stop()

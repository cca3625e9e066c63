"""The figures of two readings: rates, quantiles, and what cannot be known."""

import pytest

from fastserver._speedups.histogram import BOUNDS
from fastserver.top.facts import Count, Quantiles, SessionFacts, compare
from tests.top.samples import STARTED, compare_totals, compose_snapshot, compose_stats, take_reading


def test_rates_are_differences_over_the_time_between() -> None:
    facts = compare_totals(compose_snapshot(1000), compose_snapshot(1500, failed=4))
    assert facts.version == "1.2.3"
    assert facts.uptime_s == 62
    assert facts.flow.requests == 252
    assert facts.flow.errors == 2
    assert (facts.flow.bytes_in, facts.flow.bytes_out) == (25_000, 256_000)
    (worker,) = facts.workers
    assert (worker.pid, worker.active, worker.idle, worker.resident_bytes) == (4711, 2, 40, 31_000_000)
    assert worker.cpu == pytest.approx(0.25)
    assert worker.uptime_s == 62
    (protocol,) = facts.protocols
    assert (protocol.name, protocol.states["closing"], protocol.streams) == ("http/1.1", 3, 2)
    assert protocol.requests == 252
    counts = {count.name: (count.total, count.rate) for count in facts.requests}
    assert counts["2xx"] == (1500, 250)
    assert counts["5xx"] == (4, 2)
    assert counts["3xx"] == (0, 0)
    assert counts["refused"] == (8, 4)
    assert facts.faults == (Count("h2 ENHANCE_YOUR_CALM", 4, 2),)


def test_sessions_have_rates_too() -> None:
    facts = compare_totals(compose_snapshot(slow=10), compose_snapshot(slow=16))
    assert facts.sessions == SessionFacts(open=16, total=16, opened=3, messages_in=30, messages_out=60)


def test_latency_is_of_the_last_interval_only() -> None:
    facts = compare_totals(compose_snapshot(10, slow=1000), compose_snapshot(1010, slow=1000))
    for quantile in (facts.flow.latency.p50, facts.flow.latency.p95, facts.flow.latency.p99):
        assert quantile is not None
        assert BOUNDS[0] <= quantile <= BOUNDS[1]
    assert facts.flow.lag == Quantiles()


def test_one_reading_has_totals_and_no_rate() -> None:
    facts = compare(None, take_reading(compose_stats(compose_snapshot(1000))))
    assert facts.flow.requests is facts.flow.bytes_in is facts.workers[0].cpu is None
    assert facts.flow.latency == Quantiles()
    assert {count.name: count.total for count in facts.requests}["2xx"] == 1000


def test_a_counter_that_went_down_gives_no_rate() -> None:
    facts = compare_totals(compose_snapshot(1000), compose_snapshot(10, failed=4))
    assert facts.flow.requests is facts.flow.bytes_out is None
    assert facts.flow.errors == 2
    assert facts.flow.latency == Quantiles()


def test_a_restarted_server_is_compared_with_nothing() -> None:
    """Its counters may be higher than those of the former life."""
    before = take_reading(compose_stats(compose_snapshot(10), uptime=1000))
    facts = compare(before, take_reading(compose_stats(compose_snapshot(5000), uptime=1), 2))
    assert facts.flow.requests is facts.workers[0].flow.requests is None


def test_a_worker_is_compared_with_itself_only() -> None:
    total = compose_snapshot(10)
    before = take_reading(compose_stats(compose_snapshot(10, pid=1), compose_snapshot(10, pid=2), total=total))
    reborn = compose_snapshot(500, pid=2)
    reborn["gauges"]["started"] = STARTED + 61
    now = take_reading(compose_stats(compose_snapshot(20, pid=1), reborn, compose_snapshot(5, pid=3), total=total), 2)
    assert [worker.flow.requests for worker in compare(before, now).workers] == [5, None, None]


def test_only_observers_with_faults_are_named() -> None:
    observers = {"a:calm": {"errors": 0, "dropped": 0}, "b:raises": {"errors": 3}, "c:slow": {"dropped": 7}}
    facts = compare_totals(compose_snapshot(), compose_snapshot(observers=observers))
    assert [(observer.name, observer.errors, observer.dropped) for observer in facts.observers] == [
        ("b:raises", 3, 0),
        ("c:slow", 0, 7),
    ]

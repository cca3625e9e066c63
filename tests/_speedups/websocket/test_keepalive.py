"""The pings of a session: when one is due, when its pong is, and what a pong means."""

from math import inf

from fastserver._speedups.websocket.keepalive import KeepAlive


def test_a_ping_waits_for_its_pong() -> None:
    pings = KeepAlive(20.0, 5.0)
    assert (pings.ping_at, pings.pong_due) == (inf, inf)
    pings.plan(100.0)
    assert (pings.ping_at, pings.pong_due) == (120.0, inf)
    payload = pings.ask(120.0)
    assert (pings.ping_at, pings.pong_due) == (inf, 125.0)
    assert pings.take_pong(payload, 121.0)
    assert (pings.ping_at, pings.pong_due) == (141.0, inf)


def test_no_other_pong_counts() -> None:
    pings = KeepAlive(20.0, 5.0)
    assert not pings.take_pong(b"", 100.0)
    first = pings.ask(100.0)
    assert pings.take_pong(first, 101.0)
    second = pings.ask(121.0)
    assert second != first
    assert not pings.take_pong(first, 122.0)
    assert not pings.take_pong(b"", 122.0)
    assert pings.pong_due == 126.0
    assert pings.take_pong(second, 122.0)
    assert not pings.take_pong(second, 123.0)
    assert pings.ping_at == 142.0


def test_without_a_timeout_pings_go_on_by_themselves() -> None:
    pings = KeepAlive(20.0, 0.0)
    pings.plan(100.0)
    payload = pings.ask(120.0)
    assert (pings.ping_at, pings.pong_due) == (140.0, inf)
    assert not pings.take_pong(payload, 121.0)
    assert pings.ping_at == 140.0


def test_without_an_interval_nothing_is_asked() -> None:
    pings = KeepAlive(0.0, 5.0)
    pings.plan(100.0)
    assert (pings.ping_at, pings.pong_due) == (inf, inf)


def test_time_in_which_nothing_is_read_does_not_count() -> None:
    pings = KeepAlive(20.0, 5.0)
    assert not pings.extend(100.0)
    assert pings.pong_due == inf
    payload = pings.ask(100.0)
    assert pings.extend(104.0)
    assert pings.pong_due == 109.0
    assert pings.take_pong(payload, 108.0)


def test_nothing_is_due_behind_the_end() -> None:
    pings = KeepAlive(20.0, 5.0)
    payload = pings.ask(100.0)
    pings.stop()
    assert (pings.ping_at, pings.pong_due) == (inf, inf)
    assert not pings.take_pong(payload, 101.0)

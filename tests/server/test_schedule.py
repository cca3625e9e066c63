"""When each step of a stop is due."""

import time

import pytest

from fastserver.server.schedule import StopSchedule


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: found[0])
    return found


def plan(schedule: StopSchedule, *times: float) -> tuple[float, float, float]:
    schedule.plan(*times)
    return schedule.drain_at, schedule.streams_at, schedule.cut_at


def test_the_steps_follow_each_other(now: list[float]) -> None:
    assert plan(StopSchedule(), 5, 10, 25) == (1005, 1015, 1030)
    assert plan(StopSchedule(), 0, 0, 25) == (1000, 1000, 1025)


@pytest.mark.parametrize("grace_s", [0, 3, 10])
def test_streams_are_told_at_the_end_of_the_grace_at_the_latest(now: list[float], grace_s: float) -> None:
    _, streams_at, cut_at = plan(StopSchedule(), 0, 10, grace_s)
    assert streams_at == cut_at == 1000 + grace_s


def test_planned_once_more_nothing_moves_but_to_earlier(now: list[float]) -> None:
    schedule = StopSchedule()
    first = plan(schedule, 5, 10, 25)
    now[0] = 1001
    assert plan(schedule, 5, 10, 25) == first
    assert plan(schedule, 5, 10, 12) == (1005, 1015, 1018)
    assert plan(schedule, 0, 10, 0) == (1001, 1001, 1001)

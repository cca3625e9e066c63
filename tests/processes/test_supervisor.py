"""The supervisor's figures and its table of states; its processes are tested in ``tests/e2e/test_processes.py``."""

import os
from pathlib import Path

import pytest

from fastserver.processes import supervisor
from fastserver.processes.supervisor import WorkerState, count_cpus, count_workers, get_backoff_s


def test_the_first_death_is_made_good_at_once_and_later_ones_ever_later() -> None:
    delays = [get_backoff_s(deaths) for deaths in range(10)]
    assert delays == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
    assert get_backoff_s(10**6) == 10


def test_every_state_leads_to_the_end_and_none_leads_back() -> None:
    moves = supervisor._MOVES
    assert set(moves) == set(WorkerState)
    order = list(WorkerState)
    for state, targets in moves.items():
        assert all(order.index(target) > order.index(state) for target in targets)
        assert (WorkerState.GONE in targets) is (state is not WorkerState.GONE)


@pytest.mark.parametrize(("quota", "count"), [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("?", 8)])
def test_cpus_are_what_affinity_and_control_group_allow(
    quota: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert count_cpus(str(tmp_path)) == count


def test_cpus_without_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert count_cpus(str(tmp_path)) == 3


def test_workers_are_a_number_or_one_for_each_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "count_cpus", lambda: 5)
    assert (count_workers("auto"), count_workers(0), count_workers(3)) == (5, 0, 3)

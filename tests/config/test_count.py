"""How many workers a configuration means."""

import os
from pathlib import Path

import pytest

from fastserver import Config
from fastserver.config import count
from fastserver.config.count import count_cpus, count_workers


@pytest.mark.parametrize(
    ("quota", "expected"), [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("?", 8)]
)
def test_cpus_are_what_affinity_and_control_group_allow(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert count_cpus(str(tmp_path)) == expected


def test_cpus_without_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert count_cpus(str(tmp_path)) == 3


def test_workers_are_a_number_or_one_for_each_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count, "count_cpus", lambda: 5)
    assert [count_workers(Config(workers=workers)) for workers in ("auto", 0, 3)] == [5, 0, 3]


@pytest.mark.parametrize(
    "settings",
    [
        {"preload": True},
        {"max_requests": 10},
        {"worker_lifetime": 10},
        {"worker_max_rss": "1g"},
        {"control_socket": "/run/fastserver/control.sock"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_what_needs_a_supervisor_gets_one_worker(settings: dict[str, object]) -> None:
    assert count_workers(Config.from_mapping(settings)) == 1
    assert count_workers(Config.from_mapping(settings, workers=2)) == 2

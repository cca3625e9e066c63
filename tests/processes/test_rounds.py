"""The supervisor's rounds over workers that are none, by a clock that stands where it is put."""

import logging
import random
import signal
from dataclasses import dataclass, field
from typing import Any

import pytest

from fastserver import Config
from fastserver.processes.blackbox import ANSWER_S, DUMP_SIGNAL
from fastserver.processes.generation import Generation
from fastserver.processes.heartbeat import LOOK_S, Board
from fastserver.processes.recycling import RETRY_S
from fastserver.processes.rounds import HUNG_KILL_S, Rounds
from fastserver.processes.workers import Slot, WorkerProcess, WorkerState

LOG = logging.getLogger("test.rounds")


class FakeBox:
    """What a worker says: ``text``, once it was asked."""

    def __init__(self) -> None:
        self.text = "old news"

    def take(self) -> str:
        text, self.text = self.text, ""
        return text


@dataclass
class FakeCrew:
    """Slots and workers, and what was done to them."""

    slots: list[Slot] = field(default_factory=list)
    moved: list[tuple[int, WorkerState]] = field(default_factory=list)
    relieved: list[int] = field(default_factory=list)
    can_start: bool = True

    def list_workers(self, *states: WorkerState) -> list[WorkerProcess]:
        return [slot.worker for slot in self.slots if slot.worker is not None and slot.worker.state in states]

    def move(self, worker: WorkerProcess, state: WorkerState) -> None:
        worker.state = state
        worker.kill_at = 1e9
        self.moved.append((worker.pid, state))

    def relieve(self, slot: Slot, generation: Generation) -> bool:
        assert slot.worker is not None
        self.relieved.append(slot.worker.pid)
        slot.successor = slot.worker if self.can_start else None
        return self.can_start


class Site:
    def __init__(self, workers: int = 2, **settings: Any) -> None:
        self.now = 100.0
        self.crew = FakeCrew()
        self.signals: list[tuple[int, int]] = []
        self.is_busy = False
        board = Board(workers)
        generation = Generation("no:app", Config(workers=workers, **settings), [], None)
        for index in range(workers):
            slot = Slot(generation)
            channel: Any = None
            box: Any = FakeBox()
            slot.worker = WorkerProcess(index + 1, channel, slot, generation, self.now, pulse=board.claim(), box=box)
            slot.worker.state = WorkerState.READY
            self.crew.slots.append(slot)
        crew: Any = self.crew
        self.rounds = Rounds(crew, LOG, lambda: self.is_busy, self.note_signal, lambda: self.now, random.Random(1))

    def note_signal(self, pid: int, signum: int) -> None:
        self.signals.append((pid, signum))

    def worker(self, pid: int) -> WorkerProcess:
        worker = self.crew.slots[pid - 1].worker
        assert worker is not None
        return worker

    def beat(self, *pids: int, requests: int = 0, rss_bytes: int = 0) -> None:
        for pid in pids:
            pulse = self.worker(pid).pulse
            assert pulse is not None
            pulse.beat(requests, rss_bytes)

    def pass_time(self, seconds: float, *beating: int) -> None:
        """Look as often as the rounds wish, while some workers beat."""
        until = self.now + seconds
        while (due := self.rounds.tick(self.now)) <= until:
            assert due > self.now
            self.now = due
            self.beat(*beating)
        self.now = until


def test_who_shows_no_sign_of_life_is_asked_logged_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(timeout_worker_healthcheck=5)
    site.pass_time(4.9, 1)
    assert site.signals == []
    site.pass_time(0.5, 1)
    assert site.signals == [(2, DUMP_SIGNAL)]
    box: Any = site.worker(2).box
    assert box.text == ""  # what stood there before is no answer
    box.text = "sleeping in bed"
    assert site.crew.moved == []
    site.pass_time(ANSWER_S, 1)
    assert site.crew.moved == [(2, WorkerState.RETIRING)]
    assert site.signals[1:] == [(2, signal.SIGTERM)]
    assert site.worker(2).kill_at == pytest.approx(site.now + HUNG_KILL_S, abs=LOOK_S)
    assert site.worker(2).why == "hangs"
    assert "worker [2] has shown no sign of life for 5 s" in caplog.text
    assert "worker [2] is doing this:\nsleeping in bed" in caplog.text
    site.pass_time(60, 1)
    assert len(site.crew.moved) == 1


def test_who_comes_back_while_it_is_asked_stays(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(timeout_worker_healthcheck=5)
    site.pass_time(5.5, 1)
    assert site.signals == [(2, DUMP_SIGNAL)]
    site.beat(2)
    site.pass_time(2, 1, 2)
    assert site.crew.moved == []
    assert "worker [2] lives again" in caplog.text


@pytest.mark.parametrize("state", [WorkerState.STARTING, WorkerState.RETIRING, WorkerState.STOPPING])
def test_only_workers_that_serve_are_watched(state: WorkerState) -> None:
    site = Site(timeout_worker_healthcheck=5)
    site.worker(2).state = state
    site.pass_time(60, 1)
    assert site.signals == []


def test_without_a_health_check_nobody_is_watched() -> None:
    site = Site(timeout_worker_healthcheck=0)
    site.pass_time(3600)
    assert site.signals == []


def test_a_supervisor_that_was_asleep_gives_everyone_a_new_period() -> None:
    site = Site(timeout_worker_healthcheck=5)
    site.pass_time(4)
    site.now += 1000
    site.pass_time(4)
    assert site.signals == []
    site.pass_time(3)
    assert {pid for pid, _ in site.signals} == {1, 2}


def test_one_worker_is_recycled_at_a_time() -> None:
    site = Site(workers=3, max_requests=100)
    site.beat(1, requests=99)
    site.beat(2, 3, requests=100)
    site.rounds.tick(site.now)
    assert site.crew.relieved == [2]
    assert site.worker(2).why == "after 100 requests"
    site.pass_time(10)
    assert site.crew.relieved == [2]
    site.crew.slots[1].successor = None
    site.worker(2).state = WorkerState.STARTING  # its successor is another worker
    site.pass_time(LOOK_S)
    assert site.crew.relieved == [2, 3]


def test_nobody_is_recycled_while_others_are_replaced() -> None:
    site = Site(worker_lifetime=1)
    site.is_busy = True
    site.pass_time(10, 1, 2)
    assert site.crew.relieved == []
    site.is_busy = False
    site.crew.slots[1].worker = None  # it has died, and another is about to start
    site.pass_time(LOOK_S, 1)
    assert site.crew.relieved == []


@pytest.mark.parametrize("how", ["no number is free", "the successor has died"])
def test_after_a_failure_recycling_waits(how: str) -> None:
    site = Site(worker_lifetime=1)
    site.crew.can_start = how != "no number is free"
    site.pass_time(1.5, 1, 2)
    assert site.crew.relieved == [1]
    if site.crew.can_start:
        site.crew.slots[0].successor = None
        site.rounds.put_off(site.now)
    site.pass_time(RETRY_S - 1, 1, 2)
    assert site.crew.relieved == [1]
    site.pass_time(2, 1, 2)
    assert site.crew.relieved[1] == 1


def test_who_dies_before_it_answers_says_nothing() -> None:
    site = Site()
    answers: list[str] = []
    site.rounds.ask(site.worker(1), answers.append)
    box: Any = site.worker(1).box
    box.text = "half an ans"
    site.worker(1).state = WorkerState.GONE
    site.pass_time(ANSWER_S)
    assert answers == [""]

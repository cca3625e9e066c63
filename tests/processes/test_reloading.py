"""From one generation to the next, with workers that are none."""

import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from fastserver import Config
from fastserver.config.errors import ConfigError
from fastserver.processes.generation import Generation, open_generation
from fastserver.processes.reloading import Reloader
from fastserver.processes.rollover import ReloadResult
from fastserver.processes.workers import Slot, WorkerProcess, WorkerState

LOG = logging.getLogger("test.reloading")


class FakeCrew:
    """Slots whose workers start and end as the test says."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self.workers: list[WorkerProcess] = []
        self.retired: list[int] = []
        self.can_start = True

    def add(self, slot: Slot, generation: Generation) -> WorkerProcess:
        channel: Any = None
        worker = WorkerProcess(len(self.workers) + 1, channel, slot, generation, 0.0)
        self.workers.append(worker)
        return worker

    def list_workers(self, *states: WorkerState) -> list[WorkerProcess]:
        return [each for each in self.workers if each.state in (states or {*WorkerState} - {WorkerState.GONE})]

    def list_generations(self) -> list[Generation]:
        return [slot.generation for slot in self.slots]

    def relieve(self, slot: Slot, generation: Generation) -> bool:
        if self.can_start:
            slot.successor = self.add(slot, generation)
        return self.can_start

    def move(self, worker: WorkerProcess, state: WorkerState) -> None:
        assert state is WorkerState.RETIRING
        worker.state = state
        self.retired.append(worker.pid)
        if worker.slot.successor is worker:
            worker.slot.successor = None


class Site:
    """A reloader of ``count`` workers on an address of their own."""

    def __init__(self, count: int) -> None:
        self.crew = FakeCrew()
        self.config = Config(bind="127.0.0.1:0", workers=count)
        self.fault: Exception | None = None
        self.prepared: list[Generation] = []
        self.kept: set[Generation] = set()
        self.results: list[ReloadResult] = []
        generation = open_generation("no:app", self.config, LOG)
        self.crew.slots += [Slot(generation) for _ in range(count)]
        for slot in self.crew.slots:
            slot.worker = self.crew.add(slot, generation)
            slot.worker.state = WorkerState.READY
        crew: Any = self.crew
        self.reloader = Reloader(
            generation, crew, LOG, self.reread, self.prepared.append, self.keep, self.results.append
        )

    def keep(self, generations: set[Generation]) -> None:
        self.kept = generations

    def reread(self) -> tuple[str, Config]:
        if self.fault is not None:
            raise self.fault
        return "no:app", self.config

    def get_ready(self, slot: Slot) -> None:
        """What the crew does when a successor says so."""
        worker = slot.successor
        assert worker is not None
        worker.state = WorkerState.READY
        former, slot.worker, slot.successor, slot.generation = slot.worker, worker, None, worker.generation
        if former is not None:
            self.crew.move(former, WorkerState.RETIRING)
        self.reloader.note_ready(worker)

    def leave(self) -> bool:
        """Those that are retired accept no more, and the supervisor has heard it: whether a reload has begun."""
        for worker in self.crew.list_workers(WorkerState.RETIRING):
            worker.has_left = True
        return self.reloader.go_on()

    def die(self, slot: Slot, reason: str) -> bool:
        worker = slot.successor
        assert worker is not None
        worker.state = WorkerState.GONE
        slot.successor = None
        return self.reloader.note_failure(worker, reason)


@pytest.fixture
def make_site() -> Iterator[Any]:
    sites: list[Site] = []

    def make(count: int) -> Site:
        sites.append(Site(count))
        return sites[-1]

    yield make
    for site in sites:
        site.reloader.close()


def test_all_slots_get_a_worker_of_the_new_generation(make_site: Any) -> None:
    site = make_site(2)
    former = site.reloader.generation
    heard: list[ReloadResult] = []
    site.reloader.ask(heard.append)
    assert site.reloader.go_on()
    (target,) = site.prepared
    one, other = site.crew.slots
    assert one.successor is not None
    assert other.successor is None
    assert not site.reloader.go_on()
    site.get_ready(one)
    assert site.reloader.generation is former
    site.reloader.go_on()
    site.get_ready(other)
    assert site.reloader.generation is target
    assert site.reloader.roll is None
    assert site.crew.retired == [1, 2]
    site.reloader.go_on()
    assert heard == []  # who comes now may still be served by the former generation
    site.leave()
    assert heard == site.results == [site.reloader.last]
    assert (heard[0].ok, heard[0].reason) == (True, "2 workers")
    assert site.kept == {target}


@pytest.mark.parametrize("fault", [ConfigError("workers", "what is this"), ValueError("no such file")])
def test_a_configuration_that_cannot_be_read_changes_nothing(make_site: Any, fault: Exception) -> None:
    site = make_site(1)
    site.fault = fault
    site.reloader.ask()
    site.reloader.go_on()
    assert [(result.ok, result.reason) for result in site.results] == [(False, str(fault))]
    assert site.reloader.roll is None
    assert site.prepared == site.crew.retired == []


def test_the_first_that_does_not_start_ends_it(make_site: Any) -> None:
    site = make_site(2)
    former = site.reloader.generation
    port = find_port()
    site.config = Config(bind=["127.0.0.1:0", f"127.0.0.1:{port}"], workers=3)
    site.reloader.ask()
    site.reloader.go_on()
    assert site.die(site.crew.slots[0], "no database")
    assert site.results[-1].reason == "no database"
    assert site.reloader.generation is former
    assert len(site.crew.slots) == 2
    assert [slot.generation for slot in site.crew.slots] == [former, former]
    assert site.crew.retired == []
    assert len(site.reloader.held) == 1
    socket.create_server(("127.0.0.1", port)).close()  # what was opened is closed
    assert not site.reloader.go_on()


def test_a_later_one_that_does_not_start_leaves_both_generations(make_site: Any) -> None:
    site = make_site(2)
    port = find_port()
    site.config = Config(bind=["127.0.0.1:0", f"127.0.0.1:{port}"], workers=2)
    site.reloader.ask()
    site.reloader.go_on()
    site.get_ready(site.crew.slots[0])
    site.reloader.go_on()
    assert site.die(site.crew.slots[1], "out of memory")
    assert site.results[-1].reason == "out of memory (1 of 2 workers are new)"
    assert len(site.reloader.held) == 2
    assert {generation.serial for generation in site.kept} == {each.generation.serial for each in site.crew.slots}


def test_workers_are_added_and_removed(make_site: Any) -> None:
    site = make_site(1)
    site.config = Config(bind="127.0.0.1:0", workers=3)
    site.reloader.ask()
    for _ in range(3):
        site.reloader.go_on()
        site.get_ready(next(slot for slot in site.crew.slots if slot.successor is not None))
    assert len(site.crew.slots) == 3
    site.leave()
    assert site.results[-1].ok
    site.config = Config(bind="127.0.0.1:0", workers=1)
    site.reloader.ask()
    site.reloader.go_on()
    site.get_ready(site.crew.slots[0])
    assert len(site.crew.slots) == 1
    assert len(site.crew.retired) == 4
    site.leave()
    assert [result.reason for result in site.results] == ["3 workers", "1 worker"]


def test_orders_during_a_reload_are_one_more(make_site: Any) -> None:
    site = make_site(1)
    heard: list[str] = []
    site.reloader.ask(lambda result: heard.append("first"))
    site.reloader.go_on()
    for name in ("second", "third"):
        site.reloader.ask(lambda result, name=name: heard.append(name))
    site.get_ready(site.crew.slots[0])
    assert heard == []
    assert site.leave()
    assert heard == ["first"]
    site.get_ready(site.crew.slots[0])
    assert not site.leave()
    assert heard == ["first", "second", "third"]
    assert len(site.results) == 2


def test_a_stop_ends_it_for_all_who_wait(make_site: Any) -> None:
    site = make_site(1)
    heard: list[ReloadResult] = []
    site.reloader.ask(heard.append)
    site.reloader.go_on()
    site.reloader.ask(heard.append)
    site.reloader.abandon("the server stops")
    assert [(result.ok, result.reason) for result in heard] == [(False, "the server stops")] * 2
    assert site.crew.retired == [2]
    assert not site.reloader.go_on()
    site.reloader.abandon("the server stops")
    assert len(site.results) == 1


def test_nothing_starts_before_the_application_is_loaded(make_site: Any) -> None:
    site = make_site(1)

    class FakeTemplate:
        is_ready = False

    template: Any = FakeTemplate()
    site.reloader.ask()
    site.reloader._prepare = lambda generation: setattr(generation, "template", template)
    site.reloader.go_on()
    assert site.crew.slots[0].successor is None
    template.is_ready = True
    site.reloader.go_on()
    assert site.crew.slots[0].successor is not None


def test_an_application_that_cannot_be_loaded_ends_it(make_site: Any) -> None:
    site = make_site(1)

    class FakeTemplate:
        is_ready = False

    site.reloader.ask()
    site.reloader._prepare = lambda generation: setattr(generation, "template", FakeTemplate())
    site.reloader.go_on()
    target = site.reloader.roll.target
    assert not site.reloader.note_load_failure(site.reloader.generation, "not its own")
    assert site.reloader.note_load_failure(target, "a syntax error")
    assert site.results[-1].reason == "a syntax error"
    assert target not in site.kept


def test_a_slot_that_cannot_start_now_is_tried_again(make_site: Any) -> None:
    site = make_site(1)
    site.crew.can_start = False
    site.reloader.ask()
    site.reloader.go_on()
    assert site.reloader.roll is not None
    site.crew.can_start = True
    site.reloader.go_on()
    site.get_ready(site.crew.slots[0])
    site.leave()
    assert site.results[-1].ok


def find_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])

"""Workers from state to state, without a process: what is forked is an end of a channel that the test holds."""

import errno
import logging
import math
import os
import selectors
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from fastserver import Config
from fastserver.processes import crew as module
from fastserver.processes.channel import Channel, Message
from fastserver.processes.crew import KILL_MARGIN_S, RETRY_S, Crew
from fastserver.processes.generation import Generation
from fastserver.processes.spawning import Post
from fastserver.processes.workers import Slot, WorkerProcess, WorkerState


class Site:
    """A crew of one slot, and what its captain hears; ``kills`` are signals."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.heard: list[tuple[str, int]] = []
        self.kills: list[tuple[int, int]] = []
        self.ends: list[Channel] = []
        self.refusal: OSError | None = None
        self.selector = selectors.DefaultSelector()
        self.generation = Generation("no:app", Config(timeout_lifespan_startup=60), [], None)
        self.crew = Crew(self, self.selector, logging.getLogger("test.crew"))
        self.crew.slots.append(Slot(self.generation))
        monkeypatch.setattr(module, "fork_worker", self.fork)
        monkeypatch.setattr(os, "kill", lambda pid, signum: self.kills.append((pid, signum)))
        monkeypatch.setattr("fastserver.processes.crew.time.monotonic", lambda: self.now)

    def fork(self, generation: Generation, post: Post, log: Any, shed: Any) -> int:
        if self.refusal is not None:
            raise self.refusal
        self.ends.append(Channel(socket.socket(fileno=os.dup(post.channel.fileno()))))
        return len(self.ends)

    def say(self, pid: int, message: Message, **facts: Any) -> None:
        self.ends[pid - 1].send(message, **facts)
        for key, _ in self.selector.select(0):
            key.data()

    def listen(self, pid: int) -> list[tuple[Message, dict[str, Any]]]:
        return self.ends[pid - 1].receive()

    def on_fork(self, generation: Generation) -> None:
        raise AssertionError("nothing is forked here")

    def on_ready(self, worker: WorkerProcess) -> None:
        self.heard.append(("ready", worker.pid))

    def on_relieved(self, worker: WorkerProcess) -> None:
        self.heard.append(("relieved", worker.pid))

    def on_retire(self, worker: WorkerProcess) -> list[int]:
        self.heard.append(("retire", worker.pid))
        return [7]

    def on_exit(self, worker: WorkerProcess, state: WorkerState, code: int, lived_s: float) -> None:
        self.heard.append(("exit", worker.pid))

    def on_other_exit(self, pid: int) -> None:
        self.heard.append(("other", pid))


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with monkeypatch.context() as patch:
        site = Site(patch)
        yield site
    site.selector.close()
    for end in site.ends:
        end.close()
    for worker in site.crew.workers.values():
        worker.channel.close()
        if worker.box is not None:
            worker.box.close()


def test_a_worker_starts_is_bounded_and_serves(site: Site) -> None:
    assert site.crew.fill(site.now) == math.inf
    (worker,) = site.crew.list_workers(WorkerState.STARTING)
    assert site.crew.slots[0].worker is worker
    assert worker.kill_at == math.inf  # an import may take its time
    site.say(1, Message.LOADED)
    assert worker.kill_at == site.now + 60 + KILL_MARGIN_S
    site.say(1, Message.READY)
    assert (worker.state, worker.kill_at) == (WorkerState.READY, math.inf)
    assert site.heard == [("ready", 1)]
    assert site.crew.fill(site.now) == math.inf


def test_a_startup_that_takes_too_long_is_killed(site: Site) -> None:
    site.crew.fill(site.now)
    site.say(1, Message.LOADED)
    site.now = site.crew.tend(site.now)
    site.crew.tend(site.now)
    assert site.kills == [(1, signal.SIGKILL)]


def test_a_successor_takes_over_when_it_is_ready(site: Site) -> None:
    slot = site.crew.slots[0]
    site.crew.fill(site.now)
    site.say(1, Message.READY)
    target = Generation("no:other", Config(), [], None)
    assert site.crew.relieve(slot, target)
    former, successor = slot.worker, slot.successor
    assert former is not None
    assert successor is not None
    assert (former.state, successor.is_successor) == (WorkerState.READY, True)
    assert site.crew.list_generations() == [site.generation, target]
    site.heard.clear()
    site.say(2, Message.READY)
    assert (slot.worker, slot.successor, slot.generation) == (successor, None, target)
    assert former.state is WorkerState.RETIRING
    assert site.heard == [("ready", 2), ("retire", 1), ("relieved", 2)]
    assert site.listen(1) == [(Message.RETIRE, {"sealed": [7]})]
    assert site.kills == []
    site.crew.move(former, WorkerState.GONE)
    assert slot.worker is successor
    assert site.crew.list_generations() == [target]


def test_who_is_not_ready_yet_is_interrupted(site: Site) -> None:
    site.crew.fill(site.now)
    (worker,) = site.crew.list_workers()
    site.crew.move(worker, WorkerState.RETIRING)
    assert site.kills == [(1, signal.SIGTERM)]
    assert site.crew.slots[0].worker is None


def test_without_a_process_to_be_had_it_is_tried_again(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    site.refusal = OSError(errno.EAGAIN, "Resource temporarily unavailable")
    assert site.crew.fill(site.now) == site.now + RETRY_S
    assert not site.crew.relieve(site.crew.slots[0], site.generation)
    assert site.crew.workers == {}
    assert "cannot start a worker: Resource temporarily unavailable" in caplog.text
    if before:
        assert len(os.listdir("/proc/self/fd")) == before
    site.refusal = None
    site.now += RETRY_S
    site.crew.fill(site.now)
    assert len(site.crew.workers) == 1


def test_without_a_descriptor_it_is_tried_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    for name in ("open_blackbox", "open_channel"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, refuse)
            assert site.crew.fill(site.now) == site.now + RETRY_S
            site.now += RETRY_S
    assert site.crew.workers == {}

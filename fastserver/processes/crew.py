"""The workers of a supervisor: started in their slots, told, replaced, reaped.

It knows how a worker goes from one state to the next and what each state entails; what the supervisor makes of a worker
that is ready or has died is the supervisor's, which is told (``Captain``).
"""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
import socket
import time
from logging import Logger
from typing import TYPE_CHECKING, Final, Protocol

from fastserver.processes.blackbox import BlackBox, open_blackbox
from fastserver.processes.channel import Channel, Message, open_channel
from fastserver.processes.generation import Generation
from fastserver.processes.heartbeat import Board
from fastserver.processes.report import Report
from fastserver.processes.spawning import Post, fork_worker
from fastserver.processes.template import Order
from fastserver.processes.workers import MOVES, Slot, WorkerProcess, WorkerState
from fastserver.server.monitor import Place
from fastserver.transport.sockets import Listener

if TYPE_CHECKING:
    from fastserver.transport.udpgroup import QUICPlace

#: Workers that are forked before the supervisor looks at what else there is.
FORKS: Final = 4

#: What a worker gets beyond ``timeout_graceful_shutdown`` to end by itself.
KILL_MARGIN_S: Final = 5.0

#: A worker that got SIGTERM itself goes on for so long before it is retired: systemd signals every process of a unit,
#: and where ours comes a moment later, the worker has to drain the sealed sockets and not leave them to others.
LEAVING_S: Final = 0.2

#: Seconds until a worker that could not be forked is tried again.
RETRY_S: Final = 1.0


class Captain(Protocol):
    """What the supervisor does about its crew."""

    def on_fork(self, generation: Generation) -> None:
        """In a child, a worker of ``generation``: close what is not for it."""

    def on_ready(self, worker: WorkerProcess) -> None:
        """``worker`` serves."""

    def on_relieved(self, worker: WorkerProcess) -> None:
        """``worker`` serves in the place of another, which has been told to retire."""

    def on_retire(self, worker: WorkerProcess) -> list[int]:
        """``worker`` is about to be told to retire: the indexes of its endpoints that nobody else will serve."""

    def on_other_exit(self, pid: int) -> None:
        """A child that is no worker is gone."""

    def on_exit(self, worker: WorkerProcess, state: WorkerState, code: int, lived_s: float) -> None:
        """``worker`` is gone, from ``state``, where it was for ``lived_s`` seconds; a signal is a negative ``code``."""


class Crew:
    """All workers, in ``slots`` and beside them."""

    def __init__(self, captain: Captain, selector: selectors.BaseSelector, log: Logger) -> None:
        self.slots: list[Slot] = []
        self.workers: dict[int, WorkerProcess] = {}
        self.report: Report | None = None
        self._board = Board()
        self._captain = captain
        self._selector = selector
        self._log = log

    # Questions.

    def list_workers(self, *states: WorkerState) -> list[WorkerProcess]:
        """The workers in one of ``states``, the oldest first; without any, all of them."""
        return [worker for worker in self.workers.values() if not states or worker.state in states]

    def list_generations(self) -> list[Generation]:
        """What is to be started in the slots, and what serves there, each once."""
        found = [slot.generation for slot in self.slots]
        found += [each.generation for slot in self.slots for each in (slot.worker, slot.successor) if each is not None]
        return list(dict.fromkeys(found))

    # What is due.

    def tend(self, now: float) -> float:
        """Retire and kill those whose time has come: when the next one's is."""
        due = math.inf
        for worker in self.list_workers():
            if worker.retire_at <= now:
                self.move(worker, WorkerState.RETIRING)
            if worker.kill_at <= now:
                worker.kill_at = math.inf
                what = "start in time" if worker.state is WorkerState.STARTING else "stop"
                self._log.error("worker [%d] does not %s: killing it", worker.pid, what)
                os.kill(worker.pid, signal.SIGKILL)
            due = min(due, worker.retire_at, worker.kill_at)
        return due

    def fill(self, now: float) -> float:
        """Start a worker in each empty slot that is due, a few at a time: when the next one is."""
        due, forks = math.inf, 0
        for slot in self.slots:
            if slot.worker is None and slot.successor is None:
                if slot.due <= now and forks == FORKS:
                    return now  # signals and orders are heard in between
                forks += slot.due <= now
                if slot.due <= now and slot.generation.is_loaded:
                    slot.worker = self._spawn(slot, slot.generation)
                if slot.worker is None and slot.generation.is_loaded:
                    due = min(due, slot.due)
        return due

    def relieve(self, slot: Slot, generation: Generation) -> bool:
        """Start a worker of ``generation`` that takes the place of the one in ``slot`` once it is ready.

        ``False`` where it cannot start now.
        """
        slot.successor = self._spawn(slot, generation)
        if slot.successor is None:
            return False
        slot.successor.is_successor = True
        return True

    # States.

    def move(self, worker: WorkerProcess, state: WorkerState) -> None:
        """The one place where a worker changes its state, with what each state entails."""
        if state is worker.state:
            return
        if state not in MOVES[worker.state]:
            raise AssertionError(f"a worker cannot go from {worker.state} to {state}")
        is_starting = worker.state is WorkerState.STARTING
        worker.state = state
        worker.since = now = time.monotonic()
        self._steer(worker)
        grace_s = worker.generation.config.timeout_graceful_shutdown + KILL_MARGIN_S
        if state is WorkerState.READY:
            worker.kill_at = math.inf
            self._log.info("worker [%d] is ready", worker.pid)
            self._take_over(worker)
        elif state is WorkerState.RETIRING:
            worker.retire_at = math.inf
            worker.kill_at = now + grace_s
            self._log.info("worker [%d] %s", worker.pid, self._describe_end(worker))
            self._vacate(worker, now)
            if is_starting:
                os.kill(worker.pid, signal.SIGTERM)  # it may be importing the application, and hears nothing else
            worker.channel.send(Message.RETIRE, sealed=self._captain.on_retire(worker))
        elif state is WorkerState.STOPPING:
            worker.retire_at = math.inf
            worker.kill_at = now + grace_s
            os.kill(worker.pid, signal.SIGTERM)  # for one that is still importing the application
            worker.channel.send(Message.STOP)
        elif state is WorkerState.GONE:
            self._vacate(worker, math.inf)
            del self.workers[worker.pid]
            self._deafen(worker)
            last_words = worker.box.take() if worker.box is not None else ""
            if last_words:
                self._log.error("worker [%d] was doing this:\n%s", worker.pid, last_words)
            self._give_back(worker)

    def _take_over(self, worker: WorkerProcess) -> None:
        """A worker is ready: one that was started for the place of another has it now."""
        slot = worker.slot
        self._captain.on_ready(worker)
        if slot.successor is not worker:
            return
        former, slot.worker, slot.successor = slot.worker, worker, None
        slot.generation = worker.generation
        slot.deaths = 0
        worker.is_successor = False
        if former is not None and former.state in (WorkerState.STARTING, WorkerState.READY):
            self.move(former, WorkerState.RETIRING)
        self._captain.on_relieved(worker)

    def _describe_end(self, worker: WorkerProcess) -> str:
        """Why it retires, for the log."""
        slot = worker.slot
        if slot not in self.slots:
            return "retires: it is one too many"
        if slot.worker is not worker and slot.worker is not None:
            return f"retires{worker.why and ' '}{worker.why}: [{slot.worker.pid}] serves in its place"
        if slot.worker is worker:
            return f"{worker.why or 'was told to stop'}; starting another"
        return "is not needed any more"

    def _vacate(self, worker: WorkerProcess, due: float) -> None:
        slot = worker.slot
        if slot.worker is worker:
            slot.worker = None
            slot.due = due
        elif slot.successor is worker:
            slot.successor = None

    def _steer(self, worker: WorkerProcess) -> None:
        """Have the datagrams of QUIC follow a worker's new state."""
        numbers = worker.generation.numbers
        if numbers is None or worker.quic is None:
            return
        if worker.state is WorkerState.READY:
            numbers.accept(worker.quic)
        elif worker.state is not WorkerState.GONE:
            numbers.retire(worker.quic)
        else:  # its number is free again
            for slot in self.slots:
                slot.due = time.monotonic() if slot.due == math.inf else slot.due

    # Starts and ends.

    def _spawn(self, slot: Slot, generation: Generation) -> WorkerProcess | None:
        quic = generation.numbers.claim() if generation.numbers is not None else None
        if quic is None and generation.numbers is not None:
            if slot.due != math.inf:
                self._log.warning("every worker number of QUIC is in use: the next worker starts when another is gone")
            slot.due = math.inf
            return None
        try:
            box = open_blackbox()
        except OSError as error:
            self._put_off(slot, generation, quic, error)
            return None
        try:
            ours, theirs = open_channel()
        except OSError as error:
            box.close()
            self._put_off(slot, generation, quic, error)
            return None
        place = self.report.claim() if self.report is not None else None
        pulse = self._board.claim()
        worker = WorkerProcess(0, ours, slot, generation, time.monotonic(), place, quic, pulse=pulse, box=box)
        try:
            pid = self._fork(generation, Post(theirs, os.getpid(), pulse, box, place, quic), ours)
        except OSError as error:
            self._give_back(worker)
            self._put_off(slot, generation, None, error)
            return None
        finally:
            theirs.close()
        worker.pid = pid
        self.workers[pid] = worker
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._on_message(worker))
        return worker

    def _put_off(self, slot: Slot, generation: Generation, quic: QUICPlace | None, error: OSError) -> None:
        """The system has no process, descriptor or memory for a worker now."""
        self._log.error("cannot start a worker: %s; trying again in %g s", error.strerror or error, RETRY_S)
        if quic is not None and generation.numbers is not None:
            generation.numbers.release(quic)
        slot.due = time.monotonic() + RETRY_S

    def _fork(self, generation: Generation, post: Post, ours: Channel) -> int:
        """The process id.  ``OSError`` where there can be none."""
        if generation.template is not None:
            assert post.box is not None
            order = Order(
                None if post.pulse is None else post.pulse.index,
                None if post.place is None else post.place[1],
                None if post.quic is None else post.quic.number,
            )
            return generation.template.spawn(order, post.channel.fileno(), post.box.fileno())

        def shed() -> None:
            ours.close()
            self.shed(generation)

        return fork_worker(generation, post, self._log, shed)

    def shed(self, generation: Generation) -> None:
        """In a child: close what leads to the workers, which would stay open when the supervisor dies."""
        for other in self.workers.values():
            other.channel.close()
            if other.box is not None:
                other.box.close()
        self._captain.on_fork(generation)

    def make_post(self, generation: Generation, order: Order, channel: int, box: int, parent: int) -> Post:
        """In a child: what the numbers of ``order`` stand for."""
        place: Place | None = None
        if self.report is not None:
            place = self.report.at(order.place)
        quic = generation.numbers.at(order.quic) if generation.numbers is not None and order.quic is not None else None
        pulse = None if order.pulse is None else self._board.at(order.pulse)
        return Post(Channel(socket.socket(fileno=channel)), parent, pulse, BlackBox(box), place, quic)

    def _give_back(self, worker: WorkerProcess) -> None:
        """Have others get what ``worker`` had."""
        if self.report is not None:
            self.report.retire(worker.place)
        if worker.pulse is not None:
            self._board.release(worker.pulse)
        if worker.quic is not None and worker.generation.numbers is not None:
            worker.generation.numbers.release(worker.quic)
        worker.channel.close()
        if worker.box is not None:
            worker.box.close()

    def _on_message(self, worker: WorkerProcess) -> None:
        messages = worker.channel.receive()
        if worker.channel.ended:
            self._deafen(worker)  # the worker is ending; only its exit status says how
        for message, facts in messages:
            if message is Message.LOADED and worker.state is WorkerState.STARTING:
                bound_s = worker.generation.config.timeout_lifespan_startup + KILL_MARGIN_S
                worker.kill_at = time.monotonic() + bound_s
            elif message is Message.READY and worker.state is WorkerState.STARTING:
                self.move(worker, WorkerState.READY)
            elif message is Message.LEAVING and worker.state in (WorkerState.STARTING, WorkerState.READY):
                worker.retire_at = min(worker.retire_at, time.monotonic() + LEAVING_S)
            elif message is Message.LEFT:
                worker.has_left = True
            elif message is Message.FAILED:
                worker.reason, worker.details = facts["reason"], facts["details"]

    def _deafen(self, worker: WorkerProcess) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(worker.channel)

    def reap(self) -> None:
        """Take in every child that has ended; one that is not ours (we may be process 1) is reaped and ignored."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            worker = self.workers.get(pid)
            if worker is not None:
                self._on_message(worker)  # its last words
                state, lived_s = worker.state, time.monotonic() - worker.since
                self.move(worker, WorkerState.GONE)
                self._captain.on_exit(worker, state, os.waitstatus_to_exitcode(status), lived_s)
            else:
                self._captain.on_other_exit(pid)

    def kill(self, signum: int = signal.SIGKILL) -> None:
        """Signal all that are left."""
        for worker in self.workers.values():
            os.kill(worker.pid, signum)


def find_unused(held: list[Listener], generations: list[Generation]) -> list[Listener]:
    """Those of ``held`` that no generation listens on any more."""
    used = {listener.sock for generation in generations for listener in generation.listeners}
    return [listener for listener in held if listener.sock not in used]

"""The parent process: owns the listening sockets, starts workers, replaces those that die, reloads, stops them all.

It never imports the application and runs no event loop.  Its one loop (``_turn``) waits for signals, for the workers'
messages (see ``channel``) and for the next due time.  The workers themselves are its ``crew``.

Others hook in by ``watch`` (a descriptor to be read), ``chores`` (work of each turn), ``at_fork`` (what a child closes)
and ``observers`` (who hears of ``Notice``); they steer it by ``reload``, ``scale``, ``drain`` and ask ``stats``.
"""

from __future__ import annotations

import math
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from enum import Enum
from functools import partial
from logging import DEBUG, ERROR, Logger
from typing import Any, Final

from fastserver.config.count import count_cpus
from fastserver.errors import ExitCode
from fastserver.logs.errorlog import find_handlers, get_error_log
from fastserver.logs.reopen import reopen_logs
from fastserver.processes.channel import Message
from fastserver.processes.crew import Crew
from fastserver.processes.generation import Generation
from fastserver.processes.preloading import Preloading
from fastserver.processes.reloading import Reloader, Reread
from fastserver.processes.report import Report
from fastserver.processes.rollover import ReloadResult
from fastserver.processes.rounds import Rounds
from fastserver.processes.signals import STOPPING, EchoFilter, SignalWatch, Terminal, name_signal
from fastserver.processes.spawning import WATCHED
from fastserver.processes.template import Template
from fastserver.processes.worker import describe_stop, log_details, log_startup_failure
from fastserver.processes.workers import Slot, WorkerProcess, WorkerState, get_backoff_s
from fastserver.server.monitor import has_readers
from fastserver.transport.sockets import seal

#: A worker that was ready for so long has proved itself: its death counts as a first one.
STABLE_S: Final = 10.0

#: Deaths during startup, with no worker ever ready, after which the start has failed.
START_ATTEMPTS: Final = 3

#: Workers that an operator of a live server can ask for: so many, or so many for each CPU.
SCALE_MIN: Final = 64
SCALE_PER_CPU: Final = 16

#: What a worker gets to end after a second signal.
FORCED_KILL_S: Final = 0.5


class Phase(Enum):
    SERVING = "serving"
    WITHDRAWN = "withdrawn"  # for drain_delay: serves as before, while the health check says otherwise
    STOPPING = "stopping"  # workers drain
    FORCING = "forcing"  # a second signal: workers end at once


class Notice(Enum):
    """What is worth telling the service manager."""

    READY = "ready"  # the first worker serves, or a reload is over
    RELOADING = "reloading"
    STOPPING = "stopping"


class Supervisor:
    """Runs the workers of ``generation``, whose sockets it takes over, until it is told to stop.

    ``reread`` gives the application and the configuration anew for a reload, and raises with one line that says why
    not; without it a reload has the same again.
    """

    def __init__(
        self,
        generation: Generation,
        log: Logger | None = None,
        reread: Reread | None = None,
    ) -> None:
        self.log = log if log is not None else get_error_log()
        self.phase = Phase.SERVING
        self.chores: list[Callable[[float], float]] = []
        self.at_fork: list[Callable[[], None]] = []
        self.observers: list[Callable[[Notice], None]] = []
        #: Hears of a worker that could not be started, and why: whether it sees to it, so that nobody else does.
        self.on_start_failure: Callable[[WorkerProcess, str], bool] | None = None
        self._stop_at = math.inf
        self._code: int = ExitCode.OK
        self._ever_ready = False
        self._start_deaths = 0
        self._told: set[str] = set()
        self._echoes = EchoFilter()
        self._terminal = Terminal()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self.crew = Crew(self, self._selector, self.log)
        self.crew.slots += [Slot(generation) for _ in range(generation.count)]
        self._preloading = Preloading(self.log, self.watch, self.unwatch, self._make_template, self._on_load_failure)
        self._reloader = Reloader(
            generation, self.crew, self.log, reread, self._prepare, self._preloading.keep, self._on_reload_end
        )
        self.rounds = Rounds(self.crew, self.log, lambda: self._reloader.roll is not None)
        self._prepare(generation)

    @property
    def generation(self) -> Generation:
        """What serves; while a reload is under way, what it replaces."""
        return self._reloader.generation

    @property
    def is_reloading(self) -> bool:
        """Whether workers are being replaced one by one."""
        return self._reloader.roll is not None

    @property
    def last_reload(self) -> ReloadResult | None:
        """How the last reload went, if there was one."""
        return self._reloader.last

    def run(self) -> int:
        """Blocks until all workers are gone, and gives the exit code."""
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self.watch(self._wake_read, self._on_signals)
        old_fd = signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        try:
            # The numbers arrive through the wakeup descriptor; the handler only has to be there.
            with SignalWatch(WATCHED, _ignore):
                count = len(self.crew.slots)
                self.log.info("supervisor [%d] starts %d worker%s", os.getpid(), count, "s" if count > 1 else "")
                while self._is_serving or self.crew.workers:
                    self._turn()
        finally:
            signal.set_wakeup_fd(old_fd)
            self.crew.kill()  # only a fault of the supervisor itself leaves any
            self._reloader.close()
            if self.crew.report is not None:
                self.crew.report.close()
            self._selector.close()
            self._wake_read.close()
            self._wake_write.close()
        if self._code != ExitCode.NOT_STARTED:
            self.log.info("stopped")
        return self._code

    def _turn(self) -> None:
        """Do what is due, wait for the next thing to happen, and take it in."""
        now = time.monotonic()
        due = min(self.crew.tend(now), self.rounds.tick(now))
        if self.crew.report is not None:
            due = min(due, self.crew.report.tick(now))
        for chore in self.chores:
            due = min(due, chore(now))
        if self._stop_at <= now:
            self._stop(ExitCode.OK)
        due = min(due, self._stop_at)
        if self._is_serving:
            if self._ever_ready and self._reloader.go_on():
                self._notify(Notice.RELOADING)
            due = min(due, self._reloader.due, self._preloading.tick(now), self.crew.fill(now))
        timeout_s = None if due == math.inf else max(0.0, due - time.monotonic())
        for key, _ in self._selector.select(timeout_s):
            act: Callable[[], None] = key.data
            act()
        self.crew.reap()
        for handler in find_handlers(self.log):
            handler.write_pending()

    # What others may do.

    def watch(self, readable: Any, act: Callable[[], None]) -> None:
        """Call ``act`` whenever ``readable``, which has a ``fileno``, can be read."""
        self._selector.register(readable, selectors.EVENT_READ, act)

    def unwatch(self, readable: Any) -> None:
        """No more; before it is closed."""
        self._selector.unregister(readable)

    def reload(self, done: Callable[[ReloadResult], None] | None = None) -> None:
        """Have every worker replaced by one of the new code, settings and certificates; ``done`` hears how it went.

        While a reload is under way, or the first start, one more is kept in mind.
        """
        self._reloader.ask(done)
        if self.phase is not Phase.SERVING:
            self._reloader.abandon("the server is stopping")
        elif not self._ever_ready:
            self.log.info("reload: begins when the start is over")

    @property
    def count_max(self) -> int:
        """How many workers an operator can ask for: no slip of a key shall bring the machine down."""
        sane = max(SCALE_MIN, SCALE_PER_CPU * count_cpus(), self.generation.count)
        return min(self.generation.count_max, sane)

    def scale(self, count: int) -> int:
        """Have ``count`` workers from now on, at least one: how many it will be."""
        slots = self.crew.slots
        count = min(max(count, 1), self.count_max)
        if count == len(slots) or self.phase is not Phase.SERVING:
            return len(slots)
        self.log.info("workers: %d, there were %d", count, len(slots))
        while len(slots) < count:
            slots.append(Slot(self.generation))
        self._reloader.remove_slots(slots[count:])
        return len(slots)

    def dump(self, pid: int | None = None, done: Callable[[str], None] | None = None) -> bool:
        """Log the stacks and tasks of the worker ``pid``, or of all; ``done`` gets the text of each.

        ``False`` where there is no such worker.
        """
        workers = [worker for worker in self.crew.list_workers() if pid in (None, worker.pid)]

        def tell(worker: WorkerProcess, text: str) -> None:
            self.rounds.log_answer(worker, text)
            if done is not None:
                done(f"worker [{worker.pid}]\n{text}")

        for worker in workers:
            self.rounds.ask(worker, partial(tell, worker))
        return bool(workers)

    def drain(self) -> None:
        """Stop gracefully, as a first SIGTERM does; a stop that is under way goes on as it was."""
        if self.phase is Phase.SERVING:
            self.log.info("drain: %s", describe_stop(self.generation.config))
            self._withdraw()

    def stats(self) -> dict[str, Any]:
        """The supervisor and its workers as plain data; times are seconds since."""
        now = time.monotonic()
        result, roll = self.last_reload, self._reloader.roll
        return {
            "pid": os.getpid(),
            "phase": "reloading" if roll is not None else self.phase.value,
            "generation": self.generation.serial,
            "template": None if self.generation.template is None else self.generation.template.pid,
            "wanted": len(self.crew.slots),
            "listening": self.generation.urls,
            "reload": None
            if result is None
            else {"ok": result.ok, "reason": result.reason, "when": result.when, "took": result.took_s},
            "workers": [
                {
                    "pid": worker.pid,
                    "state": worker.state.value,
                    "since": now - worker.since,
                    "generation": worker.generation.serial,
                    "requests": worker.vitals.requests,
                    "rss": worker.vitals.rss_bytes,
                    "silent": worker.silence.seconds,
                }
                for worker in self.crew.list_workers()
            ],
        }

    # Signals.

    def _on_signals(self) -> None:
        try:
            numbers = self._wake_read.recv(4096)
        except BlockingIOError:
            return
        for signum in numbers:
            if signum in _ACTS and not (signum in STOPPING and self._echoes.is_echo(signum)):
                _ACTS[signum](self, signum)

    def _on_stop_signal(self, signum: int) -> None:
        name = name_signal(signum)
        if self.phase is Phase.SERVING and signum != signal.SIGQUIT:
            self.log.info("%s: %s", name, describe_stop(self.generation.config))
            self._withdraw()
        elif self.phase is not Phase.FORCING:
            self.log.warning("%s: stopping at once", name)
            self._force(128 + signum)

    def _on_hangup(self, signum: int) -> None:
        if self._terminal.has_gone():
            self._on_stop_signal(signum)
        else:
            self.reload()

    def _on_scale_signal(self, signum: int) -> None:
        self.scale(len(self.crew.slots) + (1 if signum == signal.SIGTTIN else -1))

    def _on_reopen_signal(self, signum: int) -> None:
        reopen_logs()
        for worker in self.crew.list_workers():
            worker.channel.send(Message.REOPEN)

    # The end.

    @property
    def _is_serving(self) -> bool:
        return self.phase in (Phase.SERVING, Phase.WITHDRAWN)

    def _withdraw(self) -> None:
        """Say that the server is about to stop, and stop after ``drain_delay``."""
        self.phase = Phase.WITHDRAWN
        self._reloader.abandon("the server was told to stop")
        self._notify(Notice.STOPPING)
        delay_s = self.generation.config.drain_delay
        if delay_s <= 0 or not self._ever_ready:
            self._stop(ExitCode.OK)
            return
        self._stop_at = time.monotonic() + delay_s
        for worker in self.crew.list_workers():
            worker.channel.send(Message.WITHDRAW)

    def _stop(self, code: int) -> None:
        """Turn away new connections, once and for all workers, and let them drain."""
        self.phase = Phase.STOPPING
        self._stop_at = math.inf
        self._code = code
        self._reloader.abandon("the server stops")
        self._preloading.keep(set())  # they have the sockets too
        seal(self._reloader.held)
        for worker in self.crew.list_workers():
            if worker.quic is not None and worker.generation.numbers is not None:
                worker.generation.numbers.retire(worker.quic)
        for worker in self.crew.list_workers():
            self.crew.move(worker, WorkerState.STOPPING)
        # The workers hold the sockets now, and accept what is still queued.
        self._reloader.give_up_sockets()

    def _force(self, code: int) -> None:
        self.phase = Phase.FORCING
        self._stop_at = math.inf
        self._code = code
        self._preloading.keep(set())
        self._reloader.give_up_sockets()
        for worker in self.crew.list_workers():
            worker.kill_at = time.monotonic() + FORCED_KILL_S
        self.crew.kill(signal.SIGQUIT)

    def _prepare(self, generation: Generation) -> None:
        """Have what the workers of ``generation`` need beside what they are made of."""
        if has_readers(generation.config) and self.crew.report is None:
            self.crew.report = Report(generation.config, generation.count, self.log)
        self._preloading.prepare(generation)

    def _make_template(self, generation: Generation) -> Template:
        return Template(generation, self.log, self.crew.shed, self.crew.make_post)

    def _on_load_failure(self, generation: Generation, reason: str, details: str) -> bool:
        """A template has not loaded the application, or has died: whether that ends what it was started for."""
        log_details(self.log, details)
        if self._reloader.note_load_failure(generation, reason) or not self._is_serving:
            return True
        if not self._ever_ready:
            self.log.error("startup failed: %s", reason)
            self._stop(ExitCode.NOT_STARTED)
        return not self._ever_ready

    def _on_reload_end(self, result: ReloadResult) -> None:
        if self.phase is Phase.SERVING:
            self._notify(Notice.READY)

    def _notify(self, notice: Notice) -> None:
        for observer in self.observers:
            observer(notice)

    # What becomes of workers (``crew.Captain``).

    def on_fork(self, generation: Generation) -> None:
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()
        self._reloader.shed(generation)
        self._preloading.shed()
        for close in self.at_fork:
            close()

    def on_other_exit(self, pid: int) -> None:
        self._preloading.note_exit(pid)

    def on_ready(self, worker: WorkerProcess) -> None:
        if self.phase is Phase.WITHDRAWN:
            worker.channel.send(Message.WITHDRAW)
        if not self._ever_ready:
            self._ever_ready = True
            for url in self.generation.urls:
                self.log.info("listening on %s", url)
            self._notify(Notice.READY)

    def on_relieved(self, worker: WorkerProcess) -> None:
        self._reloader.note_ready(worker)

    def on_retire(self, worker: WorkerProcess) -> list[int]:
        unused = {listener.sock for listener in self._reloader.take_unused()}
        return [index for index, listener in enumerate(worker.generation.listeners) if listener.sock in unused]

    def on_exit(self, worker: WorkerProcess, state: WorkerState, code: int, lived_s: float) -> None:
        how = f"exited with code {code}" if code >= 0 else f"was killed by {name_signal(-code)}"
        self._reloader.release_unused()
        if state in (WorkerState.RETIRING, WorkerState.STOPPING) or not self._is_serving:
            expected = code == ExitCode.OK or self.phase is Phase.FORCING or self._code == ExitCode.NOT_STARTED
            self.log.log(DEBUG if expected else ERROR, "worker [%d] %s", worker.pid, how)
            return
        if worker.is_successor:
            self._on_successor_exit(worker, how)
            return
        if state is WorkerState.STARTING:
            reason = worker.reason or f"worker [{worker.pid}] {how}"
            if self.on_start_failure is not None and self.on_start_failure(worker, reason):
                return
            self._tell_failure(worker)
            self._start_deaths += 1
            if not self._ever_ready and (code == ExitCode.NOT_STARTED or self._start_deaths >= START_ATTEMPTS):
                self.log.error("startup failed: %s", reason)
                self._stop(ExitCode.NOT_STARTED)
                return
        slot = worker.slot
        if state is WorkerState.READY and lived_s >= STABLE_S:
            slot.deaths = 0
        delay_s = get_backoff_s(slot.deaths)
        slot.deaths += 1
        slot.due = time.monotonic() + delay_s
        when = f"in {delay_s:g} s" if delay_s else "now"
        if slot.successor is not None:
            self.log.error("worker [%d] %s; [%d] starts in its place", worker.pid, how, slot.successor.pid)
        else:
            self.log.error("worker [%d] %s; starting another %s", worker.pid, how, when)

    def _on_successor_exit(self, worker: WorkerProcess, how: str) -> None:
        """A worker that was to take the place of another has died before it was ready."""
        log_details(self.log, worker.details)
        reason = worker.reason or f"worker [{worker.pid}] {how}"
        if not self._reloader.note_failure(worker, reason):
            self.rounds.put_off(time.monotonic())
            self.log.error("worker [%d] %s before it could serve", worker.pid, how)

    def _tell_failure(self, worker: WorkerProcess) -> None:
        """Log why a start failed, once for many workers that fail alike."""
        if worker.reason and self._ever_ready:
            log_startup_failure(self.log, worker.reason, "" if worker.details in self._told else worker.details)
        else:
            log_details(self.log, worker.details)
        self._told.add(worker.details)


#: What each signal makes the supervisor do.
_ACTS: Final[dict[int, Callable[[Supervisor, int], None]]] = {
    signal.SIGTERM: Supervisor._on_stop_signal,
    signal.SIGINT: Supervisor._on_stop_signal,
    signal.SIGQUIT: Supervisor._on_stop_signal,
    signal.SIGHUP: Supervisor._on_hangup,
    signal.SIGUSR1: Supervisor._on_reopen_signal,
    signal.SIGTTIN: Supervisor._on_scale_signal,
    signal.SIGTTOU: Supervisor._on_scale_signal,
}


def _ignore(signum: int) -> None:
    pass

"""The parent process: owns the listening sockets, starts workers, replaces those that die, stops them all.

It never imports the application and runs no event loop.  Its one loop waits for signals, for the workers' messages (see
``channel``) and for the next due time; every change of a worker's state goes through ``Supervisor._move``.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import math
import os
import selectors
import signal
import socket
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, NoReturn

from fastserver.config.model import Config
from fastserver.errors import ExitCode
from fastserver.logs.errorlog import find_handlers, get_error_log
from fastserver.processes.channel import Channel, Message, open_channel
from fastserver.processes.report import Report
from fastserver.processes.signals import STOP_SIGNALS, EchoFilter, SignalWatch, name_signal
from fastserver.processes.worker import Worker, log_startup_failure
from fastserver.server.endpoints import Endpoint, describe_endpoint
from fastserver.server.monitor import Place, has_readers
from fastserver.server.quic import describe_group
from fastserver.transport.sockets import release, seal
from fastserver.typing import AnyApp

if TYPE_CHECKING:
    from fastserver.server.numbers import WorkerNumbers
    from fastserver.transport.udpgroup import QUICPlace, UDPGroup

#: Seconds before a worker that keeps dying is replaced: none the first time, then doubling from the first to the last.
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_LAST_S: Final = 10.0

#: A worker that was ready for so long has proved itself: its death counts as a first one.
STABLE_S: Final = 10.0

#: Deaths during startup, with no worker ever ready, after which the start has failed.
START_ATTEMPTS: Final = 3

#: What a worker gets beyond ``timeout_graceful_shutdown`` to end by itself.
KILL_MARGIN_S: Final = 5.0

#: A worker that got SIGTERM itself goes on for so long before it is retired: systemd signals every process of a unit,
#: and where ours comes a moment later, the worker has to drain the sealed sockets and not leave them to others.
LEAVING_S: Final = 0.2

#: What a worker gets to end after a second signal.
FORCED_KILL_S: Final = 0.5

#: Threads of the application may delay the end of a worker for so long.
THREADS_S: Final = 3.0


class Phase(Enum):
    SERVING = "serving"
    STOPPING = "stopping"  # workers drain
    FORCING = "forcing"  # a second signal: workers end at once


class WorkerState(Enum):
    STARTING = "starting"
    READY = "ready"
    RETIRING = "retiring"  # drains while another serves in its place
    STOPPING = "stopping"  # ends with the server
    GONE = "gone"


_MOVES: Final = {
    WorkerState.STARTING: {WorkerState.READY, WorkerState.RETIRING, WorkerState.STOPPING, WorkerState.GONE},
    WorkerState.READY: {WorkerState.RETIRING, WorkerState.STOPPING, WorkerState.GONE},
    WorkerState.RETIRING: {WorkerState.STOPPING, WorkerState.GONE},
    WorkerState.STOPPING: {WorkerState.GONE},
    WorkerState.GONE: set(),
}


@dataclass(eq=False)
class WorkerProcess:
    """One child.  ``since`` is when it entered its state; at ``retire_at`` and ``kill_at`` it is retired, or killed.

    ``place`` is where it publishes its counters, ``quic`` its number among the workers that serve QUIC.
    """

    pid: int
    channel: Channel
    slot: Slot
    since: float
    place: Place | None = None
    quic: QUICPlace | None = None
    state: WorkerState = WorkerState.STARTING
    retire_at: float = math.inf
    kill_at: float = math.inf
    reason: str = ""
    details: str = ""


@dataclass(eq=False)
class Slot:
    """A place for one worker.  ``due`` is when the next one starts in it (never: while no worker number is free);
    ``deaths`` counts those in a row."""

    worker: WorkerProcess | None = None
    due: float = 0.0
    deaths: int = 0


@dataclass(eq=False)
class Supervisor:
    """Runs ``count`` workers of ``app`` on ``endpoints`` and the UDP sockets of ``group``, which it takes over, until
    it is told to stop."""

    app: AnyApp | str
    config: Config
    endpoints: Sequence[Endpoint]
    ssl_context: ssl.SSLContext | None
    count: int
    group: UDPGroup | None = None
    log: logging.Logger = field(default_factory=get_error_log)

    def __post_init__(self) -> None:
        self._slots = [Slot() for _ in range(self.count)]
        self._workers: dict[int, WorkerProcess] = {}
        self._phase = Phase.SERVING
        self._code: int = ExitCode.OK
        self._ever_ready = False
        self._start_deaths = 0
        self._told: set[str] = set()
        self._echoes = EchoFilter()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._urls = [describe_endpoint(endpoint, self.config) for endpoint in self.endpoints]
        if self.group is not None:
            self._urls += describe_group(self.group)
        self._listeners = [endpoint.listener for endpoint in self.endpoints]
        self._report = Report(self.config, self.count, self.log) if has_readers(self.config) else None
        self._numbers = _number_workers(self.group) if self.group is not None else None

    def run(self) -> int:
        """Blocks until all workers are gone, and gives the exit code."""
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._on_signals)
        watched = [*STOP_SIGNALS, signal.SIGQUIT, signal.SIGCHLD]
        old_fd = signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        try:
            # The numbers arrive through the wakeup descriptor; the handler only has to be there.
            with SignalWatch(watched, _ignore):
                self.log.info("supervisor [%d] starts %d workers", os.getpid(), self.count)
                while self._phase is Phase.SERVING or self._workers:
                    self._turn()
        finally:
            signal.set_wakeup_fd(old_fd)
            for worker in self._workers.values():
                os.kill(worker.pid, signal.SIGKILL)  # only a fault of the supervisor itself leaves any
            release(self._listeners)
            if self.group is not None:
                self.group.close()
            if self._report is not None:
                self._report.close()
            self._selector.close()
            self._wake_read.close()
            self._wake_write.close()
        if self._code != ExitCode.NOT_STARTED:
            self.log.info("stopped")
        return self._code

    def _turn(self) -> None:
        """Do what is due, wait for the next thing to happen, and take it in."""
        now = time.monotonic()
        due = math.inf
        for worker in self._workers.values():
            if worker.retire_at <= now:
                self._move(worker, WorkerState.RETIRING)
            if worker.kill_at <= now:
                self._kill(worker)
            due = min(due, worker.retire_at, worker.kill_at)
        if self._report is not None:
            due = min(due, self._report.tick(now))
        if self._phase is Phase.SERVING:
            for slot in self._slots:
                if slot.worker is None and slot.due <= now:
                    self._spawn(slot)
                if slot.worker is None:
                    due = min(due, slot.due)
        timeout_s = None if due == math.inf else max(0.0, due - time.monotonic())
        for key, _ in self._selector.select(timeout_s):
            act: Callable[[], None] = key.data
            act()
        self._reap()
        for handler in find_handlers(self.log):
            handler.write_pending()

    # Signals.

    def _on_signals(self) -> None:
        try:
            numbers = self._wake_read.recv(4096)
        except BlockingIOError:
            return
        for signum in numbers:
            if signum in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT) and not self._echoes.is_echo(signum):
                self._on_stop_signal(signum)

    def _on_stop_signal(self, signum: int) -> None:
        name = name_signal(signum)
        if self._phase is Phase.SERVING and signum != signal.SIGQUIT:
            wait_s = self.config.timeout_graceful_shutdown
            self.log.info("%s: stopping, open requests get %g s; a second signal stops at once", name, wait_s)
            self._stop(ExitCode.OK)
        elif self._phase is not Phase.FORCING:
            self.log.warning("%s: stopping at once", name)
            self._force(128 + signum)

    def _stop(self, code: int) -> None:
        """Turn away new connections, once and for all workers, and let them drain."""
        self._phase = Phase.STOPPING
        self._code = code
        seal(self._listeners)
        if self._numbers is not None:
            self._numbers.retire(*(worker.quic for worker in self._workers.values() if worker.quic is not None))
        for worker in list(self._workers.values()):
            self._move(worker, WorkerState.STOPPING)
        # The workers hold the sockets now, and accept what is still queued.
        for listener in self._listeners:
            listener.close()
        self._listeners = []

    def _force(self, code: int) -> None:
        self._phase = Phase.FORCING
        self._code = code
        release(self._listeners)
        self._listeners = []
        for worker in self._workers.values():
            worker.kill_at = time.monotonic() + FORCED_KILL_S
            os.kill(worker.pid, signal.SIGQUIT)

    # Workers.

    def _move(self, worker: WorkerProcess, state: WorkerState) -> None:
        """The one place where a worker changes its state, with what each state entails."""
        if state is worker.state:
            return
        if state not in _MOVES[worker.state]:
            raise AssertionError(f"a worker cannot go from {worker.state} to {state}")
        worker.state = state
        worker.since = now = time.monotonic()
        self._steer(worker)
        grace_s = self.config.timeout_graceful_shutdown + KILL_MARGIN_S
        if state is WorkerState.READY:
            self.log.info("worker [%d] is ready", worker.pid)
            if not self._ever_ready:
                self._ever_ready = True
                for url in self._urls:
                    self.log.info("listening on %s", url)
        elif state is WorkerState.RETIRING:
            self.log.info("worker [%d] was told to stop; starting another", worker.pid)
            worker.retire_at = math.inf
            worker.kill_at = now + grace_s
            worker.slot.worker = None
            worker.slot.due = now
            worker.channel.send(Message.RETIRE)
        elif state is WorkerState.STOPPING:
            worker.retire_at = math.inf
            worker.kill_at = now + grace_s
            os.kill(worker.pid, signal.SIGTERM)  # for one that is still importing the application
            worker.channel.send(Message.STOP)
        elif state is WorkerState.GONE:
            if worker.slot.worker is worker:
                worker.slot.worker = None
            if self._report is not None:
                self._report.retire(worker.place)
            del self._workers[worker.pid]
            self._deafen(worker)
            worker.channel.close()

    def _steer(self, worker: WorkerProcess) -> None:
        """Have the datagrams of QUIC follow a worker's new state."""
        if self._numbers is None or worker.quic is None:
            return
        if worker.state is WorkerState.READY:
            self._numbers.accept(worker.quic)
        elif worker.state is not WorkerState.GONE:
            self._numbers.retire(worker.quic)
        else:
            self._numbers.release(worker.quic)
            for slot in self._slots:
                slot.due = time.monotonic() if slot.due == math.inf else slot.due

    def _spawn(self, slot: Slot) -> None:
        quic = self._numbers.claim() if self._numbers is not None else None
        if quic is None and self._numbers is not None:
            self.log.warning("every worker number of QUIC is in use: the next worker starts when another is gone")
            slot.due = math.inf
            return
        ours, theirs = open_channel()
        place = self._report.claim() if self._report is not None else None
        # A signal before the child has handlers of its own would reach the parent through the shared wakeup descriptor.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*STOP_SIGNALS, signal.SIGQUIT, signal.SIGCHLD})
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            pid = os.fork()
            if pid == 0:
                ours.close()
                self._become_worker(theirs, place, quic)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        worker = WorkerProcess(pid, ours, slot, time.monotonic(), place, quic)
        slot.worker = worker
        self._workers[pid] = worker
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._on_message(worker))

    def _become_worker(self, channel: Channel, place: Place | None, quic: QUICPlace | None) -> NoReturn:
        """In the child, with its signals blocked: shed what is the parent's, serve, and end without returning."""
        code: int = ExitCode.FAULT
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for signum in STOP_SIGNALS:
                signal.signal(signum, lambda signum, frame: None)  # while the worker has no handlers, at its very end
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            self._selector.close()
            self._wake_read.close()
            self._wake_write.close()
            for other in self._workers.values():
                other.channel.close()  # else it would stay open when the supervisor dies
            for handler in find_handlers(self.log):
                handler.forget_pending()
            atexit._clear()  # what the parent's program has registered is the parent's to do
            code = Worker(self.app, self.config, self.endpoints, self.ssl_context, channel, place, quic).run()
        except BaseException:
            self.log.critical("worker failed\n%s", traceback.format_exc())
        finally:
            _exit(code)

    def _on_message(self, worker: WorkerProcess) -> None:
        messages = worker.channel.receive()
        if worker.channel.ended:
            self._deafen(worker)  # the worker is ending; only its exit status says how
        for message, facts in messages:
            if message is Message.READY and worker.state is WorkerState.STARTING:
                self._move(worker, WorkerState.READY)
            elif message is Message.LEAVING and worker.state in (WorkerState.STARTING, WorkerState.READY):
                worker.retire_at = min(worker.retire_at, time.monotonic() + LEAVING_S)
            elif message is Message.FAILED:
                worker.reason, worker.details = facts["reason"], facts["details"]

    def _deafen(self, worker: WorkerProcess) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(worker.channel)

    def _kill(self, worker: WorkerProcess) -> None:
        if self._phase is not Phase.FORCING:
            self.log.error("worker [%d] does not stop: killing it", worker.pid)
        worker.kill_at = math.inf
        os.kill(worker.pid, signal.SIGKILL)

    # Deaths.

    def _reap(self) -> None:
        """Take in every child that has ended; one that is not ours (we may be process 1) is reaped and ignored."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            worker = self._workers.get(pid)
            if worker is not None:
                self._on_message(worker)  # its last words
                self._on_exit(worker, status)

    def _on_exit(self, worker: WorkerProcess, status: int) -> None:
        state, lived_s = worker.state, time.monotonic() - worker.since
        code = os.waitstatus_to_exitcode(status)
        how = f"exited with code {code}" if code >= 0 else f"was killed by {name_signal(-code)}"
        self._move(worker, WorkerState.GONE)
        if state in (WorkerState.RETIRING, WorkerState.STOPPING) or self._phase is not Phase.SERVING:
            expected = code == ExitCode.OK or self._phase is Phase.FORCING or self._code == ExitCode.NOT_STARTED
            self.log.log(logging.DEBUG if expected else logging.ERROR, "worker [%d] %s", worker.pid, how)
            return
        if state is WorkerState.STARTING:
            self._tell_failure(worker, how)
            self._start_deaths += 1
            if not self._ever_ready and (code == ExitCode.NOT_STARTED or self._start_deaths >= START_ATTEMPTS):
                self.log.error("startup failed: %s", worker.reason or f"worker [{worker.pid}] {how}")
                self._stop(ExitCode.NOT_STARTED)
                return
        slot = worker.slot
        if state is WorkerState.READY and lived_s >= STABLE_S:
            slot.deaths = 0
        delay_s = get_backoff_s(slot.deaths)
        slot.deaths += 1
        slot.due = time.monotonic() + delay_s
        when = f"in {delay_s:g} s" if delay_s else "now"
        self.log.error("worker [%d] %s; starting another %s", worker.pid, how, when)

    def _tell_failure(self, worker: WorkerProcess, how: str) -> None:
        """Log why a start failed, once for many workers that fail alike."""
        if worker.reason and self._ever_ready:
            log_startup_failure(self.log, worker.reason, "" if worker.details in self._told else worker.details)
        elif worker.details:
            self.log.error("the application's error:\n%s", worker.details.rstrip())
        self._told.add(worker.details)


def _number_workers(group: UDPGroup) -> WorkerNumbers:
    from fastserver.server.numbers import WorkerNumbers  # QUIC is imported where it is served

    return WorkerNumbers(group)


def _ignore(signum: int) -> None:
    pass


def get_backoff_s(deaths: int) -> float:
    """Seconds to wait before a worker is replaced in whose place ``deaths`` have died in a row before it."""
    if deaths == 0:
        return 0.0
    return float(min(BACKOFF_FIRST_S * 2 ** min(deaths - 1, 30), BACKOFF_LAST_S))


def count_workers(wanted: int | str) -> int:
    """The number of workers that ``--workers`` asks for; ``auto`` is one for each CPU that this process may use."""
    return count_cpus() if wanted == "auto" else int(wanted)


def count_cpus(cgroup: str = "/sys/fs/cgroup") -> int:
    """CPUs that this process may use: its affinity, and the quota of its control group (version 2) rounded up."""
    affinity: Callable[[int], Sequence[int] | set[int]] | None = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    try:
        with open(os.path.join(cgroup, "cpu.max"), encoding="ascii") as file:
            quota, period = file.read().split()
        if quota != "max":
            count = min(count, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        pass  # no control group, or another kind
    return max(1, count)


def _exit(code: int) -> NoReturn:
    """End a worker: the application's threads, exit handlers and buffers, all in bounded time."""
    watchdog = threading.Timer(THREADS_S, os._exit, (code,))
    watchdog.daemon = True
    watchdog.start()
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)

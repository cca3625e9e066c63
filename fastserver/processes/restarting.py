"""Starting anew when a file of the application changes (``--reload``): the supervisor's side of it.

Unlike a reload by SIGHUP this leaves no time: what is old goes at once, with all that it holds, and then the new worker
starts.  Clients wait in the sockets' queues meanwhile, also while an application cannot be started, until it is mended.
"""

from __future__ import annotations

import json
import math
import os
import signal
import time
from typing import IO, Any, Final

from fastserver.development.lookout import start_lookout
from fastserver.development.selection import select
from fastserver.processes.supervisor import Phase, Supervisor
from fastserver.processes.worker import log_startup_failure
from fastserver.processes.workers import Slot, WorkerProcess, WorkerState

#: Seconds for all of the end of a worker, its lifespan too; then it is killed.
KILL_S: Final = 3.0
#: Names of files in one line of the log.
_NAMED: Final = 3


class Restarter:
    """Has ``supervisor``'s workers replaced by new ones when a file changes."""

    def __init__(self, supervisor: Supervisor) -> None:
        config = supervisor.generation.config
        self._supervisor = supervisor
        self._crew = supervisor.crew
        self._log = supervisor.log
        self._is_asked = False
        self._leaving: list[WorkerProcess] = []
        self._received = b""
        selection = select(config)
        self._lookout = start_lookout(selection, config.reload_delay, time.time())
        stdin, stdout = self._lookout.stdin, self._lookout.stdout
        assert stdin is not None
        assert stdout is not None
        self._stdin: IO[bytes] = stdin
        self._stdout: IO[bytes] = stdout
        os.set_blocking(stdout.fileno(), False)
        supervisor.watch(stdout, self._on_told)
        supervisor.chores.append(self.tick)
        supervisor.at_fork.append(self._close)
        supervisor.on_start_failure = self._on_start_failure
        self._log.info("reload: watching %s", ", ".join([*selection.roots, *selection.files]))

    def tick(self, now: float) -> float:
        """Stop what is to be replaced, and start anew once it is gone."""
        is_rolling = self._supervisor.is_reloading
        if self._is_asked and self._supervisor.phase is Phase.SERVING and not is_rolling:
            self._is_asked = False
            for slot in self._crew.slots:
                self._empty(slot, now)
        if self._leaving and not any(worker.pid in self._crew.workers for worker in self._leaving):
            self._leaving = []
            for slot in self._crew.slots:
                slot.due = now
        return math.inf

    def close(self) -> None:
        """Watch no more."""
        self._close()
        # The supervisor reaps every child, this one too.
        self._lookout.returncode = 0

    def _empty(self, slot: Slot, now: float) -> None:
        """Have nothing in ``slot``, until what was there is gone."""
        slot.deaths = 0
        slot.due = now
        for worker in (slot.worker, slot.successor):
            if worker is None:
                continue
            was_starting = worker.state is WorkerState.STARTING
            worker.why = "is stopped"
            self._crew.move(worker, WorkerState.RETIRING)
            worker.kill_at = now + KILL_S
            if was_starting:
                os.kill(worker.pid, signal.SIGTERM)  # it may be importing, and hears nothing else then
            self._leaving.append(worker)
            slot.due = math.inf

    def _on_start_failure(self, worker: WorkerProcess, reason: str) -> bool:
        """The application cannot be started: somebody is writing it."""
        worker.slot.due = math.inf
        log_startup_failure(self._log, reason, worker.details)
        self._log.info("reload: waiting for a change")
        return True

    def _on_told(self) -> None:
        try:
            data = os.read(self._stdout.fileno(), 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._supervisor.unwatch(self._stdout)
            self._log.error("reload: what watches the files has ended; changes are not seen any more")
            return
        *lines, self._received = (self._received + data).split(b"\n")
        paths: dict[str, Any] = {path: None for line in lines for path in json.loads(line)}
        if paths:
            self._is_asked = True
            self._log.info("reload: %s changed", render_paths(list(paths)))

    def _close(self) -> None:
        self._stdin.close()
        self._stdout.close()


def render_paths(paths: list[str]) -> str:
    """The first few of ``paths``, as seen from the working directory, for a line of the log."""
    here = os.path.realpath(os.getcwd()) + os.sep
    shown = [path[len(here) :] if path.startswith(here) else path for path in sorted(paths)]
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return ", ".join(repr(path)[1:-1] for path in shown[:_NAMED]) + more

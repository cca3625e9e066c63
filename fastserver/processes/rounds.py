"""The supervisor's rounds: once a second it looks at each worker, whether it lives and whether it has done enough.

One that shows no sign of life is asked what it is doing, which is logged, and replaced.  One that has done enough is
replaced too, but only one at a time, and not before its successor serves.
"""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from logging import ERROR, INFO, Logger
from typing import Final

from fastserver.processes.blackbox import ANSWER_S, DUMP_SIGNAL
from fastserver.processes.crew import Crew
from fastserver.processes.heartbeat import LOOK_S
from fastserver.processes.recycling import RETRY_S, Allowance
from fastserver.processes.workers import WorkerProcess, WorkerState

#: What a worker that hangs gets to end, should it come to itself after all; then it is killed.
HUNG_KILL_S: Final = 5.0


@dataclass(eq=False)
class Question:
    """A worker has been asked what it is doing: ``done`` gets the answer at ``due``."""

    worker: WorkerProcess
    due: float
    done: Callable[[str], None]


class Rounds:
    """``is_busy`` says that workers are being replaced for another reason, so that nobody is recycled now."""

    def __init__(
        self,
        crew: Crew,
        log: Logger,
        is_busy: Callable[[], bool],
        signal_worker: Callable[[int, int], None] = os.kill,
        read_clock: Callable[[], float] = time.monotonic,
        chance: random.Random | None = None,
    ) -> None:
        self._crew = crew
        self._log = log
        self._is_busy = is_busy
        self._signal = signal_worker
        self._read_clock = read_clock
        self._chance = chance if chance is not None else random.Random()
        self._last = math.nan
        self._questions: list[Question] = []
        self._retry_at = 0.0

    def tick(self, now: float) -> float:
        """Look round where it is time, and take in answers: when to come again.  ``now`` is monotonic seconds."""
        if not now < self._last + LOOK_S:
            elapsed_s = 0.0 if math.isnan(self._last) else now - self._last
            self._last = now
            self._look(now, elapsed_s)
        for question in [each for each in self._questions if each.due <= now]:
            self._questions.remove(question)
            question.done(_read(question.worker))
        return min([self._last + LOOK_S, *(question.due for question in self._questions)])

    def ask(self, worker: WorkerProcess, done: Callable[[str], None]) -> None:
        """Have ``worker`` write down what it is doing; ``done`` gets the text, empty where it does not answer."""
        if worker.box is not None:
            worker.box.take()  # what stands there already is no answer
            self._signal(worker.pid, DUMP_SIGNAL)
        self._questions.append(Question(worker, self._read_clock() + ANSWER_S, done))

    def log_answer(self, worker: WorkerProcess, text: str, level: int = INFO) -> None:
        """Tell what ``worker`` is doing."""
        self._log.log(level, "worker [%d] is doing this:\n%s", worker.pid, text or "it does not say")

    def put_off(self, now: float) -> None:
        """A successor has not started: recycle nobody for a while."""
        self._retry_at = now + RETRY_S

    def _look(self, now: float, elapsed_s: float) -> None:
        for worker in self._crew.list_workers(WorkerState.READY):
            if worker.pulse is None:
                continue
            worker.vitals = worker.pulse.read()
            silent_s = worker.silence.note(worker.vitals.beats, elapsed_s)
            timeout_s = worker.generation.config.timeout_worker_healthcheck
            if 0 < timeout_s <= silent_s and not any(each.worker is worker for each in self._questions):
                self._log.error("worker [%d] has shown no sign of life for %.0f s", worker.pid, silent_s)
                self.ask(worker, partial(self._replace_hung, worker, worker.vitals.beats))
        if now >= self._retry_at and not self._is_busy():
            self._recycle(now)

    def _replace_hung(self, worker: WorkerProcess, beats: int, text: str) -> None:
        self.log_answer(worker, text, ERROR)
        if worker.state is not WorkerState.READY:
            return
        if worker.pulse is not None and worker.pulse.read().beats != beats:
            self._log.warning("worker [%d] lives again", worker.pid)
            return
        worker.why = "hangs"
        self._crew.move(worker, WorkerState.RETIRING)
        worker.kill_at = self._read_clock() + HUNG_KILL_S
        self._signal(worker.pid, signal.SIGTERM)

    def _recycle(self, now: float) -> None:
        """Begin to replace one worker that has done enough, if there is one and nobody is being replaced."""
        if any(slot.successor is not None or slot.worker is None for slot in self._crew.slots):
            return
        for slot in self._crew.slots:
            worker = slot.worker
            if worker is None or worker.state is not WorkerState.READY:
                continue
            if worker.allowance is None:
                worker.allowance = Allowance.draw(worker.generation.config, self._chance)
            excess = worker.allowance.find_excess(worker.vitals, now - worker.since)
            if excess is not None:
                worker.why = excess
                if not self._crew.relieve(slot, slot.generation):
                    self.put_off(now)
                return


def _read(worker: WorkerProcess) -> str:
    return worker.box.take() if worker.box is not None and worker.state is not WorkerState.GONE else ""

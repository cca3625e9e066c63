"""What serves now, and how it is replaced while it serves: the sockets of the supervisor, generation by generation.

A reload goes from one order (SIGHUP, the control socket) to one ``ReloadResult``.  The configuration is read, what is
new is opened, then the slots are rolled over (``rollover``).  Whatever fails on the way leaves what served as it was.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from logging import Logger
from typing import TYPE_CHECKING, Final, TypeAlias

from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.logs.setup import LOG_KEYS, configure_logs
from fastserver.processes.crew import Crew, find_unused
from fastserver.processes.generation import Generation, open_generation
from fastserver.processes.rollover import ReloadResult, Rollover
from fastserver.processes.surroundings import take_surroundings
from fastserver.processes.workers import Slot, WorkerProcess, WorkerState
from fastserver.transport.sockets import Listener, release
from fastserver.typing import AnyApp

if TYPE_CHECKING:
    from fastserver.server.numbers import WorkerNumbers

#: Seconds that a reload waits for retired workers to say that they accept no more.
LEFT_S: Final = 2.0

#: Gives the application and the configuration as they are now; a ``ValueError`` of one line says why it cannot.
Reread: TypeAlias = Callable[[], tuple[AnyApp | str, Config]]


class Reloader:
    """``prepare`` is told of a generation before its first worker starts, ``keep`` which ones are needed any more, and
    ``settled`` when a reload is over."""

    def __init__(
        self,
        generation: Generation,
        crew: Crew,
        log: Logger,
        reread: Reread | None,
        prepare: Callable[[Generation], None],
        keep: Callable[[set[Generation]], None],
        settled: Callable[[ReloadResult], None],
    ) -> None:
        self.generation = generation
        self.held = list(generation.listeners)
        self.roll: Rollover | None = None
        self.last: ReloadResult | None = None
        self._numbers: list[WorkerNumbers] = [generation.numbers] if generation.numbers is not None else []
        self._crew = crew
        self._log = log
        self._reread = reread
        self._prepare = prepare
        self._keep = keep
        self._settled = settled
        self._is_asked = False
        self._ended: Rollover | None = None  # all its workers serve, and some that are retired may still accept
        self.due = math.inf  # when that is no longer waited for; monotonic seconds
        self._waiters: list[Callable[[ReloadResult], None]] = []
        self._following: list[Callable[[ReloadResult], None]] = []  # who wait for the reload after the present one

    def ask(self, done: Callable[[ReloadResult], None] | None = None) -> None:
        """Reload soon; while a reload is under way one more is kept in mind.  ``done`` hears how it went."""
        if done is not None:
            self._following.append(done)
        if self.roll is not None and not self._is_asked:
            self._log.info("reload: begins when the present one is over")
        self._is_asked = True

    def go_on(self) -> bool:
        """Begin what is asked for, and relieve the next workers: whether a reload has begun."""
        if self._ended is not None and self._is_left():
            self._settle()
        has_begun = self._is_asked and self.roll is None and self._ended is None
        if has_begun:
            self._is_asked = False
            self._begin()
        if self.roll is not None and not self.roll.target.is_loaded:
            return has_begun
        while self.roll is not None and (slot := self.roll.pick()) is not None:
            if slot in self.roll.added:
                self._crew.slots.append(slot)
            if not self._crew.relieve(slot, self.roll.target):
                self.roll.put_back(slot)
                break
        if self.roll is not None and self.roll.is_over:  # there was nothing left to relieve
            self._succeed()
        return has_begun

    def note_ready(self, worker: WorkerProcess) -> None:
        """``worker`` serves in the place of another."""
        roll = self.roll
        if roll is not None and worker.generation is roll.target and roll.note_ready(worker.slot) and roll.is_over:
            self._succeed()

    def note_failure(self, worker: WorkerProcess, reason: str) -> bool:
        """A successor has not started: whether that was the reload's matter, which has failed then."""
        if self.roll is None or not self.roll.has_started(worker.slot) or worker.generation is not self.roll.target:
            return False
        self._fail(reason)
        return True

    def abandon(self, reason: str) -> None:
        """No reload any more, since the server stops."""
        self._is_asked = False
        if self._ended is not None:
            self._settle()
        if self.roll is not None or self._waiters or self._following:
            self._waiters += self._following
            self._following = []
            self._fail(reason)

    def take_unused(self) -> list[Listener]:
        """The listeners that no worker is to serve any more: sealed, and closed in this process."""
        generations = self._crew.list_generations()
        if self.roll is not None:
            generations.append(self.roll.target)
        unused = find_unused(self.held, generations)
        self.held = [listener for listener in self.held if listener not in unused]
        release(unused)
        return unused

    def note_load_failure(self, generation: Generation, reason: str) -> bool:
        """``generation`` could not be loaded: whether that was the reload's matter, which has failed then."""
        if self.roll is None or self.roll.target is not generation or self.roll.done:
            return False
        self._fail(reason)
        return True

    def release_unused(self) -> None:
        """Give up the templates that no worker will be forked of, and the UDP sockets whose last worker is gone."""
        needed = {self.generation, *self._crew.list_generations()}
        if self.roll is not None:
            needed.add(self.roll.target)
        self._keep(needed)
        used = {generation.numbers for generation in needed}
        used |= {worker.generation.numbers for worker in self._crew.list_workers()}
        for numbers in self._numbers:
            if numbers not in used:
                numbers.group.close()
        self._numbers = [numbers for numbers in self._numbers if numbers in used]

    def give_up_sockets(self) -> None:
        """Seal and close all listeners of this process."""
        release(self.held)
        self.held = []

    def close(self) -> None:
        """Close all that is open in this process."""
        self.give_up_sockets()
        for numbers in self._numbers:
            numbers.group.close()

    def shed(self, generation: Generation) -> None:
        """In a worker of ``generation``: close others' sockets, which would else stay open as long as it lives."""
        for listener in find_unused(self.held, [generation]):
            listener.close()
        for numbers in self._numbers:
            if numbers is not generation.numbers:
                numbers.group.close()

    def remove_slots(self, slots: list[Slot]) -> None:
        """Retire the workers of ``slots``, which are no slots any more."""
        self._crew.slots[:] = [slot for slot in self._crew.slots if slot not in slots]
        for slot in list(slots):
            if self.roll is not None:
                self.roll.forget(slot)
            for worker in (slot.worker, slot.successor):
                if worker is not None:
                    self._crew.move(worker, WorkerState.RETIRING)

    def _begin(self) -> None:
        started, former = time.monotonic(), self.generation
        self._waiters += self._following
        self._following = []
        self._log.info("reloading")
        if former.surroundings is None:
            former.surroundings = take_surroundings()  # reading may change them, and ``former`` may have to go on
        try:
            app, config = self._reread() if self._reread is not None else (former.app, former.config)
            target = open_generation(app, config, self._log, former)
        except (Exception, SystemExit) as error:  # a configuration in Python may raise what it likes
            self._tell(False, str(error) or type(error).__name__, started)
            return
        known = {listener.sock for listener in self.held}
        self.held += [listener for listener in target.listeners if listener.sock not in known]
        if target.numbers is not None and target.numbers not in self._numbers:
            self._numbers.append(target.numbers)
        self.roll = Rollover(target, self._crew.slots, started)
        self._prepare(target)

    def _succeed(self) -> None:
        assert self.roll is not None
        roll, self.roll = self.roll, None
        former, self.generation = self.generation, roll.target
        self.remove_slots(roll.surplus)
        self._follow_log(former.config, roll.target.config)
        for url in roll.target.urls:
            if url not in former.urls:
                self._log.info("listening on %s", url)
        self.take_unused()
        self.release_unused()
        self._ended, self.due = roll, time.monotonic() + LEFT_S

    def _is_left(self) -> bool:
        """Whether none that is retired accepts any more; who is too busy to hear of it is not waited for."""
        leaving = [each for each in self._crew.list_workers(WorkerState.RETIRING) if not each.has_left]
        return not leaving or time.monotonic() >= self.due

    def _settle(self) -> None:
        """Nobody is served by the former generation any more, but for what was open."""
        assert self._ended is not None
        started, self._ended, self.due = self._ended.started, None, math.inf
        count = len(self._crew.slots)
        self._tell(True, f"{count} worker{'s' if count > 1 else ''}", started)

    def _follow_log(self, former: Config, config: Config) -> None:
        """Have this process write its log where the workers do."""
        if config.log_config is not None or any(getattr(former, key) != getattr(config, key) for key in LOG_KEYS):
            try:
                configure_logs(config)
            except ConfigError as error:
                self._log.error("the supervisor's log goes on as it was: %s", error)

    def _fail(self, reason: str) -> None:
        """End the new workers that are not ready; those that are stay, beside the old ones."""
        roll, self.roll = self.roll, None
        if roll is None:
            self._tell(False, reason, time.monotonic())
            return
        for slot in list(self._crew.slots):
            if slot.successor is not None and slot.successor.generation is roll.target:
                self._crew.move(slot.successor, WorkerState.RETIRING)
            if slot in roll.added and slot.worker is None:
                self._crew.slots.remove(slot)
        self.take_unused()
        self.release_unused()
        if roll.done:
            reason += f" ({len(roll.done)} of {roll.target.count} workers are new)"
        self._tell(False, reason, roll.started)

    def _tell(self, ok: bool, reason: str, started: float) -> None:
        took_s = time.monotonic() - started
        self.last = ReloadResult(ok, reason, time.time(), took_s)
        if ok:
            self._log.info("reloaded in %.1f s: %s", took_s, reason)
        else:
            self._log.error("reload failed, and what served goes on: %s", reason)
        waiters, self._waiters = self._waiters, []
        for done in waiters:
            done(self.last)
        self._settled(self.last)

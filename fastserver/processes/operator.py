"""What an operator may ask a supervisor for at its control socket; ``fastserver.ctl`` is the other end.

Each command answers at once, or keeps the ``Reply`` until what it began has ended.  What is done is the supervisor's
to do; here is only what an operator hears of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from fastserver.config.setting import quote
from fastserver.errors import ExitCode
from fastserver.processes.control import Command, Refused, Reply
from fastserver.processes.rollover import ReloadResult
from fastserver.version import VERSION

#: Seconds between two looks at what a client waits for.
LOOK_S: Final = 0.25


class Supervision(Protocol):
    """What is asked of a supervisor; its own docstrings say more."""

    def stats(self) -> dict[str, Any]: ...

    def reload(self, done: Callable[[ReloadResult], None] | None = None) -> None: ...

    def scale(self, count: int) -> int: ...

    def dump(self, pid: int | None = None, done: Callable[[str], None] | None = None) -> bool: ...

    def drain(self) -> None: ...
    @property
    def count_max(self) -> int: ...


class Operator:
    """The commands on ``supervisor``; ``tick`` is one of its chores, ``end`` is called when it has ended."""

    def __init__(self, supervisor: Supervision) -> None:
        self._supervisor = supervisor
        self._started = time.monotonic()
        self._reloads: list[Reply] = []
        self._drains: list[Reply] = []
        self._told = ""
        self._is_stopping = False
        self.commands: Mapping[str, Command] = {
            "status": self._on_status,
            "reload": self._on_reload,
            "scale": self._on_scale,
            "drain": self._on_drain,
            "dump": self._on_dump,
        }

    def note_stop(self) -> None:
        """The server stops, whoever has asked for it."""
        self._is_stopping = True

    def tick(self, now: float) -> float:
        """Tell those who wait how far it is: when to look again; both are monotonic seconds."""
        waiting = [reply for reply in (*self._reloads, *self._drains) if not reply.is_over]
        if not waiting:
            return math.inf
        text = self._describe()
        if text != self._told:
            self._told = text
            for reply in waiting:
                reply.tell(text)
        return now + LOOK_S

    def end(self, code: int) -> None:
        """The supervisor has ended with ``code``."""
        for reply in self._drains:
            if code == ExitCode.OK:
                reply.finish(code=code)
            else:
                reply.fail(f"the server has ended with exit code {code}")
        for reply in self._reloads:
            reply.fail("the server has stopped")

    def _describe(self) -> str:
        """The workers by state and generation, as one line."""
        stats = self._supervisor.stats()
        counts: dict[str, int] = {}
        for worker in stats["workers"]:
            is_old = worker["generation"] != max(each["generation"] for each in stats["workers"])
            name = f"{'old ' if is_old else ''}{worker['state']}"
            counts[name] = counts.get(name, 0) + 1
        return f"{stats['phase']}: " + (", ".join(f"{count} {name}" for name, count in counts.items()) or "no workers")

    def _on_status(self, request: Mapping[str, Any], reply: Reply) -> None:
        reply.finish(**self._supervisor.stats(), version=VERSION, uptime=time.monotonic() - self._started)

    def _on_reload(self, request: Mapping[str, Any], reply: Reply) -> None:
        self._refuse_late()
        self._told = ""
        self._reloads = [each for each in self._reloads if not each.is_over]
        self._reloads.append(reply)

        def settle(result: ReloadResult) -> None:
            if result.ok:
                reply.finish(text=result.reason, took=result.took_s)
            else:
                reply.fail(result.reason)

        self._supervisor.reload(settle)

    def _on_scale(self, request: Mapping[str, Any], reply: Reply) -> None:
        self._refuse_late()
        count = request.get("count")
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise Refused(f"count {quote(count)} is not allowed: want a number of workers, at least 1")
        room = self._supervisor.count_max
        if count > room:
            raise Refused(f"{count} is too many: there is room for {room} workers")
        before = self._supervisor.stats()["wanted"]
        now = self._supervisor.scale(count)
        if now != count:
            raise Refused(f"there is room for {now} workers at most, which there are now")
        reply.finish(before=before, workers=now)

    def _on_drain(self, request: Mapping[str, Any], reply: Reply) -> None:
        self._told = ""
        self._drains.append(reply)
        if not self._is_stopping:  # a second order would mean at once
            self._is_stopping = True
            self._supervisor.drain()

    def _on_dump(self, request: Mapping[str, Any], reply: Reply) -> None:
        pid = request.get("pid")
        if pid is not None and (not isinstance(pid, int) or isinstance(pid, bool)):
            raise Refused(f"pid {quote(pid)} is not allowed: want the number of a worker's process")
        expected = sum(pid in (None, worker["pid"]) for worker in self._supervisor.stats()["workers"])
        texts: list[str] = []

        def take(text: str) -> None:
            texts.append(text)
            if len(texts) == expected:
                reply.finish(text="\n\n".join(texts))

        if not self._supervisor.dump(pid, take):
            raise Refused("there is no worker" if pid is None else f"there is no worker with the process id {pid}")

    def _refuse_late(self) -> None:
        if self._is_stopping:
            raise Refused("the server is stopping")

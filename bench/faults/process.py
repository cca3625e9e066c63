"""A running server: its tree of processes, its log, and what can be done to them.  Linux only."""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.macro.process import ROOT, read_cpu_s, read_stats, select_tree

_POLL_S = 0.01


class Process:
    """``argv`` in a session of its own, with its output in ``log``, or in ``output`` where that is given.

    ``files`` bounds its open files; ``stderr_closed`` starts it without a standard error.
    """

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        env: Mapping[str, str],
        output: int | None = None,
        files: int = 0,
        stderr_closed: bool = False,
    ) -> None:
        self.log = log
        self.started = time.monotonic()
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=file if output is None else output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **env},
                start_new_session=True,
                preexec_fn=_prepare(files, stderr_closed),
            )
        self.pid = self._process.pid

    @property
    def code(self) -> int | None:
        """``None`` while the first process runs; otherwise its exit code, negative for a signal."""
        return self._process.poll()

    def members(self) -> list[int]:
        """The living processes of the tree, the first one included."""
        self._process.poll()
        return select_tree(read_stats(), self.pid)

    def signal(self, number: int) -> None:
        """To the first process alone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def signal_all(self, number: int) -> None:
        """To each of the tree."""
        for pid in self.members():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def read_log(self) -> str:
        return self.log.read_text(errors="replace")

    def cpu_s(self) -> float:
        """User and system time of the tree."""
        total = 0.0
        for pid in self.members():
            with contextlib.suppress(OSError):
                total += read_cpu_s(pid)
        return total

    async def wait_exit(self, limit_s: float) -> int | None:
        """The exit code, ``None`` where it still runs after ``limit_s``."""
        deadline = time.monotonic() + limit_s
        while self.code is None and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
        return self.code

    async def wait_empty(self, limit_s: float) -> list[int]:
        """Which processes of the tree are left after ``limit_s``, as soon as there are none."""
        deadline = time.monotonic() + limit_s
        while (left := self.members()) and time.monotonic() < deadline:
            await asyncio.sleep(2 * _POLL_S)
        return left

    def destroy(self) -> None:
        """SIGKILL to what is left of the tree."""
        for _ in range(3):  # one that is forked meanwhile is met the next time
            members = self.members()
            if not members:
                break
            self.signal_all(signal.SIGCONT)
            self.signal_all(signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self._process.poll()


def _prepare(files: int, stderr_closed: bool) -> Callable[[], None] | None:
    if not files and not stderr_closed:
        return None

    def prepare() -> None:
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        if stderr_closed:
            os.close(2)

    return prepare

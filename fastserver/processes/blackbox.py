"""What a worker is doing, told by itself even where its loop stands still: stacks of threads, asyncio's tasks.

``faulthandler`` writes the stacks from within a signal's handler in C, which needs neither the loop nor the GIL; so it
does when the process crashes.  Tasks take Python: they follow if the main thread comes to run any.  All of it goes into
a file without a name, which the supervisor made and reads, since a worker that hangs can send nothing.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterable
from typing import Any, Final

#: By which a worker is asked.  Realtime signals are the least likely to be an application's own.
DUMP_SIGNAL: Final[int] = int(signal.SIGRTMIN) + 7 if hasattr(signal, "SIGRTMIN") else int(signal.SIGUSR2)

#: Seconds that a worker gets for its answer.
ANSWER_S: Final = 1.0

#: Bytes of an answer that are read; tasks, and what they wait for, that are told.
TEXT_LIMIT_BYTES: Final = 256 * 1024
TASKS_LIMIT: Final = 100
DEPTH_LIMIT: Final = 20

#: Frames below a worker's first: what its parent was doing when it forked.
_ANCESTORS: Final = re.compile(r"(?<= in serve_and_exit)(\n  File [^\n]*)+")


class BlackBox:
    """The file of one worker; both processes have it open, and share its position."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def take(self) -> str:
        """All that was written since the last time, without its last line end."""
        size = os.fstat(self._fd).st_size
        text = os.pread(self._fd, min(size, TEXT_LIMIT_BYTES), 0).decode("utf-8", "replace").rstrip()
        text = _ANCESTORS.sub("", text)
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        return f"{text}\n... and more" if size > TEXT_LIMIT_BYTES else text

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def watch(self) -> None:
        """In the worker: write what is going on at a crash, and whenever the supervisor asks."""
        faulthandler.enable(self._fd, all_threads=True)
        # First the handler in Python, so that the one in C, which goes before, passes the signal on to it.
        signal.signal(DUMP_SIGNAL, lambda signum, frame: self._write_tasks())
        faulthandler.register(DUMP_SIGNAL, self._fd, all_threads=True, chain=True)

    def _write_tasks(self) -> None:
        try:
            text = render_tasks(asyncio.all_tasks())
        except RuntimeError:
            return  # no loop runs
        except Exception as error:  # whatever an application's task does when it is looked at
            text = f"Tasks of asyncio cannot be told: {error}\n"
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(self._fd, data) :]


def open_blackbox() -> BlackBox:
    """A new file; ``OSError`` where there is no descriptor or memory left."""
    if sys.platform == "linux":
        return BlackBox(os.memfd_create("fastserver-blackbox", os.MFD_CLOEXEC))
    with tempfile.TemporaryFile() as file:
        return BlackBox(os.dup(file.fileno()))


def render_tasks(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """Each task with what it waits for, the outermost coroutine first."""
    tasks = list(tasks)
    lines = [f"Tasks of asyncio: {len(tasks)}"]
    for task in tasks[:TASKS_LIMIT]:
        lines.append(f"Task {task.get_name()!r}:")
        lines += [f"  {place}" for place in list_places(task.get_coro())] or ["  (is running, or has not begun)"]
    if len(tasks) > TASKS_LIMIT:
        lines.append(f"... and {len(tasks) - TASKS_LIMIT} more")
    return "\n".join(lines) + "\n"


def list_places(waiting: Any) -> list[str]:
    """Where a coroutine stands, then the one that it awaits, and so on."""
    places: list[str] = []
    while waiting is not None and len(places) < DEPTH_LIMIT:
        frame, inner = None, None
        for prefix in ("cr", "gi", "ag"):
            frame = frame or getattr(waiting, f"{prefix}_frame", None)
            inner = inner or getattr(waiting, f"{prefix}_await", None) or getattr(waiting, f"{prefix}_yieldfrom", None)
        if frame is not None:
            code = frame.f_code
            places.append(f'File "{code.co_filename}", line {frame.f_lineno} in {code.co_name}')
        elif inner is None:
            break
        waiting = inner
    return places

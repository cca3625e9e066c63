"""The Python twin of ``kernels.pyx``, for builds without a compiler: the same functions, results and errors.

Where the extension is built, the import system finds it first and this text is run by the tests only, which hold both
to the same tables and to each other.  Who changes one changes both, down to the order in which rules are checked.
``heads.py`` and ``rendering.py`` are such twins too.
"""

import os
import threading
import time
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

from .events import RawData


def raw_data(data: bytes) -> RawData:
    """``RawData(data)``; the extension makes it without parsing arguments."""
    return RawData(data)


def raw_datagram(data: bytes, address: tuple[str, int]) -> RawData:
    return RawData(data, address)


def current_thread() -> int:
    """The calling thread's identity."""
    return threading.get_ident()


def trim_memory() -> bool:
    """Give free memory back to the system, where that can be asked for: whether it was; never in this build."""
    return False


def keep_memory(kept: int, mapped: int) -> bool:
    """Have the C library keep free memory; never in this build."""
    return False


def read_timer() -> float:
    """Monotonic seconds to the nanosecond, of any origin: for durations only; deadlines go by the worker's clock."""
    return time.perf_counter()


def send_bytes(fd: int, data: bytes) -> int:
    """``write(2)`` on a non-blocking socket: how many bytes it took, or -1 for any error, full buffers included.

    The interpreter ignores SIGPIPE, so a peer that has gone is an error like any other.
    """
    try:
        return os.write(fd, data)
    except OSError:
        return -1


#: What ``resume`` returns when the coroutine has finished.
DONE = object()


def resume(coroutine: Generator[Any, Any, Any], context: Context | None) -> Any:
    """Step a coroutine to its next suspension, in ``context`` where one is given: what it yields, or ``DONE``."""
    try:
        return coroutine.send(None) if context is None else context.run(coroutine.send, None)
    except StopIteration:
        return DONE


def copy_context(context: Context) -> Context:
    """``context.copy()``; the extension asks the interpreter itself."""
    return context.copy()


def call_in(context: Context, step: Callable[[], Any]) -> Any:
    """``context.run(step)``; the extension needs no arguments to be packed for it."""
    return context.run(step)

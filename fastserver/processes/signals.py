"""Signals of the process, handled in the main thread for as long as a ``with`` block runs.

Plain ``signal.signal`` and not the loop's ``add_signal_handler``: a handler must also run while the application blocks
the loop, since the second signal has to end a process whose loop does not turn.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any, Final

#: What asks a server to stop; a second one, of whatever kind, asks it to stop at once.
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


#: Signals that end a server.  Of others each one counts: a second hangup asks for what has changed since the first.
STOPPING: Final = (*STOP_SIGNALS, signal.SIGQUIT) if hasattr(signal, "SIGQUIT") else STOP_SIGNALS

#: The same signal again within so many seconds is one request that was delivered twice: timeout(1) signals its child
#: and then the child's whole group, and a terminal and a supervisor above may both pass on an interrupt.
ECHO_S: Final = 0.1


class EchoFilter:
    """Tells the repetition of a signal from a second one."""

    def __init__(self) -> None:
        self._last: dict[int, float] = {}

    def is_echo(self, signum: int) -> bool:
        """Whether ``signum`` has just come; notes it otherwise."""
        now = time.monotonic()
        if now - self._last.get(signum, -ECHO_S) < ECHO_S:
            return True
        self._last[signum] = now
        return False


class SignalWatch:
    """Calls ``handler(signum)`` for each of ``signals``, and puts the old handlers back at the end.

    An echo of a signal that stops is left out.

    Outside of the main thread it does nothing: Python allows no handlers there.
    """

    def __init__(self, signals: Iterable[int], handler: Callable[[int], object]) -> None:
        self._signals = tuple(signals)
        self._handler = handler
        self._old: dict[int, Any] = {}
        self._echoes = EchoFilter()

    def __enter__(self) -> SignalWatch:
        if threading.current_thread() is threading.main_thread():
            for signum in self._signals:
                self._old[signum] = signal.signal(signum, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        for signum, old in self._old.items():
            # None stands for a handler that was not installed from Python and cannot be put back.
            signal.signal(signum, old if old is not None else signal.SIG_DFL)
        self._old.clear()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if not (signum in STOPPING and self._echoes.is_echo(signum)):
            self._handler(signum)


class Terminal:
    """The terminal that this process was started from, if it was.

    SIGHUP means two things: a daemon shall read its configuration again, and a terminal is gone, and with it who sat
    there.  A process that had a terminal can tell them apart.
    """

    def __init__(self) -> None:
        self._had_one = _has_terminal()

    def has_gone(self) -> bool:
        """Whether there was one and is none any more."""
        return self._had_one and not _has_terminal()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def name_signal(signum: int) -> str:
    """``SIGTERM`` for 15; for a number without a name, the number."""
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"

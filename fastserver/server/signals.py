"""Signals of the process, handled in the main thread for as long as a ``with`` block runs.

Plain ``signal.signal`` and not the loop's ``add_signal_handler``: a handler must also run while the application blocks
the loop, since the second signal has to end a process whose loop does not turn.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Any, Final

#: What asks a server to stop; a second one, of whatever kind, asks it to stop at once.
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class SignalWatch:
    """Calls ``handler(signum)`` for each of ``signals``, and puts the old handlers back at the end.

    Outside of the main thread it does nothing: Python allows no handlers there.
    """

    def __init__(self, signals: Iterable[int], handler: Callable[[int], object]) -> None:
        self._signals = tuple(signals)
        self._handler = handler
        self._old: dict[int, Any] = {}

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
        self._handler(signum)


def name_signal(signum: int) -> str:
    """``SIGTERM`` for 15; for a number without a name, the number."""
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"

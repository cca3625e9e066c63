"""How a start fails, and how a process ends."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a process ends with.  A second signal gives 128 and its number, as if it had killed the process."""

    OK = 0
    FAULT = 1
    USAGE = 2
    NOT_STARTED = 3


class StartupFailed(Exception):
    """The server did not start.  The message is one line; ``details`` is a traceback of the application, or empty."""

    def __init__(self, reason: str, details: str = "") -> None:
        super().__init__(reason)
        self.details = details

"""A log's destination: bytes go to the end of a file, a pipe or a terminal, and nobody waits for it.

``write`` never raises and never waits for a reader: what a pipe has no room for is kept, up to a bound, and beyond that
dropped and counted.  A regular file is written at once; the kernel takes it into its cache.
"""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from typing import Final

#: Bytes that may wait for a pipe to be read.
PENDING_LIMIT_BYTES: Final = 1 << 20

#: What a pipe that polls as writable takes without blocking (POSIX: at least PIPE_BUF).
_CHUNK_BYTES: Final = select.PIPE_BUF if hasattr(select, "PIPE_BUF") else 512


class LogFile:
    """``path`` is opened for appending; ``-`` is the descriptor ``standard``: 1, standard output, or 2, standard error.

    ``dropped`` counts the writes that were lost, whole or in part.  Raises ``OSError`` where it cannot be opened.
    """

    def __init__(self, path: str, standard: int = 1) -> None:
        self.path = path
        self.dropped = 0
        self._standard = standard
        self._pending = bytearray()
        self._writing = False
        self._fd = self._open()
        self._regular = self._fd >= 0 and stat.S_ISREG(os.fstat(self._fd).st_mode)

    def write(self, data: bytes) -> None:
        """Write whole lines."""
        if self._fd < 0 or len(self._pending) + len(data) > PENDING_LIMIT_BYTES:
            self.dropped += 1
            return
        self._pending += data
        self.flush()

    def flush(self) -> None:
        """Write as much of what is kept as goes without waiting; called once a tick too."""
        if self._writing:
            return  # a signal's handler logs in the midst of this; the loop below takes its line too
        self._writing = True
        try:
            while self._pending and self._fd >= 0 and (self._regular or self._is_writable()):
                written = os.write(self._fd, bytes(self._pending if self._regular else self._pending[:_CHUNK_BYTES]))
                del self._pending[:written]
        except BlockingIOError:
            pass
        except OSError:  # a full disk, a pipe without reader
            self.dropped += 1
            self._pending.clear()
        finally:
            self._writing = False

    def drain(self, timeout_s: float) -> None:
        """Write what is kept, and wait at most so long for its reader."""
        deadline = time.monotonic() + timeout_s
        self.flush()
        while self._pending and self._fd >= 0 and (left_s := deadline - time.monotonic()) > 0:
            self._is_writable(left_s)
            self.flush()

    def forget(self) -> None:
        """Drop what is kept, in a child process: the parent writes it."""
        self._pending.clear()

    def close(self) -> None:
        self.flush()
        if self._fd >= 0 and self.path != "-":
            os.close(self._fd)
        self._fd = -1

    def _open(self) -> int:
        if self.path == "-":
            # Where the process was started without it, the descriptor may be anything, a client even.
            stream = sys.__stdout__ if self._standard == 1 else sys.__stderr__
            return self._standard if stream is not None else -1
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def _is_writable(self, timeout_s: float = 0.0) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(timeout_s * 1000))

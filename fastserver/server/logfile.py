"""A log's destination: bytes go to the end of a file, a pipe or a terminal, and nobody waits for it.

``write`` never raises and never waits for a reader: what a pipe has no room for is kept, up to a bound, and beyond that
dropped and counted.  A regular file is written at once; the kernel takes it into its cache.
"""

from __future__ import annotations

import os
import select
import stat
import sys
from typing import Final

#: Bytes that may wait for a pipe to be read.
PENDING_LIMIT_BYTES: Final = 1 << 20

#: What a pipe that polls as writable takes without blocking (POSIX: at least PIPE_BUF).
_CHUNK_BYTES: Final = select.PIPE_BUF if hasattr(select, "PIPE_BUF") else 512


class LogFile:
    """``path`` is opened for appending, ``-`` is standard output.  Raises ``OSError`` where it cannot be opened.

    ``dropped`` counts the writes that were lost, whole or in part.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.dropped = 0
        self._pending = bytearray()
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
        while self._pending and self._fd >= 0:
            try:
                if self._regular:
                    written = os.write(self._fd, self._pending)
                elif self._is_writable():
                    written = os.write(self._fd, self._pending[:_CHUNK_BYTES])
                else:
                    return
            except BlockingIOError:
                return
            except OSError:  # a full disk, a pipe without reader
                self.dropped += 1
                self._pending.clear()
                return
            del self._pending[:written]

    def reopen(self) -> None:
        """Open the path anew, as after a rotation.  Raises ``OSError`` and keeps the old file where that fails."""
        if self.path == "-":
            return
        fd = self._open()
        self.flush()
        old, self._fd = self._fd, fd
        self._regular = stat.S_ISREG(os.fstat(fd).st_mode)
        os.close(old)

    def close(self) -> None:
        self.flush()
        if self._fd >= 0 and self.path != "-":
            os.close(self._fd)
        self._fd = -1

    def _open(self) -> int:
        if self.path == "-":
            # Where the process was started without standard output, descriptor 1 may be anything, a client even.
            return 1 if sys.__stdout__ is not None else -1
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def _is_writable(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(0))

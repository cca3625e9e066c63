"""A log's destination: bytes go to the end of a file, a pipe or a terminal, and nobody waits for it.

``write`` never raises and never waits for a reader: what a pipe has no room for is kept, up to a bound, and beyond that
dropped and counted.  A regular file is written at once; the kernel takes it into its cache.

Standard output and error are often shared with other programs, so they are never switched to non-blocking mode: where
the system can open the same pipe or terminal a second time, that one is.  Elsewhere what is written is small, and the
descriptor is asked first.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import sys
import time
from typing import Final
from weakref import WeakSet

#: Bytes that may wait for a pipe to be read.
PENDING_LIMIT_BYTES: Final = 1 << 20

#: What goes into a pipe whole or not at all, even where other processes write to it (POSIX: at least PIPE_BUF).
CHUNK_BYTES: Final = select.PIPE_BUF if hasattr(select, "PIPE_BUF") else 512

#: What comes between the parts of a line that a pipe took one by one: the rest is no line of its own.
TORN: Final = b"\n  "

#: Every log of this process that is open, for ``reopen.reopen_logs``.
OPEN_FILES: Final[WeakSet[LogFile]] = WeakSet()

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class LogFile:
    """``path`` is opened for appending; ``-`` is the descriptor ``standard``: 1, standard output, or 2, standard error.

    ``dropped`` counts the lines that were lost, whole or in part, and ``fault`` says why the last ones were.  Raises
    ``OSError`` where it cannot be opened, as for a named pipe that nobody reads.
    """

    def __init__(self, path: str, standard: int = 1) -> None:
        self.path = path
        self.dropped = 0
        self.fault = ""
        self._standard = standard
        self._pending = bytearray()
        self._writing = False
        # Lines that were lost and have not been told of.
        self._untold = 0
        self._failing = False
        # The last byte that was written is not the end of a line.
        self._torn = False
        self._is_own = True
        self._socket: socket.socket | None = None
        self._fd = os.open(path, _FLAGS, 0o666) if path != "-" else self._open_standard()
        self._note_kind()
        OPEN_FILES.add(self)

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads along."""
        return self._fd >= 0 and os.isatty(self._fd)

    def write(self, data: bytes) -> None:
        """Write whole lines."""
        if self._fd < 0:
            self._lose(data, "it is closed")
        elif len(self._pending) + len(data) > PENDING_LIMIT_BYTES:
            self._lose(data, "nobody reads it")
        else:
            if self._torn and not self._pending:
                self._pending += b"\n"  # what is left of the line that was cut stays a line of its own
            self._pending += data
            self.flush()

    def flush(self) -> None:
        """Write as much of what is kept as goes without waiting; called once a tick too."""
        if self._writing:
            return  # a signal's handler logs in the midst of this; the loop below takes its line too
        self._writing = True
        try:
            while self._pending and self._fd >= 0:
                chunk = self._next_chunk()
                written = self._put(chunk)
                self._torn = chunk[written - 1] != 0x0A
                del self._pending[:written]
                self._failing = False
                if self._torn and self._is_own and not self._is_regular:
                    # The pipe is full in the midst of a long line, and another process may write before its rest
                    # does: that could else begin a line, as whoever made the line so long wants it to.
                    self._pending[0:0] = TORN
                    self._torn = False
        except BlockingIOError:
            pass
        except OSError as error:  # a full disk, a pipe without reader
            self._lose(self._pending, error.strerror or str(error))
            self._pending.clear()
            self._failing = True
        finally:
            self._writing = False

    def take_loss(self) -> int:
        """How many lines were lost since this was asked last; 0 for as long as it goes on."""
        if self._failing or self._pending:
            return 0
        lost, self._untold = self._untold, 0
        return lost

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
        self._torn = False
        self.dropped = self._untold = 0

    def reopen(self) -> None:
        """Open the path again, for a file that was moved or deleted; standard output stays what it is.

        The number of the descriptor stays, so a write that is under way in another thread goes to one file or the
        other.  Raises ``OSError``, and goes on with the file that is open.
        """
        if self.path == "-" or self._fd < 0:
            return
        fd = os.open(self.path, _FLAGS, 0o666)
        try:
            self.flush()
            os.dup2(fd, self._fd, inheritable=False)
        finally:
            os.close(fd)
        self._torn = False
        self._note_kind()

    def close(self) -> None:
        self.flush()
        if self._fd >= 0 and self._is_own:
            os.close(self._fd)
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._fd = -1
        OPEN_FILES.discard(self)

    def _open_standard(self) -> int:
        # Where the process was started without it, the descriptor may be anything, a client even.
        if (sys.__stdout__ if self._standard == 1 else sys.__stderr__) is None:
            return -1
        try:
            mode = os.fstat(self._standard).st_mode
            if stat.S_ISSOCK(mode):  # systemd's journal
                self._socket = socket.socket(fileno=os.dup(self._standard))
            elif stat.S_ISFIFO(mode) or os.isatty(self._standard):
                return os.open(f"/proc/self/fd/{self._standard}", _FLAGS & ~os.O_CREAT)
        except OSError:
            pass  # no such file system, or another user's terminal
        self._is_own = False
        return self._standard

    def _note_kind(self) -> None:
        try:
            self._is_regular = self._fd >= 0 and stat.S_ISREG(os.fstat(self._fd).st_mode)
        except OSError:  # it was closed behind our back
            self._is_regular = False

    def _next_chunk(self) -> bytes:
        """What to write next: all, or as many whole lines as a pipe takes whole; a longer line goes by itself."""
        if self._is_regular or len(self._pending) <= CHUNK_BYTES:
            return bytes(self._pending)
        end = self._pending.rfind(b"\n", 0, CHUNK_BYTES) + 1
        if not end:
            end = self._pending.find(b"\n") + 1 if self._is_own else CHUNK_BYTES
        return bytes(self._pending[:end])

    def _put(self, chunk: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(chunk, socket.MSG_DONTWAIT)
        if not (self._is_own or self._is_regular or self._is_writable()):
            raise BlockingIOError
        return os.write(self._fd, chunk)

    def _lose(self, data: bytes | bytearray, fault: str) -> None:
        lines = data.count(b"\n")
        self.dropped += lines
        self._untold += lines
        self.fault = fault

    def _is_writable(self, timeout_s: float = 0.0) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(timeout_s * 1000))

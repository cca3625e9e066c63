"""The body of a request in a temporary file, where it is too long for memory.

What touches the disk runs in the loop's default executor.  Bytes are credited to the client when they have been
written, so it sends no faster than the disk takes them.  The file has no name (``tempfile.TemporaryFile``): it is
gone with its last descriptor, whatever happens to the process.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from typing import Any


class Spool:
    """A file that is written by the loop and then read by the application.

    ``on_written(count)`` is called when bytes worth ``count`` of credit are in the file, ``on_end(failure)`` once: when
    all of it is, or when it cannot be.
    """

    def __init__(
        self, loop: Any, on_written: Callable[[int], object], on_end: Callable[[BaseException | None], object]
    ) -> None:
        self._loop = loop
        self._on_written = on_written
        self._on_end = on_end
        self._file: io.FileIO | None = None
        self._waiting: list[bytes] = []
        self._credit = 0
        self._writing = False
        self._finished = False
        self._over = False

    def add(self, data: bytes, credit: int) -> None:
        """Write ``data`` behind what was added before; ``credit`` of it is to be told."""
        if self._over:
            return
        self._waiting.append(data)
        self._credit += credit
        if not self._writing:
            self._write()

    def finish(self) -> None:
        """Nothing more will be added."""
        self._finished = True
        if not self._writing:
            self._end(None)

    def take_reader(self) -> io.BufferedReader:
        """The whole body, to be read from its beginning and closed by ``discard``."""
        assert self._file is not None
        return io.BufferedReader(self._file)

    def discard(self) -> None:
        """Let go of the file; a thread that is still writing closes it."""
        self._over = True
        self._waiting.clear()
        if not self._writing:
            self._close()

    def _write(self) -> None:
        parts, credit = self._waiting, self._credit
        self._waiting, self._credit = [], 0
        self._writing = True
        writing = self._loop.run_in_executor(None, self._append, parts)
        writing.add_done_callback(lambda done: self._on_done(done, credit))

    def _append(self, parts: list[bytes]) -> None:
        """Runs in a thread."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="fastserver-", buffering=0)  # noqa: SIM115
        for part in parts:
            view = memoryview(part)
            while view:
                view = view[self._file.write(view) :]

    def _on_done(self, done: Any, credit: int) -> None:
        self._writing = False
        failure = None if done.cancelled() else done.exception()
        if self._over:
            self._close()
        elif failure is not None:
            self._end(failure)
        else:
            self._on_written(credit)
            if self._waiting:
                self._write()
            elif self._finished:
                self._end(None)

    def _end(self, failure: BaseException | None) -> None:
        if self._over:
            return
        if failure is not None:
            self._over = True
            self._waiting.clear()
            self._close()
        else:
            assert self._file is not None
            self._file.seek(0)
        self._on_end(failure)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

"""A file descriptor that threads borrow: it is closed by whoever lets go of it last.

The kernel gives a closed descriptor's number to the next file that anybody opens.  So the loop must not close one while
a thread is in a system call on it; and it need not wait for that thread either.
"""

from __future__ import annotations

import errno
import os
from threading import Lock


class Descriptor:
    """Owns the descriptor ``number``; -1 says that it is still to be adopted.

    A thread uses it as ``with descriptor as number``, which raises ``OSError`` once the owner has called ``close``.
    """

    def __init__(self, number: int = -1) -> None:
        self._number = number
        self._borrowers = 0
        self._closed = False
        self._lock = Lock()

    @property
    def closed(self) -> bool:
        """Whether the owner has let go; a borrower may still be using it."""
        return self._closed

    def adopt(self, number: int) -> None:
        """Own ``number``, once; it is closed at once where the owner has let go already."""
        with self._lock:
            if self._number != -1:
                raise ValueError("a descriptor is adopted once")
            if not self._closed:
                self._number = number
                return
        os.close(number)

    def close(self) -> None:
        """Let go: closed now, or by the last borrower.  Safe to call twice."""
        with self._lock:
            self._closed = True
            number = self._take_unused()
        _close(number)

    def __enter__(self) -> int:
        with self._lock:
            if self._closed or self._number == -1:
                raise OSError(errno.EBADF, "the descriptor is closed")
            self._borrowers += 1
            return self._number

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._borrowers -= 1
            number = self._take_unused()
        _close(number)

    def _take_unused(self) -> int:
        """The number, to be closed by the caller, if nobody needs it any more; else -1."""
        if not self._closed or self._borrowers > 0:
            return -1
        number = self._number
        self._number = -1
        return number


def _close(number: int) -> None:
    if number != -1:
        os.close(number)

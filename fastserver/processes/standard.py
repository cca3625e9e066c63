"""The descriptors 0 to 2: open, whatever the process was started with.

Where one of them is closed (``2>&-``, some service managers), the next socket that is opened gets its number, and a log
line or a child's output goes to a client.
"""

from __future__ import annotations

import contextlib
import os
import sys


def fill_standard() -> None:
    """Put ``/dev/null`` where standard input, output or error is closed; call it before anything else is opened.

    The objects in ``sys`` are left as they are: ``None`` says there that nobody reads.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != fd:  # a lower one is free; it is filled in its own turn, before this
                os.dup2(null, fd)
                os.close(null)
            os.set_inheritable(fd, True)


def flush_standard() -> None:
    """Write what Python has buffered for standard output and error, before a fork or the end of the process."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # a full disk, a pipe without reader, a closed object
                stream.flush()

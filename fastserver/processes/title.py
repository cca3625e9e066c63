"""What ps and top call a process.

Linux shows the memory in which the kernel has put the command line; it is written over in place, so a title is as long
as that line at most.  Nobody else reads it: Python has copied its arguments at the start.  The environment lies behind
it and is left alone, since C libraries look things up there.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

#: prctl(2).  /proc/self/comm is root's in a process that has dropped its privileges.
_PR_SET_NAME: Final = 15
#: What the kernel keeps of a process's short name (TASK_COMM_LEN less a NUL).
_SHORT_BYTES: Final = 15
#: The fields of /proc/PID/stat after the name in brackets; proc(5) counts from 1, and the name is the second.
_ARG_START: Final = 48 - 3
_ARG_END: Final = 49 - 3


def set_title(title: str) -> None:
    """Have this process called ``title``; where the kernel does not tell where, nothing happens."""
    if sys.platform != "linux":
        return
    data = title.encode("utf-8", "replace").replace(b"\0", b"")
    try:
        ctypes.CDLL(None).prctl(_PR_SET_NAME, data[:_SHORT_BYTES], 0, 0, 0)
        start, size = _find_arguments()
    except (OSError, AttributeError, ValueError, IndexError):
        return  # no /proc, or one of another kind; a C library of another kind
    if size > 1:
        ctypes.memmove(start, data[: size - 1].ljust(size, b"\0"), size)


def _find_arguments() -> tuple[int, int]:
    """Where the command line lies, and its length; 0 for both where the kernel does not tell."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    if not _is_writable(start, end):
        return 0, 0
    return start, end - start


def _is_writable(start: int, end: int) -> bool:
    """Whether it is this process's to write, all of it, as it is on every stack: a wrong number must not crash it."""
    with open("/proc/self/maps", "rb") as file:
        for line in file:
            area, rights = line.split()[:2]
            low, high = (int(text, 16) for text in area.split(b"-"))
            if low <= start < end <= high:
                return b"w" in rights
    return False

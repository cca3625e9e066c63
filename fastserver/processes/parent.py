"""A process and its parent, as Linux has it: children that learn of their parent's death, whatever they are doing."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

#: What is sent to workers on the death of their parent, and how long they have then: its number in seconds.
FUSE_SIGNAL: Final = int(signal.SIGTRAP)
FUSE_S: Final = FUSE_SIGNAL

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


def follow_parent(parent: int, signum: int) -> bool:
    """Get ``signum`` when the process ``parent`` is dead: whether it still lives.

    Call it in the child.  Where the system has no such thing only the second half holds.
    """
    _prctl(_PR_SET_PDEATHSIG, signum)
    return os.getppid() == parent  # it may have died before the first line


def arm_fuse() -> bool:
    """Have ``FUSE_SIGNAL`` end this process ``FUSE_S`` seconds later, also where C code keeps the GIL for good.

    A handler in Python would wait for the GIL, so the handler is a function of the C library: ``alarm``, which takes
    seconds where a handler gets the signal's number, and which is safe in a handler (signal-safety(7)).  SIGALRM then
    ends the process, unless the application handles it.  ``False`` where there is no C library to ask.
    """
    try:
        library = ctypes.CDLL(None)
        library.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
        library.signal.restype = ctypes.c_void_p
        library.signal(FUSE_SIGNAL, ctypes.cast(library.alarm, ctypes.c_void_p))
    except (OSError, AttributeError):
        return False
    return True


def adopt_orphans() -> bool:
    """Become the parent of what the descendants of this process leave behind; ``False`` where that cannot be."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, argument: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        return ctypes.CDLL(None).prctl(option, ctypes.c_ulong(argument), 0, 0, 0) == 0  # type: ignore[no-any-return]
    except (OSError, AttributeError):  # a C library without it
        return False

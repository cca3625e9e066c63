"""A process and its parent, as Linux has it: children that learn of their parent's death, whatever they are doing."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


def follow_parent(parent: int, signum: int) -> bool:
    """Get ``signum`` when the process ``parent`` is dead: whether it still lives.

    Call it in the child.  Where the system has no such thing only the second half holds.
    """
    _prctl(_PR_SET_PDEATHSIG, signum)
    return os.getppid() == parent  # it may have died before the first line


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

"""Two ways to hang, by names that are to be found in a dump of stacks."""

import time


def block_the_loop(seconds: float) -> None:
    """The thread that calls it does nothing else."""
    time.sleep(seconds)


def hold_the_gil() -> None:
    """For good: the loop runs in C and looks neither at signals nor at other threads."""
    sum(range(10**13))

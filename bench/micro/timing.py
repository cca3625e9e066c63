"""Timing one callable: the least nanoseconds per call over some repeats."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

REPEATS = 41


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: what was timed, and nanoseconds by variant."""

    name: str
    ns: dict[str, float]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to try: ``repeats`` of at least ``repeat_s`` seconds each.

    Many short repeats, each shorter than a scheduler's slice: on a busy machine some of them run undisturbed.
    """

    repeats: int = REPEATS
    repeat_s: float = 0.002


def make_loop(statement: str, names: dict[str, Any]) -> Callable[[int], int]:
    """A function that runs ``statement`` so many times with ``names`` as locals, and says how many nanoseconds it took.

    The loop itself costs some 5 to 10 ns a turn, the same for every statement.
    """
    parameters = "".join(f", {name}={name}" for name in names)
    source = (
        f"def loop(turns, clock=clock{parameters}):\n"
        f"    started = clock()\n"
        f"    for _ in range(turns):\n"
        f"        {statement}\n"
        f"    return clock() - started\n"
    )
    space: dict[str, Any] = {"clock": time.perf_counter_ns, **names}
    exec(compile(source, f"<bench: {statement}>", "exec"), space)
    loop: Callable[[int], int] = space["loop"]
    return loop


def time_ns(statement: str, names: dict[str, Any], effort: Effort) -> float:
    """The least nanoseconds that one run of ``statement`` took, with the cycle collector off."""
    loop = make_loop(statement, names)
    turns = 1
    while loop(turns) < effort.repeat_s * 1e9:
        turns *= 2
    enabled = gc.isenabled()
    gc.disable()
    try:
        return min(loop(turns) for _ in range(effort.repeats)) / turns
    finally:
        if enabled:
            gc.enable()

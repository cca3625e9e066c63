"""What a supervisor knows of its workers: one process each, its state, and the place that it fills."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from fastserver.processes.blackbox import BlackBox
from fastserver.processes.channel import Channel
from fastserver.processes.generation import Generation
from fastserver.processes.heartbeat import Pulse, Silence, Vitals
from fastserver.processes.recycling import Allowance
from fastserver.server.monitor import Place

if TYPE_CHECKING:
    from fastserver.transport.udpgroup import QUICPlace

#: Seconds before a worker that keeps dying is replaced: none the first time, then doubling from the first to the last.
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_LAST_S: Final = 10.0


class WorkerState(Enum):
    STARTING = "starting"
    READY = "ready"
    RETIRING = "retiring"  # drains while another serves in its place
    STOPPING = "stopping"  # ends with the server
    GONE = "gone"


MOVES: Final = {
    WorkerState.STARTING: {WorkerState.READY, WorkerState.RETIRING, WorkerState.STOPPING, WorkerState.GONE},
    WorkerState.READY: {WorkerState.RETIRING, WorkerState.STOPPING, WorkerState.GONE},
    WorkerState.RETIRING: {WorkerState.STOPPING, WorkerState.GONE},
    WorkerState.STOPPING: {WorkerState.GONE},
    WorkerState.GONE: set(),
}


@dataclass(eq=False)
class WorkerProcess:
    """One child.  ``since`` is when it entered its state; at ``retire_at`` and ``kill_at`` it is retired, or killed.

    ``place`` is where it publishes its counters, ``quic`` its number among the workers that serve QUIC.
    At ``pulse`` it shows signs of life, read into ``vitals`` from time to time, and ``box`` has what it says of itself.
    ``is_successor`` while it starts for a place in which another serves; ``has_left`` once it is retired and accepts
    no more.  Times are monotonic seconds; ``why`` it is
    replaced, and ``reason`` and ``details`` for which it did not start, are for the log.
    """

    pid: int
    channel: Channel
    slot: Slot
    generation: Generation
    since: float
    place: Place | None = None
    quic: QUICPlace | None = None
    state: WorkerState = WorkerState.STARTING
    retire_at: float = math.inf
    kill_at: float = math.inf
    pulse: Pulse | None = None
    box: BlackBox | None = None
    vitals: Vitals = field(default_factory=Vitals)
    silence: Silence = field(default_factory=Silence)
    allowance: Allowance | None = None
    is_successor: bool = False
    has_left: bool = False
    why: str = ""
    reason: str = ""
    details: str = ""


@dataclass(eq=False)
class Slot:
    """A place for one worker of ``generation``; ``successor`` is one that starts while ``worker`` still serves.

    ``due`` is when the next one starts in an empty slot (never: while no worker number is free); ``deaths`` counts
    those in a row.
    """

    generation: Generation
    worker: WorkerProcess | None = None
    successor: WorkerProcess | None = None
    due: float = 0.0
    deaths: int = 0


def get_backoff_s(deaths: int) -> float:
    """Seconds to wait before a worker is replaced in whose place ``deaths`` have died in a row before it."""
    if deaths == 0:
        return 0.0
    return float(min(BACKOFF_FIRST_S * 2 ** min(deaths - 1, 30), BACKOFF_LAST_S))

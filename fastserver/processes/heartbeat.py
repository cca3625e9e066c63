"""Signs of life: what each worker publishes from its event loop, and how long a supervisor has seen none.

The board is shared memory, made before the first fork: a few numbers for each worker, written by that worker alone at
its ticks, and by no thread, since a thread would go on where the loop stands still.  A supervisor reads it as often as
it likes, and nobody waits for anybody.
"""

from __future__ import annotations

import mmap
import struct
from collections import deque
from dataclasses import dataclass
from typing import Final

#: Places on the board.  Pages of it that are never written take no memory.
PLACES: Final = 16384

#: Seconds between two looks of the supervisor.
LOOK_S: Final = 1.0

#: A supervisor whose last look was longer ago was asleep itself (SIGSTOP, a paused container).  It knows nothing of the
#: time between, and everyone gets a new period.
ASLEEP_S: Final = 3.0

_RECORD: Final = struct.Struct("=ddd")


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a worker has published: how often it has, the requests it has answered, its resident bytes."""

    beats: int = 0
    requests: int = 0
    rss_bytes: int = 0


class Pulse:
    """A worker's place on the board."""

    def __init__(self, memory: mmap.mmap, index: int) -> None:
        self.index = index
        self._memory = memory
        self._beats = 0

    def beat(self, requests: int, rss_bytes: int) -> None:
        """The loop turns; this is what it has done so far."""
        self._beats += 1
        _RECORD.pack_into(self._memory, self.index * _RECORD.size, self._beats, requests, rss_bytes)

    def read(self) -> Vitals:
        """What was published last; in any process."""
        return Vitals(*map(int, _RECORD.unpack_from(self._memory, self.index * _RECORD.size)))


class Board:
    """The supervisor's: places for workers, of which the longest free one is given out first."""

    def __init__(self, places: int = PLACES) -> None:
        self._memory = mmap.mmap(-1, places * _RECORD.size)
        self._free = deque(range(places))

    def claim(self) -> Pulse | None:
        """A place, empty; ``None`` where too many workers are still ending."""
        if not self._free:
            return None
        pulse = Pulse(self._memory, self._free.popleft())
        _RECORD.pack_into(self._memory, pulse.index * _RECORD.size, 0, 0, 0)
        return pulse

    def at(self, index: int) -> Pulse:
        """A place that was claimed in another process."""
        return Pulse(self._memory, index)

    def release(self, pulse: Pulse) -> None:
        """Its worker is gone."""
        self._free.append(pulse.index)


class Silence:
    """How long one worker has shown no sign of life, of the time in which its supervisor was awake."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._beats = -1

    def note(self, beats: int, elapsed_s: float) -> float:
        """At a look, ``elapsed_s`` after the last one: the seconds of silence, which a new beat ends."""
        if beats != self._beats or elapsed_s > ASLEEP_S:
            self._beats = beats
            self.seconds = 0.0
        else:
            self.seconds += elapsed_s
        return self.seconds

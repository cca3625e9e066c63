"""Shared memory in which each worker publishes its counters, and from which any process reads those of all.

Who does what: the supervisor makes the board before it forks, claims a slot for each worker, and retires it once the
worker is dead; the worker publishes into its slot; anyone reads.  So each part of the memory has one writer at a time,
and no process ever waits for another.

**Double buffer.**  A record has two halves and one byte that names the valid one.  The writer fills the other half and
then turns the byte.  A sequence lock would need less memory, but a worker that is killed while it writes would leave it
locked and its last counters unreadable, and the counters of the dead are kept here.  A reader that is overtaken twice
while it copies sees a wrong checksum and tries again; the checksum also covers processors that show another's writes
out of order.

**Totals never go down.**  Each claim has a number, which every snapshot carries.  Retiring writes one record: the past
with the dead worker's counters in it *and* the number of the last claim that is in it, for each slot.  A reader takes
the slots first and the past second, and leaves out what the past already has.  So it counts each worker once, whenever
it reads, and nothing has to be cleared before a slot is claimed again.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from logging import Logger
from typing import Any, Final
from zlib import crc32

from fastserver.metrics.snapshot import Snapshot, merge

#: The longest snapshot, as JSON.  Memory that is never written to takes no room.
SLOT_BYTES: Final = 64 * 1024

#: The longest past: all protocols and observers that ever were.
PAST_BYTES: Final = 256 * 1024

#: What a claim's number takes in JSON, at most.
_NUMBER_BYTES: Final = 24

#: A copy takes a microsecond and publishing fifty times as long, so that even the second try is rare.
_TRIES: Final = 100

_HEADER: Final = struct.Struct("<II")  # the length and the checksum of what follows
_INDEX_BYTES: Final = 8  # one is used, the others align the halves


@dataclass(frozen=True, slots=True)
class Board:
    """What was read.  ``started`` is the server's start in Unix seconds; ``past``, the counters of ended workers."""

    started: float
    past: Snapshot
    workers: tuple[Snapshot, ...]

    def total(self) -> Snapshot:
        """All that was counted since the start; among the gauges, those of the living that are amounts."""
        return merge((self.past, *self.workers))


class Scoreboard:
    """``slots`` places for workers at one time, those that are being replaced included.  ``started``: Unix seconds."""

    def __init__(self, slots: int, started: float, log: Logger) -> None:
        past_bytes = PAST_BYTES + slots * _NUMBER_BYTES
        offsets = [slot * _Record.measure(SLOT_BYTES) for slot in range(slots + 1)]
        memory = mmap.mmap(-1, offsets[-1] + _Record.measure(past_bytes))
        self._slots = [_Record(memory, offset, SLOT_BYTES) for offset in offsets[:-1]]
        self._past_record = _Record(memory, offsets[-1], past_bytes)
        self._started = started
        self._log = log
        self._told = False
        # The supervisor's own; a worker keeps what they were when it was forked.
        self._claimed = [0] * slots
        self._claims = 0
        self._retired = [0] * slots
        self._past: Snapshot = {}

    def claim(self) -> int | None:
        """A slot for a worker that is about to be forked; ``None`` when all are taken.  The supervisor's."""
        for slot, claim in enumerate(self._claimed):
            if not claim:
                self._claims += 1
                self._claimed[slot] = self._claims
                return slot
        return None

    def publish(self, slot: int, snapshot: Mapping[str, Any]) -> None:
        """Show ``snapshot`` to all; one that is too long is left out, and the log says so once.  The worker's."""
        text = _dump([self._claimed[slot], snapshot])
        if self._fits(text, SLOT_BYTES):
            self._slots[slot].write(text)

    def retire(self, slot: int) -> None:
        """Keep the counters of the worker that had ``slot``, and free it.  The supervisor's, once the worker is dead.

        A slot that nobody has claimed stays as it is.
        """
        claim = self._claimed[slot]
        if not claim:
            return
        number, snapshot = self._read_slot(slot)
        if number == claim:
            counters = {name: value for name, value in snapshot.items() if name != "gauges"}
            past = merge((self._past, counters))
            if self._fits(_dump(past), PAST_BYTES):
                self._past = past
        self._retired[slot] = claim
        self._past_record.write(_dump([self._retired, self._past]))
        self._claimed[slot] = 0

    def read(self) -> Board:
        """The board as it is now; it never waits.  Any process's."""
        found = [self._read_slot(slot) for slot in range(len(self._slots))]  # before the past: see the module
        text = self._past_record.read()
        retired, past = json.loads(text) if text else (self._retired, {})
        workers = (snapshot for (claim, snapshot), last in zip(found, retired, strict=True) if claim > last)
        return Board(self._started, past, tuple(workers))

    def _read_slot(self, slot: int) -> tuple[int, Snapshot]:
        text = self._slots[slot].read()
        if not text:
            return 0, {}
        claim, snapshot = json.loads(text)
        return claim, snapshot

    def _fits(self, text: bytes, limit: int) -> bool:
        if len(text) > limit and not self._told:
            self._told = True
            self._log.error(
                "metrics: the counters take %d bytes, and there is room for %d: they are out of date from now on",
                len(text),
                limit,
            )
        return len(text) <= limit


class _Record:
    """A text of at most ``capacity`` bytes in shared memory, which has one writer and any number of readers."""

    def __init__(self, memory: mmap.mmap, offset: int, capacity: int) -> None:
        self._memory = memory
        self._offset = offset
        self._half_bytes = _HEADER.size + capacity

    @staticmethod
    def measure(capacity: int) -> int:
        """How many bytes of memory a record takes."""
        return _INDEX_BYTES + 2 * (_HEADER.size + capacity)

    def write(self, text: bytes) -> None:
        valid = self._memory[self._offset]
        start = self._find_half(1 - valid)
        self._memory[start : start + _HEADER.size + len(text)] = _HEADER.pack(len(text), crc32(text)) + text
        self._memory[self._offset] = 1 - valid

    def read(self) -> bytes:
        """The text that was written last; ``b""`` if none was, or if the writer was faster each time."""
        for _ in range(_TRIES):
            start = self._find_half(self._memory[self._offset])
            length, checksum = _HEADER.unpack_from(self._memory, start)
            start += _HEADER.size
            text = self._memory[start : start + length]
            if crc32(text) == checksum:
                return text
        return b""

    def _find_half(self, index: int) -> int:
        return self._offset + _INDEX_BYTES + index * self._half_bytes


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()

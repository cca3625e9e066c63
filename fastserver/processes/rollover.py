"""A rolling reload: which slot gets its new worker next, and what has become of it all.

A new worker has to be ready before the one in whose place it is retires, so that there are never fewer that serve.
The first one that does not start ends the roll, and the others go on as they are.  Nothing here starts a process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fastserver.processes.generation import Generation
from fastserver.processes.workers import Slot

#: Of so many workers one starts at a time while they are rolled over; with more of them, several do.
ABREAST: Final = 8


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """How a reload has ended: ``reason`` is one line; ``when`` is Unix seconds, ``took_s`` from its begin on."""

    ok: bool
    reason: str
    when: float
    took_s: float


class Rollover:
    """From what serves to ``target``: it has ``slots``, then so many new ones as ``target`` has workers more.

    The slots that it has fewer are ``surplus``, to be emptied at the end.
    """

    def __init__(self, target: Generation, slots: Iterable[Slot], started: float) -> None:
        slots = list(slots)
        count = target.count
        self.target = target
        self.started = started
        self.surplus = slots[count:]
        self.added = [Slot(target) for _ in range(count - len(slots))]
        self.done: list[Slot] = []
        self._waiting = [*slots[:count], *self.added]
        self._starting: list[Slot] = []
        self._abreast = max(1, count // ABREAST)

    @property
    def is_over(self) -> bool:
        """Whether every slot has its new worker."""
        return not (self._waiting or self._starting)

    def pick(self) -> Slot | None:
        """The slot that is to be relieved now; ``None`` while enough are starting, or none is left."""
        if not self._waiting or len(self._starting) >= self._abreast:
            return None
        # The first new worker shows whether the others are worth a try.
        if self._starting and not self.done:
            return None
        slot = self._waiting.pop(0)
        self._starting.append(slot)
        return slot

    def put_back(self, slot: Slot) -> None:
        """It could not be relieved just now."""
        self._starting.remove(slot)
        self._waiting.insert(0, slot)

    def note_ready(self, slot: Slot) -> bool:
        """The new worker of ``slot`` serves; ``False`` where the slot has none from this roll."""
        if slot not in self._starting:
            return False
        self._starting.remove(slot)
        self.done.append(slot)
        return True

    def has_started(self, slot: Slot) -> bool:
        """Whether the new worker of ``slot`` is starting."""
        return slot in self._starting

    def forget(self, slot: Slot) -> None:
        """There is no such slot any more."""
        for slots in (self._waiting, self._starting, self.surplus, self.added):
            if slot in slots:
                slots.remove(slot)

"""What the application itself saw: a file for each process, a line for each event, written with one system call each.

A line is ``seconds event ident``, the seconds of the monotonic clock, which all processes of a machine share.  What is
written survives the death of the process, so it tells whether a request was executed, wholly or twice, whatever the
client could see of it.
"""

import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

#: The events of a process (its ident is the generation of the code) and those of a request.
LOADED, READY, STOPPED = "loaded", "ready", "stopped"
START, WHOLE, GONE, END = "start", "whole", "gone", "end"


class Witness:
    """Writes what happens in this process; forked children get a file of their own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pid = 0
        self._fd = -1

    def note(self, event: str, ident: str) -> None:
        """One line; it is in the kernel's hands when this returns."""
        pid = os.getpid()
        if pid != self._pid:
            self._pid = pid
            self._fd = os.open(self._directory / f"{pid}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(self._fd, f"{time.monotonic():.6f} {event} {ident}\n".encode())


@dataclass(frozen=True, slots=True)
class Sighting:
    """One line: when (monotonic seconds), in which process, what, and of which request."""

    at: float
    pid: int
    event: str
    ident: str


@dataclass(slots=True)
class Truth:
    """All that the processes of one server have written: what happened to processes, and to each request."""

    life: list[Sighting] = field(default_factory=list)
    requests: dict[str, list[Sighting]] = field(default_factory=lambda: defaultdict(list))

    def add(self, sighting: Sighting) -> None:
        if sighting.event in (LOADED, READY, STOPPED):
            self.life.append(sighting)
        else:
            self.requests[sighting.ident].append(sighting)

    def count(self, event: str, ident: str) -> int:
        """How often ``event`` was seen of one request."""
        return sum(sighting.event == event for sighting in self.requests.get(ident, ()))

    def find(self, event: str, ident: str) -> Sighting | None:
        """The first of these, or ``None``."""
        return next((sighting for sighting in self.requests.get(ident, ()) if sighting.event == event), None)

    def pids(self, event: str, generation: str = "") -> list[int]:
        """The processes of which ``event`` was seen, for one generation of the code where that is given."""
        return [
            sighting.pid
            for sighting in self.life
            if sighting.event == event and (not generation or sighting.ident == generation)
        ]

    def open_in(self, pid: int) -> list[str]:
        """The requests that ``pid`` has begun and not ended."""
        found = []
        for ident, sightings in self.requests.items():
            events = [sighting.event for sighting in sightings if sighting.pid == pid]
            if events and END not in events and GONE not in events:
                found.append(ident)
        return found


def parse_line(pid: int, line: str) -> Sighting | None:
    """One line of a process; ``None`` for what is none."""
    words = line.split(" ")
    if len(words) != 3:
        return None
    return Sighting(float(words[0]), pid, words[1], words[2])


class TruthReader:
    """Reads what is new in the files of ``directory``, as often as it is asked to."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._offsets: dict[Path, int] = {}
        self._testimony = Truth()

    def read(self) -> Truth:
        """All that there is by now; the same object each time, the events of processes in the order of time."""
        lives = len(self._testimony.life)
        for path in self._directory.glob("*.log"):
            offset = self._offsets.get(path, 0)
            if path.stat().st_size == offset:
                continue
            with path.open("rb") as file:
                file.seek(offset)
                whole, newline, _ = file.read().rpartition(b"\n")
            self._offsets[path] = offset + len(whole) + len(newline)
            for line in whole.decode().split("\n"):
                sighting = parse_line(int(path.stem), line)
                if sighting is not None:
                    self._testimony.add(sighting)
        if len(self._testimony.life) > lives:
            self._testimony.life.sort(key=lambda sighting: sighting.at)
        return self._testimony

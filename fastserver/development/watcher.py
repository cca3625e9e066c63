"""Looking for files that have changed, by asking the file system for each: it works everywhere, and for links too."""

from __future__ import annotations

import os
from collections.abc import Iterator

from fastserver.development.selection import Selection

#: Time of the last change in nanoseconds, size, and inode: a file that was replaced has another one.
Stamp = tuple[int, int, int]


class Watcher:
    """Knows what the files of ``selection`` look like, from its making on.

    A directory is entered once, whatever links lead to it; one that cannot be read is passed over.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._stamps = self._scan()

    def poll(self) -> list[str]:
        """The files that were changed, made or removed since the last call, sorted."""
        before, self._stamps = self._stamps, self._scan()
        return sorted(
            path for path in before.keys() | self._stamps.keys() if before.get(path) != self._stamps.get(path)
        )

    def list_newer(self, since_s: float) -> list[str]:
        """The files that were changed after the Unix time ``since_s``, before they were looked at first; sorted."""
        return sorted(path for path, (changed_ns, _, _) in self._stamps.items() if changed_ns > since_s * 1e9)

    def __len__(self) -> int:
        """How many files it watches."""
        return len(self._stamps)

    def _scan(self) -> dict[str, Stamp]:
        found: dict[str, Stamp] = {}
        for path in self._selection.files:
            try:
                found[path] = _stamp(os.stat(path))
            except OSError:
                continue
        entered: set[tuple[int, int]] = set()
        for root in self._selection.roots:
            for entry in self._walk(root, entered):
                try:
                    found[entry.path] = _stamp(entry.stat())
                except OSError:  # it is gone already, or a link that leads nowhere
                    continue
        return found

    def _walk(self, folder: str, entered: set[tuple[int, int]]) -> Iterator[os.DirEntry[str]]:
        """The files that count, below ``folder``."""
        pending = [folder]
        while pending:
            folder = pending.pop()
            try:
                facts = os.stat(folder)
                if (facts.st_dev, facts.st_ino) in entered:
                    continue
                entered.add((facts.st_dev, facts.st_ino))
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.is_dir():
                            if self._selection.enters(entry.path):
                                pending.append(entry.path)
                        elif self._selection.takes(entry.path):
                            yield entry
            except OSError:
                continue


def _stamp(facts: os.stat_result) -> Stamp:
    return (facts.st_mtime_ns, facts.st_size, facts.st_ino)

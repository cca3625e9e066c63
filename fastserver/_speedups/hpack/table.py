"""The dynamic table of HPACK (RFC 7541 sections 2.3.2 and 4), for both directions.

Entries are ``(name, value)`` tuples, numbered from 1 in the order in which they came; the newest has the number
``added``.  The sum of their sizes never exceeds ``capacity``.
"""

from .tables import ENTRY_OVERHEAD

_ENTRY_OVERHEAD = ENTRY_OVERHEAD


class DynamicTable:
    """A queue of entries, both ends of which cost constant time.

    ``numbers`` finds an entry's number, ``names`` that of the newest entry of a name; both are ``None`` in a table that
    is not searchable.
    """

    def __init__(self, capacity, searchable):
        self.capacity = capacity
        self.size = 0
        self.added = 0
        self.numbers = {} if searchable else None
        self.names = {} if searchable else None
        # From the oldest to the newest; the first `_gone` are evicted, and None.
        self._entries = []
        self._gone = 0

    def get(self, place):
        """The entry that so many newer ones stand in front of, or ``None``."""
        count = len(self._entries)
        return self._entries[count - 1 - place] if place < count else None

    def add(self, entry):
        """Add an entry and evict what no longer fits; one that is too large for the table empties it (section 4.4)."""
        name, value = entry
        size = len(name) + len(value) + _ENTRY_OVERHEAD
        self._evict(self.capacity - size)
        if size > self.capacity:
            return
        self.size += size
        self.added += 1
        self._entries.append(entry)
        if self.numbers is not None:
            self.numbers[entry] = self.added
            self.names[name] = self.added

    def resize(self, capacity):
        """Set another capacity; evict what no longer fits (section 4.3)."""
        self.capacity = capacity
        self._evict(capacity)

    def _evict(self, room):
        """Evict the oldest until the others take ``room`` at most."""
        while self.size > room and self.size > 0:
            entry = self._entries[self._gone]
            name, value = entry
            if self.numbers is not None and self.names[name] == self.numbers.pop(entry):
                del self.names[name]
            self._entries[self._gone] = None
            self._gone += 1
            self.size -= len(name) + len(value) + _ENTRY_OVERHEAD
        if self._gone > 16 and self._gone * 2 > len(self._entries):
            del self._entries[: self._gone]
            self._gone = 0

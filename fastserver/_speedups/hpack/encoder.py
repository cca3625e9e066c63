"""Lists of fields to header blocks (RFC 7541): of responses first of all, but any list can be encoded.

What comes again is indexed, so a response like the last costs one byte and one look into a dictionary for each field.
``date`` too: it holds for a second, in which all responses of the connection share it, and where there is one response
a second it costs as much either way.  Not indexed is what is new in most responses, which would only push out the
rest, or what is as large as the table; secrets are never indexed, here and by anybody on the way (section 7.1.3).
"""

from ..fields import CHANGING_FIELDS, KNOWN_FIELDS
from .strings import append_string
from .table import DynamicTable
from .tables import DEFAULT_TABLE_SIZE, ENTRY_OVERHEAD, STATIC_SIZE, STATIC_TABLE

_STATIC_SIZE = STATIC_SIZE
_ENTRY_OVERHEAD = ENTRY_OVERHEAD
_LARGEST_TABLE = DEFAULT_TABLE_SIZE

# What is not indexed: what changes with each response, or with each resource.
_UNINDEXED_FIELDS = CHANGING_FIELDS.union(
    b"content-length content-location content-range expires last-modified location retry-after".split()
)

# Traits of a name: its first index in the static table or 0, and how its fields are represented.
_INDEX_MASK = 0x7F
_UNINDEXED = 0x100
_NEVER_INDEXED = 0x200


def _list_traits():
    traits = dict.fromkeys(KNOWN_FIELDS, 0)
    for index, (name, _) in reversed(list(enumerate(STATIC_TABLE, 1))):
        traits[name] = index
    for name in _UNINDEXED_FIELDS:
        traits[name] = traits.get(name, 0) | _UNINDEXED
    for name, kind in KNOWN_FIELDS.items():
        if kind == "secret":
            traits[name] |= _NEVER_INDEXED
    return traits


# All names here are in lower case.
_TRAITS = _list_traits()
_STATIC_INDEXES = {field: index for index, field in enumerate(STATIC_TABLE, 1)}
_STATUS_INDEXES = {int(value): index for (name, value), index in _STATIC_INDEXES.items() if name == b":status"}


class Encoder:
    """The encoder of one connection; stands where ``h2`` has an ``hpack.Encoder``."""

    def __init__(self):
        self._table = DynamicTable(_LARGEST_TABLE, True)
        # What the peer allows now, and the least that it allowed since the last block.
        self._allowed = self._table.capacity
        self._least = self._table.capacity

    @property
    def header_table_size(self):
        """The size of the dynamic table: the peer's SETTINGS_HEADER_TABLE_SIZE as it is set, but at most 4096."""
        return self._allowed

    @header_table_size.setter
    def header_table_size(self, size):
        self._allowed = min(size, _LARGEST_TABLE)
        self._least = min(self._least, self._allowed)

    def encode(self, headers, huffman=True):
        """Fields as a header block, in their order; names are lowered.

        A field may be one of ``hpack``'s tuples: where it says ``indexable = False``, it is never indexed.
        """
        out = bytearray()
        self._announce_size(out)
        for field in headers:
            self._append_field(out, field, huffman)
        return bytes(out)

    def encode_head(self, status, fields):
        """The head of a response as a header block: ``:status``, then ``fields``, whose names are lowered."""
        out = bytearray()
        self._announce_size(out)
        index = _STATUS_INDEXES.get(status)
        if index is not None:
            append_integer(out, 0x80, 0x7F, index)
        else:
            self._append_field(out, (b":status", b"%d" % status), True)
        for field in fields:
            self._append_field(out, field, True)
        return bytes(out)

    def _announce_size(self, out):
        """Begin a block: tell of the table's new size, by way of the least where it was smaller (section 4.2)."""
        if self._least < self._table.capacity:
            self._table.resize(self._least)
            append_integer(out, 0x20, 0x1F, self._least)
        if self._allowed != self._table.capacity:
            self._table.resize(self._allowed)
            append_integer(out, 0x20, 0x1F, self._allowed)
        self._least = self._allowed

    def _append_field(self, out, field, huffman):
        number = self._table.numbers.get(field) if type(field) is tuple else None
        if number is not None:
            append_integer(out, 0x80, 0x7F, self._index(number))
        else:
            self._append_other(out, field, huffman)

    def _append_other(self, out, field, huffman):
        """A field that is not an entry of the dynamic table as it stands there."""
        name, value = field
        traits = _TRAITS.get(name, -1)
        if traits < 0:
            name = name.lower()
            traits = _TRAITS.get(name, 0)
        if type(field) is not tuple and not getattr(field, "indexable", True):
            traits |= _NEVER_INDEXED
        if not traits & _NEVER_INDEXED:
            entry = (name, value)
            index = self._find_entry(entry)
            if index:
                append_integer(out, 0x80, 0x7F, index)
                return
        index = traits & _INDEX_MASK or self._find_name(name)
        is_kept = False
        if traits & _NEVER_INDEXED:
            append_integer(out, 0x10, 0x0F, index)
        elif traits & _UNINDEXED or (len(name) + len(value) + _ENTRY_OVERHEAD) * 4 > self._table.capacity * 3:
            append_integer(out, 0x00, 0x0F, index)
        else:
            append_integer(out, 0x40, 0x3F, index)
            is_kept = True
        if not index:
            append_string(out, name, huffman)
        append_string(out, value, huffman)
        if is_kept:
            self._table.add(entry)

    def _index(self, number):
        """The index now of the dynamic entry that was added as ``number``."""
        return _STATIC_SIZE + 1 + self._table.added - number

    def _find_entry(self, entry):
        """The index of a field in either table, or 0."""
        index = _STATIC_INDEXES.get(entry)
        if index is not None:
            return index
        number = self._table.numbers.get(entry)
        return 0 if number is None else self._index(number)

    def _find_name(self, name):
        """The index of a dynamic entry with this name, or 0."""
        number = self._table.names.get(name)
        return 0 if number is None else self._index(number)


def append_integer(out, first, mask, value):
    """An integer whose first byte is ``first`` and holds the bits of ``mask`` (section 5.1); QPACK writes it too."""
    if value < mask:
        out.append(first | value)
        return
    out.append(first | mask)
    value -= mask
    while value > 127:
        out.append(128 | value & 127)
        value >>= 7
    out.append(value)

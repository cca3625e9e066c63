"""Header blocks to lists of fields (RFC 7541 sections 3.2, 4.2 and 6).

All that a peer can make large is bounded while it is decoded: a list by its bytes and fields, which an entry counts
each time that it is named (H2-4), a field by its own size, an integer by five bytes.  Whatever is raised, the
connection is to be closed: the table is then out of step.
"""

from .errors import HPACKError, OversizedList
from .strings import read_string
from .table import DynamicTable
from .tables import ENTRY_OVERHEAD, STATIC_SIZE, STATIC_TABLE

_STATIC = STATIC_TABLE
_STATIC_SIZE = STATIC_SIZE
_ENTRY_OVERHEAD = ENTRY_OVERHEAD
_LARGEST_INTEGER = (1 << 31) - 1


class Decoder:
    """The decoder of one connection; stands where ``h2`` has an ``hpack.Decoder``, and ``h2`` sets its two attributes.

    ``max_table_size`` is the dynamic table's size at first, and what the peer may set it to: 4096 until the peer has
    acknowledged another SETTINGS_HEADER_TABLE_SIZE, which is then ``max_allowed_table_size``.  ``max_list_bytes``
    (later ``max_header_list_size``) counts names, values and 32 bytes a field; ``max_field_bytes`` counts the name and
    value of one.
    """

    def __init__(self, max_table_size, max_list_bytes, max_fields, max_field_bytes):
        self.max_header_list_size = max_list_bytes
        self.max_allowed_table_size = max_table_size
        self._max_fields = max_fields
        self._max_field_bytes = max_field_bytes
        self._table = DynamicTable(max_table_size, False)
        self._at = 0  # where the next byte of the block is read

    def decode(self, block, raw=True):
        """The fields of a whole header block, as tuples of two ``bytes``, whatever ``raw`` says (``h2`` passes it).

        Raises ``HPACKError`` where the block breaks a rule and ``OversizedList`` where the list exceeds a limit.
        """
        fields = []
        count = 0
        total = 0
        end = len(block)
        self._at = 0
        self._read_updates(block)
        while self._at < end:
            byte = block[self._at]
            if byte & 0x80:
                field = self._find_entry(self._read_integer(block, 0x7F))
            elif byte & 0x40:
                field = self._read_literal(block, 0x3F)
                self._table.add(field)
            elif byte & 0x20:
                raise HPACKError("size update behind a field")
            else:
                field = self._read_literal(block, 0x0F)
            name, value = field
            size = len(name) + len(value)
            count += 1
            total += size + _ENTRY_OVERHEAD
            if total > self.max_header_list_size or count > self._max_fields or size > self._max_field_bytes:
                raise OversizedList("header list over the limits")
            fields.append(field)
        return fields

    def _read_updates(self, block):
        """The size updates at the block's begin; there must be one where the size allowed was lowered (section 4.2)."""
        while self._at < len(block) and block[self._at] & 0xE0 == 0x20:
            size = self._read_integer(block, 0x1F)
            if size > self.max_allowed_table_size:
                raise HPACKError("size update above what is allowed")
            self._table.resize(size)
        if self._table.capacity > self.max_allowed_table_size:
            raise HPACKError("no size update after a lower size was set")

    def _find_entry(self, index):
        if index <= 0:
            raise HPACKError("index 0")
        if index <= _STATIC_SIZE:
            return _STATIC[index - 1]
        field = self._table.get(index - 1 - _STATIC_SIZE)
        if field is None:
            raise HPACKError("index beyond the tables")
        return field

    def _read_literal(self, block, mask):
        """A literal field, whose index of a name is what ``mask`` leaves of the first byte (section 6.2)."""
        index = self._read_integer(block, mask)
        name = self._find_entry(index)[0] if index else self._read_string(block, True)
        return name, self._read_string(block, False)

    def _read_string(self, block, is_name):
        """A string literal (section 5.2)."""
        if self._at >= len(block):
            raise HPACKError("truncated block")
        is_huffman = block[self._at] & 0x80 != 0
        size = self._read_integer(block, 0x7F)
        start = self._at
        if size > len(block) - start:
            raise HPACKError("truncated block")
        self._at = start + size
        return read_string(block, start, size, is_huffman, is_name)

    def _read_integer(self, block, mask):
        """An integer whose first byte is there and holds the bits of ``mask`` (section 5.1); at most five follow."""
        value = block[self._at] & mask
        self._at += 1
        if value < mask:
            return value
        for shift in range(0, 35, 7):
            if self._at >= len(block):
                raise HPACKError("truncated block")
            byte = block[self._at] & 0xFF
            self._at += 1
            value += (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise HPACKError("integer too long")
        if value > _LARGEST_INTEGER:
            raise HPACKError("integer too large")
        return value

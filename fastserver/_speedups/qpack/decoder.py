"""Encoded field sections to lists of fields (RFC 9204 section 4.5).

All that a peer can make large is bounded while it is decoded: a list by ``limit``, with 32 bytes for each field, before
a plain string is taken out of the section; a string in Huffman code is at most 8/5 of what stands in the section, and
is dropped where it turns out too long; an integer is five bytes at most behind its prefix.
"""

from ..hpack.errors import HPACKError
from ..hpack.strings import read_string
from .errors import DecompressionFailed, FieldSectionTooLarge
from .tables import FIELD_OVERHEAD, STATIC_SIZE, STATIC_TABLE

_STATIC = STATIC_TABLE
_STATIC_SIZE = STATIC_SIZE
_FIELD_OVERHEAD = FIELD_OVERHEAD
_LARGEST_INTEGER = (1 << 31) - 1


class _Section:
    """One field section while it is read: ``at`` is where the next byte is, ``room`` what the limit leaves."""

    def begin(self, block, limit):
        self.block = block
        self.at = 0
        self.end = len(block)
        self.room = limit

    def read_prefix(self):
        """The two integers that every section begins with (section 4.5.1): nothing may have had to be inserted.

        Without insertions the Base may be anything but negative.
        """
        if self.end == 0:
            raise DecompressionFailed("truncated field section")
        if self.read_integer(0xFF):
            raise DecompressionFailed("a Required Insert Count without a dynamic table")
        if self.at == self.end:
            raise DecompressionFailed("truncated field section")
        if self.block[self.at] & 0x80:
            raise DecompressionFailed("a negative Base")
        self.read_integer(0x7F)

    def read_line(self):
        """The field whose representation begins at ``at``, where there is a byte (sections 4.5.2 to 4.5.6)."""
        byte = self.block[self.at] & 0xFF
        if byte & 0xC0 == 0xC0:
            field = self.find_entry(self.read_integer(0x3F))
            name, value = field
            self.take(len(name) + len(value) + _FIELD_OVERHEAD)
            return field
        self.take(_FIELD_OVERHEAD)
        if byte & 0xD0 == 0x50:
            field = self.find_entry(self.read_integer(0x0F))
            name = field[0]
            self.take(len(name))
        elif byte & 0xE0 == 0x20:
            name = self.read_string(0x08, True)
        else:
            raise DecompressionFailed("a reference to the dynamic table")
        if self.at == self.end:
            raise DecompressionFailed("truncated field section")
        return name, self.read_string(0x80, False)

    def take(self, size):
        """Count what the list takes; once it is over the limit, nothing more is read."""
        self.room -= size
        if self.room < 0:
            raise FieldSectionTooLarge("field section over the limit")

    def find_entry(self, index):
        if index >= _STATIC_SIZE:
            raise DecompressionFailed("index beyond the static table")
        return _STATIC[index]

    def read_string(self, flag, is_name):
        """A string literal whose first byte is there; ``flag`` says Huffman, the bits below are of its length."""
        is_huffman = self.block[self.at] & flag != 0
        size = self.read_integer(flag - 1)
        start = self.at
        if size > self.end - start:
            raise DecompressionFailed("truncated field section")
        self.at = start + size
        if not is_huffman:
            self.take(size)
        text = read_string(self.block, start, size, is_huffman, is_name)
        if is_huffman:
            self.take(len(text))
        return text

    def read_integer(self, mask):
        """An integer whose first byte is there and holds the bits of ``mask`` (section 4.1.1); at most five follow."""
        value = self.block[self.at] & mask
        self.at += 1
        if value < mask:
            return value
        for shift in range(0, 35, 7):
            if self.at == self.end:
                raise DecompressionFailed("truncated field section")
            byte = self.block[self.at] & 0xFF
            self.at += 1
            value += (byte & 0x7F) << shift
            if byte < 0x80:
                break
        else:
            raise DecompressionFailed("integer too long")
        if value > _LARGEST_INTEGER:
            raise DecompressionFailed("integer too large")
        return value


def decode_fields(block, limit):
    """The fields of a whole encoded field section, as tuples of two ``bytes``; those of the static table are shared.

    ``limit`` is of the sum of names, values and 32 bytes a field.  Raises ``DecompressionFailed`` where the section
    breaks a rule and ``FieldSectionTooLarge`` where the list exceeds the limit.
    """
    section = _Section.__new__(_Section)
    section.begin(block, limit)
    fields = []
    try:
        section.read_prefix()
        while section.at < section.end:
            fields.append(section.read_line())
    except HPACKError as error:
        raise DecompressionFailed(str(error)) from None
    return fields

"""Lists of fields to encoded field sections (RFC 9204 section 4.5): of responses first of all, but any can be encoded.

Nothing is dynamic, so a field is always encoded alike, and what comes again is looked up: ``_LINES`` keeps the encoded
lines of small fields for all connections of the process.  Secrets are never kept, and carry the bit that forbids
everybody on the way to index them (section 7.1.3); nor is kept what is new in most responses and would only push out
the rest.  Text goes as Huffman code where that is shorter.
"""

from ..fields import CHANGING_FIELDS, KNOWN_FIELDS
from ..hpack.encoder import append_integer
from ..hpack.strings import append_string
from .tables import STATIC_TABLE

# Required Insert Count and Base, both 0 (section 4.5.1).
_PREFIX = b"\x00\x00"

# Traits of a name: its first index in the static table plus one or 0, and how its fields are treated.
_INDEX_MASK = 0x7F
_CHANGING = 0x100
_SECRET = 0x200


def _list_traits():
    traits = dict.fromkeys(KNOWN_FIELDS, 0)
    for index, (name, _) in reversed(list(enumerate(STATIC_TABLE, 1))):
        traits[name] = index
    for name in CHANGING_FIELDS:
        traits[name] |= _CHANGING
    for name, kind in KNOWN_FIELDS.items():
        if kind == "secret":
            traits[name] |= _SECRET
    return traits


# All names here are in lower case.
_TRAITS = _list_traits()
_STATIC_INDEXES = {field: index for index, field in enumerate(STATIC_TABLE)}

#: Fields to their lines, cleared when full; a field is kept up to this many bytes of name and value.
_LINES = {}
_MOST_LINES = 1024
_LARGEST_KEPT = 128


def encode_fields(fields):
    """Fields as an encoded field section, in their order; names are lowered."""
    parts = [_PREFIX]
    for field in fields:
        parts.append(_find_line(field))
    return b"".join(parts)


def encode_response(status, fields):
    """The head of a response as an encoded field section: ``:status``, then ``fields``, whose names are lowered."""
    start = _STATUS_STARTS.get(status)
    if start is None:
        start = _PREFIX + _find_line((b":status", b"%d" % status))
    parts = [start]
    for field in fields:
        parts.append(_find_line(field))
    return b"".join(parts)


def _find_line(field):
    """The line of a field: kept from before, or made now."""
    line = _LINES.get(field) if type(field) is tuple else None
    return _make_line(field) if line is None else line


def _make_line(field):
    name, value = field
    traits = _TRAITS.get(name, -1)
    if traits < 0:
        name = name.lower()
        traits = _TRAITS.get(name, 0)
    line = _render_line(name, value, traits)
    if type(field) is tuple and not traits & (_SECRET | _CHANGING) and len(name) + len(value) <= _LARGEST_KEPT:
        if len(_LINES) >= _MOST_LINES:
            _LINES.clear()
        _LINES[field] = line
    return line


def _render_line(name, value, traits):
    """One field line (sections 4.5.2, 4.5.4 and 4.5.6)."""
    out = bytearray()
    is_secret = traits & _SECRET != 0
    place = None if is_secret else _STATIC_INDEXES.get((name, value))
    if place is not None:
        append_integer(out, 0xC0, 0x3F, place)
        return bytes(out)
    index = traits & _INDEX_MASK
    if index:
        append_integer(out, 0x70 if is_secret else 0x50, 0x0F, index - 1)
    else:
        _append_name(out, name, 0x30 if is_secret else 0x20)
    append_string(out, value, True)
    return bytes(out)


def _append_name(out, name, first):
    """A literal name, whose length has three bits of its first byte; Huffman code is not tried on a very long one."""
    if len(name) > 126:
        append_integer(out, first, 0x07, len(name))
        out += name
        return
    text = bytearray()
    append_string(text, name, True)
    size = text[0] & 0xFF
    if size & 0x80:
        first |= 0x08
    append_integer(out, first, 0x07, size & 0x7F)
    out += text[1:]


def _list_starts():
    """How the responses of the static table's statuses begin."""
    return {int(value): _PREFIX + _find_line((name, value)) for name, value in STATIC_TABLE if name == b":status"}


_STATUS_STARTS = _list_starts()

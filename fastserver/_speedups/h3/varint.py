"""Variable-length integers (RFC 9000 section 16), and the heads of frames, two each (RFC 9114 section 7.1)."""

from .codes import LARGEST_VARINT

_LARGEST_VARINT = LARGEST_VARINT


def measure_varint(first):
    """How many bytes the integer has whose first byte is ``first``."""
    return 1 << (first >> 6)


def read_varint(data, at):
    """The integer at ``at``, or -1 where ``data`` ends before it does; it has ``measure_varint(data[at])`` bytes."""
    if at >= len(data):
        return -1
    first = data[at] & 0xFF
    if first < 0x40:
        return first
    end = at + measure_varint(first)
    if end > len(data):
        return -1
    value = first & 0x3F
    for place in range(at + 1, end):
        value = value << 8 | (data[place] & 0xFF)
    return value


def encode_varint(value):
    """The shortest form of an integer; ``ValueError`` where there is none."""
    if 0 <= value < 1 << 6:
        return _BYTES[value]
    if value < 0 or value > _LARGEST_VARINT:
        raise ValueError("not between 0 and 2**62 - 1")
    if value < 1 << 14:
        return (value | 1 << 14).to_bytes(2, "big")
    if value < 1 << 30:
        return (value | 1 << 31).to_bytes(4, "big")
    return (value | 3 << 62).to_bytes(8, "big")


_BYTES = [bytes([value]) for value in range(256)]


def render_frame_head(kind, size):
    """The head of a frame of that type, in front of ``size`` bytes of payload."""
    if 0 <= kind < 1 << 6 and 0 <= size < 1 << 14:  # nearly all frames
        if size < 1 << 6:
            return _BYTES[kind] + _BYTES[size]
        return _BYTES[kind] + _BYTES[1 << 6 | size >> 8] + _BYTES[size & 0xFF]
    return encode_varint(kind) + encode_varint(size)

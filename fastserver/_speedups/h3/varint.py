"""Variable-length integers (RFC 9000 section 16), and what HTTP/3 makes of nothing else: heads of frames, SETTINGS,
GOAWAY (RFC 9114 sections 7.1 and 7.2).
"""

from .codes import ENABLE_CONNECT_PROTOCOL, GOAWAY, HTTP2_SETTINGS, LARGEST_VARINT, SETTINGS
from .errors import H3_EXCESSIVE_LOAD, H3_FRAME_ERROR, H3_SETTINGS_ERROR, ConnectionFault

_LARGEST_VARINT = LARGEST_VARINT
_RESERVED_SETTINGS = frozenset(HTTP2_SETTINGS)
#: The most settings that one frame may hold, unknown ones too.
MOST_SETTINGS = 64


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


def render_settings(settings):
    """A whole SETTINGS frame of identifiers and values, in their order."""
    payload = b"".join([encode_varint(name) + encode_varint(value) for name, value in settings.items()])
    return render_frame_head(SETTINGS, len(payload)) + payload


def render_goaway(identifier):
    """A whole GOAWAY frame; a server's names the first request stream that it will not serve (section 5.2)."""
    payload = encode_varint(identifier)
    return render_frame_head(GOAWAY, len(payload)) + payload


def read_settings(payload):
    """The settings of a frame's payload, unknown ones too (section 7.2.4).

    Raises ``ConnectionFault``: H3_SETTINGS_ERROR for an identifier that comes twice or is reserved, and for an
    ENABLE_CONNECT_PROTOCOL other than 0 and 1 (RFC 8441 section 3); H3_FRAME_ERROR where the last breaks off;
    H3_EXCESSIVE_LOAD for more than ``MOST_SETTINGS``.
    """
    settings = {}
    at = 0
    while at < len(payload):
        name = _read_inside(payload, at)
        at += measure_varint(payload[at] & 0xFF)
        value = _read_inside(payload, at)
        at += measure_varint(payload[at] & 0xFF)
        if name in settings or name in _RESERVED_SETTINGS:
            raise ConnectionFault(H3_SETTINGS_ERROR, f"setting {name} twice or reserved")
        if name == ENABLE_CONNECT_PROTOCOL and value > 1:
            raise ConnectionFault(H3_SETTINGS_ERROR, "ENABLE_CONNECT_PROTOCOL is neither 0 nor 1")
        if len(settings) == MOST_SETTINGS:
            raise ConnectionFault(H3_EXCESSIVE_LOAD, "too many settings")
        settings[name] = value
    return settings


def read_goaway(payload):
    """The identifier in the payload of GOAWAY (section 7.2.6); ``ConnectionFault`` H3_FRAME_ERROR for anything else."""
    return _read_only(payload)


def read_push_id(payload):
    """The identifier in the payload of CANCEL_PUSH or MAX_PUSH_ID (sections 7.2.3 and 7.2.7), as ``read_goaway``."""
    return _read_only(payload)


def _read_only(payload):
    value = _read_inside(payload, 0)
    if measure_varint(payload[0] & 0xFF) != len(payload):
        raise ConnectionFault(H3_FRAME_ERROR, "bytes behind the last field of a frame")
    return value


def _read_inside(payload, at):
    value = read_varint(payload, at)
    if value < 0:
        raise ConnectionFault(H3_FRAME_ERROR, "a frame ends within a field")
    return value

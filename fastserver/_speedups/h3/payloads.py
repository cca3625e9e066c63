"""Payloads of frames that are made of integers alone: SETTINGS, GOAWAY, what names a push (RFC 9114 section 7.2)."""

from .bounds import MOST_SETTINGS
from .codes import ENABLE_CONNECT_PROTOCOL, GOAWAY, HTTP2_SETTINGS, SETTINGS
from .errors import H3_EXCESSIVE_LOAD, H3_FRAME_ERROR, H3_SETTINGS_ERROR, ConnectionFault
from .varint import encode_varint, measure_varint, read_varint, render_frame_head

_RESERVED_SETTINGS = frozenset(HTTP2_SETTINGS)


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

"""Frames that a server sends: each message is one unfragmented, unmasked frame (RFC 6455 section 5), in one object.

``extension`` is the ``Deflate`` that was agreed on.  Messages that it would not make smaller go out as they are, which
RFC 7692 section 6 allows for each message, as no context is taken over.
"""

from .bounds import COMPRESS_FROM_BYTES
from .codes import BINARY, CLOSE, CONTROL_BYTES, FIN, LOCAL_CODES, NO_CODE, NORMAL, PING, PONG, RSV1, TEXT
from .kernels import render_frame, render_text_frame

# First bytes.
_TEXT = FIN | TEXT
_BINARY = FIN | BINARY
_CLOSE = FIN | CLOSE
_PING = FIN | PING
_PONG = FIN | PONG


def render_text(text, extension=None):
    """A text message; ``UnicodeEncodeError`` for a lone surrogate."""
    if extension is None:
        return render_text_frame(text)
    return _render_message(_TEXT, text.encode(), extension)


def render_binary(data, extension=None):
    """A binary message."""
    if extension is None:
        return render_frame(_BINARY, data)
    return _render_message(_BINARY, data, extension)


def _render_message(first, payload, extension):
    if len(payload) >= COMPRESS_FROM_BYTES:
        compressed = extension.compress(payload)
        if len(compressed) < len(payload):
            return render_frame(first | RSV1, compressed)
    return render_frame(first, payload)


def render_ping(payload):
    """A ping; ``ValueError`` where the payload has more than 125 bytes."""
    return _render_control(_PING, payload)


def render_pong(payload):
    """A pong; ``ValueError`` where the payload has more than 125 bytes."""
    return _render_control(_PONG, payload)


def render_close(code, reason):
    """A close; its reason is cut to the 123 bytes that fit, at a character's end (section 5.5.1).

    1005 makes a frame without code and reason; the other codes that never stand on a wire become 1000.  ``ValueError``
    for what is no code at all (section 7.4.2), ``UnicodeEncodeError`` for a lone surrogate in the reason.
    """
    if code == NO_CODE:
        return _render_control(_CLOSE, b"")
    if code < 1000 or code > 4999:
        raise ValueError(f"a close code is 1000 to 4999, not {code}")
    if code in LOCAL_CODES:
        code = NORMAL
    text = reason.encode()[: CONTROL_BYTES - 2].decode(errors="ignore").encode()
    return _render_control(_CLOSE, bytes((code >> 8, code & 255)) + text)


def _render_control(first, payload):
    if len(payload) > CONTROL_BYTES:
        raise ValueError("a control frame holds 125 bytes at most")
    return render_frame(first, payload)

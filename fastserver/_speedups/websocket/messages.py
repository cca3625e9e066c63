"""The ASGI messages of a session, and its scope: what an application is told, and what it says, checked.

Each function for ``websocket.accept``, ``.send`` and ``.close`` takes the message and raises ``TypeError`` or
``ValueError`` for what the specification does not allow; nothing has happened then.  Text with a lone surrogate has no
UTF-8 and raises ``UnicodeEncodeError``, a ``ValueError``: a message's here, a reason's where the Close is rendered.
"""

from ..asgi import Constants
from ..contract import ResponseHead
from ..rendering import inspect_fields
from .codes import NORMAL
from .deflate import negotiate
from .writer import render_binary, render_text

_EXTENSIONS = {"websocket.http.response": Constants()}
_SERVERS_OWN = frozenset((b"sec-websocket-accept", b"sec-websocket-extensions"))


def make_scope(application, request, peer, handshake):
    """A fresh ASGI WebSocket scope."""
    template = application.make_template("websocket", "wss" if peer.scheme == "https" else "ws")
    scope = application.make_scope(template, _EXTENSIONS, request, peer)
    scope["subprotocols"] = list(handshake.subprotocols)
    return scope


def make_received(message):
    """``websocket.receive`` with a ``str`` or ``bytes``."""
    if type(message) is str:
        return {"type": "websocket.receive", "bytes": None, "text": message}
    return {"type": "websocket.receive", "bytes": message, "text": None}


def read_accept(fields, handshake, per_message_deflate):
    """The head of the answer to ``handshake``, its status still open, and the extension agreed on or ``None``."""
    answer = list(handshake.fields)
    subprotocol = fields.get("subprotocol")
    if subprotocol is not None:
        if not isinstance(subprotocol, str):
            raise TypeError(f"subprotocol must be a str, not {subprotocol!r}")
        if subprotocol not in handshake.subprotocols:
            raise ValueError(f"the client has not offered the subprotocol {subprotocol!r}")
        answer.append((b"sec-websocket-protocol", subprotocol.encode("ascii")))
    headers = inspect_fields(fields.get("headers") or ())
    for name, _ in headers:
        if name.lower() == b"sec-websocket-protocol":
            raise ValueError("the subprotocol is named by the key 'subprotocol', not by a header")
        if name.lower() in _SERVERS_OWN:
            raise ValueError(f"header {name!r} is the server's")
    agreed = negotiate(handshake.extensions) if per_message_deflate else None
    extension = None
    if agreed is not None:
        answer.append((b"sec-websocket-extensions", agreed[0].encode("ascii")))
        extension = agreed[1]
    head = ResponseHead()
    head.fields = answer + headers
    names = [name.lower() for name, _ in headers]
    head.has_date = b"date" in names
    head.has_server = b"server" in names
    return head, extension


def render_message(fields, extension):
    """The frame of ``websocket.send``: one of text and bytes, and an empty one is a message (W5)."""
    text = fields.get("text")
    data = fields.get("bytes")
    if (text is None) == (data is None):
        raise ValueError("websocket.send must have either text or bytes, and the other missing or None")
    if text is not None:
        return render_text(as_text(text, "text"), extension)
    if isinstance(data, (bytes, bytearray, memoryview)):
        return render_binary(data if type(data) is bytes else bytes(data), extension)
    raise TypeError(f"bytes of websocket.send must be bytes, not {data!r}")


def read_close(fields):
    """Code and reason of ``websocket.close``."""
    code = fields.get("code")
    reason = fields.get("reason")
    if code is None:
        code = NORMAL
    if not isinstance(code, int) or isinstance(code, bool):
        raise TypeError(f"code of websocket.close must be an int, not {code!r}")
    return code, "" if reason is None else as_text(reason, "reason")


def as_text(text, key):
    """What the application gave under ``key`` as a plain ``str``; of a subclass it is the text that counts."""
    if type(text) is str:
        return text
    if not isinstance(text, str):
        raise TypeError(f"{key} must be a str, not {text!r}")
    return str.__str__(text)

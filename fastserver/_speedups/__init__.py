"""The hot rooms: events, the contract, the wires, and the exchanges of ASGI and WSGI.

Each module of ``MODULES`` is one text: a plain ``.py`` that runs as it is, with a ``.pxd`` beside it that gives the C
types when ``setup.py`` compiles it in place; the other modules are tables and plain functions.  The exceptions need raw
pointers (``POINTER_MODULES`` in ``setup.py``): each has two texts, ``kernels.pyx`` and its Python twin ``kernels.py``,
and one parametrised test for both.
"""

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec

#: The modules that ``setup.py`` compiles, lowest layer first.
MODULES = (
    "events", "kernels", "clock", "bucket", "churn", "metrics", "observers", "contract", "heads", "rendering",
    "fieldlist", "ownfields", "identity", "task", "bodyclock", "dialogue",
    "websocket.kernels", "websocket.reader", "websocket.writer", "websocket.keepalive", "websocket.messages",
    "websocket.inbox", "websocket.exchange", "http", "health",
    "wsgi.environ", "wsgi.head", "wsgi.pool", "wsgi.answer", "wsgi.exchange",
    "h1.parser", "h1.stream", "h1.outlet", "h1.connection",
    "hpack.strings", "hpack.table", "hpack.decoder", "hpack.encoder",
    "h2.budget", "h2.lightframes", "h2.frames", "h2.stream", "h2.outlet", "h2.connection",
    "qpack.decoder", "qpack.encoder", "qpack.streams",
    "quic.packets", "quic.streams", "quic.receiving", "quic.table", "quic.congestion", "quic.recovery",
    "quic.protection", "quic.keys", "quic.handshake", "quic.sender", "quic.engine",
    "h3.varint", "h3.payloads", "h3.frames", "h3.budget", "h3.lanes", "h3.stream", "h3.outlet", "h3.intake",
    "h3.connection",
    "connection", "tcp", "datagrams", "udp",
    "logline",
)  # fmt: skip


def is_compiled() -> bool:
    """Whether every hot module of this installation is a compiled extension (all or none is the supported state)."""
    origins = (getattr(find_spec(f"{__name__}.{name}"), "origin", None) or "" for name in MODULES)
    return all(origin.endswith(tuple(EXTENSION_SUFFIXES)) for origin in origins)

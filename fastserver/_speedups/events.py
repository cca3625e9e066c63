"""The vocabulary between a transport and a protocol: ``RawData``, ``Closed``, ``Updated``.

One event per read and one per write, both ways, for TCP, TLS, Unix sockets and UDP alike.  Events are frozen facts;
they hold no reference to the connection that they speak of.  Nothing here imports anything of this package.

``Event`` is an abstract base class and the three events are registered with it: a compiled class with a free list may
not inherit, and registration keeps ``isinstance``, ``issubclass`` and ``match`` what they are for a subclass.
"""

from abc import ABC
from dataclasses import dataclass, replace


class Event(ABC):
    """Anything that travels between a transport and a protocol.

    This server sends and takes ``RawData``, ``Closed`` and ``Updated`` only.  A subclass may travel between parts of
    your own program.
    """

    __slots__ = ()


@dataclass(frozen=True)
class RawData:
    """Bytes read from a peer, or to be written to it.

    ``address`` is the peer of a datagram, ``(host, port)`` for UDP; on a stream (TCP, TLS, Unix) it is ``None``.
    """

    data: bytes
    address: tuple | None = None

    def __post_init__(self):
        if not isinstance(self.data, bytes):
            raise TypeError(f"Expected bytes, got {type(self.data).__name__}")
        if not (self.address is None or isinstance(self.address, tuple)):
            raise TypeError(f"Expected tuple, got {type(self.address).__name__}")

    def __replace__(self, /, **changes):
        """``copy.replace`` (Python 3.13 and later)."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Closed:
    """The connection is closed: by the peer, by this server, by an error or by a timeout."""


@dataclass(frozen=True)
class Updated:
    """The connection became idle (``idle=True``: no request is open, it may be closed or reused) or active."""

    idle: bool


Event.register(RawData)
Event.register(Closed)
Event.register(Updated)

#: Events without content of their own are sent as these constants, so that a request allocates none.
CLOSED = Closed()
IDLE = Updated(True)
ACTIVE = Updated(False)

"""The states of a connection and the directions of an event, as observers and operators see them."""

from enum import Enum


class ConnectionState(Enum):
    """Where a connection of any protocol stands; it goes through them once, but for ``ACTIVE`` and ``IDLE``."""

    #: Accepted; its TLS handshake is not done.
    CONNECTING = "connecting"
    #: A request is open, or on its way in.
    ACTIVE = "active"
    #: Open, with nothing to do: it may be closed or used.
    IDLE = "idle"
    #: This server has ended it; what is written still leaves.
    CLOSING = "closing"
    CLOSED = "closed"


#: The states of a connection that a protocol serves.
SERVED_STATES = (ConnectionState.ACTIVE, ConnectionState.IDLE, ConnectionState.CLOSING)


class Direction(str, Enum):
    """Which way an event went: ``IN`` from the peer, ``OUT`` from this server.  Each equals its text."""

    IN = "in"
    OUT = "out"

"""How a QUIC connection has come to its end, as its listener is told."""

from enum import Enum


class End(Enum):
    """Who or what has ended a connection."""

    #: The client has closed it.
    PEER = 0
    #: Nothing was heard of the client for too long.
    IDLE = 1
    #: The handshake took too long.
    HANDSHAKE = 2
    #: The client has broken a rule of QUIC's or TLS's.
    FAULT = 3
    #: The listener has closed it.
    OURS = 4

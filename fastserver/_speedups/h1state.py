"""Where an HTTP/1 connection can stand."""

from enum import Enum


class H1State(Enum):
    """The numbers are ordered: from ``ENDING`` on, nothing more of the connection is parsed."""

    #: Accepted; no byte has come.
    WAITING_REQUEST = 0
    RECEIVING_HEADERS = 1
    #: The application runs, and body bytes are due.
    RECEIVING_BODY = 2
    #: The application runs, and the request is whole.
    PROCESSING = 3
    SENDING_RESPONSE = 4
    #: The response is out; the rest of a body that nobody read is thrown away.
    DISCARDING_BODY = 5
    KEEP_ALIVE = 6
    #: The last response is said; it leaves with the cork.
    ENDING = 7
    #: The writing side is closed; what still comes is thrown away.
    LINGERING = 8
    CLOSED = 9

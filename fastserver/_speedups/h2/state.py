"""The states of an HTTP/2 connection, and what moves it from one to the next: the table is the law.

``H2Connection`` (module ``connection``) changes its state by naming an ``H2Step``, and in no other way.  A step that
the table does not allow in a state is a fault of this server and raises ``AssertionError``.
"""

from enum import Enum


class H2State(Enum):
    """Where a connection stands."""

    #: The client's preface and SETTINGS are due.
    OPENING = 0
    OPEN = 1
    #: The first GOAWAY is out: the client shall begin no more, but what is under way is still taken (RFC 9113 6.8).
    DRAINING = 2
    #: The second GOAWAY is out: what is open is finished, nothing new is taken.
    LEAVING = 3
    #: The writing side is closed; what still comes is thrown away.
    LINGERING = 4
    CLOSED = 5


class H2Step(Enum):
    """What can happen to the state."""

    #: The client knows our settings, so its own have come as well.
    SETTLED = 0
    #: The server stops, or the connection has had its share of requests.
    DRAIN = 1
    #: What was under way when the drain began must have arrived.
    LEAVE = 2
    #: The writing side is closed after an error.
    WRITING_ENDS = 3
    #: The connection ends, by either side.
    CLOSE = 4


_S, _T = H2State, H2Step

#: The state that follows a state, by step.  SETTLED comes with each acknowledgement, of which the first counts.
TRANSITIONS = {
    _S.OPENING: {
        _T.SETTLED: _S.OPEN,
        _T.DRAIN: _S.DRAINING,
        _T.WRITING_ENDS: _S.LINGERING,
        _T.CLOSE: _S.CLOSED,
    },
    _S.OPEN: {
        _T.SETTLED: _S.OPEN,
        _T.DRAIN: _S.DRAINING,
        _T.WRITING_ENDS: _S.LINGERING,
        _T.CLOSE: _S.CLOSED,
    },
    _S.DRAINING: {
        _T.SETTLED: _S.DRAINING,
        _T.LEAVE: _S.LEAVING,
        _T.WRITING_ENDS: _S.LINGERING,
        _T.CLOSE: _S.CLOSED,
    },
    _S.LEAVING: {
        _T.SETTLED: _S.LEAVING,
        _T.WRITING_ENDS: _S.LINGERING,
        _T.CLOSE: _S.CLOSED,
    },
    _S.LINGERING: {
        _T.CLOSE: _S.CLOSED,
    },
    _S.CLOSED: {},
}

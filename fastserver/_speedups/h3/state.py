"""The states of an HTTP/3 connection, and what moves it from one to the next: the table is the law.

``H3Connection`` (module ``connection``) changes its state by naming an ``H3Step``, and in no other way.  A step that
the table does not allow in a state is a fault of this server and raises ``AssertionError``.
"""

from enum import Enum


class H3State(Enum):
    """Where a connection stands."""

    #: QUIC's handshake is under way.
    HANDSHAKING = 0
    OPEN = 1
    #: The first GOAWAY is out: the client shall begin no more, but what is under way is still taken (RFC 9114 5.2).
    DRAINING = 2
    #: The second GOAWAY is out: what is open is finished, nothing new is taken.
    LEAVING = 3
    #: QUIC has ended; what is left is to say so.
    CLOSING = 4
    CLOSED = 5


class H3Step(Enum):
    """What can happen to the state."""

    #: The handshake is done.
    OPEN = 0
    #: The server stops, or the connection has had its share of requests.
    DRAIN = 1
    #: What was under way when the drain began must have arrived.
    LEAVE = 2
    #: QUIC ends: by either side, by an error, by silence.
    END = 3
    #: The transport is told.
    CLOSE = 4


_S, _T = H3State, H3Step

#: The state that follows a state, by step.  A connection that drains before its handshake is done says so behind it.
TRANSITIONS = {
    _S.HANDSHAKING: {_T.OPEN: _S.OPEN, _T.END: _S.CLOSING, _T.CLOSE: _S.CLOSED},
    _S.OPEN: {_T.DRAIN: _S.DRAINING, _T.END: _S.CLOSING, _T.CLOSE: _S.CLOSED},
    _S.DRAINING: {_T.LEAVE: _S.LEAVING, _T.END: _S.CLOSING, _T.CLOSE: _S.CLOSED},
    _S.LEAVING: {_T.END: _S.CLOSING, _T.CLOSE: _S.CLOSED},
    _S.CLOSING: {_T.CLOSE: _S.CLOSED},
    _S.CLOSED: {},
}

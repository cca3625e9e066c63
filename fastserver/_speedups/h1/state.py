"""Where an HTTP/1 connection can stand, and what takes it from one state to another: the table is the law.

``H1Connection`` (module ``connection``) changes its state by naming an ``H1Step``, and in no other way.  A step that
the table does not allow in a state is a fault of this server and raises ``AssertionError``.  ``docs/events.md`` shows
the table as the diagram that ``fastserver.states.draw`` makes of it.
"""

from enum import Enum


class H1State(Enum):
    """The numbers are ordered: from ``TUNNELLING`` on, no more HTTP is read; from ``ENDING`` on, nothing is."""

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
    #: The upgrade is accepted: what comes and goes is the session's, as it is.
    TUNNELLING = 7
    #: The last response is said; it leaves with the cork.
    ENDING = 8
    #: The writing side is closed; what still comes is thrown away.
    LINGERING = 9
    CLOSED = 10


class H1Step(Enum):
    """What can happen to the state."""

    #: The first byte of a head.
    HEAD_BEGINS = 0
    #: A head whose request has no body, or whose body came with it.
    REQUEST_WHOLE = 1
    #: A head whose body is still due.
    BODY_DUE = 2
    #: The last byte of a body.
    BODY_WHOLE = 3
    #: The application has said its first words.
    RESPONSE_BEGINS = 4
    #: The application has accepted the upgrade.
    SESSION_BEGINS = 5
    #: The response is whole, and another request may come.
    RESPONSE_WHOLE = 6
    #: The response is whole before the request's body was read.
    RESPONSE_EARLY = 7
    #: The response is whole, and it was the last one.
    RESPONSE_LAST = 8
    #: The writing side is closed, after a refusal or because bytes may still be on their way.
    WRITING_ENDS = 9
    #: The connection ends, by either side.
    CLOSE = 10


_S, _T = H1State, H1Step

#: The state that follows a state, by step.
TRANSITIONS = {
    _S.WAITING_REQUEST: {
        _T.HEAD_BEGINS: _S.RECEIVING_HEADERS,
        _T.CLOSE: _S.CLOSED,
    },
    _S.RECEIVING_HEADERS: {
        _T.REQUEST_WHOLE: _S.PROCESSING,
        _T.BODY_DUE: _S.RECEIVING_BODY,
        _T.WRITING_ENDS: _S.LINGERING,
        _T.CLOSE: _S.CLOSED,
    },
    _S.RECEIVING_BODY: {
        _T.BODY_WHOLE: _S.PROCESSING,
        _T.RESPONSE_BEGINS: _S.SENDING_RESPONSE,
        _T.WRITING_ENDS: _S.LINGERING,
        _T.CLOSE: _S.CLOSED,
    },
    _S.PROCESSING: {
        _T.RESPONSE_BEGINS: _S.SENDING_RESPONSE,
        _T.SESSION_BEGINS: _S.TUNNELLING,
        _T.CLOSE: _S.CLOSED,
    },
    _S.SENDING_RESPONSE: {
        _T.BODY_WHOLE: _S.SENDING_RESPONSE,
        _T.RESPONSE_WHOLE: _S.KEEP_ALIVE,
        _T.RESPONSE_EARLY: _S.DISCARDING_BODY,
        _T.RESPONSE_LAST: _S.ENDING,
        _T.CLOSE: _S.CLOSED,
    },
    _S.DISCARDING_BODY: {
        _T.BODY_WHOLE: _S.KEEP_ALIVE,
        _T.WRITING_ENDS: _S.LINGERING,
        _T.CLOSE: _S.CLOSED,
    },
    _S.KEEP_ALIVE: {
        _T.HEAD_BEGINS: _S.RECEIVING_HEADERS,
        _T.CLOSE: _S.CLOSED,
    },
    _S.TUNNELLING: {
        _T.WRITING_ENDS: _S.LINGERING,
        _T.CLOSE: _S.CLOSED,
    },
    _S.ENDING: {
        _T.WRITING_ENDS: _S.LINGERING,
        _T.CLOSE: _S.CLOSED,
    },
    _S.LINGERING: {
        _T.CLOSE: _S.CLOSED,
    },
    _S.CLOSED: {},
}

STEPS = len(H1Step)
#: In ``MOVES``, where the table has no line.
NO_MOVE = 255
#: The table for the hot path: the number of the next state at ``state * STEPS + step``.
MOVES = tuple(
    TRANSITIONS[state][step].value if step in TRANSITIONS[state] else NO_MOVE for state in H1State for step in H1Step
)

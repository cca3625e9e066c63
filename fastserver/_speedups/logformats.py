"""What both texts of ``logline`` share: the codes of a line's pieces, its limits, and what is known of an exchange.

A piece is ``(code, argument, function)``.  Most need neither:

==============  =================================================================================================
LITERAL         the argument, ``bytes``, as it is
TIME, TIME_MS   what the argument, a function of Unix seconds, gives as ``bytes``; and milliseconds and Z behind it
REQUEST_FIELD   the request's field whose name the argument is (lower case); RESPONSE_FIELD likewise
DERIVED         what the function gives for the value of that request field, ``bytes`` in and out
INSERTED        the same, not escaped, and nothing where there is no such field
BY_STATUS       the argument, a dictionary, has ``bytes`` for each status
CALL            what the argument, a function of a ``Record``, gives as ``str``: not escaped
==============  =================================================================================================
"""

from typing import Any, NamedTuple

CODES = (
    "LITERAL", "TIME", "TIME_MS", "CLIENT", "METHOD", "PATH", "QUERY", "TARGET", "PROTOCOL", "SCHEME", "STATUS",
    "BYTES", "BYTES_OR_DASH", "SECONDS", "MILLISECONDS", "MICROSECONDS", "DURATION_S", "DURATION_MS", "REQUEST_FIELD",
    "RESPONSE_FIELD", "DERIVED", "INSERTED", "BY_STATUS", "CALL",
)  # fmt: skip
(
    LITERAL, TIME, TIME_MS, CLIENT, METHOD, PATH, QUERY, TARGET, PROTOCOL, SCHEME, STATUS, BYTES,
    BYTES_OR_DASH, SECONDS, MILLISECONDS, MICROSECONDS, DURATION_S, DURATION_MS, REQUEST_FIELD,
    RESPONSE_FIELD, DERIVED, INSERTED, BY_STATUS, CALL,
) = range(len(CODES))  # fmt: skip

#: Bytes of one value of a line.
FIELD_LIMIT = 8192

#: What is logged where the client left before the application had answered; the number is nginx's.
CLIENT_GONE = 499

#: Seconds between two writes of a busy server: many lines go in one; a single one goes at the end of its loop turn.
FLUSH_S = 0.01


class Record(NamedTuple):
    """What is known of one finished exchange.  ``status`` is 0 and ``head`` ``None`` where nothing was answered."""

    request: Any
    status: int
    body_bytes: int
    duration_s: float
    peer: Any
    head: Any
    wall_s: float = 0.0

"""The writing half of an HTTP/1 connection: where it stands, what it says, and when that leaves.

What is said gathers in one buffer, which leaves in one ``RawData`` when the reading, or the application's step, that
filled it has ended (cork).  It reads nothing; ``H1Connection`` derives from it and gives what stands last in the class.
"""

from ..bounds import CORK_BYTES
from ..contract import Protocol
from ..events import CLOSED
from ..kernels import raw_data
from ..rendering import has_field, inspect_response, render_response
from .bounds import COPY_BYTES
from .state import MOVES, NO_MOVE, STEPS, H1State, H1Step

_NEVER = float("inf")
_CLOSE_FIELD = b"connection: close\r\n"

CONNECTION_CLOSED = H1State.CLOSED.value
RESPONSE_BEGINS = H1Step.RESPONSE_BEGINS.value
CLOSE = H1Step.CLOSE.value
_MOVES = MOVES


class Outlet(Protocol):
    """What one connection says, and the states that it goes through.

    ``alt_svc`` is a line for responses that say nothing themselves of where else the server is (RFC 7838), or empty.
    """

    def __init__(self, connection, host):
        self.connection = connection
        self.host = host
        self.alt_svc = b""
        self._state = H1State.WAITING_REQUEST.value
        self._out = None
        self._corks = 0
        self._writing_paused = False
        self._is_draining = host.draining

    @property
    def state(self):
        """Where the connection stands, an ``H1State``."""
        return H1State(self._state)

    def describe_state(self):
        return self.state.name.lower()

    def _move(self, step):
        """The one place where the state changes, by the table in ``state``."""
        state = _MOVES[self._state * STEPS + step]
        if state == NO_MOVE:
            raise AssertionError(f"{H1Step(step)} in {self.state}")
        self._state = state

    def pause_writing(self):
        self._writing_paused = True

    # What the stream calls.

    def begin_response(self):
        self._move(RESPONSE_BEGINS)

    def may_take_another(self):
        """Whether this side is willing to take a further request on this connection."""
        limit = self.host.limits.keep_alive_max_requests
        # A host that begins to stop says so before it comes to tell each connection.
        draining = self._is_draining or self.host.draining
        return not draining and (limit == 0 or self.connection.requests < limit)

    def is_writable(self):
        return not self._writing_paused

    def write_head(self, head, body, content_length, chunked, connection_field):
        """Write a response's head with the fields that are the server's own, and ``body`` behind it."""
        host = self.host
        date_field = host.clock.date_field if host.date_header and not head.has_date else b""
        server_field = b"" if head.has_server else host.server_field
        extra_fields = host.extra_fields
        if self.alt_svc and not has_field(head, b"alt-svc"):
            extra_fields = extra_fields + self.alt_svc
        self.write(
            render_response(
                head, body, content_length, chunked, connection_field, date_field, server_field, extra_fields
            )
        )

    def write(self, data):
        """Add to what leaves when the cork is drawn; a large part leaves at once, behind what was said before it."""
        if self._state == CONNECTION_CLOSED:
            return
        if len(data) >= COPY_BYTES:
            self.flush()
            self.connection.send(raw_data(data))
            return
        self._out = data if self._out is None else self._out + data
        if self._corks == 0:
            self._uncork_soon()
        elif len(self._out) >= CORK_BYTES:
            self.flush()

    def flush(self):
        out = self._out
        if out is not None:
            self._out = None
            self.connection.send(raw_data(out))

    def cork(self):
        self._corks += 1

    def uncork(self):
        self._corks -= 1
        if self._corks == 0:
            self.flush()
            self.finish_turn()

    def abort(self):
        """Drop the connection so that the client sees that what it got is not whole (H1-42)."""
        if self._state != CONNECTION_CLOSED:
            # Earlier responses may stand in the buffer; they are whole.
            self.flush()
            self._move(CLOSE)
            self.deadline = _NEVER
            self.connection.abort()

    # What the connection calls.

    def _uncork_soon(self):
        """Something was said outside a step of the exchange's own task: it leaves at the loop's next turn."""
        self._corks += 1
        self.host.call_soon(self.uncork)

    def _answer(self, error):
        """Write a whole response that says what the client has done, and that it was the last."""
        head = inspect_response(error.status, [(b"content-type", b"text/plain; charset=utf-8")])
        body = error.reason.encode("utf-8") + b"\n"
        self.write_head(head, body, len(body), False, _CLOSE_FIELD)

    def _close(self):
        if self._state != CONNECTION_CLOSED:
            self.flush()
            self._move(CLOSE)
            self.deadline = _NEVER
            self.connection.send(CLOSED)

    # What the connection gives.

    def finish_turn(self):
        """All that this turn had to say is written."""
        raise NotImplementedError

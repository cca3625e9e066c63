"""One request stream of HTTP/3: the sink of its exchange, and what is known of its request (RFC 9114 section 4.1).

What is said to it goes to the engine at once, which keeps it until the peer's windows and the path take it.  A stream
belongs to its connection, of which it knows the ``Outlet``, from its first byte until both sides have ended.
"""

from ..contract import Sink, is_bodyless
from ..ownfields import list_response_fields
from .bounds import CONNECTION_UNSENT_BYTES, STREAM_UNSENT_BYTES
from .codes import REQUEST
from .frames import FrameReader

_NEVER = float("inf")


class H3Stream(Sink):
    """The sink of one exchange.

    ``request`` is ``None`` until its head has come, ``exchange`` until then and once the stream is over; ``receiving``
    says that the request is not complete yet, ``started`` that the response's head is out.  Where the response is whole
    first, the stream is closed and ``receiving``: then ``received`` and ``deadline`` are those of a rest that is thrown
    away.
    """

    def begin(self, wire, number, limit):
        """The client has opened the stream ``number``; ``limit`` is the longest head that it may send, in bytes."""
        self._wire = wire
        self.number = number
        self.reader = FrameReader.__new__(FrameReader)
        self.reader.begin(limit, REQUEST)
        self.request = None
        self.exchange = None
        self.receiving = True
        self.started = False
        self.is_open = True
        self.is_full = False
        # The exchange is opened and its application not called yet.
        self.is_due = False
        self._ends = False
        self._bodyless = False
        self._owes_continue = False
        # Body bytes that have come, and how many the announced length still leaves; -1 where none was announced.
        self.received = 0
        self.remaining = -1
        # Window bytes that the exchange has and the application has not taken.
        self.unread = 0
        self.body_clock = None
        # What of ``reader.skipped_bytes`` is in the budget.
        self.skipped = 0
        # What has been said, what of it was in packets at the last look, and since when it has been as much; never
        # where all of it was.
        self.said = 0
        self.gone = 0
        self.stalled_since = _NEVER
        self.deadline = _NEVER
        self.is_released = False

    def take_request(self, request, receiving):
        """The head has come; ``receiving`` says that there is more."""
        self.request = request
        self.receiving = receiving
        self.deadline = _NEVER
        self.remaining = request.content_length
        self._owes_continue = receiving and request.expect_continue

    # What the exchange says.

    def inform(self, status, fields):
        if self.is_open and not self.started:
            self._wire.write_interim(self, status, fields)

    def want_body(self):
        """The application waits for the body: a client that waits to be asked for it is asked."""
        if self._owes_continue and self.is_open and not self.started and self.received == 0:
            self._owes_continue = False
            self._wire.write_interim(self, 100, [])

    def respond(self, head, body, more):
        if not self.is_open:
            return
        self.started = True
        self._bodyless = is_bodyless(self.request, head.status)
        fields = list_response_fields(head, body, more)
        self._ends = not more
        self._wire.write_head(self, head, fields, b"" if self._bodyless else body, not more)

    def accept(self, head):
        """Answer an extended CONNECT; what follows on the stream is the session's (RFC 9220 section 3)."""
        if self.is_open:
            self.started = True
            self._wire.write_head(self, head, head.fields, b"", False)

    def write(self, body, more):
        if not self.is_open or self._ends:
            return
        if self._bodyless:
            body = b""
        self._ends = not more
        if body or self._ends:
            self._wire.write_body(self, body, self._ends)

    def trail(self, fields):
        if not self.is_open or self._ends:
            return
        self._ends = True
        self._wire.write_trailers(self, fields if self.request.accepts_trailers else [])

    def abort(self):
        if self.is_open:
            self._wire.abort_stream(self)

    def consume(self, count):
        """The application has taken body bytes: the peer may send as many more (Q-7)."""
        if self.is_open:
            self.unread -= count
            self._wire.unread -= count
            self._wire.give_back(self, count)

    def forbid_reuse(self):
        """Nothing: what went wrong with one stream is no matter of the others."""

    def release(self):
        if not self.is_released:
            self.is_released = True
            self._wire.running -= 1

    def set_deadline(self, deadline):
        if self.is_open:
            self.deadline = deadline

    def is_writable(self):
        wire = self._wire
        if not self.is_open or not wire.unsent_bytes:
            return True
        if wire.unsent_bytes < CONNECTION_UNSENT_BYTES and (
            self.said < STREAM_UNSENT_BYTES or wire.get_unsent(self) < STREAM_UNSENT_BYTES
        ):
            return True
        wire.note_full(self)
        return False

    def cork(self):
        """Nothing: what is said leaves at the end of the loop's turn."""

    def uncork(self):
        """Nothing, as ``cork``."""

    def get_peer(self):
        return self._wire.connection.get_peer()

    def get_tally(self):
        return self._wire.connection.tally

    # What the connection asks.

    def close(self):
        """The stream is over: what its exchange still says goes nowhere."""
        self.is_open = False
        self.exchange = None
        self.body_clock = None
        self.stalled_since = _NEVER

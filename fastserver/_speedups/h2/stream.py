"""The sink of one HTTP/2 exchange: what it has said waits here until the peer's windows take it (RFC 9113 section 5.2).

A stream belongs to its connection, of which it knows the ``Outlet``, from the head of the request until both sides have
ended; what is said to it afterwards goes nowhere.
"""

from ..contract import Sink, is_bodyless
from ..ownfields import list_response_fields
from .bounds import CONNECTION_PENDING_BYTES, STREAM_PENDING_BYTES

_NEVER = float("inf")


class H2Stream(Sink):
    """The sink of one exchange.

    ``exchange`` is ``None`` once the stream is over; ``receiving`` says that the request is not complete yet,
    ``started`` that the response's head is out.  Where the response is whole first, the stream is closed and
    ``receiving``: then ``received`` and ``deadline`` are those of a rest that is thrown away.
    """

    def begin(self, wire, number, request, receiving):
        """Take a request; what ``__init__`` would do, without its argument tuple."""
        self._wire = wire
        self.number = number
        self.request = request
        self.exchange = None
        self.receiving = receiving
        self.started = False
        self.is_open = True
        self._bodyless = False
        self._owes_continue = receiving and request.expect_continue
        # Body bytes that have come, and how many the announced length still leaves; -1 where none was announced.
        self.received = 0
        self.remaining = request.content_length
        # Window bytes that the exchange has and the application has not taken, and those to be given back.
        self.unread = 0
        self.credit = 0
        self.body_clock = None
        # Parts of the response that wait for a window, and how much of the first has gone.
        self.pending = None
        self.pending_bytes = 0
        self.offset = 0
        self.ends = False
        self.trailers = None
        # Since when nothing of what waits could go; never where nothing waits.
        self.stalled_since = _NEVER
        self.deadline = _NEVER
        self.is_released = False

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
        if self._bodyless:
            body = b""
        if body or more:
            self._wire.write_head(self, head, fields, False)
            self.write(body, more)
        else:
            self.ends = True
            self._wire.write_head(self, head, fields, True)

    def accept(self, head):
        """Answer an extended CONNECT; what follows on the stream is the session's (RFC 8441 section 5)."""
        if self.is_open:
            self.started = True
            self._wire.write_head(self, head, head.fields, False)

    def write(self, body, more):
        if not self.is_open or self.ends:
            return
        if self._bodyless:
            body = b""
        self.ends = not more
        if body:
            self.pending_bytes += len(body)
            self._wire.pending_bytes += len(body)
            if self.pending is None:
                self.pending = [body]
            else:
                self.pending.append(body)
        if body or self.ends:
            self._wire.push(self)

    def trail(self, fields):
        if not self.is_open or self.ends:
            return
        if fields and self.request.accepts_trailers:
            self.trailers = [(name.lower(), value) for name, value in fields]
        self.ends = True
        self._wire.push(self)

    def abort(self):
        if self.is_open:
            self._wire.abort_stream(self)

    def consume(self, count):
        """The application has taken body bytes: the peer may send as many more, in pieces worth a frame."""
        if not self.is_open:
            return
        self.unread -= count
        self.credit += count
        if self.credit >= self._wire.credit_bytes or self.unread <= 0:
            self._wire.give_back(self)

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
        if not self.is_open or self.pending_bytes == 0:
            return not self.is_open or not self._wire.writing_paused
        return self.pending_bytes < STREAM_PENDING_BYTES and self._wire.pending_bytes < CONNECTION_PENDING_BYTES

    def cork(self):
        self._wire.cork()

    def uncork(self):
        self._wire.uncork()

    def get_peer(self):
        return self._wire.connection.get_peer()

    def get_tally(self):
        return self._wire.connection.tally

    # What the connection asks.

    def take_part(self, size):
        """Up to ``size`` bytes of what waits, out of it."""
        first = self.pending[0]
        rest = len(first) - self.offset
        if rest <= size:
            part = first[self.offset :] if self.offset else first
            self.offset = 0
            if len(self.pending) == 1:
                self.pending = None
            else:
                del self.pending[0]
        else:
            part = first[self.offset : self.offset + size]
            self.offset += size
        self.pending_bytes -= len(part)
        self._wire.pending_bytes -= len(part)
        return part

    def close(self):
        """The stream is over: what its exchange still says goes nowhere."""
        self.is_open = False
        self.exchange = None
        self._wire.pending_bytes -= self.pending_bytes
        self.pending_bytes = 0
        self.pending = None
        self.trailers = None
        self.body_clock = None

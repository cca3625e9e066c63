"""The sink of one HTTP/1 exchange: how its response is framed (RFC 9112 sections 6 and 7), and whether the connection
may carry another request.

A stream belongs to its ``H1Connection`` (module ``connection``) from the head of the request to the end of the
response; what is said to it afterwards goes nowhere.
"""

from ..contract import Sink, is_bodyless
from ..fields import HTTP_1_1
from ..rendering import render_chunk, render_fields
from .bounds import BODY_LOW_BYTES, COPY_BYTES, DISCARD_BYTES

_CLOSE_FIELD = b"connection: close\r\n"
_KEEP_ALIVE_FIELD = b"connection: keep-alive\r\n"


class H1Stream(Sink):
    """The sink of one exchange: frames its response (RFC 9112 sections 6 and 7)."""

    def begin(self, wire, request):
        """Take a request; what ``__init__`` would do, without its argument tuple."""
        self._wire = wire
        self._request = request
        self._is_open = True
        self._chunked = False
        self._bodyless = False
        self.owes_continue = request.expect_continue and request.http_version == HTTP_1_1
        self.exchange = None
        self.started = False
        self.keep_alive = not request.close and (request.http_version == HTTP_1_1 or request.keep_alive)
        # Body bytes that the exchange has and the application has not taken.
        self.unread = 0
        # Runs while body bytes are due; None for a request that came whole.
        self.body_clock = None

    def detach(self):
        """The exchange has ended: what it still says goes nowhere."""
        self._is_open = False
        self.exchange = None

    def inform(self, status, fields):
        # An HTTP/1.0 client knows no interim responses (RFC 9110 section 15.2).
        if self._is_open and not self.started and self._request.http_version == HTTP_1_1:
            self._wire.write(render_fields(status, fields))

    def want_body(self):
        """The application waits for the body: a client that waits to be asked for it is asked (H1-32)."""
        if self.owes_continue and self._is_open and not self.started:
            self._wire.ask_for_body(self)

    def respond(self, head, body, more):
        if not self._is_open:
            return
        wire = self._wire
        self.started = True
        content_length = self._decide_framing(head, len(body), more)
        if self.keep_alive:
            self.keep_alive = self._may_keep_alive(head, more)
        if not self.keep_alive:
            connection_field = _CLOSE_FIELD
        elif self._request.http_version != HTTP_1_1:
            connection_field = _KEEP_ALIVE_FIELD
        else:
            connection_field = b""
        if self._bodyless:
            body = b""
        wire.begin_response()
        large = len(body) >= COPY_BYTES
        wire.write_head(head, b"" if large else body, content_length, self._chunked, connection_field)
        if large:
            self._write_body(body)
        if not more:
            self._end()

    def _decide_framing(self, head, size, more):
        """How the body is delimited (RFC 9112 section 6.3); returns the length to announce, or -1."""
        self._bodyless = is_bodyless(self._request, head.status)
        if head.status == 204 and head.content_length >= 0:
            head.fields = [field for field in head.fields if field[0].lower() != b"content-length"]
        if head.content_length >= 0 or head.status == 204 or head.status == 304:
            return -1
        if not more:
            return size
        if self._bodyless:
            return -1
        if self._request.http_version == HTTP_1_1:
            self._chunked = True
        else:
            self.keep_alive = False
        return -1

    def _may_keep_alive(self, head, more):
        if head.close or not self._wire.may_take_another():
            return False
        if self._wire.body_is_open():
            # A client that was never told to continue may send the body or not: only closing is safe (H1-32).
            if self.owes_continue:
                return False
            # The response is whole and the body will not be read: close now rather than read much for nothing (H1-31).
            if not more and not 0 <= self._request.content_length <= DISCARD_BYTES:
                return False
        return True

    def accept(self, head):
        """101: the connection is the session's, and no request follows it."""
        if not self._is_open or self.started:
            return
        self.started = True
        self.keep_alive = False
        self._wire.open_tunnel(self, head)

    def write(self, body, more):
        if not self._is_open:
            return
        if body and not self._bodyless:
            self._write_body(body)
        if not more:
            self._end()

    def _write_body(self, body):
        if not self._chunked:
            self._wire.write(body)
        elif len(body) < COPY_BYTES:
            self._wire.write(render_chunk(body, False))
        else:
            self._wire.write(b"%x\r\n" % len(body))
            self._wire.write(body)
            self._wire.write(b"\r\n")

    def _end(self):
        if self._chunked:
            self._wire.write(b"0\r\n\r\n")
        self._wire.end_response(self)

    def trail(self, fields):
        if not self._is_open:
            return
        if self._chunked:
            lines = [b"0\r\n"]
            if self._request.accepts_trailers:
                lines += [name + b": " + value + b"\r\n" for name, value in fields]
            self._wire.write(b"".join(lines) + b"\r\n")
        self._wire.end_response(self)

    def send_file(self, file, offset, count):
        if not self._is_open or self._chunked:
            return None
        self._wire.flush()
        return self._wire.connection.send_file(file, offset, count)

    def abort(self):
        if self._is_open:
            self._wire.abort()

    def consume(self, count):
        self.unread -= count
        if self._is_open and self.unread <= BODY_LOW_BYTES:
            self._wire.resume_body(self)

    def forbid_reuse(self):
        self.keep_alive = False

    def set_deadline(self, deadline):
        if self._is_open:
            self._wire.deadline = deadline

    def is_writable(self):
        return not self._is_open or self._wire.is_writable()

    def cork(self):
        self._wire.cork()

    def uncork(self):
        self._wire.uncork()

    def get_peer(self):
        return self._wire.connection.get_peer()

    def get_tally(self):
        return self._wire.connection.tally

"""The HTTP/1.0 and HTTP/1.1 wire (RFC 9112), sans-I/O: one connection, one stream at a time.

``H1Connection`` takes what arrives: it finds the head, has llhttp read the message, opens an exchange and feeds it the
body.  The sink of that exchange is an ``H1Stream`` (module ``stream``).  Its writing half is the ``Outlet`` (module
``outlet``) that it derives from.

Invariants: application code runs only after the parser has returned (H1-5); at most one stream is open, and pipelined
bytes wait unparsed (H1-40); the next request is begun by the loop in ``_advance``, never by recursion; after an error
nothing more of the connection is parsed.
"""

from ..bodyclock import BodyClock
from ..bounds import LINGER_BYTES, LINGER_S
from ..contract import WireError, note_refusal
from ..events import ACTIVE, IDLE, Closed, RawData
from ..heads import check_partial_head, find_head_end, split_head
from ..kernels import raw_data
from .bounds import BODY_BUFFER_BYTES, DISCARD_BYTES, DISCARD_S, PIPELINE_BYTES
from .outlet import Outlet
from .parser import borrow_parser, return_parser
from .state import H1State, H1Step
from .stream import H1Stream

#: What a connection above the limit is told before it is closed.
OVERLOADED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nretry-after: 1\r\nconnection: close\r\n\r\n"

_NEVER = float("inf")
_UPGRADE_FIELDS = b"connection: Upgrade\r\nupgrade: websocket\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

WAITING_REQUEST = H1State.WAITING_REQUEST.value
RECEIVING_HEADERS = H1State.RECEIVING_HEADERS.value
DISCARDING_BODY = H1State.DISCARDING_BODY.value
KEEP_ALIVE = H1State.KEEP_ALIVE.value
TUNNELLING = H1State.TUNNELLING.value
ENDING = H1State.ENDING.value
CONNECTION_CLOSED = H1State.CLOSED.value

HEAD_BEGINS = H1Step.HEAD_BEGINS.value
REQUEST_WHOLE = H1Step.REQUEST_WHOLE.value
BODY_DUE = H1Step.BODY_DUE.value
BODY_WHOLE = H1Step.BODY_WHOLE.value
SESSION_BEGINS = H1Step.SESSION_BEGINS.value
RESPONSE_WHOLE = H1Step.RESPONSE_WHOLE.value
RESPONSE_EARLY = H1Step.RESPONSE_EARLY.value
RESPONSE_LAST = H1Step.RESPONSE_LAST.value
WRITING_ENDS = H1Step.WRITING_ENDS.value
CLOSE = H1Step.CLOSE.value


class H1Connection(Outlet):
    """One HTTP/1 connection: its reading half, its time and its end."""

    def __init__(self, connection, host):
        Outlet.__init__(self, connection, host)
        self._stream = None
        self._parser = None
        # Bytes that no parser has seen: the beginning of a head, or pipelined requests.
        self._held = b""
        # How much of _held is known to hold no end of a head.
        self._scanned = 0
        self._skipped_empty_line = False
        self._is_idle = False
        self._reading_paused = False
        self._at_eof = False
        # Bytes thrown away since the state became DISCARDING_BODY or LINGERING.
        self._discarded = 0
        self.deadline = host.clock.now + host.limits.timeout_request_header

    # What the transport calls.

    def handle(self, event):
        if type(event) is RawData:
            self._receive(event)
        elif type(event) is Closed:
            self._lose()

    def on_eof(self):
        self._at_eof = True
        stream = self._stream
        if stream is None:
            # Held requests that are about to be read are still answered; finish_turn closes behind them.
            if self._corks == 0 and not (self._state == KEEP_ALIVE and self._held):
                self._close()
        elif self._parser is not None:
            self._refuse(WireError(400, "request body ended early"))
        else:
            # A session may end within its own call, and with that lose its last holder.
            exchange = stream.exchange
            exchange.on_eof()

    def on_deadline(self, now):
        if self._state == RECEIVING_HEADERS:
            # An empty line is no request: nobody waits for an answer.
            if self._held:
                self._refuse(WireError(408, "request head took too long"))
            else:
                self._close()
        elif self._state == DISCARDING_BODY:
            self._linger()
        elif self._parser is not None:
            self._check_body(now)
        elif self._stream is not None:
            self.deadline = _NEVER
            exchange = self._stream.exchange
            exchange.on_deadline(now)
        else:
            self._close()

    def on_idle_timeout(self):
        if self._state == KEEP_ALIVE or self._state == WAITING_REQUEST:
            self._close()

    def resume_writing(self):
        self._writing_paused = False
        if self._stream is not None:
            exchange = self._stream.exchange
            exchange.on_writable()

    def drain(self):
        """From now on each response says ``Connection: close``; the transport closes a connection that stays idle."""
        self._is_draining = True
        if self._stream is not None:
            exchange = self._stream.exchange
            exchange.on_drain()

    def end_streams(self):
        if self._stream is not None:
            exchange = self._stream.exchange
            exchange.on_stream_deadline()

    # Reading.

    def _receive(self, event):
        data = event.data
        if self._state >= TUNNELLING:
            self._receive_late(data)
            return
        if self._held:
            data = self._held + data
            self._held = b""
        self._corks += 1
        try:
            self._advance(data)
        except WireError as error:
            self._refuse(error)
        finally:
            self.uncork()

    def _receive_late(self, data):
        """What comes when no request is read any more: the bytes of a session, or nothing of interest."""
        if self._state != TUNNELLING:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self._close()
            return
        self._corks += 1
        try:
            self._tunnel(data)
        finally:
            self.uncork()

    def _advance(self, data):
        """Read messages until the bytes or the turn of this connection end: the trampoline of pipelining."""
        offset = 0
        size = len(data)
        while offset < size:
            if self._parser is not None:
                offset = self._read_body(data, offset)
            elif self._stream is not None:
                break
            elif self._state >= ENDING:
                self._discarded += size - offset
                return
            else:
                begun = self._read_head(data, offset)
                if begun < 0:
                    offset -= begun + 1
                    break
                offset = begun
        if offset < size:
            data = data[offset:] if offset else data
            if self._state == TUNNELLING:
                self._tunnel(data)
                return
            self._held = data
            if self._stream is not None and size - offset > PIPELINE_BYTES:
                self._pause_reading()

    def _read_head(self, data, offset):
        """Read one head and begin its request: the index behind what was read.

        A head that is not whole gives ``-1 - n``, where ``n`` leading bytes (0 or 2) need not be kept.
        """
        skipped = 0
        if self._state != RECEIVING_HEADERS:
            self._begin_head()
        if data[offset] == 13 and not self._skipped_empty_line and data[offset + 1 : offset + 2] == b"\n":
            # One empty line before a request line is old clients' habit (RFC 9112 section 2.2); one, not any number.
            self._skipped_empty_line = True
            skipped = 2
            offset += 2
        end = find_head_end(data, offset + self._scanned - 3 if self._scanned > 3 else offset)
        if end < 0:
            self._scanned = check_partial_head(data, offset, offset + self._scanned, self.host.limits) - offset
            return -1 - skipped
        self._scanned = 0
        request = split_head(data, offset, end, self.host.limits)
        parser = borrow_parser()
        try:
            offset = parser.open(request, data, offset, end)
            self._check_body_size(parser)
        except WireError:
            parser.close()
            raise
        self._begin_request(request, parser)
        return offset

    def _begin_head(self):
        """The first byte of a head has come: the rest must come in time, however slowly it drips (H1-28)."""
        if self._state == KEEP_ALIVE:
            self.deadline = self.host.clock.now + self.host.limits.timeout_request_header
        self._move(HEAD_BEGINS)
        self._skipped_empty_line = False
        self._is_idle = False
        self.connection.send(ACTIVE)

    def _begin_request(self, request, parser):
        self.connection.requests += 1
        stream = H1Stream.__new__(H1Stream)
        stream.begin(self, request)
        exchange = self.host.application.open(stream, request)
        stream.exchange = exchange
        self._stream = stream
        if parser.complete:
            self._move(REQUEST_WHOLE)
            self.deadline = _NEVER
            if request.chunked or parser.received:
                stream.unread = parser.received
                exchange.on_body(parser.take_body(), False)
            return_parser(parser)
        else:
            self._move(BODY_DUE)
            self._parser = parser
            self._begin_body(stream)
            if parser.received:
                stream.unread = parser.received
                exchange.on_body(parser.take_body(), True)
        if self._is_draining:
            exchange.on_drain()
        exchange.start()

    def _read_body(self, data, offset):
        """Feed body bytes to the parser and what it gives to the exchange: the index behind what was read."""
        parser = self._parser
        stream = self._stream
        received = parser.received
        offset = parser.feed(data, offset)
        received = parser.received - received
        body = parser.take_body()
        if stream is None:
            self._discard_body(received)
            return offset
        self._check_body_size(parser)
        if stream.owes_continue and not parser.complete:
            # It did not wait to be asked.
            self._begin_body(stream)
        stream.unread += received
        if parser.complete:
            self._parser = None
            self.deadline = _NEVER
            return_parser(parser)
            self._move(BODY_WHOLE)
            exchange = stream.exchange
            exchange.on_body(body, False)
        else:
            stream.body_clock.read(self.host.clock.now)
            if stream.unread > BODY_BUFFER_BYTES:
                self._pause_reading()
                stream.body_clock.pause(self.host.clock.now)
            self.deadline = stream.body_clock.next_deadline()
            if received:
                exchange = stream.exchange
                exchange.on_body(body, True)
        return offset

    def _check_body_size(self, parser):
        limit = self.host.limits.request_body
        if 0 < limit < parser.received:
            raise WireError(413, "request body too large")

    def _discard_body(self, received):
        """The response is out, and this is the rest of a body that nobody read (H1-31)."""
        self._discarded += received
        if self._parser.complete:
            return_parser(self._parser)
            self._parser = None
            self._move(BODY_WHOLE)
            self.deadline = _NEVER
        elif self._discarded > DISCARD_BYTES:
            self._linger()

    # Waiting for a body.

    def _begin_body(self, stream):
        """Body bytes are due from now on, unless the client waits to be asked for them (H1-32)."""
        if self._parser.begun:
            stream.owes_continue = False
        if stream.owes_continue:
            self.deadline = _NEVER
            return
        stream.body_clock = BodyClock(self.host.clock.now, self.host.limits)
        self.deadline = stream.body_clock.next_deadline()

    def _check_body(self, now):
        """The deadline of a body has passed: refuse one that stalls or drips, look again later at any other."""
        body_clock = self._stream.body_clock
        if body_clock is None:
            self.deadline = _NEVER
            return
        fault = body_clock.judge(now, self._parser.received)
        if fault is not None:
            self._refuse(WireError(408, fault))
        else:
            self.deadline = body_clock.next_deadline()

    def ask_for_body(self, stream):
        """The application waits for a body of which nothing has come: tell the client to send it (H1-32)."""
        if self._parser is not None:
            self.write(_CONTINUE)
            stream.owes_continue = False
            self._begin_body(stream)

    def resume_body(self, stream):
        """The application has made room for more of the body, or of the session."""
        if self._reading_paused:
            if self._parser is not None:
                stream.body_clock.resume(self.host.clock.now)
                self.deadline = stream.body_clock.next_deadline()
                self._resume_reading()
            elif self._state == TUNNELLING:
                self._resume_reading()

    def _pause_reading(self):
        if not self._reading_paused:
            self._reading_paused = True
            self.connection.pause_reading()

    def _resume_reading(self):
        if self._reading_paused:
            self._reading_paused = False
            self.connection.resume_reading()

    # A session in the request's place (RFC 9110 section 7.8).

    def open_tunnel(self, stream, head):
        """Switch protocols: from here on all bytes are the session's, those that are held first."""
        self._move(SESSION_BEGINS)
        self.write_head(head, b"", -1, False, _UPGRADE_FIELDS)
        held = self._held
        self._held = b""
        self._resume_reading()
        if held:
            self._tunnel(held)

    def _tunnel(self, data):
        stream = self._stream
        exchange = stream.exchange
        stream.unread += len(data)
        exchange.on_body(data, True)
        if stream.unread > BODY_BUFFER_BYTES and self._state == TUNNELLING:
            self._pause_reading()

    def _end_tunnel(self):
        """The session is over, and this side closes first; what the client still sends must not make it a reset."""
        if self._at_eof:
            self._close()
        else:
            self._linger()

    # The end of a response, and of the connection.

    def finish_turn(self):
        """All is written: where no exchange is open, go idle, go on with what is held, or end."""
        if self._stream is not None:
            return
        if self._state == KEEP_ALIVE:
            if self._held:
                self.host.call_soon(self._continue)
            elif self._at_eof:
                self._close()
            elif not self._is_idle:
                self._is_idle = True
                self.connection.send(IDLE)
        elif self._state == ENDING:
            if self._parser is not None or self._held or self._discarded or self._is_draining:
                self._linger()
            else:
                self._close()
        elif self._at_eof and self._state < ENDING:
            self._close()

    def _continue(self):
        """Go on with pipelined requests, outside the task that ended the one before."""
        if self._stream is None and self._state == KEEP_ALIVE and self._held:
            self._receive(raw_data(b""))

    def end_response(self, stream):
        """``stream`` has said its last byte."""
        self._stream = None
        stream.detach()
        if not stream.keep_alive:
            if self._state == TUNNELLING:
                self._end_tunnel()
                return
            self._move(RESPONSE_LAST)
        elif self._parser is not None:
            self._move(RESPONSE_EARLY)
            self._discarded = 0
            self.deadline = self.host.clock.now + DISCARD_S
            self._resume_reading()
        else:
            self._move(RESPONSE_WHOLE)
            self._resume_reading()
        if self._corks == 0:
            self._uncork_soon()

    def _refuse(self, error):
        """Answer a peer's fault and close; where a response has begun, cut it instead."""
        if self._state >= ENDING:
            return
        note_refusal(self.host, self.connection, error.status, error.reason)
        stream = self._stream
        if stream is not None:
            self._stream = None
            exchange = stream.exchange
            exchange.on_disconnect()
            stream.detach()
            if stream.started:
                self.abort()
                return
        self._answer(error)
        self._linger()

    def _linger(self):
        """Close the writing side, and read on for a while so that no reset overtakes the answer (H1-33)."""
        self.flush()
        self._drop_parser()
        self._move(WRITING_ENDS)
        self._discarded = 0
        self._held = b""
        self.deadline = self.host.clock.now + LINGER_S
        self._resume_reading()
        self.connection.finish_writing()

    def _lose(self):
        """The connection is gone: tell the exchange, and let go of everything."""
        if self._state != CONNECTION_CLOSED:
            self._move(CLOSE)
        self.deadline = _NEVER
        self._drop_parser()
        self._out = None
        self._held = b""
        stream = self._stream
        if stream is not None:
            self._stream = None
            exchange = stream.exchange
            exchange.on_disconnect()
            stream.detach()

    def _drop_parser(self):
        if self._parser is not None:
            self._parser.close()
            self._parser = None

    # For the stream.

    def body_is_open(self):
        """Whether bytes of the current request's body may still come."""
        return self._parser is not None

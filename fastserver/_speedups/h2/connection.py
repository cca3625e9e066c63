"""The HTTP/2 wire (RFC 9113), sans-I/O: one connection, many streams at a time.

``H2Connection`` gives what arrives to an engine (``protocol.h2.engine``), which tells it of heads, bodies, windows and
resets; it opens an exchange for each request, with an ``H2Stream`` as its sink.  Its writing half is the ``Outlet``
(module ``outlet``) that it derives from.

Invariants: an exchange is begun only after the engine has returned from the frame that carried its head; each stream
that was opened ends by ``_close_stream``, once; body bytes are given back to the peer's windows when the application
has taken them, or when their stream is over, and never before; ``running`` counts applications until they end, not
until their streams do (H2-1).
"""

from ..bodyclock import BodyClock
from ..bounds import DISCARD_BYTES, DISCARD_S, LEAVE_S, LINGER_BYTES, LINGER_S
from ..contract import Request, WireError, note_refusal
from ..events import ACTIVE, CLOSED, IDLE, Closed, RawData
from ..fieldlist import check_trailers, read_field_list
from .bounds import HELD_BYTES, SETTINGS_S, SLICE_BYTES, TURN_FRAMES
from .budget import Budget
from .codes import LARGEST_STREAM
from .errors import (
    CANCEL,
    INTERNAL_ERROR,
    NAMES,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTINGS_TIMEOUT,
    ConnectionFault,
)
from .outlet import Outlet
from .state import TRANSITIONS, H2State, H2Step
from .stream import H2Stream

_NEVER = float("inf")
#: A deadline that has always passed: look at every tick.
_EVERY_TICK = 0.0
_ENDED = frozenset({H2State.LINGERING, H2State.CLOSED})
_HEAD = (b":method", b"HEAD")


class H2Connection(Outlet):
    """One HTTP/2 connection: its reading half, its streams, its time and its end."""

    def __init__(self, connection, host, engine):
        Outlet.__init__(self, connection, host, Budget(host.limits))
        self.engine = engine(self, host.limits, self.budget)
        self._state = H2State.OPENING
        self._streams = {}
        self._reading_paused = False
        # What was read and waits for its turn; with more, perhaps, that the engine has.
        self._held = b""
        self._is_behind = False
        self._is_started = False
        self._at_eof = False
        self._is_draining = host.draining
        self._is_idle = True
        # The last stream that is served once a drain has been announced for good.
        self._last_stream = LARGEST_STREAM
        # Requests that came behind it.
        self._late = 0
        self._leave_at = _NEVER
        self._settled_by = host.clock.now + SETTINGS_S
        self._block_by = _NEVER
        self._linger_until = _NEVER
        self._discarded = 0
        self.deadline = _EVERY_TICK

    @property
    def state(self):
        """Where the connection stands, an ``H2State``."""
        return self._state

    def describe_state(self):
        return self._state.name.lower()

    def count_streams(self):
        return len(self._streams)

    def _move(self, step):
        """The one place where the state changes, by the table in ``state``."""
        after = TRANSITIONS[self._state].get(step)
        if after is None:
            raise AssertionError(f"{step} in {self._state}")
        self._state = after
        self.is_silent = after in _ENDED

    # What the transport calls.

    def handle(self, event):
        if type(event) is RawData:
            self._receive(event.data)
        elif type(event) is Closed:
            self._lose()
        elif not self._is_started:
            self._start()

    def on_eof(self):
        """No further request can come; those that are whole are answered."""
        if self.is_silent:
            self._close()
            return
        self._at_eof = True
        if not self._is_behind:
            self._end_reading()

    def _end_reading(self):
        """All that the client has sent has been read."""
        for stream in list(self._streams.values()):
            if stream.receiving:
                code = CANCEL if stream.is_open else NO_ERROR
                self._disconnect(stream)
                self.engine.reset(stream.number, code)
            else:
                exchange = stream.exchange
                exchange.on_eof()
        self.finish_turn()

    def on_deadline(self, now):
        """The tick's look at everything that takes too long."""
        if now >= self._linger_until:
            self._close()
            return
        if self.is_silent:
            return
        if now >= self._settled_by:
            self._fail_deadline(SETTINGS_TIMEOUT, "no preface or no acknowledgement of SETTINGS")
            return
        self._check_block(now)
        self.budget.tick(now)
        try:
            self._check_streams(now)
        except ConnectionFault as fault:
            self._fail_deadline(fault.code, fault.reason)
        if self.is_silent:
            return
        if now >= self._leave_at:
            self._enter_leaving()
        self.finish_turn()
        if not self._streams and self._settled_by == self._block_by == self._leave_at == self._linger_until == _NEVER:
            self.deadline = _NEVER

    def on_idle_timeout(self):
        if not self._streams and not self.is_silent:
            self.engine.go_away(self.engine.highest_stream_id, NO_ERROR)
            self._close()

    def pause_writing(self):
        self.writing_paused = True
        # A peer that does not read would have its PINGs and SETTINGS answered into our memory (H2-5).
        self._pause_reading()

    def resume_writing(self):
        self.writing_paused = False
        if len(self._held) <= HELD_BYTES:
            self._resume_reading()
        self.pump()
        self._tell_writable()
        self.finish_turn()

    def drain(self):
        """Tell the client to begin no more; in a second from now what it has begun until then is known (H2-18)."""
        self._is_draining = True
        self._enter_draining()
        self._tell_drain()
        self.finish_turn()

    def end_streams(self):
        if not self.is_silent:
            self._tell_stream_deadline()
            self.finish_turn()

    # What concerns all streams.

    def _check_streams(self, now):
        for stream in list(self._streams.values()):
            if stream.is_open:
                self._check_stream(stream, now)
            elif now >= stream.deadline:
                self._stop_discarding(stream)

    def _tell_writable(self):
        for stream in list(self._streams.values()):
            exchange = stream.exchange
            if exchange is not None and stream.is_writable():
                exchange.on_writable()

    def _tell_drain(self):
        for stream in list(self._streams.values()):
            exchange = stream.exchange
            if exchange is not None:
                exchange.on_drain()

    def _tell_stream_deadline(self):
        for stream in list(self._streams.values()):
            exchange = stream.exchange
            if exchange is not None:
                exchange.on_stream_deadline()

    # Reading.

    def _start(self):
        """The connection is open: the server's SETTINGS are the first that it says (RFC 9113 section 3.4)."""
        self._is_started = True
        self.engine.start()
        if self._is_draining:
            self._enter_draining()
        self.flush()

    def _receive(self, data):
        if self.is_silent:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self._close()
            return
        if self._is_behind:
            # What is left of the turn before is read in a turn of its own, in front of this.
            self._held += data
            if len(self._held) > HELD_BYTES:
                self._pause_reading()
            return
        self._read(data)

    def _read(self, data):
        """Read ``data`` in slices, until it or this connection's turn is over (H2-20)."""
        frames = 0
        offset = 0
        size = len(data)
        self.budget.tick(self.host.clock.now)
        self.corks += 1
        try:
            if self._is_behind:
                frames = self.engine.receive(b"", TURN_FRAMES)
            while offset < size and frames < TURN_FRAMES:
                self.budget.begin_slice()
                if size <= SLICE_BYTES:
                    frames += self.engine.receive(data, TURN_FRAMES - frames)
                else:
                    frames += self.engine.receive(data[offset : offset + SLICE_BYTES], TURN_FRAMES - frames)
                offset += SLICE_BYTES
        except ConnectionFault as fault:
            self._enter_lingering(fault)
            return
        finally:
            self.corks -= 1
        self._is_behind = frames >= TURN_FRAMES and (offset < size or self.engine.has_more())
        if self._is_behind:
            self._held = data[offset:]
            self.host.call_soon(self._continue)
            if len(self._held) > HELD_BYTES:
                self._pause_reading()
        if self._block_by == _NEVER and self.engine.is_in_block():
            self._block_by = self.host.clock.now + self.host.limits.timeout_request_header
            self.deadline = _EVERY_TICK
        self.finish_turn()

    def _continue(self):
        """Go on with what waited for its turn."""
        if self.is_silent:
            return
        data = self._held
        self._held = b""
        if self._reading_paused and not self.writing_paused:
            self._resume_reading()
        self._read(data)
        if self._at_eof and not self._is_behind and not self.is_silent:
            self._end_reading()

    def _pause_reading(self):
        if not self._reading_paused:
            self._reading_paused = True
            self.connection.pause_reading()

    def _resume_reading(self):
        if self._reading_paused:
            self._reading_paused = False
            self.connection.resume_reading()

    # What the engine tells.

    def on_head(self, stream_id, fields, ends):
        """A request has begun (RFC 9113 section 8.1)."""
        host = self.host
        self.budget.open_stream()
        if stream_id > self._last_stream:
            self.engine.reset(stream_id, REFUSED_STREAM)
            self.engine.forget(stream_id)
            self._late += 1
            if self._late > host.limits.h2.streams:
                # More than can have been under way.
                self.budget.count_reset()
            return
        limit = host.limits.h2.streams
        if self.running >= limit or len(self._streams) >= limit:
            # The client has been told how many; its resets do not end the applications that it has started (H2-1).
            self.engine.reset(stream_id, REFUSED_STREAM)
            self.engine.forget(stream_id)
            self.budget.count_reset()
            return
        try:
            request = read_field_list(fields, host.limits, "2", self.connection.get_peer().scheme)
            if ends and request.content_length > 0:
                raise WireError(400, "no body where content-length announces one")
        except WireError as error:
            self._refuse_head(stream_id, error, fields, ends)
            return
        # What HTTP/1 says by Transfer-Encoding: there is a body, of unknown length.
        request.chunked = not ends and request.content_length < 0 and not request.protocol
        stream = H2Stream.__new__(H2Stream)
        stream.begin(self, stream_id, request, not ends)
        self._begin(stream)

    def _begin(self, stream):
        """Open the exchange of a request and let its application take the first step."""
        connection = self.connection
        connection.requests += 1
        self._add_stream(stream)
        self.running += 1
        exchange = self.host.application.open(stream, stream.request)
        stream.exchange = exchange
        if stream.receiving and not (stream.request.expect_continue or stream.request.protocol):
            stream.body_clock = BodyClock(self.host.clock.now, self.host.limits)
        limit = self.host.limits.keep_alive_max_requests
        if limit > 0 and connection.requests >= limit + self.host.limits.h2.streams:
            self._enter_draining()
        if self._is_draining:
            exchange.on_drain()
        exchange.start()

    def _add_stream(self, stream):
        self._streams[stream.number] = stream
        if self._is_idle:
            self._is_idle = False
            self.connection.send(ACTIVE)
        self.deadline = _EVERY_TICK

    def _refuse_head(self, stream_id, error, fields, ends):
        """A head that no application sees: malformed ones are a stream error, others deserve an answer."""
        note_refusal(self.host, self.connection, error.status, error.reason)
        if error.status == 400:
            self.engine.reset(stream_id, PROTOCOL_ERROR)
            self.engine.forget(stream_id)
            self.budget.count_reset()
            return
        if not self.answer(stream_id, error, _HEAD in fields) or ends:
            self.engine.forget(stream_id)
            return
        stream = H2Stream.__new__(H2Stream)
        stream.begin(self, stream_id, Request(), True)
        self._add_stream(stream)
        self.end_response(stream)

    def on_data(self, stream_id, data, size, ends):
        """Body bytes, or a session's; ``size`` counts padding too (RFC 9113 section 6.1)."""
        stream = self._streams.get(stream_id)
        if stream is None:
            self.engine.acknowledge(stream_id, size)
            return
        if not stream.is_open:
            self._discard(stream, size, ends)
            return
        body_size = len(data)
        stream.unread += body_size
        stream.received += body_size
        if size > body_size:
            self.engine.acknowledge(stream_id, size - body_size)
        if stream.remaining >= 0:
            stream.remaining -= body_size
            if stream.remaining < 0 or (ends and stream.remaining > 0):
                self._fail_malformed(stream, "request body is not as long as announced")
                return
        limit = self.host.limits.request_body
        if 0 < limit < stream.received and not stream.request.protocol:
            stream.receiving = not ends
            self._refuse(stream, WireError(413, "request body too large"))
            return
        if ends:
            stream.receiving = False
            stream.body_clock = None
        elif stream.body_clock is not None:
            stream.body_clock.read(self.host.clock.now)
        elif stream.request.expect_continue and not stream.request.protocol:
            stream.body_clock = BodyClock(self.host.clock.now, self.host.limits)
        if body_size or ends:
            exchange = stream.exchange
            exchange.on_body(data, not ends)

    def on_trailers(self, stream_id, fields):
        """A request's trailers are checked and dropped (RFC 9113 section 8.1)."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if not stream.is_open:
            self._close_stream(stream)
            return
        try:
            check_trailers(fields, self.host.limits)
        except WireError as error:
            self._fail_malformed(stream, error.reason)
            return
        if stream.request.protocol:
            # Of a session's stream DATA is all that there is (RFC 9113 section 8.5).
            self._fail_malformed(stream, "trailers on a session's stream")
            return
        if stream.remaining > 0:
            self._fail_malformed(stream, "request body is not as long as announced")
            return
        stream.receiving = False
        stream.body_clock = None
        exchange = stream.exchange
        exchange.on_body(b"", False)

    def on_reset(self, stream_id):
        """A stream is over, by the peer's RST_STREAM or because of what it sent (H2-1, H2-2)."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.is_open:
            self.budget.count_reset()
        if stream is not None:
            self._disconnect(stream)
        else:
            self.engine.forget(stream_id)

    def on_window(self, stream_id):
        if stream_id == 0:
            if self.waiting:
                self.pump()
            return
        stream = self._streams.get(stream_id)
        if stream is not None and stream.stalled_since != _NEVER:
            self.pump_one(stream)

    def on_settings_acknowledged(self):
        self._settled_by = _NEVER
        self._move(H2Step.SETTLED)

    def on_go_away(self):
        """The client begins no more streams: what is open is finished, then the connection ends."""
        if self._state in (H2State.OPENING, H2State.OPEN):
            self._move(H2Step.DRAIN)
            self._leave_at = self.host.clock.now
            self.deadline = _EVERY_TICK

    # Ends of streams.

    def _disconnect(self, stream):
        """The client wants no more of a stream."""
        exchange = stream.exchange
        self._close_stream(stream)
        if exchange is not None:
            exchange.on_disconnect()

    def _fail_malformed(self, stream, reason):
        """The request turned out malformed (RFC 9113 section 8.1.1)."""
        note_refusal(self.host, self.connection, 400, reason)
        self.engine.reset(stream.number, PROTOCOL_ERROR)
        self.budget.count_reset()
        self._disconnect(stream)

    def _refuse(self, stream, error):
        """A fault in a request's body: answered where no response has begun, else the stream is cut."""
        note_refusal(self.host, self.connection, error.status, error.reason)
        if stream.started:
            self.engine.reset(stream.number, CANCEL)
        elif self.answer(stream.number, error, stream.request.method == "HEAD"):
            exchange = stream.exchange
            self.end_response(stream)
            exchange.on_disconnect()
            return
        self._disconnect(stream)

    def abort_stream(self, stream):
        """The application has failed: the client must not take the response for whole."""
        self.engine.reset(stream.number, INTERNAL_ERROR)
        self._close_stream(stream)
        self.speak()

    def end_response(self, stream):
        """The last of a response is written; what is left of the request is thrown away for a while.

        A client that still sends may be told at once that nobody reads (RFC 9113 section 8.1), but many take that for
        a failure, and forget the response.  It is told where more is announced than would be thrown away.
        """
        if stream.receiving and not stream.request.protocol and stream.remaining <= DISCARD_BYTES:
            self._let_go(stream)
            stream.received = 0
            stream.deadline = self.host.clock.now + DISCARD_S
            return
        if stream.receiving:
            self.engine.reset(stream.number, NO_ERROR)
        self._close_stream(stream)

    def _discard(self, stream, size, ends):
        """Throw away a part of a request whose response is whole."""
        self.engine.acknowledge(stream.number, size)
        stream.received += size
        if ends:
            self._close_stream(stream)
        elif stream.received > DISCARD_BYTES:
            self._stop_discarding(stream)

    def _stop_discarding(self, stream):
        """The client goes on sending what nobody reads (RFC 9113 section 8.1)."""
        self.engine.reset(stream.number, NO_ERROR)
        self._close_stream(stream)

    def _close_stream(self, stream):
        if self._streams.pop(stream.number, None) is not None:
            self._let_go(stream)
            self.engine.forget(stream.number)

    def _let_go(self, stream):
        """Part a stream from its exchange, and give back what that has not taken."""
        rest = stream.unread + stream.credit
        stream.unread = stream.credit = 0
        stream.close()
        if rest > 0:
            self.engine.acknowledge(stream.number, rest)

    def finish_turn(self):
        """All is said: write it, and go idle or end where nothing is open any more."""
        if self.corks:
            return
        if not self._streams and 0 < self.host.limits.keep_alive_max_requests <= self.connection.requests:
            # Behind the last response and in one write with it: some clients give up what is open at a GOAWAY, and
            # some send at once what they have next.  One that always has something open is not waited for long.
            self._enter_draining()
        self.flush()
        if self._streams or self._is_behind or self.is_silent:
            return
        if self._state is H2State.LEAVING or self._at_eof:
            self._close()
        elif not self._is_idle:
            self._is_idle = True
            self.connection.send(IDLE)

    # Time.

    def _check_block(self, now):
        """A header block that never ends blocks every stream, so it has the time of a request's head (H2-3)."""
        if not self.engine.is_in_block():
            self._block_by = _NEVER
        elif now >= self._block_by:
            self._fail_deadline(PROTOCOL_ERROR, "request head took too long")

    def _check_stream(self, stream, now):
        limits = self.host.limits
        if now >= stream.deadline:
            stream.deadline = _NEVER
            exchange = stream.exchange
            exchange.on_deadline(now)
            if not stream.is_open:
                return
        if stream.body_clock is not None:
            fault = self._judge_body(stream, now)
            if fault is not None:
                self._refuse(stream, WireError(408, fault))
                return
        since = stream.stalled_since
        if since < self.sent_at and not self.engine.is_shut(stream.number):
            # It waits for its turn: others have what the connection or the transport takes.
            since = self.sent_at
        if 0 < limits.timeout_write <= now - since:
            # The peer keeps a window shut (H2-7); a peer that takes nothing at all is the transport's to drop.
            self.host.metrics.timeouts_write += 1
            self.engine.reset(stream.number, CANCEL)
            self._disconnect(stream)
            self.budget.count_reset()

    def _judge_body(self, stream, now):
        """What is wrong with the pace of a body, or ``None``; no time passes while applications hold the windows."""
        window = self.engine.get_room(stream.number)
        if window < self.credit_bytes or 2 * stream.unread >= self.host.limits.h2.stream_window:
            stream.body_clock.pause(now)
        else:
            stream.body_clock.resume(now)
        return stream.body_clock.judge(now, stream.received)

    # Ends of the connection.

    def _enter_draining(self):
        """The first step of a drain: the client shall begin no more, and what is under way is taken (H2-18)."""
        if self._state in (H2State.OPENING, H2State.OPEN):
            self._move(H2Step.DRAIN)
            self.engine.go_away(LARGEST_STREAM, NO_ERROR)
            self._leave_at = self.host.clock.now + LEAVE_S
            self.deadline = _EVERY_TICK

    def _enter_leaving(self):
        """The second step of a drain: what has come by now is served, and nothing else (RFC 9113 section 6.8)."""
        self._leave_at = _NEVER
        self._move(H2Step.LEAVE)
        self._last_stream = self.engine.highest_stream_id
        self.engine.go_away(self._last_stream, NO_ERROR)

    def _fail_deadline(self, code, reason):
        """The peer has let a deadline of the connection pass."""
        self.engine.go_away(self.engine.highest_stream_id, code)
        self._enter_lingering(ConnectionFault(code, reason))

    def _enter_lingering(self, fault):
        """The peer has broken the connection; GOAWAY says how (RFC 9113 section 5.4.1)."""
        self.host.error_log.debug("ended an HTTP/2 connection: %s", fault.reason)
        self.host.metrics.count_fault("h2", NAMES[fault.code])
        # Before anything is told of it: nothing may be written behind the GOAWAY.
        self.flush()
        self._move(H2Step.WRITING_ENDS)
        self._held = b""
        self._linger_until = self.host.clock.now + LINGER_S
        self.deadline = _EVERY_TICK
        self._resume_reading()
        self.connection.finish_writing()
        for stream in list(self._streams.values()):
            self._disconnect(stream)

    def _close(self):
        if self._state is not H2State.CLOSED:
            self.flush()
            self._move(H2Step.CLOSE)
            self.deadline = _NEVER
            self.connection.send(CLOSED)

    def _lose(self):
        """The connection is gone: tell the exchanges, and let go of everything."""
        if self._state is not H2State.CLOSED:
            self._move(H2Step.CLOSE)
        self.deadline = _NEVER
        self._held = b""
        for stream in list(self._streams.values()):
            self._disconnect(stream)
        self.waiting = []
        self.engine.close()

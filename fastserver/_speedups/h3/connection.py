"""The HTTP/3 wire (RFC 9114), sans-I/O: one QUIC connection, many streams at a time.

``H3Connection`` gives each datagram to an engine (``quic.engine``), which tells it of what has come on which stream; it
opens an exchange for each request, with an ``H3Stream`` as its sink.  Its writing half is the ``Outlet``, its reading
half the ``Intake`` that it derives from; the client's unidirectional streams are read by ``lanes``.

Invariants: each stream that was opened leaves ``streams`` by ``close_stream``, once; body bytes are given back to the
peer's windows when the application has taken them, or when their stream is over, and never before; ``running`` counts
applications until they end, not until their streams do (Q-9); no fault of the peer's leaves through the engine.
"""

from ..bounds import DISCARD_BYTES, DISCARD_S, LEAVE_S
from ..contract import Request, WireError, note_refusal
from ..events import CLOSED, IDLE, Closed, RawData
from ..qpack.errors import QPACKError
from ..quic.end import End
from ..quic.errors import name_error as name_transport_error
from .codes import LARGEST_STREAM
from .errors import (
    H3_INTERNAL_ERROR,
    H3_MESSAGE_ERROR,
    H3_NO_ERROR,
    H3_REQUEST_CANCELLED,
    NAMES,
    ConnectionFault,
)
from .intake import Intake
from .lanes import Lanes
from .state import TRANSITIONS, H3State, H3Step

_NEVER = float("inf")
#: A deadline that has always passed: look at every tick.
_EVERY_TICK = 0.0
_ENDED = frozenset({H3State.CLOSING, H3State.CLOSED})
_HEAD = (b":method", b"HEAD")


class H3Connection(Intake):
    """One HTTP/3 connection: what its transport and its engine call, its time, and the ends of its streams and its own.

    ``make_engine`` is called with this connection, the engine's listener.
    """

    def __init__(self, connection, host, make_engine):
        Intake.__init__(self, connection, host)
        self._state = H3State.HANDSHAKING
        self._leave_at = _NEVER
        self.engine = make_engine(self)
        self._lanes = Lanes(self.engine, self.budget, host.limits)

    @property
    def state(self):
        """Where the connection stands, an ``H3State``."""
        return self._state

    def describe_state(self):
        return self._state.name.lower()

    def count_streams(self):
        return len(self.streams)

    def _move(self, step):
        """The one place where the state changes, by the table in ``state``."""
        after = TRANSITIONS[self._state].get(step)
        if after is None:
            raise AssertionError(f"{step} in {self._state}")
        if self._state is H3State.HANDSHAKING and after is not H3State.OPEN:
            self.host.metrics.handshakes_failed += 1
        self._state = after
        self.is_silent = after in _ENDED

    # What the transport calls.

    def handle(self, event):
        if type(event) is RawData:
            if not self.is_silent:
                self._receive(event)
        elif type(event) is Closed:
            self._lose()

    def on_eof(self):
        """Datagrams have no end."""

    def on_timer(self, now):
        """The end of a turn in which something was said, or a deadline of the engine's."""
        self._turn_is_due = False
        if self._state is H3State.CLOSED:
            return
        engine = self.engine
        if now >= engine.get_deadline():
            engine.on_deadline(now)
        if not self.streams and 0 < self.host.limits.keep_alive_max_requests <= self.connection.requests:
            # Behind the last response: some clients give up what is open at a GOAWAY, and some send at once what they
            # have next.  One that always has something open is not waited for long.
            self.enter_draining()
        self.flush(now)
        self._finish_turn()
        if self._state is not H3State.CLOSED:
            # What was said meanwhile, by applications that have room again, leaves in a turn of its own.
            self.connection.set_timer(0.0 if self._turn_is_due else engine.get_deadline())

    def on_abort(self, now):
        """CONNECTION_CLOSE, at once: requests that are open are cut (Q-14)."""
        if not self.is_silent:
            self.engine.close(H3_NO_ERROR, "")
            self.flush(now)
            self._note_farewell()

    def on_deadline(self, now):
        """The tick's look at everything that takes too long."""
        if self.is_silent:
            self.deadline = _NEVER
            return
        try:
            self._check_streams(now)
        except ConnectionFault as fault:
            self._fail(fault)
            return
        if now >= self._leave_at and self._state is H3State.DRAINING:
            self._enter_leaving()
        self.speak()
        if not self.streams and not self.tails and self._leave_at == _NEVER:
            self.deadline = _NEVER

    def on_idle_timeout(self):
        if not self.streams and not self.is_silent:
            if self._state is not H3State.LEAVING:
                # What the client sends at this moment it may send again elsewhere (RFC 9114 section 5.3).
                self._lanes.go_away(self.next_stream)
                self.flush(self.host.clock.now)
            self._end(H3_NO_ERROR, "")

    def pause_writing(self):
        """Nothing: the transport asks for datagrams only while it takes them."""

    def resume_writing(self):
        """Nothing, as ``pause_writing``."""

    def drain(self):
        """Tell the client to begin no more; in a second from now what it has begun until then is known (Q-14)."""
        self.is_draining = True
        self.enter_draining()
        self._tell_drain()
        self.speak()

    def end_streams(self):
        if not self.is_silent:
            self._tell_stream_deadline()
            self.speak()

    # What concerns all streams.

    def _check_streams(self, now):
        for stream in list(self.streams.values()):
            self._check_stream(stream, now)
        for stream in list(self.tails.values()):
            self._check_stall(stream, now)

    def _tell_drain(self):
        for stream in list(self.streams.values()):
            exchange = stream.exchange
            if exchange is not None:
                exchange.on_drain()

    def _tell_stream_deadline(self):
        for stream in list(self.streams.values()):
            exchange = stream.exchange
            if exchange is not None:
                exchange.on_stream_deadline()

    def _disconnect_all(self):
        for stream in list(self.streams.values()):
            self._disconnect(stream)

    # What the engine tells.

    def on_handshake(self):
        """The client is who it is: from here on there are streams."""
        self._move(H3Step.OPEN)
        self._lanes.open()
        self.connection.note_handshake()
        if self.is_draining:
            self.enter_draining()
        self.speak()

    def on_stream_data(self, stream_id, data, ends):
        """Bytes of a stream, in order; ``ends`` says that they are the last."""
        if self.is_silent:
            return
        try:
            self.budget.count_payload(len(data))
            if stream_id & 2:
                self._lanes.read(stream_id, data, ends)
                self.engine.consume(stream_id, len(data))
            else:
                self.read_stream(stream_id, data, ends)
        except ConnectionFault as fault:
            self._fail(fault)
        except QPACKError as error:
            self._fail(ConnectionFault(error.code, str(error)))

    def on_stream_reset(self, stream_id):
        """The client takes back what it has not said of its request (RFC 9114 section 4.1.1)."""
        self._cancel(stream_id, True)

    def on_stop_sending(self, stream_id):
        """The client wants no more of a response."""
        self._cancel(stream_id, False)

    def on_stream_closed(self, stream_id):
        """Both sides of a stream are over, and all of it is acknowledged."""
        if stream_id & 2:
            self._lanes.forget(stream_id)
        else:
            self.tails.pop(stream_id, None)
            self.passed.discard(stream_id)

    def on_connection_id(self, cid, is_new):
        self.connection.note_connection_id(cid, is_new)

    def on_path(self, address):
        self.connection.move(address)

    def on_terminated(self, end, code):
        """QUIC is over: ``end`` says how, and where somebody has said so, ``code`` why."""
        if end is End.PEER:
            self.connection.note_end_by_peer()
        if not self.is_silent:
            self._count_end(end, code)
            self._enter_closing()
        self.speak()

    def _count_end(self, end, code):
        """A handshake that fails is counted where the state changes."""
        if self._state is not H3State.HANDSHAKING:
            if end is End.IDLE:
                self.host.metrics.timeouts_idle += 1
            elif end is End.FAULT:
                self.host.metrics.count_fault("quic", name_transport_error(code))

    def _receive(self, event):
        try:
            self.budget.count_datagram(len(event.data))
        except ConnectionFault as fault:
            self._fail(fault)
            return
        self.engine.receive(event.data, event.address, self.host.clock.now)
        self.speak()

    # Ends of streams.

    def _disconnect(self, stream):
        """The client wants no more of a stream, or shall have no more of it."""
        exchange = stream.exchange
        self.close_stream(stream)
        if exchange is not None:
            exchange.on_disconnect()

    def _cancel(self, stream_id, reset):
        """The client has reset its side of a stream, or asked to stop ours (Q-9)."""
        if self.is_silent:
            return
        try:
            if stream_id & 2:
                self._lanes.lose(stream_id)
                return
            stream = self.streams.get(stream_id)
            if stream is None:
                self._cancel_tail(stream_id, reset)
                return
            if not (reset or stream.is_open):
                # Its response is whole, and the rest of its request still comes.
                return
            if reset:
                stream.receiving = False
            if stream.is_open:
                self.budget.count_reset(self.host.clock.now)
                self.close_both_ways(stream, H3_REQUEST_CANCELLED)
            self._disconnect(stream)
        except ConnectionFault as fault:
            self._fail(fault)

    def _cancel_tail(self, stream_id, reset):
        """The same for a stream that is over here, or of which nothing has come: its data may be lost or behind."""
        tail = self.tails.get(stream_id)
        if tail is not None:
            # A client that was asked to send no more has to reset its side.
            if not reset and tail.stalled_since != _NEVER:
                self.budget.count_reset(self.host.clock.now)
        elif stream_id not in self.passed:
            self.pass_over(stream_id, H3_REQUEST_CANCELLED)
            self.budget.count_reset(self.host.clock.now)

    def fail_malformed(self, stream, reason):
        """The request turned out malformed (RFC 9114 section 4.1.2)."""
        note_refusal(self.host, self.connection, 400, reason)
        self.budget.count_reset(self.host.clock.now)
        self.close_both_ways(stream, H3_MESSAGE_ERROR)
        self._disconnect(stream)

    def refuse_head(self, stream, error, fields):
        """A head that no application sees: malformed ones are a stream error, others deserve an answer."""
        if error.status == 400:
            self.fail_malformed(stream, error.reason)
            return
        note_refusal(self.host, self.connection, error.status, error.reason)
        stream.request = Request()
        self.answer(stream, error, _HEAD in fields)

    def refuse(self, stream, error):
        """A fault in a request's body: answered where no response has begun, else the stream is cut."""
        note_refusal(self.host, self.connection, error.status, error.reason)
        exchange = stream.exchange
        if stream.started:
            self.close_both_ways(stream, H3_REQUEST_CANCELLED)
            self.close_stream(stream)
        else:
            self.answer(stream, error, stream.request.method == "HEAD")
        exchange.on_disconnect()

    def abort_stream(self, stream):
        """The application has failed: the client must not take the response for whole."""
        self.close_both_ways(stream, H3_INTERNAL_ERROR)
        self.close_stream(stream)

    def end_response(self, stream):
        """The last of a response is said; what is left of the request is thrown away for a while.

        A client that still sends may be asked at once to stop (RFC 9114 section 4.1), but some take that for a failure.
        It is asked where more is announced than would be thrown away.
        """
        if stream.receiving and not stream.request.protocol and stream.remaining <= DISCARD_BYTES:
            self._let_go(stream)
            stream.received = 0
            stream.deadline = self.host.clock.now + DISCARD_S
            return
        self.stop_reading(stream)
        self.close_stream(stream)

    def close_stream(self, stream):
        if self.streams.pop(stream.number, None) is not None:
            self._let_go(stream)
            self.tails[stream.number] = stream

    def _let_go(self, stream):
        """Part a stream from its exchange, and give back what that has not taken."""
        rest = stream.unread
        stream.unread = 0
        self.unread -= rest
        stream.close()
        self.give_back(stream, rest)

    def _finish_turn(self):
        """All is sent that can be: go idle or end where nothing is open any more."""
        if self._state is H3State.CLOSING:
            self._close()
        elif self.streams or self.unsent_bytes:
            return
        elif self._state is H3State.LEAVING and not self.tails:
            self._end(H3_NO_ERROR, "")
        elif not self.is_idle:
            self.is_idle = True
            self.connection.send(IDLE)

    # Time.

    def _check_stream(self, stream, now):
        if now >= stream.deadline:
            stream.deadline = _NEVER
            if not stream.is_open:
                self.stop_reading(stream)
                self.close_stream(stream)
                return
            if stream.request is None:
                self.refuse_head(stream, WireError(408, "request head took too long"), [])
                return
            exchange = stream.exchange
            exchange.on_deadline(now)
            if not stream.is_open:
                return
        if stream.body_clock is not None:
            fault = self._judge_body(stream, now)
            if fault is not None:
                self.refuse(stream, WireError(408, fault))
                return
        self._check_stall(stream, now)

    def _judge_body(self, stream, now):
        """What is wrong with the pace of a body, or ``None``; no time passes while applications hold the windows."""
        limits = self.host.limits.h3
        if 2 * stream.unread >= limits.stream_window or 2 * self.unread >= limits.connection_window:
            stream.body_clock.pause(now)
        else:
            stream.body_clock.resume(now)
        return stream.body_clock.judge(now, stream.received)

    def _check_stall(self, stream, now):
        """Cut a stream of which the peer takes nothing (Q-8): the engine lets all have their turns."""
        unsent = self.get_unsent(stream)
        gone = stream.said - unsent
        if unsent == 0:
            stream.stalled_since = _NEVER
        elif gone != stream.gone or stream.stalled_since == _NEVER:
            stream.stalled_since = now
        elif 0 < self.host.limits.timeout_write <= now - stream.stalled_since:
            stream.stalled_since = _NEVER
            self.host.metrics.timeouts_write += 1
            self.close_both_ways(stream, H3_REQUEST_CANCELLED)
            self._disconnect(stream)
            self.budget.count_reset(now)
        stream.gone = gone

    # Ends of the connection.

    def enter_draining(self):
        """The first step of a drain: the client shall begin no more, and what is under way is taken (Q-14)."""
        if self._state is H3State.OPEN:
            self._move(H3Step.DRAIN)
            self._lanes.go_away(LARGEST_STREAM)
            self._leave_at = self.host.clock.now + LEAVE_S
            self.deadline = _EVERY_TICK
            self.speak()

    def _enter_leaving(self):
        """The second step of a drain: what has come by now is served, and nothing else (RFC 9114 section 5.2)."""
        self._leave_at = _NEVER
        self._move(H3Step.LEAVE)
        self.refused_from = self.next_stream
        self._lanes.go_away(self.refused_from)

    def _fail(self, fault):
        """The peer has broken the connection (RFC 9114 section 8)."""
        self.host.error_log.debug("ended an HTTP/3 connection: %s", fault.reason)
        self.host.metrics.count_fault("h3", NAMES[fault.code])
        self._end(fault.code, fault.reason)

    def _end(self, code, reason):
        """Say CONNECTION_CLOSE at the end of the turn, and be gone behind it."""
        if not self.is_silent:
            self.engine.close(code, reason)
            self._enter_closing()

    def _enter_closing(self):
        self._move(H3Step.END)
        self.full = []
        self._disconnect_all()
        self.speak()

    def _close(self):
        self._move(H3Step.CLOSE)
        self.deadline = _NEVER
        self._note_farewell()
        self.connection.send(CLOSED)

    def _note_farewell(self):
        """Where we have closed the connection, leave behind what says so."""
        farewell = self.engine.farewell
        if farewell is not None:
            self.connection.note_farewell(farewell)

    def _lose(self):
        """The transport is gone: tell the exchanges, and let go of everything."""
        if self._state is not H3State.CLOSED:
            self._move(H3Step.CLOSE)
        self.deadline = _NEVER
        self._disconnect_all()
        self.tails = {}
        self.passed = set()
        self.full = []
        self._lanes.close()
        self.engine.detach()

"""The ASGI WebSocket exchange: one call of the application for one session (ASGI WebSocket specification 2.5).

It knows no wire.  The handshake is a ``Request``, what answers it goes through the ``Sink``; once that has accepted,
both sides' bytes are frames.  What was parsed is given back to the sink as credit; parsing stops while ``max_queue``
messages or ``QUEUE_BYTES`` wait for the application, and so does the wire (WS-9).

==============  ===================================================  =================================================
State           Since                                                What the application may send
==============  ===================================================  =================================================
``CONNECTING``  the request                                          accept; close, which is 403; a response's start
``DENIED``      a response's start: an HTTP exchange gives it        more of the response
``OPEN``        accept                                               send, close
``CLOSING``     this side's Close; only the client's is waited for   nothing: the client counts as gone
``ENDED``       the last byte, an abort, or a refusal of our own     nothing
==============  ===================================================  =================================================

A bad handshake has its own refusal; an application that returns or raises before it has accepted refuses with 500.
What ends a session from the client's side (its Close, a bad frame, the end of its bytes) is acted upon in its turn:
messages that came before it are delivered first, and answered, since the application is asked for no answer but by its
next ``receive``.  An application that returns has closed with 1000, one that raises with 1011.
"""

from ..asgi import is_disconnect
from ..bodyclock import BodyClock
from ..contract import ClientDisconnected
from ..dialogue import READY, Dialogue, WaitingForRoom, send_in_loop
from ..kernels import current_thread, read_timer
from ..task import CancelledError
from .bounds import CLOSE_TIMEOUT_S
from .codes import DROPPED, FAILED, NORMAL, POLICY, RESTART
from .denial import KINDS, START, is_over, read_response, refuse
from .handshake import HandshakeRefused, read_handshake
from .inbox import Inbox
from .keepalive import KeepAlive
from .messages import make_received, make_scope, read_accept, read_close, render_message
from .reader import Close, MessageReader, Ping, Pong, ReaderFault
from .writer import render_close, render_ping, render_pong

CONNECTING = 0
DENIED = 1
OPEN = 2
CLOSING = 3
ENDED = 4

# What is to end the session once its turn has come.
_NOTHING = 0
_CLOSE = 1
_FAULT = 2
_LOSS = 3

_NEVER = float("inf")
_KINDS = ("websocket.accept", "websocket.send", "websocket.close", *KINDS)


class WebSocketExchange(Dialogue):
    """One WebSocket session, or the refusal of one, between an ASGI application and a sink."""

    def begin(self, application, settings, sink, request):
        """Take a request; what ``__init__`` would do, without its argument tuple."""
        self.begin_dialogue(application, sink, request)
        self._settings = settings
        self._state = CONNECTING
        self._handshake = None
        # The response of a session that is denied.
        self._response = None
        # Bytes that came before the session is open.
        self._early = None
        self._reader = None
        self._extension = None
        self._credited = 0
        self._inbox = None
        self._is_stalled = False
        self._stalled_at = 0.0
        self._is_connected = False
        self._is_leaving = False
        self._at_eof = False
        self._is_lost = False
        self._has_returned = False
        # The end that waits for its turn, and what its Close says.
        self._end = _NOTHING
        self._end_code = 0
        self._end_reason = ""
        # What the application is told of the end; 0 is nothing yet.
        self._code = 0
        self._reason = ""
        self._pong = None
        self._keepalive = None
        # Of the message that has begun, and how much of it had come by the last read.
        self._message_clock = None
        self._received = 0
        self._close_due = _NEVER
        self._head = None
        self._sent = 0
        self._is_accounted = False
        self.started_at = read_timer()

    # What the wire calls.

    def start(self):
        try:
            self._handshake = read_handshake(self._request, self._settings)
        except HandshakeRefused as refusal:
            self._deny(refusal.status, refusal.reason, refusal.fields)
            return
        self.call_application(make_scope(self._application, self._request, self._sink.get_peer(), self._handshake))

    def on_body(self, data, more):
        if self._state == OPEN or self._state == CLOSING:
            self._reader.now = self._host.clock.now
            self._reader.feed(data)
            self._parse()
        elif self._state == CONNECTING:
            self._early = data if self._early is None else self._early + data
        else:
            self._sink.consume(len(data))
        if not more and self._state != DENIED:
            self.on_eof()

    def on_writable(self):
        if self._response is not None:
            self._response.on_writable()
            return
        if self._pong is not None:
            self._send_pong(self._pong)
        self.wake()

    def on_eof(self):
        if self._response is not None:
            self._response.on_eof()
            return
        self._at_eof = True
        if self._state == CONNECTING:
            self.wake()
        elif self._state != ENDED:
            self._parse()

    def on_disconnect(self):
        if self._response is not None:
            self._response.on_disconnect()
            self.wake()
            return
        if self._is_lost:
            return
        self._is_lost = True
        self._at_eof = True
        self._pong = None
        self._disarm()
        if self._state == OPEN and not self._has_returned:
            # What has come is still the application's, the client's Close among it.
            self._parse()
        elif self._state != ENDED:
            self._finish(DROPPED, "")
        self._account()
        self.wake()

    def on_deadline(self, now):
        if self._state != OPEN and self._state != CLOSING:
            return
        if now >= self._close_due:
            self._close_due = _NEVER
            if self._state == CLOSING:
                self._cut()
                return
            # The application does not come to what stands before the end.
            self._act_on_end()
        if now >= self._keepalive.pong_due and self._state == OPEN:
            self._judge_silence(now)
        if now >= self._keepalive.ping_at and self._state == OPEN:
            self._send_ping(now)
        if self._message_clock is not None and self._message_clock.judge(now, self._reader.received) is not None:
            self._host.metrics.count_fault("websocket", str(POLICY))
            self._close(POLICY, "message took too long")
        self._arm()

    def on_drain(self):
        # Where the whole worker stops, sessions have a deadline of their own.
        if self._host.streams_over or not self._host.draining:
            self._leave()

    def on_stream_deadline(self):
        self._leave()

    def on_application_end(self, failure):
        self._sink.release()
        self._has_returned = True
        is_over = self._is_lost or self._state >= CLOSING
        if is_over and failure is not None and is_disconnect(failure):
            failure = None
        if self._response is not None:
            self._response.on_application_end(failure)
            return
        if isinstance(failure, CancelledError):
            self._application.log_cancelled(self._request)
        elif failure is not None:
            self._application.log_failure(self._request, failure)
        elif self._state == CONNECTING and not self._at_eof:
            self._application.log_unfinished(self._request, "'websocket.accept'")
        if self._inbox is not None:
            self._inbox.clear()
        if is_over:
            return
        if self._state == CONNECTING:
            self._deny(500, "Internal Server Error", ())
        elif self._end != _NOTHING:
            self._act_on_end()
        else:
            self._close(NORMAL if failure is None else FAILED, "")

    # What the application calls.

    def send(self, message):
        """ASGI ``send``.  Raises ``ClientDisconnected`` once the session is over, ``RuntimeError``, ``TypeError`` or
        ``ValueError`` for a message that the specification does not allow here."""
        if current_thread() != self._host.thread:
            return send_in_loop(self, message)
        fields: dict = message if type(message) is dict else dict(message)
        kind: str = fields["type"]
        if self._state == OPEN and kind == "websocket.send" and not self._is_lost:
            self._write(render_message(fields, self._extension))
            self._host.metrics.messages_out += 1
            if self._sink.is_writable():
                return READY
            return WaitingForRoom(self)
        return self._send_other(kind, fields)

    # What its awaitables call.

    def take_message(self):
        if not self._is_connected:
            self._is_connected = True
            return {"type": "websocket.connect"}
        if self._inbox is not None and not self._inbox.is_empty():
            return self._take_queued()
        if self._end != _NOTHING:
            self._act_on_end()
        if self._code:
            return {"type": "websocket.disconnect", "code": self._code, "reason": self._reason}
        if self._at_eof or (self._response is not None and is_over(self._response)):
            return {"type": "websocket.disconnect", "code": DROPPED, "reason": ""}
        return None

    def must_wait(self):
        if self._state != OPEN or self._is_lost:
            raise ClientDisconnected
        return not self._sink.is_writable()

    # Private: the handshake.

    def _open(self, head):
        self._handshake = None
        self._state = OPEN
        self._inbox = Inbox(self._settings.max_queue)
        self._reader = MessageReader(self._settings.max_size, self._extension)
        head.status = 200 if self._request.protocol else 101
        self._head = head
        self._keepalive = KeepAlive(self._settings.ping_interval_s, self._settings.ping_timeout_s)
        self._keepalive.plan(self._host.clock.now)
        self._host.metrics.sessions_opened += 1
        # The sink may hold early bytes, and gives them within this call.
        self._sink.accept(head)
        self._arm()
        if self._early is not None:
            early = self._early
            self._early = None
            self.on_body(early, True)
        if self._at_eof and self._state == OPEN:
            self._parse()
        if self._is_leaving and self._state == OPEN:
            self._leave()

    def _deny(self, status, reason, fields):
        """Answer with a response of this server's own; nothing may follow."""
        self._begin_response()
        self._state = ENDED
        refuse(self._response, status, reason, fields)
        self.wake()

    def _deny_by_message(self, kind, fields):
        """The extension ``websocket.http.response``: the application's own response, begun by its first message."""
        if self._response is None and kind != START:
            self._fail_out_of_turn(kind)
        message = read_response(self._request, fields)
        if self._response is None:
            self._begin_response()
            self._state = DENIED
        try:
            return self._response.send(message)
        finally:
            self.wake()

    def _begin_response(self):
        """Answer by a response instead of a session; the connection carries nothing after it."""
        self._sink.forbid_reuse()
        self._response = self._application.open_response(self._sink, self._request)
        self._response.started_at = self.started_at
        if self._early is not None:
            self._sink.consume(len(self._early))
            self._early = None

    # Private: what the application sends.

    def _send_other(self, kind, fields):
        """All messages but that of an open session, and those out of turn."""
        if kind not in _KINDS:
            raise ValueError(f"unknown message type {kind!r} for a WebSocket")
        if self._is_lost or self._state >= CLOSING:
            raise ClientDisconnected("the session is over")
        if kind in KINDS and self._state <= DENIED:
            return self._deny_by_message(kind, fields)
        if kind == "websocket.close" and self._state != DENIED:
            self._close_by_message(fields)
        elif kind == "websocket.accept" and self._state == CONNECTING:
            # Everything is checked before anything happens.
            head, self._extension = read_accept(fields, self._handshake, self._settings.per_message_deflate)
            self._open(head)
        else:
            self._fail_out_of_turn(kind)
        return READY

    def _close_by_message(self, fields):
        if self._state == CONNECTING:
            # Neither code nor reason goes anywhere, and FastAPI gives a list of its findings as the reason.
            self._deny(403, "Forbidden", ())
            return
        code, reason = read_close(fields)
        self._close(code, reason)
        self._inbox.clear()

    def _fail_out_of_turn(self, kind):
        if self._state == DENIED:
            raise RuntimeError(f"{kind!r} sent after the session was denied")
        expected = "'websocket.accept'" if self._state == CONNECTING else "'websocket.send' or 'websocket.close'"
        raise RuntimeError(f"{kind!r} sent out of turn: {expected} is expected")

    # Private: what the client sends.

    def _parse(self):
        """Read messages until the bytes end, the queue is full, or the session."""
        reader = self._reader
        is_stalled = False
        if self._is_stalled:
            reader.now = self._host.clock.now
            reader.excuse(reader.now - self._stalled_at)
        while self._end == _NOTHING and self._state != ENDED:
            if self._state == OPEN and self._inbox.is_full():
                is_stalled = True
                self._stalled_at = self._host.clock.now
                break
            try:
                item = reader.next()
            except ReaderFault as fault:
                self._host.metrics.count_fault("websocket", str(fault.code))
                self._meet_end(_FAULT, fault.code, fault.reason)
                break
            if item is None:
                if self._at_eof:
                    self._meet_end(_LOSS, DROPPED, "")
                break
            self._take_item(item)
        self._is_stalled = is_stalled
        if self._message_clock is not None or reader.is_amid_message():
            self._time_message()
        parsed = reader.consumed
        if parsed != self._credited:
            credit = parsed - self._credited
            self._credited = parsed
            self._sink.consume(credit)

    def _take_item(self, item):
        kind = type(item)
        if kind is str or kind is bytes:
            # Behind this side's own Close nothing is for the application (RFC 6455 section 1.4).
            if self._state == OPEN and not self._has_returned:
                self._host.metrics.messages_in += 1
                self._inbox.put(item)
                self._message_clock = None
                self.wake()
        elif kind is Ping:
            if self._state == OPEN:
                self._answer_ping(item)
        elif kind is Pong:
            self._take_pong(item)
        elif kind is Close:
            self._meet_end(_CLOSE, item.code, item.reason)

    def _time_message(self):
        """A message that has begun has to come on as the body of a request has (WS-3).

        The clock is never to be paused: reading stops between messages only.
        """
        if self._state != OPEN or self._end != _NOTHING or not self._reader.is_amid_message():
            self._message_clock = None
            return
        now = self._host.clock.now
        if self._message_clock is None:
            self._message_clock = BodyClock(now, self._host.limits)
            self._arm()
        elif self._reader.received != self._received:
            self._message_clock.read(now)
        self._received = self._reader.received

    def _take_queued(self):
        item = self._inbox.take()
        if self._is_stalled:
            # Nothing was read, so nothing could be answered.
            if self._keepalive.extend(self._host.clock.now):
                self._arm()
            self._parse()
        return make_received(item)

    # Private: the end.

    def _leave(self):
        """The client shall go on elsewhere; safe to repeat."""
        if self._state == OPEN:
            self._close(RESTART, "")
        else:
            # A session that is accepted yet is closed at once.
            self._is_leaving = True

    def _meet_end(self, end, code, reason):
        """The client's bytes have come to an end of some kind; it waits for the messages before it."""
        self._end = end
        self._end_code = code
        self._end_reason = reason
        # Parsing that goes on after a stall does so while a message is on its way to the application.
        is_waited_for = self._is_stalled or not self._inbox.is_empty()
        if not is_waited_for or self._has_returned or self._state != OPEN:
            self._act_on_end()
        elif not self._is_lost:
            self._close_due = self._host.clock.now + CLOSE_TIMEOUT_S
            self._arm()

    def _act_on_end(self):
        """Answer a Close or a fault, and end the session; its turn has come, or there is no more waiting for it."""
        end = self._end
        self._end = _NOTHING
        if self._state == OPEN and end != _LOSS and not self._is_lost:
            self._write(render_close(self._end_code, "" if end == _CLOSE else self._end_reason))
        if self._state != ENDED:
            self._finish(self._end_code, self._end_reason)

    def _close(self, code, reason):
        """Begin to close: the client has a while to answer.  What the application has not taken yet stays its own."""
        self._write(render_close(code, reason))
        self._code = code
        self._reason = reason
        self._state = CLOSING
        self._pong = self._message_clock = None
        self._keepalive.stop()
        self._close_due = self._host.clock.now + CLOSE_TIMEOUT_S
        self._arm()
        self.wake()
        if self._end != _NOTHING:
            self._act_on_end()
        elif self._is_stalled:
            self._parse()

    def _finish(self, code, reason):
        """Nothing more is said: the server is the first to close the connection (RFC 6455 section 7.1.1)."""
        if self._code == 0:
            self._code = code
            self._reason = reason
        self._state = ENDED
        self._pong = None
        self._disarm()
        if not self._is_lost:
            self._sink.write(b"", False)
        self._account()
        self.wake()

    def _cut(self):
        """The client does not answer the Close."""
        self._state = ENDED
        self._disarm()
        self._sink.abort()
        self._account()
        self.wake()

    def _account(self):
        """Count and log the session, once: a request that lasted until its end, with the status that began it."""
        if self._is_accounted:
            return
        self._is_accounted = True
        status = 0
        if self._head is not None:
            status = self._head.status
            self._host.metrics.sessions_closed += 1
        self._sink.get_tally().count_request(status)
        if self._host.access_log is not None:
            duration_s = read_timer() - self.started_at
            self._host.access_log(self._request, status, self._sent, duration_s, self._sink.get_peer(), self._head)

    # Private: pings and deadlines.

    def _answer_ping(self, ping):
        """The last one only, where the client does not read (RFC 6455 section 5.5.3)."""
        if self._sink.is_writable():
            self._send_pong(ping.payload)
        else:
            self._pong = ping.payload

    def _send_pong(self, payload):
        self._pong = None
        self._write(render_pong(payload))

    def _send_ping(self, now):
        """Ask whether the client is there; the next ping waits for its pong, where that is waited for."""
        if self._sink.is_writable():
            self._write(render_ping(self._keepalive.ask(now)))
        else:
            # It does not read, so it could not answer; the wire has a deadline for that.
            self._keepalive.plan(now)

    def _take_pong(self, pong):
        if self._keepalive.take_pong(pong.payload, self._host.clock.now):
            self._arm()

    def _judge_silence(self, now):
        """The pong is overdue, unless it waits unread."""
        if self._is_stalled or self._end != _NOTHING:
            self._keepalive.extend(now)
        else:
            self._host.metrics.count_fault("websocket", str(FAILED))
            self._close(FAILED, "keepalive ping timeout")

    def _arm(self):
        if self._state == OPEN or self._state == CLOSING:
            due = min(self._keepalive.ping_at, self._keepalive.pong_due, self._close_due)
            if self._message_clock is not None:
                due = min(due, self._message_clock.next_deadline())
            self._sink.set_deadline(due)

    def _disarm(self):
        if self._keepalive is not None:
            self._keepalive.stop()
        self._message_clock = None
        self._close_due = _NEVER

    def _write(self, data):
        self._sent += len(data)
        self._sink.write(data, True)


def open_session(application, settings, sink, request):
    """A session that has yet to ``start``; it refuses where ``settings`` is ``None``: no WebSockets are served."""
    exchange = WebSocketExchange.__new__(WebSocketExchange)
    exchange.begin(application, settings, sink, request)
    return exchange

# One exchange a session.  What costs per message is short: on_body > _parse > _take_item, take_message > _take_queued,
# send.
cimport cython

from ..bodyclock cimport BodyClock
from ..contract cimport Host, Request, ResponseHead, Sink
from ..dialogue cimport ASGIApplication, Dialogue, Ready, WaitingForRoom
from ..kernels cimport current_thread, read_timer
from .inbox cimport Inbox
from .keepalive cimport KeepAlive
from .messages cimport make_received, make_scope, read_accept, read_close, render_message
from .reader cimport Close, MessageReader, Ping, Pong
from .writer cimport render_close, render_ping, render_pong

# Imported objects that are held as C globals.
cdef Ready READY

cdef double CLOSE_TIMEOUT_S
cdef double _NEVER

cdef int CONNECTING
cdef int DENIED
cdef int OPEN
cdef int CLOSING
cdef int ENDED

cdef int NORMAL
cdef int DROPPED
cdef int POLICY
cdef int FAILED
cdef int RESTART

cdef int _NOTHING
cdef int _CLOSE
cdef int _FAULT
cdef int _LOSS


@cython.final
cdef class WebSocketExchange(Dialogue):
    # The base's methods (take_message, send, ...) have their signatures in dialogue.pxd.
    cdef object _settings
    cdef object _handshake
    cdef Dialogue _response
    cdef MessageReader _reader
    cdef object _extension
    cdef ResponseHead _head
    cdef bytes _early
    cdef Inbox _inbox
    cdef long long _credited
    cdef long long _sent
    cdef int _state
    cdef bint _is_stalled
    cdef double _stalled_at
    cdef bint _is_connected
    cdef bint _is_leaving
    cdef bint _at_eof
    cdef bint _is_lost
    cdef bint _has_returned
    cdef bint _is_accounted
    # The end that waits for its turn.
    cdef int _end
    cdef int _end_code
    cdef str _end_reason
    # The end as the application is told of it.
    cdef int _code
    cdef str _reason
    cdef bytes _pong
    cdef KeepAlive _keepalive
    cdef BodyClock _message_clock
    cdef long long _received
    cdef double _close_due

    cdef begin(self, ASGIApplication application, settings, Sink sink, Request request)
    cdef _open(self, ResponseHead head)
    cdef _leave(self)
    cdef _deny(self, int status, str reason, tuple fields)
    cdef _deny_by_message(self, str kind, dict fields)
    cdef _begin_response(self)
    cdef _send_other(self, kind, dict fields)
    cdef _close_by_message(self, dict fields)
    cdef _fail_out_of_turn(self, kind)
    @cython.locals(reader=MessageReader, is_stalled=bint, parsed="long long", credit="long long")
    cdef _parse(self)
    cdef _take_item(self, item)
    @cython.locals(now=double)
    cdef _time_message(self)
    cdef dict _take_queued(self)
    @cython.locals(is_waited_for=bint)
    cdef _meet_end(self, int end, int code, str reason)
    @cython.locals(end=int)
    cdef _act_on_end(self)
    cdef _close(self, int code, str reason)
    cdef _finish(self, int code, str reason)
    cdef _cut(self)
    cdef _account(self)
    cdef _answer_ping(self, Ping ping)
    cdef _send_pong(self, bytes payload)
    cdef _send_ping(self, double now)
    cdef _take_pong(self, Pong pong)
    cdef _judge_silence(self, double now)
    @cython.locals(due=double)
    cdef _arm(self)
    cdef _disarm(self)
    cdef _write(self, bytes data)


@cython.locals(exchange=WebSocketExchange)
cpdef WebSocketExchange open_session(ASGIApplication application, settings, Sink sink, Request request)

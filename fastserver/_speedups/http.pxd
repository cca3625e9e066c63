# One HTTPExchange per request.
cimport cython

from .contract cimport Peer, Request, ResponseHead, Sink, is_bodyless
from .dialogue cimport ASGIApplication, Dialogue, Ready, WaitingForRoom
from .kernels cimport current_thread, read_timer
from .rendering cimport inspect_fields, inspect_response
from .websocket.exchange cimport open_session

# Imported objects that are held as C globals.
cdef Ready READY

cdef int AWAITING_START
cdef int HEAD_HELD
cdef int SENDING_BODY
cdef int AWAITING_TRAILERS
cdef int DROPPING
cdef int COMPLETE
cdef int JOINED_BYTES
cdef int DROPPED_BYTES
cdef int DROPPED_MESSAGE_BYTES


@cython.final
cdef class HTTPExchange(Dialogue):
    # The base's methods (take_message, send, ...) have their signatures in dialogue.pxd.
    cdef ResponseHead _head
    cdef int _state
    cdef bint _body_complete
    cdef bint _body_delivered
    cdef bint _at_eof
    cdef bint _is_told_to_end
    cdef bint _has_heard
    cdef bint _is_past
    cdef bint _disconnected
    cdef bint _busy
    cdef bint _accounted
    cdef list _body
    cdef list _trailers
    cdef long long _remaining
    cdef long long _sent
    cdef long long _dropped
    cdef int _weight

    cdef begin(self, HTTPApplication application, Sink sink, Request request)
    @cython.locals(size=Py_ssize_t, joined=bytearray)
    cdef _keep_part(self, bytes data)
    @cython.locals(ends=bint, trailers_follow=bint, excess=bint, bodyless=bint)
    cdef _send_part(self, bytes body, bint more)
    cpdef cut(self)
    cdef _fail_short(self)
    cdef _end_at_head(self, bint ends)
    cdef _drop_part(self, bytes body, bint more)
    cdef _complete(self)
    @cython.locals(head=ResponseHead, status=int, duration_s=double)
    cdef _account(self)
    cdef _send_extension(self, kind, message)
    cdef bint _may_send_path(self)
    cdef _fail_busy(self)
    cdef _fail_out_of_turn(self, kind)
    cdef _send_trailers(self, message)
    cdef _send_early_hint(self, message)


@cython.final
cdef class HTTPApplication(ASGIApplication):
    cdef readonly object send_path
    cdef readonly object websocket
    cdef dict extensions
    cdef dict template

    cdef _open_upgrade(self, Sink sink, Request request)


@cython.locals(exchange=HTTPExchange)
cdef HTTPExchange open_exchange(HTTPApplication application, Sink sink, Request request)
@cython.locals(scope=dict)
cdef dict make_scope(HTTPApplication application, Request request, Peer peer)
cdef bytes as_bytes(body)

# One HTTPExchange per request; its awaitables are freelisted, and READY is a constant.
cimport cython

from .contract cimport Application, Exchange, Host, Peer, Request, ResponseHead, Sink, is_bodyless
from .kernels cimport current_thread, read_timer
from .rendering cimport inspect_fields, inspect_response
from .task cimport start as start_task

cdef int AWAITING_START
cdef int HEAD_HELD
cdef int SENDING_BODY
cdef int AWAITING_TRAILERS
cdef int COMPLETE


@cython.final
cdef class Ready:
    pass

cdef Ready READY


@cython.final
@cython.freelist(16)
cdef class Receiving:
    cdef HTTPExchange _exchange
    cdef object _waiter


@cython.final
@cython.freelist(16)
cdef class WaitingForRoom:
    cdef HTTPExchange _exchange
    cdef object _waiter


@cython.final
cdef class HTTPExchange(Exchange):
    cdef HTTPApplication _application
    cdef Host _host
    cdef Sink _sink
    cdef Request _request
    cdef ResponseHead _head
    cdef int _state
    cdef bint _body_complete
    cdef bint _body_delivered
    cdef bint _at_eof
    cdef bint _disconnected
    cdef bint _busy
    cdef bint _accounted
    cdef list _body
    cdef list _waiters
    cdef list _trailers
    cdef long long _remaining
    cdef long long _sent
    cdef double _started_at
    cdef int _weight

    cdef begin(self, HTTPApplication application, Sink sink, Request request)
    cpdef receive(self)
    @cython.locals(kind=str, fields=dict)
    cpdef send(self, message)
    cdef dict take_message(self)
    cdef bint must_wait(self) except -1
    cdef wait(self)
    cdef forget(self, waiter)
    cdef _wake(self)
    @cython.locals(ends=bint, trailers_follow=bint, excess=bint)
    cdef _send_part(self, bytes body, bint more)
    cpdef cut(self)
    cdef _fail_short(self)
    cdef _complete(self)
    @cython.locals(head=ResponseHead, status=int, duration_s=double)
    cdef _account(self)
    cdef _send_extension(self, kind, message)
    cdef bint _may_send_path(self)
    cdef _fail_out_of_turn(self, kind)
    cdef _send_trailers(self, message)
    cdef _send_early_hint(self, message)


@cython.final
cdef class HTTPApplication(Application):
    cdef readonly object app
    cdef readonly Host host
    cdef public object state
    cdef readonly str root_path
    cdef bytes _raw_root_path
    cdef readonly object send_path
    cdef dict _extensions
    cdef dict _template

    @cython.locals(scope=dict, root_path=str)
    cdef dict make_scope(self, Request request, Peer peer)
    cdef log_failure(self, Request request, failure)
    cdef log_cancelled(self, Request request)
    cdef log_unfinished(self, Request request, int state)


@cython.locals(exchange=HTTPExchange)
cdef HTTPExchange open_exchange(HTTPApplication application, Sink sink, Request request)
cdef bytes as_bytes(body)

# H1Stream and H1Connection know each other: `connection` imports this module, which needs only the C type of the other.
cimport cython

from ..bodyclock cimport BodyClock
from ..contract cimport Exchange, Request, ResponseHead, Sink, is_bodyless
from ..rendering cimport render_chunk, render_fields
from .connection cimport H1Connection

# Imported objects that are held as C globals.
cdef str HTTP_1_1

cdef Py_ssize_t COPY_BYTES
cdef Py_ssize_t DISCARD_BYTES
cdef Py_ssize_t BODY_LOW_BYTES
cdef bytes _CLOSE_FIELD
cdef bytes _KEEP_ALIVE_FIELD


@cython.final
cdef class H1Stream(Sink):
    # The base's methods (respond, write, ...) have their signatures in contract.pxd.
    cdef H1Connection _wire
    cdef Request _request
    cdef bint _is_open
    cdef bint _chunked
    cdef bint _bodyless
    cdef bint owes_continue
    cdef Exchange exchange
    cdef bint started
    cdef bint keep_alive
    cdef long long unread
    cdef BodyClock body_clock

    cdef begin(self, H1Connection wire, Request request)
    cdef detach(self)
    cdef Py_ssize_t _decide_framing(self, ResponseHead head, Py_ssize_t size, bint more) except? -1
    cdef bint _may_keep_alive(self, ResponseHead head, bint more)
    cdef _write_body(self, bytes body)
    cdef _end(self)

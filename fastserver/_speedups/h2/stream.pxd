# One H2Stream per request; its connection reads and writes the fields without an underscore.
cimport cython

from ..bodyclock cimport BodyClock
from ..contract cimport Exchange, Request, Sink, is_bodyless
from ..ownfields cimport list_response_fields
from .outlet cimport Outlet

cdef double _NEVER
cdef long long STREAM_PENDING_BYTES
cdef long long CONNECTION_PENDING_BYTES


@cython.final
cdef class H2Stream(Sink):
    cdef Outlet _wire
    cdef long number
    cdef Request request
    cdef Exchange exchange
    cdef bint receiving
    cdef bint started
    cdef bint is_open
    cdef bint is_released
    cdef bint ends
    cdef bint _bodyless
    cdef bint _owes_continue
    cdef long long received
    cdef long long remaining
    cdef long long unread
    cdef long long credit
    cdef BodyClock body_clock
    cdef list pending
    cdef Py_ssize_t pending_bytes
    cdef Py_ssize_t offset
    cdef list trailers
    cdef double stalled_since
    cdef double deadline

    cdef begin(self, Outlet wire, long number, Request request, bint receiving)
    @cython.locals(first=bytes, part=bytes, rest=Py_ssize_t)
    cdef bytes take_part(self, Py_ssize_t size)
    cdef close(self)

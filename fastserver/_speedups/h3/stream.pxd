# One H3Stream per request; its connection reads and writes the fields without an underscore.
cimport cython

from ..bodyclock cimport BodyClock
from ..contract cimport Exchange, Request, Sink, is_bodyless
from ..ownfields cimport list_response_fields
from .frames cimport FrameReader
from .outlet cimport Outlet

cdef double _NEVER
cdef long long STREAM_UNSENT_BYTES
cdef long long CONNECTION_UNSENT_BYTES
cdef int REQUEST


@cython.final
cdef class H3Stream(Sink):
    cdef Outlet _wire
    cdef readonly long long number
    cdef FrameReader reader
    cdef Request request
    cdef Exchange exchange
    cdef bint receiving
    cdef bint started
    cdef bint is_open
    cdef bint is_full
    cdef bint is_due
    cdef bint is_released
    cdef bint _ends
    cdef bint _bodyless
    cdef bint _owes_continue
    cdef long long received
    cdef long long remaining
    cdef long long unread
    cdef BodyClock body_clock
    cdef long long skipped
    cdef long long said
    cdef long long gone
    cdef double stalled_since
    cdef double deadline

    cdef begin(self, Outlet wire, long long number, long long limit)
    cdef take_request(self, Request request, bint receiving)
    cdef close(self)

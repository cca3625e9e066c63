# The fields without an underscore are the streams' and the connection's to read.  Outlet and H3Stream know each other.
cimport cython

from ..contract cimport Connection, Exchange, Host, Protocol, ResponseHead
from ..kernels cimport raw_datagram
from ..ownfields cimport OwnFields, compose_refusal
from .budget cimport Budget
from .stream cimport H3Stream

cdef Py_ssize_t JOINED_BYTES
cdef long long CONNECTION_UNSENT_BYTES
cdef object DATA
cdef object HEADERS
cdef object H3_NO_ERROR


cdef class Outlet(Protocol):
    cdef readonly Connection connection
    cdef readonly Host host
    cdef readonly Budget budget
    cdef readonly object engine
    cdef OwnFields _own
    cdef long running
    cdef long long unread
    cdef list full
    cdef long long unsent_bytes
    cdef bint is_silent
    cdef bint _turn_is_due

    @cython.locals(block=bytes, said=bytes, size=Py_ssize_t)
    cdef write_head(self, H3Stream stream, ResponseHead head, list fields, bytes body, bint ends)
    @cython.locals(block=bytes)
    cdef write_interim(self, H3Stream stream, int status, list fields)
    @cython.locals(size=Py_ssize_t)
    cdef write_body(self, H3Stream stream, bytes body, bint ends)
    @cython.locals(block=bytes)
    cdef write_trailers(self, H3Stream stream, list fields)
    cdef give_back(self, H3Stream stream, Py_ssize_t count)
    cdef long long get_unsent(self, H3Stream stream) except? -1
    cdef note_full(self, H3Stream stream)

    @cython.locals(head=ResponseHead, body=bytes)
    cdef answer(self, H3Stream stream, error, bint bodyless)
    cdef close_both_ways(self, H3Stream stream, code)
    cdef stop_reading(self, H3Stream stream, code=*)
    cdef speak(self)
    @cython.locals(connection=Connection)
    cdef flush(self, double now)

    @cython.locals(size=Py_ssize_t)
    cdef _say(self, H3Stream stream, bytes data, bint ends)
    @cython.locals(full=list, stream=H3Stream, exchange=Exchange)
    cdef _tell_writable(self)

    cpdef end_response(self, H3Stream stream)
    cpdef abort_stream(self, H3Stream stream)

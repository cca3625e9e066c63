# The fields without an underscore are the streams' and the connection's to read.  Outlet and H2Stream know each other.
cimport cython

from ..contract cimport Connection, Exchange, Host, Protocol, ResponseHead
from ..kernels cimport raw_data
from ..ownfields cimport OwnFields, compose_refusal
from .budget cimport Budget
from .stream cimport H2Stream

cdef double _NEVER
cdef Py_ssize_t CORK_BYTES
cdef long long CREDIT_BYTES


cdef class Outlet(Protocol):
    cdef readonly Connection connection
    cdef readonly Host host
    cdef readonly Budget budget
    cdef readonly object engine
    cdef public bytes alt_svc
    cdef OwnFields _own
    cdef long running
    cdef list waiting
    cdef Py_ssize_t pending_bytes
    cdef double sent_at
    cdef long long credit_bytes
    cdef bint writing_paused
    cdef bint is_silent
    cdef long corks
    cdef bint _flush_is_due
    cdef Py_ssize_t _unflushed

    cdef write_head(self, H2Stream stream, ResponseHead head, list fields, bint ends)
    cdef write_interim(self, H2Stream stream, int status, list fields)
    cdef push(self, H2Stream stream)
    @cython.locals(credit="long long")
    cdef give_back(self, H2Stream stream)
    cdef cork(self)
    cdef uncork(self)

    @cython.locals(head=ResponseHead, body=bytes)
    cdef bint answer(self, long stream_id, error, bint bodyless) except -1
    @cython.locals(stream=H2Stream, exchange=Exchange, waiting=list, blocked=list, again=list)
    cdef pump(self)
    @cython.locals(others=list)
    cdef pump_one(self, H2Stream stream)
    cdef speak(self)
    @cython.locals(data=bytes)
    cdef flush(self)

    cdef bint _send_all(self, H2Stream stream) except -1
    @cython.locals(number=long, size=Py_ssize_t, window="long long", part=bytes, ends=bint)
    cdef bint _send_part(self, H2Stream stream) except -1
    cpdef _take_turn(self)

    cpdef end_response(self, H2Stream stream)
    cpdef abort_stream(self, H2Stream stream)
    cpdef finish_turn(self)

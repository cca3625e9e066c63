# The fields without an underscore are the connection's too; what stands last is the connection's to give.
cimport cython

from ..bodyclock cimport BodyClock
from ..contract cimport Connection, Exchange, Host, Limits, Request
from ..events cimport Updated
from ..fieldlist cimport check_trailers, read_field_list
from ..qpack.decoder cimport decode_fields
from .budget cimport Budget
from .frames cimport FrameReader
from .outlet cimport Outlet
from .stream cimport H3Stream

cdef Updated ACTIVE
cdef double _EVERY_TICK
cdef long long DISCARD_BYTES
cdef long long EMPTY_FRAMES
cdef int DATA
cdef int NOTHING


cdef class Intake(Outlet):
    cdef readonly dict streams
    cdef readonly dict tails
    cdef readonly set passed
    cdef long long _charged
    cdef long long _late
    cdef bint is_idle
    cdef bint is_draining
    cdef long long refused_from
    cdef long long next_stream

    @cython.locals(stream=H3Stream)
    cdef read_stream(self, long long stream_id, bytes data, bint ends)
    @cython.locals(exchange=Exchange)
    cdef _start(self, H3Stream stream)
    @cython.locals(reader=FrameReader, kind=int, block=bytes, is_too_large=bint)
    cdef _read_frames(self, H3Stream stream, bytes data, bint ends)
    @cython.locals(host=Host, limit="long long", stream=H3Stream)
    cdef H3Stream _open_stream(self, long long stream_id)
    cdef pass_over(self, long long stream_id, code)
    @cython.locals(limits=Limits, fields=list, request=Request)
    cdef _take_head(self, H3Stream stream, bytes block, bint ends)
    @cython.locals(host=Host, request=Request, connection=Connection, exchange=Exchange, limit="long long")
    cdef _begin(self, H3Stream stream)
    @cython.locals(host=Host, request=Request, exchange=Exchange, size=Py_ssize_t, limit="long long")
    cdef _take_data(self, H3Stream stream, bytes data)
    @cython.locals(limits=Limits)
    cdef _take_trailers(self, H3Stream stream, bytes block)
    @cython.locals(exchange=Exchange)
    cdef _end_request(self, H3Stream stream)
    cdef _discard(self, H3Stream stream, Py_ssize_t size, bint ends)

    cpdef close_stream(self, H3Stream stream)
    cpdef fail_malformed(self, H3Stream stream, str reason)
    cpdef refuse_head(self, H3Stream stream, error, list fields)
    cpdef refuse(self, H3Stream stream, error)
    cpdef enter_draining(self)

# A connection feeds a reader what came on its stream and reads until NOTHING; payload is then the last piece's.
# Error contract: begin and feed raise nothing; read raises ConnectionFault and FrameTooLarge.
cimport cython

from .varint cimport measure_varint, read_varint

cdef int DATA
cdef int HEADERS
cdef int CANCEL_PUSH
cdef int SETTINGS
cdef int GOAWAY
cdef int MAX_PUSH_ID
cdef int REQUEST
cdef int NOTHING

cdef int _BETWEEN
cdef int _SKIPPED
cdef int _OVER
cdef long long _KNOWN


@cython.final
cdef class FrameReader:
    cdef readonly bytes payload
    cdef readonly bint is_between
    cdef readonly long long empty_frames
    cdef readonly long long skipped_bytes
    cdef long long _limit
    cdef int _stream
    cdef bytes _data
    cdef Py_ssize_t _at
    cdef bytearray _tail
    # A type, or one of the states beside them; _left is what the frame still has.
    cdef int _state
    cdef long long _left
    cdef int _sections

    cpdef begin(self, long long limit_bytes, int kind)
    cpdef feed(self, bytes data)
    @cython.locals(kind=int, is_empty=bint)
    cpdef int read(self) except -2
    @cython.locals(rest=Py_ssize_t)
    cdef bint _gather(self, long long need) except -1
    @cython.locals(start=Py_ssize_t, data=bytes, piece=bytes)
    cdef bytes _take(self, Py_ssize_t size)
    cdef _pass_over(self, Py_ssize_t size)
    cdef _move(self, Py_ssize_t size)
    @cython.locals(first=Py_ssize_t, second=Py_ssize_t, kind="long long", size="long long")
    cdef bint _read_head(self) except -1
    @cython.locals(is_known=bint)
    cdef _enter_frame(self, long long kind, long long size, Py_ssize_t head)
    cdef _check_place(self, long long kind)
    cdef _close(self)

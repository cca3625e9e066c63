# The engine calls on_* for frames that have come; the table is the derived class.
# Error contract: on_stream, on_reset and on_stream_data_blocked raise TransportFault, and so does _find.
cimport cython

from .packets cimport Reader
from .streams cimport Stream

cdef Py_ssize_t CREDIT_BYTES
cdef Py_ssize_t LARGEST_OFFSET
cdef int MOST_UNI_STREAMS
cdef int MAX_STREAMS_BIDI
cdef int MAX_STREAMS_UNI
cdef int RESET_STREAM
cdef int STREAM_DATA_BLOCKED
cdef int FINAL_SIZE_ERROR
cdef int FLOW_CONTROL_ERROR
cdef int FRAME_ENCODING_ERROR
cdef int STREAM_LIMIT_ERROR
cdef int STREAM_STATE_ERROR
cdef int BIDI_STREAMS
cdef int DISCARDING
cdef int OPEN
cdef int OVER
cdef int TELL_CLOSED
cdef int TELL_DATA
cdef int TELL_RESET
cdef int UNI_STREAMS


@cython.final
cdef class Grant:
    cdef readonly int kind
    cdef readonly int frame_type
    cdef readonly Py_ssize_t width
    cdef public Py_ssize_t limit
    cdef public Py_ssize_t opened
    cdef readonly Py_ssize_t closed
    cdef public bint is_wanted

    @cython.locals(more=Py_ssize_t)
    cpdef close_one(self)


cdef class Receiving:
    cdef readonly dict streams
    cdef readonly Grant bidi
    cdef readonly Grant uni
    cdef list _told
    # The windows' widths, what is promised, what has come and what is consumed of all streams.
    cdef Py_ssize_t _stream_window
    cdef Py_ssize_t _window
    cdef Py_ssize_t _limit
    cdef Py_ssize_t _received
    cdef Py_ssize_t _consumed
    cdef bint _wants_window
    # Our next stream, and what the peer lets us send on one of its own before it says more.
    cdef Py_ssize_t _next_uni
    cdef Py_ssize_t _allowed_bidi

    @cython.locals(stream=Stream, number=Py_ssize_t, offset=Py_ssize_t, size=Py_ssize_t, at=Py_ssize_t, stop=Py_ssize_t)
    cpdef on_stream(self, Reader reader, int frame_type)
    @cython.locals(final=Py_ssize_t, fresh=Py_ssize_t)
    cdef _grow(self, Stream stream, Py_ssize_t stop, bint ends, int frame_type)
    @cython.locals(before=Py_ssize_t, stop=Py_ssize_t, following=bytes, ends=bint)
    cdef _deliver(self, Stream stream, Py_ssize_t offset, bytes data)
    @cython.locals(stream=Stream, number=Py_ssize_t, code=Py_ssize_t, final=Py_ssize_t)
    cpdef on_reset(self, Reader reader)
    @cython.locals(number=Py_ssize_t)
    cpdef on_stream_data_blocked(self, Reader reader)
    @cython.locals(stream=Stream, grant=Grant, index=Py_ssize_t, sends=bint, opened=Py_ssize_t)
    cdef Stream _find(self, Py_ssize_t number, int frame_type, bint receives)
    @cython.locals(more=Py_ssize_t)
    cdef _credit(self, Stream stream, Py_ssize_t size)
    @cython.locals(number=Py_ssize_t)
    cdef _check_over(self, Stream stream)

# The engine calls on_* for frames that have come; the table is the other half of the class.
# Error contract: on_stream, on_reset, on_stop_sending and on_max_stream_data raise TransportFault.
cimport cython

from .packets cimport Reader
from .streams cimport Stream

cdef Py_ssize_t CREDIT_BYTES
cdef Py_ssize_t LARGEST_OFFSET
cdef int MOST_UNI_STREAMS
cdef int MAX_STREAM_DATA
cdef int MAX_STREAMS_BIDI
cdef int MAX_STREAMS_UNI
cdef int RESET_STREAM
cdef int STOP_SENDING
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
cdef int RESETTING
cdef int TELL_CLOSED
cdef int TELL_DATA
cdef int TELL_RESET
cdef int TELL_STOP
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


cdef class Intake:
    cdef readonly dict streams
    cdef readonly Py_ssize_t unsent
    cdef public bint is_closed
    cdef readonly Grant bidi
    cdef readonly Grant uni
    cdef object _listener
    cdef list _told
    cdef bint _is_telling
    cdef readonly object ready
    cdef object _noted
    cdef list _starved
    # Receiving: the windows' widths, what is promised, what has come and what is consumed of all streams.
    cdef Py_ssize_t _stream_window
    cdef Py_ssize_t _window
    cdef Py_ssize_t _limit
    cdef Py_ssize_t _received
    cdef Py_ssize_t _consumed
    cdef bint _wants_window
    # Sending: what the peer allows, and what was sent, each byte counted once.
    cdef Py_ssize_t _next_uni
    cdef Py_ssize_t _allowed
    cdef Py_ssize_t _sent
    cdef Py_ssize_t _allowed_bidi
    cdef Py_ssize_t _allowed_uni
    cdef Py_ssize_t _allowed_uni_streams

    cpdef begin(self, Py_ssize_t data, Py_ssize_t stream_bidi, Py_ssize_t stream_uni, Py_ssize_t uni_streams)
    @cython.locals(stream=Stream, first=Py_ssize_t, number=Py_ssize_t)
    cpdef allow_uni_streams(self, Py_ssize_t count)
    @cython.locals(stream=Stream, number=Py_ssize_t, offset=Py_ssize_t, size=Py_ssize_t, at=Py_ssize_t, stop=Py_ssize_t)
    cpdef on_stream(self, Reader reader, int frame_type)
    @cython.locals(final=Py_ssize_t, fresh=Py_ssize_t)
    cdef _grow(self, Stream stream, Py_ssize_t stop, bint ends, int frame_type)
    @cython.locals(before=Py_ssize_t, stop=Py_ssize_t, following=bytes, ends=bint)
    cdef _deliver(self, Stream stream, Py_ssize_t offset, bytes data)
    @cython.locals(stream=Stream, number=Py_ssize_t, code=Py_ssize_t, final=Py_ssize_t)
    cpdef on_reset(self, Reader reader)
    @cython.locals(stream=Stream, number=Py_ssize_t, code=Py_ssize_t)
    cpdef on_stop_sending(self, Reader reader)
    @cython.locals(limit=Py_ssize_t)
    cpdef on_max_data(self, Reader reader)
    @cython.locals(stream=Stream, number=Py_ssize_t, limit=Py_ssize_t)
    cpdef on_max_stream_data(self, Reader reader)
    @cython.locals(number=Py_ssize_t)
    cpdef on_stream_data_blocked(self, Reader reader)
    @cython.locals(stream=Stream, grant=Grant, index=Py_ssize_t, sends=bint, opened=Py_ssize_t)
    cdef Stream _find(self, Py_ssize_t number, int frame_type, bint receives)

    @cython.locals(more=Py_ssize_t)
    cdef _credit(self, Stream stream, Py_ssize_t size)
    cdef _give_up(self, Stream stream, Py_ssize_t code)
    @cython.locals(number=Py_ssize_t)
    cdef _check_over(self, Stream stream)
    cdef _make_ready(self, Stream stream)
    cdef _note(self, Stream stream)

# The engine calls on_* for frames that came, the application's calls, write for each packet, tell when one is done.
# Error contract: on_stream, on_reset, on_stop_sending and on_max_* raise TransportFault, tell what the listener does.
cimport cython

from ..contract cimport H3Limits
from .packets cimport Draft, Reader, SentPacket, size_varint
from .streams cimport Piece, Stream

cdef int FINAL_SIZE_ERROR
cdef int FLOW_CONTROL_ERROR
cdef int FRAME_ENCODING_ERROR
cdef int STREAM_LIMIT_ERROR
cdef int STREAM_STATE_ERROR
cdef Py_ssize_t CREDIT_BYTES
cdef Py_ssize_t HIGH_WATER
cdef Py_ssize_t LOW_WATER
cdef int UNI_STREAMS
cdef int BIDI_STREAMS
cdef int CONNECTION_WINDOW
cdef int DATA
cdef int DISCARDING
cdef int ENDED
cdef int LAST_DATA
cdef int OPEN
cdef int OVER
cdef int RESET
cdef int RESETTING
cdef int STOP
cdef int UNI_STREAMS_ALLOWED
cdef int WINDOW
cdef int RESET_STREAM
cdef int STOP_SENDING
cdef int STREAM
cdef int MAX_DATA
cdef int MAX_STREAM_DATA
cdef int MAX_STREAMS_BIDI
cdef int MAX_STREAMS_UNI
cdef Py_ssize_t LARGEST_OFFSET
cdef int WORD_BYTES
cdef int LEAST_DATA
cdef int TELL_DATA
cdef int TELL_RESET
cdef int TELL_STOP
cdef int TELL_DRAINED
cdef int TELL_CLOSED


@cython.final
cdef class Allowance:
    cdef readonly int kind
    cdef readonly int frame_type
    cdef readonly Py_ssize_t width
    cdef public Py_ssize_t limit
    cdef public Py_ssize_t opened
    cdef readonly Py_ssize_t closed
    cdef public bint is_wanted

    @cython.locals(grant=Py_ssize_t)
    cpdef close_one(self)


@cython.final
cdef class Table:
    cdef readonly dict streams
    cdef readonly Py_ssize_t unsent
    cdef public bint is_closed
    cdef readonly Allowance bidi
    cdef readonly Allowance uni
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
    @cython.locals(stream=Stream, allowance=Allowance, index=Py_ssize_t, sends=bint, opened=Py_ssize_t)
    cdef Stream _find(self, Py_ssize_t number, int frame_type, bint receives)

    @cython.locals(number=Py_ssize_t, allowed=Py_ssize_t)
    cpdef Py_ssize_t open_uni(self) except -1
    @cython.locals(stream=Stream)
    cpdef send(self, Py_ssize_t number, bytes data, bint ends)
    @cython.locals(stream=Stream)
    cpdef reset(self, Py_ssize_t number, Py_ssize_t code)
    @cython.locals(stream=Stream)
    cpdef stop(self, Py_ssize_t number, Py_ssize_t code)
    @cython.locals(stream=Stream, grant=Py_ssize_t)
    cpdef acknowledge(self, Py_ssize_t number, Py_ssize_t size)
    @cython.locals(stream=Stream)
    cpdef Py_ssize_t get_unsent(self, Py_ssize_t number) except -1
    @cython.locals(grant=Py_ssize_t)
    cdef _credit(self, Stream stream, Py_ssize_t size)
    cdef _give_up(self, Stream stream, Py_ssize_t code)
    @cython.locals(number=Py_ssize_t)
    cdef _check_over(self, Stream stream)
    cdef _make_ready(self, Stream stream)
    cdef _note(self, Stream stream)

    @cython.locals(told=list, entry=tuple)
    cpdef tell(self)
    @cython.locals(kind=int)
    cdef _tell_one(self, tuple entry)

    cpdef bint has_words(self) except -1
    cpdef bint has_data(self) except -1
    @cython.locals(stream=Stream)
    cpdef write(self, Draft draft)
    cdef _write_allowance(self, Draft draft, Allowance allowance)
    @cython.locals(out=bytearray)
    cdef _write_words(self, Stream stream, Draft draft)
    @cython.locals(
        out=bytearray, room=Py_ssize_t, start=Py_ssize_t, stop=Py_ssize_t, most=Py_ssize_t, size=Py_ssize_t, ends=bint
    )
    cdef bint _write_data(self, Stream stream, Draft draft) except -1

    @cython.locals(piece=Piece, kind=int, stream=Stream)
    cpdef on_acked(self, SentPacket packet)
    @cython.locals(stream=Stream)
    cdef _note_acked(self, Piece piece)
    @cython.locals(piece=Piece, kind=int, stream=Stream)
    cpdef on_lost(self, SentPacket packet)
    cdef _note_lost(self, Stream stream, Piece piece)

# The engine makes the application's calls, writes each packet, and tells when one has been acted upon.
# Error contract: tell raises what the listener does, on_* of a frame TransportFault; nothing else raises.
cimport cython

from .packets cimport Draft, Reader, SentPacket, size_varint
from .receiving cimport Grant, Receiving
from .streams cimport Piece, Stream

cdef Py_ssize_t CREDIT_BYTES
cdef int MAX_DATA
cdef int MAX_STREAM_DATA
cdef int RESET_STREAM
cdef int STOP_SENDING
cdef int STREAM
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
cdef int TELL_CLOSED
cdef int TELL_DATA
cdef int TELL_RESET
cdef int TELL_STOP
cdef int WINDOW
cdef int WORD_BYTES
cdef int LEAST_DATA


@cython.final
cdef class Table(Receiving):
    cdef readonly Py_ssize_t unsent
    cdef public bint is_closed
    cdef readonly object ready
    cdef object _listener
    cdef bint _is_telling
    cdef object _noted
    cdef list _starved
    # What the peer allows, and what was sent, each byte counted once.
    cdef Py_ssize_t _allowed
    cdef Py_ssize_t _sent
    cdef Py_ssize_t _allowed_uni
    cdef Py_ssize_t _allowed_uni_streams

    cpdef begin(self, Py_ssize_t data, Py_ssize_t stream_bidi, Py_ssize_t stream_uni, Py_ssize_t uni_streams)
    @cython.locals(stream=Stream, first=Py_ssize_t, number=Py_ssize_t)
    cpdef allow_uni_streams(self, Py_ssize_t count)
    @cython.locals(limit=Py_ssize_t)
    cpdef on_max_data(self, Reader reader)
    @cython.locals(stream=Stream, number=Py_ssize_t, limit=Py_ssize_t)
    cpdef on_max_stream_data(self, Reader reader)
    @cython.locals(stream=Stream, number=Py_ssize_t, code=Py_ssize_t)
    cpdef on_stop_sending(self, Reader reader)

    @cython.locals(number=Py_ssize_t, allowed=Py_ssize_t)
    cpdef Py_ssize_t open_uni(self) except -1
    @cython.locals(stream=Stream)
    cpdef send(self, Py_ssize_t number, bytes data, bint ends)
    @cython.locals(stream=Stream)
    cpdef reset(self, Py_ssize_t number, Py_ssize_t code)
    @cython.locals(stream=Stream)
    cpdef stop(self, Py_ssize_t number, Py_ssize_t code)
    @cython.locals(stream=Stream, more=Py_ssize_t)
    cpdef consume(self, Py_ssize_t number, Py_ssize_t size)
    @cython.locals(stream=Stream)
    cpdef Py_ssize_t get_unsent(self, Py_ssize_t number) except -1
    cdef _give_up(self, Stream stream, Py_ssize_t code)
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
    cdef _write_grant(self, Draft draft, Grant grant)
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

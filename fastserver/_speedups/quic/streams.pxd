# The table calls, its pieces travel in packets.  Error contract: keep raises TransportFault; nothing else does.
cimport cython

from .packets cimport Ranges

cdef int INTERNAL_ERROR
cdef int STREAM_GAPS
cdef int DISCARDING
cdef int LAST_DATA
cdef int OPEN
cdef int ENDED
cdef int RESETTING
cdef int OVER


@cython.final
cdef class Piece:
    cdef readonly int kind
    cdef readonly Stream stream
    cdef readonly Py_ssize_t start
    cdef readonly Py_ssize_t stop

    cpdef bint is_data(self) noexcept


@cython.final
cdef class Run:
    cdef readonly Py_ssize_t start
    cdef public bytearray data

    cpdef Py_ssize_t end(self) noexcept


@cython.final
cdef class Stream:
    cdef readonly Py_ssize_t number
    # The receiving half: contiguous bytes, the highest seen, the final size or -1, consumed, promised.
    cdef readonly int receiving
    cdef public Py_ssize_t received
    cdef public Py_ssize_t highest
    cdef public Py_ssize_t final
    cdef public Py_ssize_t consumed
    cdef readonly Py_ssize_t window
    cdef public Py_ssize_t limit
    cdef readonly Py_ssize_t stop_code
    cdef public bint wants_stop
    cdef public bint wants_window
    cdef public bint is_noted  # among the streams that have a word to say beside data
    cdef list _runs
    # The sending half.
    cdef readonly int sending
    cdef public Py_ssize_t allowed
    cdef readonly Py_ssize_t queued
    cdef public Py_ssize_t sent
    cdef public bint wants_end
    cdef public bint end_is_acked
    cdef public bint wants_reset
    cdef readonly Py_ssize_t reset_code
    cdef public bint is_ready  # among the streams that have data to send
    cdef list _parts
    cdef list _starts
    cdef Py_ssize_t _acked
    cdef Ranges _acked_above
    cdef Ranges _lost

    @cython.locals(runs=list, index=Py_ssize_t, run=Run, following=Run)
    cpdef keep(self, Py_ssize_t offset, bytes data)
    @cython.locals(runs=list, run=Run, stop=Py_ssize_t)
    cpdef bytes take_run(self)
    cpdef end_receiving(self)
    cpdef discard(self, Py_ssize_t code)
    cpdef queue(self, bytes data, bint ends)
    cpdef Py_ssize_t give_up(self, Py_ssize_t code) except -1
    cpdef end_sending(self)
    cpdef bint has_lost(self) except -1
    cpdef bint has_new(self) except -1
    cpdef bint may_send(self) except -1
    @cython.locals(start=Py_ssize_t, stop=Py_ssize_t)
    cpdef tuple take_lost(self, Py_ssize_t size)
    @cython.locals(starts=list, index=Py_ssize_t, part=bytes, base=Py_ssize_t, size=Py_ssize_t)
    cpdef copy_to(self, bytearray out, Py_ssize_t start, Py_ssize_t stop)
    @cython.locals(above=Ranges, low=Py_ssize_t, high=Py_ssize_t)
    cpdef note_acked(self, Py_ssize_t start, Py_ssize_t stop)
    @cython.locals(done=Py_ssize_t)
    cdef _let_go(self)
    cpdef note_lost(self, Py_ssize_t start, Py_ssize_t stop)
    cpdef bint has_arrived(self) except -1


@cython.locals(skipped=Py_ssize_t)
cdef _extend(Run run, Py_ssize_t offset, object data)

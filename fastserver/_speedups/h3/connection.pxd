# Fields first, then who calls what: the transport calls the Protocol methods, the engine those that begin with on_,
# all others are the connection's own.
cimport cython

from ..contract cimport Exchange, H3Limits, Request, note_refusal
from ..events cimport Closed, RawData, Updated
from .intake cimport Intake
from .lanes cimport Lanes
from .stream cimport H3Stream

cdef Updated IDLE
cdef Closed CLOSED
cdef double _NEVER
cdef double _EVERY_TICK
cdef long long DISCARD_BYTES
cdef double DISCARD_S
cdef double LEAVE_S
cdef long long LARGEST_STREAM
cdef frozenset _ENDED
cdef tuple _HEAD


@cython.final
cdef class H3Connection(Intake):
    # The bases' methods have their signatures in outlet.pxd and intake.pxd.
    cdef object _state
    cdef double _leave_at
    cdef Lanes _lanes

    cdef _move(self, step)
    @cython.locals(stream=H3Stream)
    cdef _check_streams(self, double now)
    @cython.locals(stream=H3Stream, exchange=Exchange)
    cdef _tell_drain(self)
    @cython.locals(stream=H3Stream, exchange=Exchange)
    cdef _tell_stream_deadline(self)
    @cython.locals(stream=H3Stream)
    cdef _disconnect_all(self)

    cpdef on_handshake(self)
    cpdef on_stream_data(self, long long stream_id, bytes data, bint ends)
    cpdef on_stream_reset(self, long long stream_id)
    cpdef on_stop_sending(self, long long stream_id)
    cpdef on_stream_closed(self, long long stream_id)
    cpdef on_connection_id(self, bytes cid, bint is_new)
    cpdef on_path(self, tuple address)
    cpdef on_terminated(self, end, code)
    cdef _receive(self, RawData event)

    @cython.locals(exchange=Exchange)
    cdef _disconnect(self, H3Stream stream)
    cdef _count_end(self, end, code)
    @cython.locals(stream=H3Stream)
    cdef _cancel(self, long long stream_id, bint reset)
    @cython.locals(tail=H3Stream)
    cdef _cancel_tail(self, long long stream_id, bint reset)
    @cython.locals(rest="long long")
    cdef _let_go(self, H3Stream stream)
    cdef _finish_turn(self)

    @cython.locals(exchange=Exchange)
    cdef _check_stream(self, H3Stream stream, double now)
    @cython.locals(limits=H3Limits)
    cdef _judge_body(self, H3Stream stream, double now)
    @cython.locals(unsent="long long", gone="long long")
    cdef _check_stall(self, H3Stream stream, double now)
    cdef _enter_leaving(self)
    cdef _fail(self, fault)
    cdef _end(self, code, reason)
    cdef _enter_closing(self)
    cdef _close(self)
    cdef _note_farewell(self)
    cdef _lose(self)

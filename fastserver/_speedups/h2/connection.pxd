# Fields first, then who calls what: the transport calls the Protocol methods, the engine those that begin with on_,
# all others are the connection's own.
cimport cython

from ..bodyclock cimport BodyClock
from ..contract cimport Connection, Exchange, Host, Limits, Request, note_refusal
from ..events cimport Closed, RawData, Updated
from ..fieldlist cimport check_trailers, read_field_list
from .budget cimport Budget
from .outlet cimport Outlet
from .stream cimport H2Stream

cdef Updated ACTIVE
cdef Updated IDLE
cdef Closed CLOSED
cdef double _NEVER
cdef double _EVERY_TICK
cdef Py_ssize_t LINGER_BYTES
cdef double LINGER_S
cdef long long DISCARD_BYTES
cdef double DISCARD_S
cdef Py_ssize_t HELD_BYTES
cdef double LEAVE_S
cdef double SETTINGS_S
cdef Py_ssize_t SLICE_BYTES
cdef long TURN_FRAMES
cdef frozenset _ENDED
cdef tuple _HEAD


@cython.final
cdef class H2Connection(Outlet):
    # The base's methods (end_response, abort_stream, finish_turn) have their signatures in outlet.pxd.
    cdef object _state
    cdef dict _streams
    cdef bint _reading_paused
    cdef bytes _held
    cdef bint _is_behind
    cdef bint _is_started
    cdef bint _at_eof
    cdef bint _is_draining
    cdef bint _is_idle
    cdef long _last_stream
    cdef long _late
    cdef double _leave_at
    cdef double _settled_by
    cdef double _block_by
    cdef double _linger_until
    cdef Py_ssize_t _discarded

    cdef _move(self, step)
    @cython.locals(stream=H2Stream)
    cdef _check_streams(self, double now)
    @cython.locals(stream=H2Stream, exchange=Exchange)
    cdef _tell_writable(self)
    @cython.locals(stream=H2Stream, exchange=Exchange)
    cdef _tell_drain(self)
    @cython.locals(stream=H2Stream, exchange=Exchange)
    cdef _tell_stream_deadline(self)
    cdef _start(self)
    cdef _receive(self, bytes data)
    @cython.locals(frames=long, offset=Py_ssize_t, size=Py_ssize_t)
    cdef _read(self, bytes data)
    @cython.locals(stream=H2Stream, exchange=Exchange)
    cdef _end_reading(self)
    cpdef _continue(self)
    cdef _pause_reading(self)
    cdef _resume_reading(self)

    @cython.locals(host=Host, limit=long, request=Request, stream=H2Stream)
    cpdef on_head(self, long stream_id, list fields, bint ends)
    @cython.locals(connection=Connection, exchange=Exchange, limit="long long")
    cdef _begin(self, H2Stream stream)
    cdef _add_stream(self, H2Stream stream)
    @cython.locals(stream=H2Stream)
    cdef _refuse_head(self, long stream_id, error, list fields, bint ends)
    @cython.locals(stream=H2Stream, exchange=Exchange, body_size=Py_ssize_t, limit="long long")
    cpdef on_data(self, long stream_id, bytes data, Py_ssize_t size, bint ends)
    @cython.locals(stream=H2Stream, exchange=Exchange)
    cpdef on_trailers(self, long stream_id, list fields)
    @cython.locals(stream=H2Stream)
    cpdef on_reset(self, long stream_id)
    @cython.locals(stream=H2Stream)
    cpdef on_window(self, long stream_id)
    cpdef on_settings_acknowledged(self)
    cpdef on_go_away(self)

    @cython.locals(exchange=Exchange)
    cdef _disconnect(self, H2Stream stream)
    cdef _fail_malformed(self, H2Stream stream, str reason)
    @cython.locals(exchange=Exchange)
    cdef _refuse(self, H2Stream stream, error)
    cdef _discard(self, H2Stream stream, Py_ssize_t size, bint ends)
    cdef _stop_discarding(self, H2Stream stream)
    cdef _close_stream(self, H2Stream stream)
    @cython.locals(rest="long long")
    cdef _let_go(self, H2Stream stream)

    cdef _check_block(self, double now)
    @cython.locals(limits=Limits, exchange=Exchange, since=double)
    cdef _check_stream(self, H2Stream stream, double now)
    @cython.locals(window="long long")
    cdef _judge_body(self, H2Stream stream, double now)
    cdef _enter_draining(self)
    cdef _enter_leaving(self)
    cdef _fail_deadline(self, int code, str reason)
    cdef _enter_lingering(self, fault)
    cdef _close(self)
    cdef _lose(self)

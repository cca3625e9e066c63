# The account is C numbers; what a transport gives is called through the vtable.
cimport cython

from .clock cimport Clock
from .contract cimport Connection, Host, Limits, Peer, Protocol
from .events cimport Closed, RawData, Updated
from .metrics cimport Metrics, Tally

# Imported objects that are held as C globals.
cdef Updated IS_ACTIVE
cdef Updated IS_IDLE
cdef Closed IS_CLOSED
cdef object _IN
cdef object _OUT
cdef tuple _STATES

cdef int CONNECTING
cdef int ACTIVE
cdef int IDLE
cdef int CLOSING
cdef int CLOSED

cdef double _NEVER
cdef double _IDLE_FOR_EVER
cdef double CROWDED_SHARE


cdef class LiveConnection(Connection):
    cdef readonly Host host
    cdef readonly Protocol wire
    cdef readonly str protocol
    cdef readonly double since
    cdef readonly double opened
    cdef readonly long long id
    cdef readonly long long bytes_in
    cdef readonly long long bytes_out
    cdef Metrics _metrics
    cdef Clock _clock
    cdef Peer _peer
    cdef double _idle_deadline
    cdef int _stage
    cdef bint _ended_here
    cdef bint _ended_there
    cdef bint _is_leaving

    @cython.locals(wire=Protocol)
    cpdef _close_gracefully(self)
    cpdef refuse(self)
    @cython.locals(host=Host)
    cpdef enter(self, Protocol wire, str name)
    cpdef switch(self, Protocol wire, str name)
    @cython.locals(size=Py_ssize_t)
    cpdef take(self, RawData event)
    cpdef take_eof(self)
    @cython.locals(host=Host, wire=Protocol)
    cpdef lose(self)
    cpdef note_sent(self, Py_ssize_t size)
    cpdef end(self)
    @cython.final
    @cython.locals(size=Py_ssize_t)
    cdef int _send_data(self, RawData event) except -1
    @cython.final
    @cython.locals(stage=int)
    cdef int _update(self, Updated event) except -1
    @cython.final
    cdef void _move(self, int stage) noexcept
    @cython.locals(wire=Protocol)
    cpdef sweep(self, double now)
    cpdef drain(self)
    cpdef end_streams(self)
    @cython.final
    @cython.locals(host=Host, limits=Limits)
    cdef double _idle_until(self) except? -1
    cpdef write_out(self, RawData event)
    cpdef close_out(self)
    cpdef bint is_readable(self) except -1
    cpdef check_writing(self, double now)


@cython.locals(limit="long long")
cpdef bint has_room(Host host) except -1

cpdef count_full(Host host)
@cython.locals(connection=LiveConnection, now=double)
cpdef sweep(Host host)
@cython.locals(connection=LiveConnection)
cpdef drain(Host host)
@cython.locals(connection=LiveConnection)
cpdef end_streams(Host host)
@cython.locals(connection=LiveConnection)
cpdef abort(Host host)
@cython.locals(connection=LiveConnection)
cpdef dict survey(Host host)
@cython.locals(connection=LiveConnection, streams=long)
cpdef dict count_streams(Host host)

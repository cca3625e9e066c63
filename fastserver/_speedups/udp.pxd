# What the loop calls are plain Python methods; what passes between a port and its connections is C.
cimport cython

from .connection cimport LiveConnection
from .contract cimport Host, Peer, Protocol
from .datagrams cimport receive, render_local, send
from .kernels cimport raw_datagram

# Imported classes that are held as C globals.
cdef object Farewell
cdef object Forward
cdef object Open

cdef double _NEVER
cdef Py_ssize_t BATCH_DATAGRAMS
cdef Py_ssize_t READ_DATAGRAMS
cdef Py_ssize_t FLUSH_DATAGRAMS
cdef double EXPIRY_S


@cython.final
cdef class UDPConnection(LiveConnection):
    cdef readonly tuple address
    cdef UDPPort _port
    cdef bytes _local
    cdef object _tls
    cdef object __weakref__
    cdef double _due
    cdef double _entry
    cdef bint _asks
    cdef bint _is_over
    cdef object _farewell

    cdef accept(self, bytes data, tuple address, bytes local)
    @cython.locals(wire=Protocol)
    cdef fire(self, double now)
    cdef drop(self)
    @cython.locals(port=UDPPort)
    cdef Peer _make_peer(self)


@cython.final
cdef class UDPPort:
    cdef readonly Host host
    cdef readonly tuple name
    cdef readonly object protocol
    cdef object _sock
    cdef object _loop
    cdef object _dispatcher
    cdef object _forward
    cdef object _turn
    cdef object _timer
    cdef object __weakref__
    cdef dict _connections
    cdef list _out
    cdef list _asking
    cdef list _leaving
    cdef readonly list _deadlines
    cdef double _timer_at
    cdef double _expires_at
    cdef int _fd
    cdef bint _is_blocked

    @cython.locals(left=Py_ssize_t, batch=list, now=double)
    cpdef on_readable(self)
    @cython.locals(when=double, now=double, connection=UDPConnection, deadlines=list)
    cpdef on_timer(self)
    cpdef deliver(self, bytes data, tuple address, bytes local)
    @cython.locals(now=double)
    cdef double _tick(self) except? -1
    @cython.locals(connection=UDPConnection)
    cdef _accept(self, bytes data, tuple address, bytes local, double now, bint is_forwarded)
    cdef UDPConnection _admit(self, bytes data, tuple address, bytes local, double now, bint is_forwarded)
    @cython.locals(connection=UDPConnection)
    cdef UDPConnection _open(self, verdict, tuple address, bytes local)
    cdef _fail(self, UDPConnection connection, error)
    @cython.locals(now=double)
    cpdef note_handshake(self, UDPConnection connection)
    cdef queue(self, bytes data, tuple address, bytes local)
    cdef ask(self, UDPConnection connection)
    cdef leave(self, UDPConnection connection)
    cdef plan(self, UDPConnection connection, double when)
    cdef _schedule(self)
    @cython.locals(now=double, index=Py_ssize_t, asking=list, connection=UDPConnection)
    cpdef _end_turn(self)
    @cython.locals(count=Py_ssize_t, out=list)
    cdef bint _flush(self) except -1
    @cython.locals(connection=UDPConnection, leaving=list, now=double)
    cdef _lose_leaving(self)
    cdef _plan_expiry(self, double now)
    @cython.locals(deadlines=list, each=UDPConnection)
    cdef _push(self, UDPConnection connection)
    @cython.locals(when=double)
    cdef _arm(self)

# What the loop calls are plain Python methods (the loop looks them up once per connection); the rest is C.
cimport cython

from .contract cimport Connection, Host, Limits, Peer, Protocol
from .events cimport Closed, RawData, Updated
from .h1 cimport H1Connection
from .kernels cimport raw_data

cdef double _NEVER


@cython.final
cdef class TCPConnection(Connection):
    cdef readonly Host host
    cdef readonly object transport
    cdef readonly Protocol protocol
    cdef object make_tls_facts
    cdef object _write
    cdef Peer _peer
    cdef object __weakref__
    cdef double _idle_deadline
    cdef double _stall_deadline
    cdef Py_ssize_t _stalled_bytes

    cpdef sweep(self, double now)
    cpdef drain(self)
    cdef double _idle_until(self) except? -1
    cdef bint _is_readable(self) except -1
    cdef int _fileno(self) except? -2
    cdef _arm_stall(self)
    cdef _watch_rest(self)
    cdef _check_stall(self)
    cdef Peer _make_peer(self)


cdef tuple _as_address(name, bint is_server)

@cython.locals(connection=TCPConnection, now=double)
cpdef sweep(Host host)
@cython.locals(connection=TCPConnection)
cpdef drain(Host host)
@cython.locals(connection=TCPConnection)
cpdef abort(Host host)

# What the loop calls are plain Python methods (the loop looks them up once per connection); the rest is C.
cimport cython

from .connection cimport LiveConnection, has_room
from .contract cimport Host, Peer, Protocol
from .events cimport RawData
from .kernels cimport raw_data, send_bytes

cdef double _NEVER
cdef int _UNKNOWN_FD


@cython.final
cdef class TCPConnection(LiveConnection):
    cdef readonly object transport
    cdef object _pipeline
    cdef object _write
    cdef object __weakref__
    cdef double _stall_deadline
    cdef Py_ssize_t _stalled_bytes
    cdef int _fd
    cdef bint _queued

    cdef int _find_plain_fd(self) except? -3
    cdef int _fileno(self) except? -2
    cdef _arm_stall(self)
    cdef _watch_rest(self)
    @cython.locals(size=Py_ssize_t)
    cdef _check_stall(self)
    cdef Py_ssize_t _count_unsent(self) except -1
    cdef Peer _make_peer(self)


cpdef int count_unsent(int fd) except -1
cdef tuple _as_address(name, bint is_server)

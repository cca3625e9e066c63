# The fields without an underscore are the stream's to read.  The methods are called by the stream up to abort, by the
# connection behind that.
cimport cython

from ..contract cimport Connection, Host, Protocol, ResponseHead
from ..events cimport Closed
from ..kernels cimport raw_data
from ..rendering cimport has_field, inspect_response, render_response

# An imported object that is held as a C global.
cdef Closed CLOSED

cdef int _MOVES[121]
cdef int NO_MOVE
cdef int STEPS
cdef int CONNECTION_CLOSED
cdef int RESPONSE_BEGINS
cdef int CLOSE

cdef Py_ssize_t CORK_BYTES
cdef Py_ssize_t COPY_BYTES
cdef double _NEVER
cdef bytes _CLOSE_FIELD


cdef class Outlet(Protocol):
    cdef Connection connection
    cdef Host host
    cdef public bytes alt_svc
    cdef bytes _out
    cdef int _state
    cdef int _corks
    cdef bint _writing_paused
    cdef bint _is_draining

    @cython.locals(state=int)
    cdef _move(self, int step)

    cdef begin_response(self)
    @cython.locals(limit="long long")
    cdef bint may_take_another(self)
    cdef bint is_writable(self)
    @cython.locals(host=Host, date_field=bytes, server_field=bytes, extra_fields=bytes)
    cdef write_head(self, ResponseHead head, bytes body, long long content_length, bint chunked, bytes connection_field)
    cdef write(self, bytes data)
    @cython.locals(out=bytes)
    cdef flush(self)
    cdef cork(self)
    cpdef uncork(self)
    cdef abort(self)

    cdef _uncork_soon(self)
    @cython.locals(head=ResponseHead, body=bytes)
    cdef _answer(self, error)
    cdef _close(self)

    cpdef finish_turn(self)

# The application's half, which the loop's knows as what is called for each of its steps (answer.pxd).
cimport cython

from ..contract cimport Request, ResponseHead, Sink, is_bodyless
from ..kernels cimport call_in, copy_context
from .answer cimport WSGIAnswer, WSGICallable
from .head cimport make_head

cdef int RUNNING
cdef int CLOSING

cdef int NOTHING
cdef int PART
cdef int LAST
cdef int CUT_SHORT
cdef int HEAD_ONLY
cdef int FAULT
cdef int FILE

cdef int AHEAD_BYTES
cdef int JOINED_BYTES
cdef int PARTS_PER_TURN


@cython.final
cdef class WSGIExchange(WSGIAnswer):
    cdef ResponseHead _head
    cdef object _result
    cdef object _iterator
    cdef long long _left
    cdef long long _posted
    cdef bint _begun
    cdef bint _finished

    cdef begin(self, WSGICallable application, Sink sink, Request request)
    @cython.locals(length="long long")
    cdef bint _step(self) except -1
    cdef dict _make_environ(self)
    @cython.locals(body=bytes)
    cpdef write(self, data)
    @cython.locals(body=bytes)
    cdef bint _begin_result(self) except -1
    @cython.locals(size=Py_ssize_t)
    cdef bytes _join(self, parts)
    @cython.locals(body=bytes, budget=int)
    cdef bint _pull(self) except -1
    @cython.locals(head=ResponseHead)
    cdef bint _send(self, bytes body) except -1
    @cython.locals(head=ResponseHead, bodyless=bint)
    cdef _finish(self)
    cdef _end_badly(self, failure)
    @cython.locals(is_told=bint)
    cdef _fail(self, failure)
    cdef _close(self, bint ended)
    @cython.locals(head=ResponseHead)
    cdef bint _send_file(self) except -1
    cdef _post(self, int step, ResponseHead head, bytes body, bint ended)
    cdef _wait_for_room(self)


@cython.final
cdef class WSGIApplication(WSGICallable):
    pass


@cython.locals(exchange=WSGIExchange)
cdef WSGIExchange open_exchange(WSGICallable application, Sink sink, Request request)
cdef bytes as_bytes(body)

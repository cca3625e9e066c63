# `open` and `feed` are called once per read; the callbacks only by httptools.
cimport cython

from .contract cimport Request
from .kernels cimport find_head_end


@cython.final
cdef class RequestParser:
    cdef readonly bint complete
    cdef readonly long long received
    cdef object _parser
    cdef object _feed
    cdef bytes _body
    cdef list _parts
    cdef bint _chunked
    cdef long long _remaining
    cdef long long _chunks
    cdef long long _excess
    cdef bytes _tail

    cdef _replace_parser(self)
    cpdef close(self)
    @cython.locals(announced=bint)
    cpdef Py_ssize_t open(self, Request request, bytes data, Py_ssize_t start, Py_ssize_t head_end) except -1
    cdef _reset_chunked_state(self)
    cdef bint _feed_upgrade(self, bytes head) except -1
    cdef _restart(self, Request request)
    @cython.locals(size=Py_ssize_t, stop=Py_ssize_t, chunks="long long", received="long long")
    cpdef Py_ssize_t feed(self, bytes data, Py_ssize_t start) except -1
    @cython.locals(straddling=Py_ssize_t, end=Py_ssize_t)
    cdef Py_ssize_t _find_piece_end(self, bytes data, Py_ssize_t start) except -1
    cdef _feed_piece(self, bytes data, Py_ssize_t start, Py_ssize_t stop)
    cpdef bytes take_body(self)
    cpdef bint is_reusable(self) except -1


cdef list _pool

cpdef RequestParser borrow_parser()
cpdef return_parser(RequestParser parser)

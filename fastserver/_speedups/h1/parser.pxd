# `open` and `feed` are called once per read; the callbacks only by httptools.
cimport cython

from ..contract cimport Request

cdef int _IN_SIZE_LINE
cdef int _IN_DATA
cdef int _IN_TRAILERS
cdef int _AT_END
cdef long long _CHUNK_SIZE_LIMIT


@cython.final
cdef class RequestParser:
    cdef readonly bint complete
    cdef readonly bint begun
    cdef readonly long long received
    cdef object _parser
    cdef object _feed
    cdef bytes _body
    cdef list _parts
    cdef bint _is_reusable
    cdef bint _chunked
    cdef long long _remaining
    # The walk over a chunked body.
    cdef int _walk
    cdef bint _size_ended
    cdef long long _chunk_size
    cdef long long _chunk_rest
    cdef long long _line_bytes
    cdef long long _excess
    cdef long long _trailer_bytes
    cdef long long _trailers

    cdef _replace_parser(self)
    cpdef close(self)
    @cython.locals(announced=bint)
    cpdef Py_ssize_t open(self, Request request, bytes data, Py_ssize_t start, Py_ssize_t head_end) except -1
    cdef bint _feed_upgrade(self, bytes head) except -1
    cdef _restart(self)
    @cython.locals(stop=Py_ssize_t, at_end=bint)
    cpdef Py_ssize_t feed(self, bytes data, Py_ssize_t start) except -1
    @cython.locals(index=Py_ssize_t, size=Py_ssize_t, step=Py_ssize_t, line_end=Py_ssize_t, stop=Py_ssize_t)
    cdef Py_ssize_t _walk_chunks(self, bytes data, Py_ssize_t start) except -1
    cdef _begin_size_line(self)
    @cython.locals(index=Py_ssize_t, byte=int, digit=int)
    cdef _read_chunk_size(self, bytes data, Py_ssize_t start, Py_ssize_t stop)
    cdef _check_line(self, bint is_whole)
    cdef _feed_piece(self, bytes data, Py_ssize_t start, Py_ssize_t stop)
    cpdef bytes take_body(self)
    cpdef bint is_reusable(self) except -1


cdef Py_ssize_t _POOL_SIZE
cdef list _pool
cdef Py_ssize_t _pooled

@cython.locals(parser=RequestParser)
cpdef RequestParser borrow_parser()
cpdef return_parser(RequestParser parser)

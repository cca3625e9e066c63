# The access log's lines, rendered into one buffer.  A Python class (`logs.accesslog`) derives from LineBuffer
# and writes.
cimport cython

from .contract cimport Peer, Request, ResponseHead

# What a piece of a line is.  ``logline.py`` has the same numbers as constants.
cdef enum Code:
    LITERAL_ = 0
    TIME_ = 1
    TIME_MS_ = 2
    CLIENT_ = 3
    METHOD_ = 4
    PATH_ = 5
    QUERY_ = 6
    TARGET_ = 7
    PROTOCOL_ = 8
    SCHEME_ = 9
    STATUS_ = 10
    BYTES_ = 11
    BYTES_OR_DASH_ = 12
    SECONDS_ = 13
    MILLISECONDS_ = 14
    MICROSECONDS_ = 15
    DURATION_S_ = 16
    DURATION_MS_ = 17
    REQUEST_FIELD_ = 18
    RESPONSE_FIELD_ = 19
    DERIVED_ = 20
    INSERTED_ = 21
    BY_STATUS_ = 22
    CALL_ = 23

cdef struct Piece:
    int code
    void* argument  # borrowed: the buffer's list of pieces holds it
    void* function  # likewise, or NULL
    const char* text  # the bytes of the argument, where it is bytes
    Py_ssize_t size
    long long second  # of a time: that of its text
    void* cached  # that text; owned


cdef class LineBuffer:
    cdef readonly long long failed
    cdef list _kept
    cdef Piece* _pieces
    cdef Py_ssize_t _count
    cdef char* _data
    cdef Py_ssize_t _size
    cdef Py_ssize_t _room
    cdef bint _is_json
    cdef object _excluded
    cdef object _matches
    cdef object _loop
    cdef bint _is_due
    cdef double _flushed_at

    cpdef add(self, Request request, int status, long long body_bytes, double duration_s, Peer peer, ResponseHead head,
              double wall_s)
    cpdef bytes take(self)
    @cython.final
    cdef bint _is_excluded(self, Request request) except -1
    @cython.final
    cdef int _render(self, Piece* piece, Request request, int status, long long body_bytes, double duration_s,
                     Peer peer, ResponseHead head, double wall_s) except -1
    @cython.final
    cdef int _grow(self, Py_ssize_t size) except -1
    @cython.final
    cdef int _put(self, const char* text, Py_ssize_t size) except -1
    @cython.final
    cdef int _put_number(self, long long number, int width) except -1
    @cython.final
    cdef int _put_fraction(self, double value, long long unit, int width) except -1
    @cython.final
    cdef int _put_bytes(self, object value) except -1
    @cython.final
    cdef int _put_text(self, object value) except -1
    @cython.final
    cdef int _put_target(self, Request request) except -1
    @cython.final
    cdef int _put_missing(self) except -1
    @cython.final
    cdef int _escape(self, const unsigned char* text, Py_ssize_t size) except -1
    @cython.final
    cdef int _put_time(self, Piece* piece, double wall_s) except -1
    @cython.final
    cdef int _put_derived(self, Piece* piece, Request request) except -1


cpdef double read_wall() noexcept

# Called for each message: is_full, put, is_empty, take.
cimport cython

cdef Py_ssize_t QUEUE_BYTES


@cython.final
cdef class Inbox:
    cdef Py_ssize_t _max_messages
    cdef list _messages
    cdef Py_ssize_t _bytes

    cpdef bint is_empty(self) except -1
    cpdef bint is_full(self) except -1
    cpdef put(self, message)
    cpdef take(self)
    cpdef clear(self)


cdef Py_ssize_t measure(message) except -1

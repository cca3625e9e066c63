# Error contract: feed raises EncoderStreamError or DecoderStreamError.
cimport cython

cdef bytes _CAPACITY_0
cdef int _CANCELLATION
cdef int _CANCELLATION_MASK
cdef int _LAST_SHIFT


@cython.final
cdef class EncoderStreamReader:
    cpdef feed(self, bytes data)


@cython.final
cdef class DecoderStreamReader:
    cdef bint _is_inside
    cdef int _shift

    @cython.locals(place=Py_ssize_t, byte=int)
    cpdef feed(self, bytes data)

# One per multiplexed connection.
cimport cython

from .contract cimport Host, ResponseHead

cdef dict _LINES


@cython.final
cdef class OwnFields:
    cdef Host _host
    cdef list _extra

    @cython.locals(host=Host, name=bytes)
    cpdef list add(self, ResponseHead head, list fields)


@cython.locals(pair=tuple)
cdef tuple split_line(bytes line)

# One per multiplexed connection.
cimport cython

from .contract cimport Host, ResponseHead
from .rendering cimport has_field

cdef dict _LINES


@cython.final
cdef class OwnFields:
    cdef Host _host
    cdef list _extra

    @cython.locals(host=Host, name=bytes)
    cpdef list add(self, ResponseHead head, list fields, bytes alt_svc=*)


@cython.locals(pair=tuple)
cdef tuple split_line(bytes line)

# One OwnFields per multiplexed connection.
cimport cython

from .contract cimport Host, ResponseHead
from .rendering cimport has_field, inspect_response

cdef dict _LINES


@cython.final
cdef class OwnFields:
    cdef Host _host
    cdef list _extra

    @cython.locals(host=Host, name=bytes)
    cpdef list add(self, ResponseHead head, list fields, bytes alt_svc=*)


cpdef list list_response_fields(ResponseHead head, bytes body, bint more)
@cython.locals(body=bytes)
cpdef tuple compose_refusal(error)
@cython.locals(pair=tuple)
cdef tuple split_line(bytes line)

cimport cython

from ..contract cimport ResponseHead
from ..rendering cimport inspect_response

cdef dict _NAMES
cdef dict _STATUSES
cdef int NAMES


@cython.locals(pairs=list, pair=tuple, name=str, known=bytes, text=str, head=ResponseHead)
cpdef ResponseHead make_head(status, headers)
cdef bytes _encode_name(str name)
cdef int _read_status(str status) except -1
cdef int _parse_status(str status) except -1

cimport cython

from ..contract cimport ResponseHead
from ..rendering cimport begin_head, inspect_field, take_field

cdef dict _NAMES
cdef dict _STATUSES
cdef int NAMES
cdef int REMEMBERED_CHARACTERS


# What these hold leads back to neither.
@cython.final
@cython.no_gc
@cython.freelist(16)
cdef class Field:
    cdef str text
    cdef tuple pair
    cdef int kind


@cython.final
@cython.no_gc
cdef class FieldName:
    cdef bytes name
    cdef bint may_repeat
    cdef int misses
    cdef Field last


@cython.locals(pair=tuple, name=str, known=FieldName, field=Field, text=str, head=ResponseHead)
cpdef ResponseHead make_head(status, headers)
@cython.locals(known=FieldName)
cdef FieldName _learn_name(str name)
@cython.locals(field=Field, value=bytes)
cdef Field _read_field(FieldName known, str text)
cdef int _read_status(str status) except -1
cdef int _parse_status(str status) except -1

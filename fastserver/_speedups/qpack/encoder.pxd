# `encode_response` is called once for each response; a field that came before costs a look into a dictionary.
cimport cython

from ..hpack.encoder cimport append_integer
from ..hpack.strings cimport append_string

cdef bytes _PREFIX
cdef int _INDEX_MASK
cdef int _CHANGING
cdef int _SECRET
cdef dict _TRAITS
cdef dict _STATIC_INDEXES
cdef dict _LINES
cdef Py_ssize_t _MOST_LINES
cdef Py_ssize_t _LARGEST_KEPT
cdef dict _STATUS_STARTS


@cython.locals(parts=list)
cpdef bytes encode_fields(list fields)
@cython.locals(parts=list)
cpdef bytes encode_response(int status, list fields)
cdef bytes _find_line(object field)
@cython.locals(name=bytes, value=bytes, traits=int, line=bytes)
cdef bytes _make_line(object field)
@cython.locals(out=bytearray, is_secret=bint, index=int)
cdef bytes _render_line(bytes name, bytes value, int traits)
@cython.locals(text=bytearray, size=int)
cdef _append_name(bytearray out, bytes name, int first)

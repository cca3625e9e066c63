# `decode` is called once for each header block; what it finds in a table costs no new object.
cimport cython

from .strings cimport read_string
from .table cimport DynamicTable

cdef tuple _STATIC
cdef long long _STATIC_SIZE
cdef long long _ENTRY_OVERHEAD
cdef long long _LARGEST_INTEGER


@cython.final
cdef class Decoder:
    cdef public long long max_header_list_size
    cdef public long long max_allowed_table_size
    cdef long long _max_fields
    cdef long long _max_field_bytes
    cdef DynamicTable _table
    cdef Py_ssize_t _at

    @cython.locals(
        fields=list, count=longlong, total=longlong, size=longlong, end=Py_ssize_t, byte=int, field=tuple, name=bytes,
        value=bytes,
    )
    cpdef list decode(self, bytes block, bint raw=*)
    @cython.locals(size=longlong)
    cdef _read_updates(self, bytes block)
    @cython.locals(field=tuple)
    cdef tuple _find_entry(self, Py_ssize_t index)
    @cython.locals(index=Py_ssize_t, name=bytes)
    cdef tuple _read_literal(self, bytes block, int mask)
    @cython.locals(size=longlong, start=Py_ssize_t, is_huffman=bint)
    cdef bytes _read_string(self, bytes block, bint is_name)
    @cython.locals(value=longlong, byte=longlong, shift=int)
    cdef Py_ssize_t _read_integer(self, bytes block, int mask) except -1

# `encode_head` is called once for each response; a field that came before costs a look into the dynamic table.
cimport cython

from .strings cimport append_string
from .table cimport DynamicTable

cdef long long _STATIC_SIZE
cdef long long _ENTRY_OVERHEAD
cdef long long _LARGEST_TABLE
cdef int _INDEX_MASK
cdef int _UNINDEXED
cdef int _NEVER_INDEXED
cdef dict _TRAITS
cdef dict _STATIC_INDEXES
cdef dict _STATUS_INDEXES


@cython.final
cdef class Encoder:
    cdef DynamicTable _table
    cdef long long _allowed
    cdef long long _least

    @cython.locals(out=bytearray)
    cpdef bytes encode(self, object headers, bint huffman=*)
    @cython.locals(out=bytearray)
    cpdef bytes encode_head(self, int status, list fields)
    cdef _announce_size(self, bytearray out)
    cdef _append_field(self, bytearray out, object field, bint huffman)
    @cython.locals(name=bytes, value=bytes, entry=tuple, traits=int, index=Py_ssize_t, is_kept=bint)
    cdef _append_other(self, bytearray out, object field, bint huffman)
    cdef Py_ssize_t _index(self, Py_ssize_t number) except -1
    cdef Py_ssize_t _find_entry(self, tuple entry) except -1
    cdef Py_ssize_t _find_name(self, bytes name) except -1


cpdef append_integer(bytearray out, int first, int mask, long long value)

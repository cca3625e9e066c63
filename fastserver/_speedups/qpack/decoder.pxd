# `decode_fields` is called once for each field section; a field of the static table costs no new object.
cimport cython

from ..hpack.strings cimport read_string

cdef tuple _STATIC
cdef long long _STATIC_SIZE
cdef long long _FIELD_OVERHEAD
cdef long long _LARGEST_INTEGER


@cython.final
@cython.no_gc
@cython.freelist(8)
cdef class _Section:
    cdef bytes block
    cdef Py_ssize_t at
    cdef Py_ssize_t end
    cdef long long room

    cdef begin(self, bytes block, long long limit)
    cdef read_prefix(self)
    @cython.locals(byte=int, field=tuple, name=bytes, value=bytes)
    cdef tuple read_line(self)
    cdef int take(self, Py_ssize_t size) except -1
    cdef tuple find_entry(self, Py_ssize_t index)
    @cython.locals(size=Py_ssize_t, start=Py_ssize_t, is_huffman=bint, text=bytes)
    cdef bytes read_string(self, int flag, bint is_name)
    @cython.locals(value="long long", byte="long long", shift=int)
    cdef Py_ssize_t read_integer(self, int mask) except -1


@cython.locals(section=_Section, fields=list)
cpdef list decode_fields(bytes block, long long limit)

# The dynamic table: the decoder's and, searchable, the encoder's.
cimport cython

cdef Py_ssize_t _ENTRY_OVERHEAD


@cython.final
cdef class DynamicTable:
    cdef readonly long long capacity
    cdef readonly long long size
    cdef readonly long long added
    cdef readonly dict numbers
    cdef readonly dict names
    cdef list _entries
    cdef Py_ssize_t _gone

    @cython.locals(count=Py_ssize_t)
    cpdef tuple get(self, long long place)
    @cython.locals(name=bytes, value=bytes, size=longlong)
    cpdef add(self, tuple entry)
    cpdef resize(self, long long capacity)
    @cython.locals(entry=tuple, name=bytes, value=bytes)
    cdef _evict(self, long long room)

# C layout of the events.  `data` and `address` are set once by `__init__`, or by `raw_data`, which skips argument
# parsing; from Python they are read-only.
cimport cython


@cython.final
@cython.freelist(64)
cdef class RawData:
    cdef readonly bytes data
    cdef readonly tuple address

    cpdef __post_init__(self)


@cython.final
cdef class Closed:
    pass


@cython.final
cdef class Updated:
    cdef readonly bint idle

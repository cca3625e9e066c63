# The scanner makes one by __new__ and fills it; from then on nobody changes it.
cimport cython

# Imported classes that are held as C globals.
cdef object DataFrame
cdef object HeadersFrame
cdef object PingFrame
cdef object PriorityFrame
cdef object RstStreamFrame
cdef object SettingsFrame
cdef object WindowUpdateFrame


@cython.final
@cython.no_gc
@cython.freelist(32)
cdef class Data:
    cdef readonly long long stream_id
    cdef readonly frozenset flags
    cdef readonly bytes data
    cdef readonly long long flow_controlled_length


@cython.final
@cython.no_gc
@cython.freelist(32)
cdef class Headers:
    cdef readonly long long stream_id
    cdef readonly frozenset flags
    cdef readonly bytes data
    cdef readonly long long depends_on
    cdef readonly int stream_weight
    cdef readonly bint exclusive


@cython.final
@cython.no_gc
@cython.freelist(8)
cdef class Priority:
    cdef readonly long long stream_id
    cdef readonly frozenset flags
    cdef readonly long long depends_on
    cdef readonly int stream_weight
    cdef readonly bint exclusive


@cython.final
@cython.no_gc
@cython.freelist(8)
cdef class RstStream:
    cdef readonly long long stream_id
    cdef readonly frozenset flags
    cdef readonly long long error_code


@cython.final
@cython.no_gc
@cython.freelist(8)
cdef class Settings:
    cdef readonly long long stream_id
    cdef readonly frozenset flags
    cdef readonly dict settings


@cython.final
@cython.no_gc
@cython.freelist(8)
cdef class Ping:
    cdef readonly long long stream_id
    cdef readonly frozenset flags
    cdef readonly bytes opaque_data


@cython.final
@cython.no_gc
@cython.freelist(8)
cdef class WindowUpdate:
    cdef readonly long long stream_id
    cdef readonly frozenset flags
    cdef readonly long long window_increment

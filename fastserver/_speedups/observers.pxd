cimport cython

from .events cimport Closed, RawData, Updated
from .kernels cimport read_timer

cdef unsigned int _SAMPLE
cdef double _SLOW_S


@cython.final
cdef class Observer:
    cdef readonly object hear
    cdef readonly object take
    cdef readonly tuple hears
    cdef readonly str name
    cdef readonly long long errors
    cdef object _log
    cdef bint _was_slow

    cpdef fail(self, error)
    cpdef note_duration(self, double seconds)


@cython.final
cdef class Observers:
    cdef readonly tuple all
    cdef readonly bint hears_data
    cdef tuple _of_data
    cdef tuple _of_updates
    cdef tuple _of_ends
    cdef unsigned int _heard

    @cython.locals(observer=Observer, observers=tuple)
    cpdef notify(self, connection, direction, event)
    @cython.locals(observer=Observer, started_s=double)
    cdef _notify_timed(self, tuple observers, connection, direction, event)

# `take` is called for each frame that costs a peer nothing.
cimport cython


@cython.final
@cython.no_gc
cdef class TokenBucket:
    cdef double _capacity
    cdef double _rate
    cdef double _level
    cdef double _filled_at

    @cython.locals(level=double)
    cpdef bint take(self, double now) except -1
    cpdef excuse(self, double paused_s)

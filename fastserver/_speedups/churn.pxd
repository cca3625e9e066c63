# One per multiplexed connection.
cimport cython

cdef double RESET_PERIOD_S


@cython.final
cdef class Churn:
    cdef long long _limit
    cdef long long _count
    cdef long long _count_before
    cdef double _since

    @cython.locals(passed=double)
    cpdef bint take(self, double now) except -1

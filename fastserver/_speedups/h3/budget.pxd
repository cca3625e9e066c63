# Error contract: whatever spends may raise ConnectionFault.
cimport cython

from ..churn cimport Churn

cdef object H3_EXCESSIVE_LOAD
cdef long long FLOOD_BYTES
cdef long long FLOOD_RATIO
cdef long long SKIPPED_BYTES
cdef int STRAY_LANES


@cython.final
cdef class Budget:
    cdef Churn _resets
    cdef long long _received
    cdef long long _payload
    cdef long long _skipped
    cdef int _lanes

    cpdef count_datagram(self, long long size)
    cpdef count_payload(self, long long size)
    cpdef count_skipped(self, long long size)
    cpdef count_lane(self)
    cpdef count_reset(self, double now)

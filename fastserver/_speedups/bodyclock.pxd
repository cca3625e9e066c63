# Made for a body that is not complete in its first read; nothing of it is hot but `read`.
cimport cython

from .contract cimport Limits

cdef double _NEVER


@cython.final
@cython.freelist(16)
cdef class BodyClock:
    cdef Limits _limits
    cdef double _since
    cdef double _read_at
    cdef double _looked_at
    cdef double _paused_at

    cpdef read(self, double now)
    cpdef pause(self, double now)
    @cython.locals(paused_s=double)
    cpdef resume(self, double now)
    @cython.locals(limits=Limits, deadline=double)
    cpdef double next_deadline(self)
    @cython.locals(limits=Limits, elapsed_s=double)
    cpdef judge(self, double now, long long received)

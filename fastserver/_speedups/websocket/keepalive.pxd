# Two moments that the exchange reads; nothing here costs anything per message.
cimport cython

cdef double _NEVER


@cython.final
cdef class KeepAlive:
    cdef double _interval_s
    cdef double _timeout_s
    cdef unsigned int _count
    cdef bytes _payload
    cdef readonly double ping_at
    cdef readonly double pong_due

    cpdef plan(self, double now)
    cpdef bytes ask(self, double now)
    cpdef bint take_pong(self, bytes payload, double now) except -1
    cpdef bint extend(self, double now) except -1
    cpdef stop(self)

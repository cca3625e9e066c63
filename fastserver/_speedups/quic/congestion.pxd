# Recovery calls in; a connection has one.  Error contract: nothing raises.
cimport cython

from .packets cimport SentPacket

cdef Py_ssize_t BASE_DATAGRAM
cdef Py_ssize_t INITIAL_DATAGRAMS
cdef Py_ssize_t LEAST_DATAGRAMS
cdef double SAMPLE_S
cdef Py_ssize_t SAMPLES


@cython.final
cdef class DelayWatch:
    cdef list _recent
    cdef double _floor
    cdef double _sampled_at
    cdef int _growths

    @cython.locals(recent=list, least=double, most=double, sample=double, growth=double)
    cpdef bint is_growing(self, double now, double rtt) except -1


@cython.final
cdef class Reno:
    cdef readonly Py_ssize_t congestion_window
    cdef readonly Py_ssize_t bytes_in_flight
    cdef readonly Py_ssize_t threshold
    cdef double _recovers_from
    cdef Py_ssize_t _counted
    cdef DelayWatch _delay

    cpdef start_over(self)
    cpdef on_sent(self, SentPacket packet)
    @cython.locals(size=Py_ssize_t)
    cpdef on_acked(self, SentPacket packet)
    cpdef on_expired(self, SentPacket packet)
    @cython.locals(packet=SentPacket, latest=double)
    cpdef on_lost(self, list packets, double now)
    cpdef on_persistent_congestion(self)
    cpdef on_round_trip(self, double now, double rtt)

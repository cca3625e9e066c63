# The engine and aioquic's connection call in; it calls the table, the congestion control and aioquic's handlers.
# Error contract: nothing here raises of itself; what a handler of aioquic's raises passes.
cimport cython

from .congestion cimport Reno
from .packets cimport SentPacket, Space
from .table cimport Table

cdef int BASE_DATAGRAM
cdef int BURST_PACKETS
cdef double BURST_S
cdef int LARGE_DATAGRAM
cdef int LOST_LARGE_PACKETS
cdef int SIZE_PROBES
cdef double TIMER_S
cdef int PACKET_THRESHOLD
cdef double TIME_THRESHOLD
cdef double GRANULARITY_S
cdef int PERSISTENT_PERIODS
cdef double PACING_GAIN
cdef int LARGEST_BACKOFF
cdef int PROBES


@cython.final
cdef class Pacer:
    cdef double _rate
    cdef double _burst
    cdef double _tokens
    cdef double _at

    @cython.locals(is_first=bint)
    cpdef set_rate(self, double window, double rtt)
    cpdef double get_time(self, double now) noexcept
    cpdef spend(self, double size)


@cython.final
cdef class DatagramSize:
    cdef readonly Py_ssize_t current
    cdef Py_ssize_t _wanted
    cdef int _probes
    cdef int _lost
    cdef bint _is_probing
    cdef Py_ssize_t _since

    cpdef limit(self, Py_ssize_t size)
    cpdef bint wants_probe(self) noexcept
    cpdef Py_ssize_t take_probe(self) noexcept
    cpdef start_over(self, Py_ssize_t number)
    cpdef note_acked(self, SentPacket packet)
    cpdef note_lost(self, SentPacket packet)


@cython.final
cdef class Recovery:
    cdef public bint handshake_confirmed
    cdef public double max_ack_delay
    cdef public bint peer_completed_address_validation
    cdef public list spaces
    cdef public int probes
    # What both ends have agreed upon; seconds.
    cdef public double idle_s
    cdef readonly Pacer pacer
    cdef readonly DatagramSize size
    cdef Table _table
    cdef Reno _control
    cdef object _acked
    cdef object _lost
    cdef int _timeouts
    cdef double _rtt_initial
    cdef double _first_sample_at
    cdef bint _has_rtt
    cdef double _rtt_latest
    cdef double _rtt_min
    cdef double _rtt
    cdef double _rtt_variance
    cdef double _asked_at
    cdef Py_ssize_t _since

    cdef _begin(self, Py_ssize_t number)
    @cython.locals(space=Space, packet=SentPacket)
    cpdef start_over(self, Py_ssize_t number)
    @cython.locals(timeout=double)
    cpdef double compute_timeout(self, bint with_ack_delay) noexcept
    cpdef double compute_idle_timeout(self) noexcept
    @cython.locals(space=Space, asking=Py_ssize_t)
    cpdef double compute_due(self, bint is_limited) except -1.0
    @cython.locals(space=Space, found=Space)
    cdef Space _find_loss_space(self)
    @cython.locals(space=Space, packet=SentPacket, oldest=list)
    cdef _repeat_oldest(self, double now)
    cpdef add(self, SentPacket packet, Space space)
    @cython.locals(
        sent=dict, largest=Py_ssize_t, newest=SentPacket, asks=bint, number=object
    )
    cpdef on_acked(self, Space space, list ranges, double ack_delay, double now)
    cdef _settle(self, Space space, SentPacket packet)
    @cython.locals(raw=double)
    cdef _sample(self, double latest, double ack_delay, double now)
    @cython.locals(delay=double, largest=Py_ssize_t, lost=list, packet=SentPacket)
    cdef _detect(self, Space space, double now)
    @cython.locals(flown=list, packet=SentPacket)
    cdef _declare_lost(self, Space space, list packets, double now, bint is_congestion)
    @cython.locals(period=double, since=double, previous=Py_ssize_t, packet=SentPacket)
    cdef bint _is_persistent(self, list packets) except -1


@cython.locals(acked=list, index=Py_ssize_t, start=Py_ssize_t, stop=Py_ssize_t, number=Py_ssize_t)
cdef list _list_acked(dict sent, list ranges)

# Counters are C numbers; the sizes of arrays are those of the lists that the text fills them from.
cimport cython

cdef int _LAST_BUCKET
cdef unsigned int _TIMED_ALL
cdef unsigned int _TIMED_ONE_OF
cdef double _BOUNDS[16]


@cython.final
cdef class Histogram:
    cdef readonly double sum_s
    cdef long long _buckets[17]

    @cython.locals(index=int)
    cpdef add(self, double seconds, int weight=*)


@cython.final
cdef class Tally:
    cdef readonly str name
    cdef long long _requests[6]
    cdef dict _refused

    cpdef count_request(self, int status)
    cpdef refuse_request(self, int status)


@cython.final
cdef class Metrics:
    cdef public long long raw_data_in
    cdef public long long raw_data_out
    cdef public long long updated_idle
    cdef public long long updated_active
    cdef public long long closed
    cdef public long long bytes_in
    cdef public long long bytes_out
    cdef public long long connections_opened
    cdef public long long connections_refused
    cdef public long long handshakes_failed
    cdef public long long timeouts_idle
    cdef public long long timeouts_write
    cdef public long long sessions_opened
    cdef public long long sessions_closed
    cdef public long long messages_in
    cdef public long long messages_out
    cdef public long long datagrams_in
    cdef public long long datagrams_out
    cdef public long long datagrams_dropped
    cdef public long long datagrams_forwarded
    cdef public long long retries
    cdef public long long resets
    cdef public long long negotiations
    cdef public long long refusals
    cdef public long long farewells
    cdef public long long half_open
    cdef readonly Histogram latency
    cdef readonly Histogram loop_lag
    cdef unsigned int _begun
    cdef dict _tallies
    cdef dict _faults

    cpdef Tally get_tally(self, str name)
    cpdef int weigh_request(self) except -1
    cpdef tick(self)
    cpdef count_fault(self, str protocol, str code)

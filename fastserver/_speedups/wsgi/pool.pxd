# What threads and the event loop's thread share is a deque or a number that the GIL keeps whole; each says how.
cimport cython

from ..contract cimport Exchange, Host, ResponseHead

cdef double FULL_LOG_S


cdef class Job(Exchange):
    cdef public double queued_at

    cpdef run(self)
    cpdef deliver(self, int step, ResponseHead head, bytes body, bint ended)
    cpdef begin_turn(self)
    cpdef end_turn(self)
    cpdef expire(self)


@cython.final
cdef class ThreadPool:
    cdef Host _host
    cdef readonly int threads
    cdef readonly int started
    cdef long long _limit
    cdef double _timeout_s
    cdef object _queue
    cdef object _done
    cdef list _idle
    cdef object _growth
    cdef object _context
    cdef bint _is_flushing
    cdef bint _is_told
    cdef bint _has_standby
    cdef readonly bint closed
    cdef double _full_since
    cdef long long _refused
    cdef set _alive

    @cython.locals(waiting=Py_ssize_t)
    cpdef bint submit(self, Job job) except -1
    cpdef submit_late(self, Job job)
    cpdef bint discard(self, Job job) except -1
    @cython.locals(job=Job)
    cpdef sweep(self, double now)
    cpdef note_full(self, double now)
    cpdef _flush(self)
    cpdef _wake_one(self)
    cpdef post(self, Job job, int step, ResponseHead head, bytes body, bint ended)
    @cython.locals(item=tuple, job=Job, last=Job, count=Py_ssize_t)
    cpdef _drain(self)
    cdef _run(self, Job job)
    @cython.locals(job=Job)
    cpdef _work(self)

# The driver is made for each request and stepped once or more; EagerTask stays a Python class because it derives from
# asyncio's Task.
cimport cython

from .contract cimport Exchange, Host, Sink
from .kernels cimport resume

# Imported objects that are held as C globals.
cdef object DONE


@cython.final
@cython.freelist(16)
cdef class Driver:
    cdef Host _host
    cdef object _coroutine
    cdef Exchange _exchange
    cdef Sink _sink
    cdef object _context
    cdef object _yielded
    cdef tuple _cancelled
    cdef bint _is_kept
    cdef bint _is_awaited
    cdef bint has_task

    cdef open(self, Host host, Exchange exchange, Sink sink, coroutine)
    cdef start_by_hand(self)
    cpdef make_task(self, task)
    cdef _keep(self, yielded)
    cdef _hand_over(self)
    cdef _take_step(self, error)
    cdef _throw(self, error)
    cdef _finish(self, failure)


cdef bint _EAGER_TASKS
cdef bint _TASK_TAKES_CONTEXT

@cython.locals(driver=Driver)
cpdef start(Host host, Exchange exchange, Sink sink, coroutine)

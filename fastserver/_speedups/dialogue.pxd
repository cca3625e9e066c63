# The awaitables are freelisted; READY is a constant that its importers hold as a C global.  What each kind of exchange
# gives is cpdef, as in the contract: the awaitables call it through the vtable.
cimport cython

from .contract cimport Application, Exchange, Host, Peer, Request, Sink
from .task cimport start as start_task

# Imported objects that are held as C globals.
cdef str HTTP_1_1


@cython.final
cdef class Ready:
    pass


@cython.final
@cython.freelist(16)
cdef class Receiving:
    cdef Dialogue _exchange
    cdef object _waiter


@cython.final
@cython.freelist(16)
cdef class WaitingForRoom:
    cdef Dialogue _exchange
    cdef object _waiter


cdef class Dialogue(Exchange):
    cdef ASGIApplication _application
    cdef Host _host
    cdef Sink _sink
    cdef Request _request
    cdef list _waiters
    # When the request came, of the timer of durations; only where somebody will know.
    cdef double started_at

    cdef begin_dialogue(self, ASGIApplication application, Sink sink, Request request)
    cdef call_application(self, dict scope)
    cpdef receive(self)
    cdef wait(self)
    cdef forget(self, waiter)
    cdef wake(self)

    cpdef send(self, message)
    cpdef dict take_message(self)
    cpdef bint must_wait(self) except -1


cdef class ASGIApplication(Application):
    cdef readonly object app
    cdef readonly Host host
    cdef public object state
    cdef readonly str root_path
    cdef bytes _raw_root_path

    cpdef Dialogue open_response(self, Sink sink, Request request)
    cpdef dict make_template(self, str kind, str scheme)
    @cython.locals(scope=dict, root_path=str)
    cdef dict make_scope(self, dict template, dict extensions, Request request, Peer peer)
    cdef log_failure(self, Request request, failure)
    cdef log_cancelled(self, Request request)
    cdef log_unfinished(self, Request request, str expected)


cdef str _name(Request request)

# What a request with an id costs: one IdentifiedSink, and a call more for each of the sink's methods.
cimport cython

from .contract cimport Application, Exchange, Peer, Request, ResponseHead, Sink
from .metrics cimport Tally


cdef class IdentifyingApplication(Application):
    cdef Application _application
    cdef object _draw

    @cython.locals(field=tuple, count=int, identified=IdentifiedSink)
    cpdef Exchange open(self, Sink sink, Request request)


@cython.final
cdef class IdentifiedSink(Sink):
    cdef Sink _sink
    cdef tuple _field

    cdef begin(self, Sink sink, tuple field)
    @cython.locals(field=tuple)
    cdef _mark(self, ResponseHead head)

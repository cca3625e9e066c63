# What every request of a server with a health check passes: one comparison of its path.
cimport cython

from .contract cimport Application, Exchange, Host, Request, ResponseHead, Sink
from .rendering cimport inspect_response


@cython.final
cdef class HealthExchange(Exchange):
    cdef Host _host
    cdef Sink _sink

    cdef begin(self, Host host, Sink sink)


@cython.final
cdef class HealthCheck(Application):
    cdef Application _application
    cdef Host _host
    cdef str _path


@cython.locals(exchange=HealthExchange)
cdef HealthExchange open_check(Host host, Sink sink)

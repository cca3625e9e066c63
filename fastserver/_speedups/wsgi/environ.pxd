# One dictionary for each request, copied from a template and filled in one pass over the fields.
cimport cython

from ..contract cimport Peer, Request

cdef str HTTP_1_1
cdef dict _KEYS
cdef int NAMES


@cython.final
cdef class EnvironMaker:
    cdef readonly dict template

    @cython.locals(
        environ=dict, pair=tuple, key=str, value=str, name=bytes, size=Py_ssize_t, path=str, raw_path=bytes,
        facts=tuple,
    )
    cpdef dict make(self, Request request, Peer peer, body, long long length)
    cdef _add_again(self, dict environ, str key, str value)
    cdef _name_server(self, dict environ, Peer peer)


cdef tuple _describe_peer(Peer peer)
cdef str _name_key(bytes name)

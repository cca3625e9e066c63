# One dictionary for each request, copied from a template and filled in one pass over the fields.
cimport cython

from ..contract cimport Peer, Request

cdef str HTTP_1_1
cdef dict _KEYS
cdef int NAMES
cdef int SERVERS


@cython.final
cdef class EnvironMaker:
    cdef readonly dict template
    cdef dict _templates

    @cython.locals(
        environ=dict, pair=tuple, key=str, value=str, name=bytes, size=Py_ssize_t, path=str, raw_path=bytes,
        facts=tuple, template=dict, text=bytes,
    )
    cpdef dict make(self, Request request, Peer peer, body, long long length)
    cdef _add_again(self, dict environ, str key, str value)
    @cython.locals(template=dict)
    cdef tuple _describe_peer(self, Peer peer)
    cdef _name_server(self, dict environ, Peer peer)


cdef str _name_key(bytes name)

# make_received and render_message are called for each message.
cimport cython

from ..contract cimport Peer, Request, ResponseHead
from ..dialogue cimport ASGIApplication
from ..rendering cimport inspect_fields
from .writer cimport render_binary, render_text

cdef int NORMAL

cpdef dict make_scope(ASGIApplication application, Request request, Peer peer, handshake)
cpdef dict make_received(message)
@cython.locals(head=ResponseHead)
cpdef tuple read_accept(dict fields, handshake, bint per_message_deflate)
cpdef bytes render_message(dict fields, object extension)
cpdef tuple read_close(dict fields)
cpdef str as_text(text, str key)

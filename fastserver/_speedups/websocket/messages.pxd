# render_message is called for each message.
from ..rendering cimport inspect_fields
from .writer cimport render_binary, render_text

cdef int NORMAL

cpdef tuple read_accept(dict fields, handshake, bint per_message_deflate)
cpdef bytes render_message(dict fields, object extension)
cpdef tuple read_close(dict fields)
cpdef str as_text(text, str key)

# One frame is one bytes object, header and payload.
cimport cython

from .kernels cimport render_frame, render_text_frame

cdef int COMPRESS_FROM_BYTES
cdef int CONTROL_BYTES
cdef int RSV1
cdef int _TEXT
cdef int _BINARY
cdef int _CLOSE
cdef int _PING
cdef int _PONG


cpdef bytes render_text(str text, object extension=*)
cpdef bytes render_binary(bytes data, object extension=*)
cpdef bytes render_ping(bytes payload)
cpdef bytes render_pong(bytes payload)
cpdef bytes render_close(int code, str reason)
cdef bytes _render_control(int first, bytes payload)
@cython.locals(compressed=bytes)
cdef bytes _render_message(int first, bytes payload, object extension)

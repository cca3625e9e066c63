# Error contract: what reads raises ConnectionFault.
cimport cython

from .varint cimport encode_varint, measure_varint, read_varint, render_frame_head

cdef frozenset _RESERVED_SETTINGS
cdef Py_ssize_t MOST_SETTINGS


@cython.locals(payload=bytes)
cpdef bytes render_settings(dict settings)
@cython.locals(payload=bytes)
cpdef bytes render_goaway(object identifier)
@cython.locals(settings=dict, at=Py_ssize_t, name="long long", value="long long")
cpdef dict read_settings(bytes payload)
cpdef object read_goaway(bytes payload)
cpdef object read_push_id(bytes payload)
@cython.locals(value="long long")
cdef object _read_only(bytes payload)
@cython.locals(value="long long")
cdef long long _read_inside(bytes payload, Py_ssize_t at) except -2

# Integers are below 2**62.  Error contract: read_varint and measure_varint raise nothing for data that is bytes.
cimport cython

cdef long long _LARGEST_VARINT
cdef list _BYTES


cpdef Py_ssize_t measure_varint(int first) except -1
@cython.locals(first="long long", end=Py_ssize_t, place=Py_ssize_t, value="long long")
cpdef long long read_varint(bytes data, Py_ssize_t at) except -2
cpdef bytes encode_varint(object value)
cpdef bytes render_frame_head(long long kind, long long size)

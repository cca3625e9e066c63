# Reading the head of a request.  heads.pyx and heads.py hold the same functions.
from .contract cimport Limits, Request

cpdef Py_ssize_t find_head_end(bytes data, Py_ssize_t start) except -2
cpdef Py_ssize_t check_partial_head(bytes data, Py_ssize_t start, Py_ssize_t scanned, Limits limits) except -1
cpdef Request split_head(bytes data, Py_ssize_t start, Py_ssize_t end, Limits limits)
cpdef int note_field(Request request, bytes name, bytes value) except -1
cpdef int read_path(Request request, bytes target) except -1
cpdef bint is_host(bytes value) except -1

# What the kernels give to compiled callers.  kernels.pyx and kernels.py hold the same functions.
from .contract cimport Limits, Request, ResponseHead
from .events cimport RawData

cpdef Py_ssize_t find_head_end(bytes data, Py_ssize_t start) except -2
cpdef Py_ssize_t check_partial_head(bytes data, Py_ssize_t start, Py_ssize_t scanned, Limits limits) except -1
cpdef Request split_head(bytes data, Py_ssize_t start, Py_ssize_t end, Limits limits)
cpdef bint is_host(bytes value) except -1
cpdef list inspect_fields(object headers)
cpdef ResponseHead inspect_response(object status, object headers)
cpdef bytes render_response(
    ResponseHead head, bytes body, long long content_length, bint chunked, bytes connection_field,
    bytes date_field, bytes server_field, bytes extra_fields,
)
cpdef bytes render_fields(int status, list fields)
cpdef bytes render_chunk(bytes body, bint last)
cpdef object resume(object coroutine, object context)
cpdef RawData raw_data(bytes data)
cpdef Py_ssize_t send_bytes(int fd, bytes data) noexcept

# Validating and rendering the head of a response.  rendering.pyx and rendering.py hold the same functions.
from .contract cimport ResponseHead

cpdef list inspect_fields(object headers)
cpdef ResponseHead begin_head(int status)
cpdef int inspect_field(bytes name, bytes value) except -1
cpdef int take_field(ResponseHead head, tuple pair, int kind) except -1
cpdef ResponseHead inspect_response(object status, object headers)
cpdef bint has_field(ResponseHead head, bytes name) except -1
cpdef bytes render_response(
    ResponseHead head, bytes body, long long content_length, bint chunked, bytes connection_field,
    bytes date_field, bytes server_field, bytes extra_fields,
)
cpdef bytes render_fields(int status, list fields)
cpdef bytes render_chunk(bytes body, bint last)

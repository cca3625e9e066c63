# A request's head that comes as a list of fields: HTTP/2 and HTTP/3.  fieldlist.pyx and fieldlist.py hold the same
# functions.
from .contract cimport Limits, Request

cpdef Request read_field_list(list fields, Limits limits, str http_version, str scheme)
cpdef int check_trailers(list fields, Limits limits) except -1

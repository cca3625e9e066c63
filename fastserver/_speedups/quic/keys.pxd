# Classes of Python above aioquic's.  Error contract: setup raises KeyError for suites and versions that nobody offers.
cdef int IV_BYTES
cdef int INITIAL_SECRET_BYTES

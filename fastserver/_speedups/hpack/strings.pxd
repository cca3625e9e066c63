# String literals (RFC 7541 section 5.2).  strings.pyx and strings.py hold the same functions.

cpdef bytes read_string(bytes data, Py_ssize_t start, Py_ssize_t size, bint is_huffman, bint is_name)
cpdef append_string(bytearray out, bytes text, bint huffman)

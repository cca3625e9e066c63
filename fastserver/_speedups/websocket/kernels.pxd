# What of framing needs raw pointers.  kernels.pyx and kernels.py hold the same functions.
cpdef bytes unmask(object data, Py_ssize_t start, Py_ssize_t size, bytes key, int phase)
cpdef str decode_text(object data, Py_ssize_t start, Py_ssize_t size, bytes key)
cpdef bytes render_frame(int first, bytes payload)
cpdef bytes render_text_frame(str text)

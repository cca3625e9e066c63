# What datagrams give to compiled callers.
cpdef list receive(int fd, Py_ssize_t limit)
cpdef Py_ssize_t send(int fd, list datagrams) except -1
cpdef str render_local(bytes local)
cpdef allow(bint segments, bint batches)

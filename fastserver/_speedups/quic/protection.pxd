# The engine holds one of each and makes new ones when keys change.  Error contract: nothing raises.
cimport cython

cdef int SAMPLE_BYTES
cdef int IV_BYTES
cdef int NUMBER_BYTES
cdef int LARGEST_NUMBER_BYTES


@cython.final
cdef class Opener:
    cdef readonly int phase
    cdef readonly Py_ssize_t number
    cdef readonly int first
    cdef object _open
    cdef bytes _iv
    cdef object _mask
    cdef Py_ssize_t _number_at
    cdef bytearray _nonce
    cdef list _headers

    @cython.locals(
        at=Py_ssize_t, mask=bytes, first=int, size=Py_ssize_t, header=bytearray, number=Py_ssize_t, index=Py_ssize_t,
        byte=int
    )
    cpdef bytes open(self, bytes data, Py_ssize_t expected)


@cython.final
cdef class Sealer:
    cdef readonly Py_ssize_t sealed
    cdef readonly bytes cid
    cdef object _aead
    cdef object _seal
    cdef bytes _iv
    cdef object _mask
    cdef int _first
    cdef bytearray _nonce
    cdef bytearray _header

    cpdef bint is_of(self, object context) except -1
    @cython.locals(at=Py_ssize_t, header=bytearray, sealed=bytes, mask=bytes)
    cpdef bytes seal(self, bytearray payload, Py_ssize_t number)


@cython.locals(at=Py_ssize_t)
cdef write_nonce(bytearray nonce, bytes iv, Py_ssize_t number)


@cython.locals(window=Py_ssize_t, half=Py_ssize_t, number=Py_ssize_t)
cdef Py_ssize_t decode_number(Py_ssize_t truncated, int bits, Py_ssize_t expected) noexcept

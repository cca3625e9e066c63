"""Kernels over raw bytes and calls of C: what ``heads`` and ``rendering`` share, and what others need of C.

``kernels.py``, ``heads.py`` and ``rendering.py`` are the twins, with the same functions for builds without a compiler;
one parametrised test runs both texts.  What the twins share (grammar as regular expressions) stands in ``fields.py``.

Bounds, here and in the other two: every pointer walks inside one ``bytes`` object whose end is known; each loop's bound
is stated above it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF

from .events cimport RawData

from .fields import KNOWN_FIELDS

cdef extern from "pythread.h" nogil:
    unsigned long PyThread_get_thread_ident()

cdef extern from * nogil:
    """
    #if defined(__linux__)
    #include <features.h>
    #endif
    #if defined(__GLIBC__)
    #include <malloc.h>
    #define return_free_memory() malloc_trim(0)
    #define keep_free_memory(kept, mapped) (mallopt(M_TRIM_THRESHOLD, kept) && mallopt(M_MMAP_THRESHOLD, mapped))
    #else
    #define return_free_memory() 0
    #define keep_free_memory(kept, mapped) 0
    #endif
    """
    int return_free_memory()
    int keep_free_memory(int kept, int mapped)

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int clock_gettime(int clock, timespec* time)

cdef extern from "<sys/socket.h>" nogil:
    int MSG_NOSIGNAL
    int MSG_DONTWAIT
    Py_ssize_t c_send "send"(int fd, const void* data, size_t size, int flags)

# ---- Byte classes and known names ----------------------------------------------------------------------------------

cdef void _fill_byte_classes() noexcept:
    cdef int byte
    for byte in range(256):
        NAME[byte] = 0
        VALUE[byte] = byte == 9 or (byte >= 32 and byte != 127)
    for byte in b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz":
        NAME[byte] = byte
    for byte in range(c'A', c'Z' + 1):
        NAME[byte] = byte + 32

_fill_byte_classes()

cdef dict KINDS = {
    "ordinary": ORDINARY, "secret": SECRET, "host": HOST, "content-length": CONTENT_LENGTH,
    "transfer-encoding": TRANSFER_ENCODING, "connection": CONNECTION, "expect": EXPECT, "te": TE,
    "upgrade": UPGRADE, "date": DATE, "server": SERVER, "hop-by-hop": HOP_BY_HOP,
}


cdef _fill_known_names():
    cdef unsigned int hashed, slot
    cdef bytes name
    for name, kind in KNOWN_FIELDS.items():
        assert len(name) <= LONGEST_KNOWN
        hashed = 0
        for byte in name:
            hashed = hashed * 31 + <unsigned int> byte
        slot = (hashed ^ (hashed >> 7) ^ (hashed >> 15)) & (NAME_SLOTS - 1)  # as find_known begins
        while KNOWN[slot].text != NULL:
            slot = (slot + 1) & (NAME_SLOTS - 1)
        KNOWN[slot].text = PyBytes_AS_STRING(name)
        KNOWN[slot].size = len(name)
        KNOWN[slot].kind = KINDS[kind]
        KNOWN[slot].name = <void*> name
        Py_INCREF(name)

_fill_known_names()


cdef long long parse_length(Bytes value, Py_ssize_t size) noexcept:
    """A Content-Length as a number, or -1: digits only, and no more than fit (below 2**63 - 7; H1-7)."""
    cdef long long length = 0
    cdef Py_ssize_t index
    if size == 0:
        return -1
    for index in range(size):
        if not c'0' <= value[index] <= c'9' or length > (9223372036854775807 - 9) // 10:
            return -1
        length = length * 10 + value[index] - c'0'
    return length


# ---- Making an event -----------------------------------------------------------------------------------------------

cpdef bint trim_memory() noexcept:
    """Give free memory back to the system, where the C library keeps it for itself (glibc): whether it did."""
    return return_free_memory() != 0


cpdef bint keep_memory(int kept, int mapped) noexcept:
    """Have the C library keep ``kept`` free bytes, and map blocks from ``mapped`` bytes on (glibc): whether it will."""
    return keep_free_memory(kept, mapped) != 0


cpdef double read_timer() noexcept:
    """Monotonic seconds to the nanosecond, of any origin: for durations only; deadlines go by the worker's clock."""
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec + time.tv_nsec * 1e-9


cpdef unsigned long current_thread() noexcept:
    """The calling thread's identity, as ``threading.get_ident`` gives it."""
    return PyThread_get_thread_ident()


cpdef RawData raw_data(bytes data):
    """``RawData(data)`` without parsing arguments: one is made for each read and each write."""
    cdef RawData event = RawData.__new__(RawData)
    event.data = data
    return event


cpdef RawData raw_datagram(bytes data, tuple address):
    """``RawData(data, address)`` without parsing arguments: one is made for each datagram."""
    cdef RawData event = RawData.__new__(RawData)
    event.data = data
    event.address = address
    return event


# ---- Writing -------------------------------------------------------------------------------------------------------

cpdef Py_ssize_t send_bytes(int fd, bytes data) noexcept:
    """``send(2)`` on a non-blocking socket: how many bytes it took, or -1 for any error, full buffers included."""
    return c_send(fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), MSG_NOSIGNAL | MSG_DONTWAIT)


# ---- Stepping a coroutine ------------------------------------------------------------------------------------------

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    PySendResult PyIter_Send(object iterator, object value, PyObject** result) except PYGEN_ERROR
    object PyContext_Copy(object context)
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

#: What ``resume`` returns when the coroutine has finished.
DONE = object()


cpdef object resume(object coroutine, object context):
    """Step a coroutine to its next suspension, in ``context`` where one is given: what it yields, or ``DONE``.

    The C call tells a return from a yield without raising StopIteration, which alone costs 0.1 us.
    """
    cdef PyObject* result = NULL
    cdef PySendResult outcome
    if context is None:
        outcome = PyIter_Send(coroutine, None, &result)
    else:
        PyContext_Enter(context)
        try:
            outcome = PyIter_Send(coroutine, None, &result)
        finally:
            PyContext_Exit(context)
    yielded = <object> result
    Py_DECREF(yielded)  # PyIter_Send gave a reference of its own, and the cast took another
    return DONE if outcome == PYGEN_RETURN else yielded


# ---- Calling in a context ------------------------------------------------------------------------------------------

cpdef object copy_context(object context):
    """``context.copy()``, without the way through Python."""
    return PyContext_Copy(context)


cpdef object call_in(object context, object step):
    """``context.run(step)``: what ``step()`` gives or raises, while ``context`` is the current one."""
    PyContext_Enter(context)
    try:
        return step()
    finally:
        PyContext_Exit(context)

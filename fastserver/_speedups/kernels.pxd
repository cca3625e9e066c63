# What the kernels give to compiled callers: calls of C, and the byte classes and known names that heads and rendering
# share.  The tables are filled when the module is imported and only read from then on.
from libc.string cimport memcmp

from .events cimport RawData

ctypedef const unsigned char* Bytes

# NAME: a token byte's lower case, or 0 (RFC 9110 section 5.6.2).
cdef unsigned char NAME[256]
# VALUE: 1 where a field value may hold the byte: HTAB, SP, VCHAR, obs-text (RFC 9110 section 5.5).
cdef unsigned char VALUE[256]

# What a field means to the server; fields.KNOWN_FIELDS maps names to the same words.
cdef enum Kind:
    ORDINARY
    SECRET
    HOST
    CONTENT_LENGTH
    TRANSFER_ENCODING
    CONNECTION
    EXPECT
    TE
    UPGRADE
    DATE
    SERVER
    HOP_BY_HOP

# Known field names: an open-addressed table from lower-case bytes to one shared object and its kind.
cdef enum:
    NAME_SLOTS = 512
    LONGEST_KNOWN = 40

cdef struct KnownName:
    const char* text
    Py_ssize_t size
    void* name  # the bytes object that `text` points into; the table holds a reference for ever
    int kind

cdef KnownName KNOWN[NAME_SLOTS]


# The slot of a lower-case name, or -1.  `hashed` folds its bytes: 31 times what was, plus the byte.  The table is never
# full, so the probe ends.  `_fill_known_names` begins at the same slot; in a function of its own, that expression would
# leave modules that use neither with a declaration that compilers warn of.
cdef inline int find_known(Bytes lowered, Py_ssize_t size, unsigned int hashed) noexcept nogil:
    cdef unsigned int slot = (hashed ^ (hashed >> 7) ^ (hashed >> 15)) & (NAME_SLOTS - 1)
    while KNOWN[slot].text != NULL:
        if KNOWN[slot].size == size and memcmp(KNOWN[slot].text, lowered, size) == 0:
            return slot
        slot = (slot + 1) & (NAME_SLOTS - 1)
    return -1


cdef long long parse_length(Bytes value, Py_ssize_t size) noexcept
cpdef object resume(object coroutine, object context)
cpdef object copy_context(object context)
cpdef object call_in(object context, object step)
cpdef RawData raw_data(bytes data)
cpdef RawData raw_datagram(bytes data, tuple address)
cpdef Py_ssize_t send_bytes(int fd, bytes data) noexcept
cpdef unsigned long current_thread() noexcept
cpdef bint trim_memory() noexcept
cpdef bint keep_memory(int kept, int mapped) noexcept
cpdef double read_timer() noexcept

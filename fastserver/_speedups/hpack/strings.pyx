"""String literals of HPACK (RFC 7541 section 5.2): Huffman codes, and names as shared objects.

``strings.py`` is the twin.  Decoding looks at the next 32 bits: codes of up to nine bits, which is all that headers are
made of, are one look into a table of 1 KiB; the longer are found by their length, since the code is canonical.

Bounds: see ``kernels.pyx``; what is written was sized before: a byte of Huffman code is at most 8/5 bytes of text.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from ..kernels cimport KNOWN, LONGEST_KNOWN, Bytes, find_known

from .errors import HPACKError
from .tables import CODES, EOS

cdef enum:
    FAST_BITS = 9
    LONGEST_CODE = 30
    END = 256  # EOS
    STACK_BYTES = 1024  # texts up to this size are decoded on the stack

assert EOS == END

cdef uint32_t CODE[END + 1]
cdef unsigned char CODE_BITS[END + 1]
# By the next FAST_BITS bits: the symbol and the length of its code; length 0 where the code is longer.
cdef unsigned char FAST_SYMBOL[1 << FAST_BITS]
cdef unsigned char FAST_LENGTH[1 << FAST_BITS]
# Codes of each length: the first one, and where its symbol stands among all symbols in the order of their codes.
cdef uint32_t FIRST_CODE[LONGEST_CODE + 1]
cdef int FIRST_RANK[LONGEST_CODE + 1]
cdef int COUNT[LONGEST_CODE + 1]
cdef int RANKED[END + 1]


cdef _fill_tables():
    cdef int symbol, length, rank
    cdef uint32_t code, low
    for rank, (length, code, symbol) in enumerate(sorted((bits, bare, at) for at, (bare, bits) in enumerate(CODES))):
        CODE[symbol] = code
        CODE_BITS[symbol] = length
        RANKED[rank] = symbol
        if COUNT[length] == 0:
            FIRST_CODE[length] = code
            FIRST_RANK[length] = rank
        COUNT[length] += 1
        if length <= FAST_BITS:
            for low in range(1 << (FAST_BITS - length)):
                FAST_SYMBOL[(code << (FAST_BITS - length)) | low] = symbol
                FAST_LENGTH[(code << (FAST_BITS - length)) | low] = length

_fill_tables()


cdef int _find_symbol(uint32_t window, int* length) noexcept nogil:
    """The symbol whose code of more than ``FAST_BITS`` bits ``window`` begins with; there is one for all 32 bits."""
    cdef uint32_t offset
    cdef int bits
    for bits in range(FAST_BITS + 1, LONGEST_CODE):
        offset = (window >> (32 - bits)) - FIRST_CODE[bits]
        if offset < <uint32_t> COUNT[bits]:  # what is below the first code wraps around
            length[0] = bits
            return RANKED[FIRST_RANK[bits] + offset]
    length[0] = LONGEST_CODE
    return RANKED[FIRST_RANK[LONGEST_CODE] + (window >> (32 - LONGEST_CODE)) - FIRST_CODE[LONGEST_CODE]]


cdef Py_ssize_t _decode(Bytes cursor, Py_ssize_t size, unsigned char* out) noexcept nogil:
    """Decode ``size`` bytes of code into ``out``, which holds ``size * 8 / 5``: how many, or -1 for no Huffman code."""
    cdef Bytes stop = cursor + size
    cdef uint64_t held = 0  # the lowest `bits` bits are those not decoded yet
    cdef int bits = 0
    cdef int length, symbol
    cdef uint32_t window
    cdef Py_ssize_t written = 0
    while True:
        while bits <= 56 and cursor < stop:
            held = held << 8 | cursor[0]
            cursor += 1
            bits += 8
        if bits == 0:
            return written
        # 32 bits, filled up with ones behind the end, which then read as a part of EOS.
        if bits >= 32:
            window = <uint32_t> (held >> (bits - 32))
        else:
            window = <uint32_t> (held << (32 - bits)) | (<uint32_t> 0xFFFFFFFF >> bits)
        length = FAST_LENGTH[window >> (32 - FAST_BITS)]
        if length:
            symbol = FAST_SYMBOL[window >> (32 - FAST_BITS)]
        else:
            symbol = _find_symbol(window, &length)
        if length > bits:
            # Section 5.2: the padding is less than a byte, all ones.
            return written if bits < 8 and window == <uint32_t> 0xFFFFFFFF else -1
        if symbol == END:
            return -1
        out[written] = <unsigned char> symbol
        written += 1
        bits -= length


cdef bytes _make_text(Bytes text, Py_ssize_t size, bint is_name):
    """Bytes as an object; of a known name, the one object that all share."""
    cdef unsigned int hashed = 0
    cdef Py_ssize_t index
    cdef int slot
    if is_name and size <= LONGEST_KNOWN:
        for index in range(size):
            hashed = hashed * 31 + text[index]
        slot = find_known(text, size, hashed)
        if slot >= 0:
            return <bytes> KNOWN[slot].name
    return PyBytes_FromStringAndSize(<const char*> text, size)


cpdef bytes read_string(bytes data, Py_ssize_t start, Py_ssize_t size, bint is_huffman, bint is_name):
    """The text of the literal ``data[start:start + size]``; ``HPACKError`` for what is no Huffman code."""
    cdef unsigned char stack[STACK_BYTES]
    cdef unsigned char* buffer = stack
    cdef Bytes text = <Bytes> PyBytes_AS_STRING(data)
    cdef Py_ssize_t written
    if start < 0 or size < 0 or size > PyBytes_GET_SIZE(data) - start:
        raise ValueError("not inside the data")
    text += start
    if not is_huffman:
        return _make_text(text, size, is_name)
    if size > STACK_BYTES * 5 // 8:
        buffer = <unsigned char*> PyMem_Malloc(size * 8 // 5)
        if buffer == NULL:
            raise MemoryError
    try:
        written = _decode(text, size, buffer)
        if written < 0:
            raise HPACKError("invalid Huffman code")
        return _make_text(buffer, written, is_name)
    finally:
        if buffer != stack:
            PyMem_Free(buffer)


cpdef append_string(bytearray out, bytes text, bint huffman):
    """Append a literal to ``out``: its length and its bytes, as Huffman code where ``huffman`` and that is shorter."""
    cdef Bytes source = <Bytes> PyBytes_AS_STRING(text)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(text)
    cdef Py_ssize_t used = PyByteArray_GET_SIZE(out)
    cdef Py_ssize_t index, coded = 0
    cdef uint64_t held = 0
    cdef int bits = 0
    cdef unsigned char first = 0
    cdef unsigned char* cursor
    if huffman:
        for index in range(size):
            coded += CODE_BITS[source[index]]
        coded = (coded + 7) >> 3
        if coded < size:
            first = 0x80
    index = coded if first else size
    PyByteArray_Resize(out, used + index + 10)  # a length of 63 bits takes ten bytes
    cursor = <unsigned char*> PyByteArray_AS_STRING(out) + used
    if index < 127:
        cursor[0] = first | <unsigned char> index
    else:
        cursor[0] = first | 127
        index -= 127
        while index > 127:
            cursor += 1
            cursor[0] = 128 | <unsigned char> (index & 127)
            index >>= 7
        cursor += 1
        cursor[0] = <unsigned char> index
    cursor += 1
    if not first:
        memcpy(cursor, source, size)
        cursor += size
    else:
        for index in range(size):
            held = held << CODE_BITS[source[index]] | CODE[source[index]]
            bits += CODE_BITS[source[index]]
            while bits >= 8:
                bits -= 8
                cursor[0] = <unsigned char> (held >> bits)
                cursor += 1
        if bits:
            cursor[0] = <unsigned char> (held << (8 - bits)) | <unsigned char> (0xFF >> bits)
            cursor += 1
    PyByteArray_Resize(out, cursor - <unsigned char*> PyByteArray_AS_STRING(out))

"""Unmasking and rendering over raw bytes; ``kernels.py`` is the twin.

Bounds: a pointer into a frame walks inside ``data[start:start + size]``, which ``_find_masked`` has proven to lie in
``data``; a pointer into a result walks inside the object that was made of that size.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maximum)
    void* PyUnicode_1BYTE_DATA(object text)
    object PyUnicode_DecodeUTF8(const char* text, Py_ssize_t size, const char* errors)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

from .codes import FIN, TEXT

ctypedef const unsigned char* Bytes

cdef enum:
    HIGH_BIT = 0x80

cdef int TEXT_FRAME = FIN | TEXT


cdef Bytes _find_masked(object data, Py_ssize_t start, Py_ssize_t size, bytes key) except NULL:
    """The address of ``data[start]``; ``ValueError`` where ``size`` bytes do not follow, or the key has not four."""
    cdef Bytes text
    cdef Py_ssize_t length
    if type(data) is bytes:
        text = <Bytes> PyBytes_AS_STRING(data)
        length = PyBytes_GET_SIZE(data)
    elif type(data) is bytearray:
        text = <Bytes> PyByteArray_AS_STRING(data)
        length = PyByteArray_GET_SIZE(data)
    else:
        raise TypeError("masked data must be bytes or a bytearray")
    if start < 0 or size < 0 or start > length or size > length - start or len(key) != 4:
        raise ValueError("masked bytes outside of the data, or a key that has not four bytes")
    return text + start


cdef uint64_t _spread_key(bytes key, int phase) noexcept:
    """The key twice, as eight bytes lie in memory, from its byte ``phase`` on."""
    cdef Bytes text = <Bytes> PyBytes_AS_STRING(key)
    cdef uint8_t spread[8]
    cdef uint64_t word
    cdef int index
    for index in range(8):
        spread[index] = text[(phase + index) & 3]
    memcpy(&word, spread, 8)
    return word


cdef uint64_t _copy_unmasked(uint8_t* target, Bytes source, Py_ssize_t size, uint64_t key) noexcept nogil:
    """Write ``size`` unmasked bytes, eight a step, and return all of them ored together, for a look at the high bits.

    Compilers make vectors of the first loop, which takes whole words; the second takes what is left, less than eight.
    """
    cdef uint64_t word, seen = 0
    cdef Py_ssize_t index, whole = size & ~7
    for index in range(0, whole, 8):
        memcpy(&word, source + index, 8)
        word ^= key
        seen |= word
        memcpy(target + index, &word, 8)
    for index in range(whole, size):
        target[index] = source[index] ^ (<uint8_t*> &key)[index & 7]
        seen |= target[index]
    return seen


cpdef bytes unmask(object data, Py_ssize_t start, Py_ssize_t size, bytes key, int phase):
    """``data[start:start + size]`` unmasked (RFC 6455 section 5.3); its first byte meets ``key[phase % 4]``.

    Raises ``ValueError`` where the bytes do not lie in ``data`` or the key has not four.
    """
    cdef Bytes source = _find_masked(data, start, size, key)
    cdef bytes result = PyBytes_FromStringAndSize(NULL, size)
    _copy_unmasked(<uint8_t*> PyBytes_AS_STRING(result), source, size, _spread_key(key, phase))
    return result


cpdef str decode_text(object data, Py_ssize_t start, Py_ssize_t size, bytes key):
    """``data[start:start + size]`` unmasked, as text; ``UnicodeDecodeError``, and what ``unmask`` raises.

    ASCII, which is most text, is unmasked straight into its string; other text is decoded from there.
    """
    cdef Bytes source = _find_masked(data, start, size, key)
    cdef str text
    cdef uint64_t seen
    cdef uint8_t* target
    if size == 0:
        return ""
    text = PyUnicode_New(size, 127)
    target = <uint8_t*> PyUnicode_1BYTE_DATA(text)
    seen = _copy_unmasked(target, source, size, _spread_key(key, 0))
    seen |= seen >> 32
    seen |= seen >> 16
    seen |= seen >> 8
    if not seen & HIGH_BIT:
        return text
    return PyUnicode_DecodeUTF8(<const char*> target, size, "strict")


cdef bytes _render(int first, const char* payload, Py_ssize_t size):
    """A frame of ``first`` and ``size`` bytes in one object (RFC 6455 section 5.2): the least length form, no mask."""
    cdef Py_ssize_t head = 2 if size < 126 else 4 if size < 65536 else 10
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, head + size)
    cdef uint8_t* target = <uint8_t*> PyBytes_AS_STRING(frame)
    cdef Py_ssize_t index
    target[0] = <uint8_t> first
    if head == 2:
        target[1] = <uint8_t> size
    else:
        target[1] = 126 if head == 4 else 127
        for index in range(2, head):
            target[index] = <uint8_t> (<uint64_t> size >> 8 * (head - 1 - index))
    memcpy(target + head, payload, size)
    return frame


cpdef bytes render_frame(int first, bytes payload):
    """One unmasked frame: ``first`` is its first byte (FIN, RSV, opcode)."""
    return _render(first, PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload))


cpdef bytes render_text_frame(str text):
    """An unfragmented, uncompressed text message; ``UnicodeEncodeError`` for a lone surrogate.

    The UTF-8 of text beyond ASCII stays with the string, so that a broadcast encodes it once.
    """
    cdef Py_ssize_t size
    cdef const char* payload = PyUnicode_AsUTF8AndSize(text, &size)
    return _render(TEXT_FRAME, payload, size)

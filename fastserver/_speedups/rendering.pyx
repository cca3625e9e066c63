"""The head of a response: validating what an application gives, and rendering it as the bytes of HTTP/1.1.

``rendering.py`` is the twin.  Bounds: see ``kernels.pyx``.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from .contract cimport ResponseHead
from .kernels cimport (
    CONNECTION, CONTENT_LENGTH, DATE, HOP_BY_HOP, KNOWN, LONGEST_KNOWN, NAME, ORDINARY, SECRET, SERVER,
    TRANSFER_ENCODING, VALUE, Bytes, find_known, parse_length,
)

from http import HTTPStatus

cdef int _check_field(bytes name, bytes value, int* kind) except -1:
    """One response field: the name a token, the value free of controls and outer blanks (H1-41)."""
    cdef unsigned char lowered[LONGEST_KNOWN]
    cdef Bytes text = <Bytes> PyBytes_AS_STRING(name)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(name)
    cdef unsigned int hashed = 0
    cdef unsigned char byte
    cdef Py_ssize_t index
    cdef int slot
    for index in range(size):
        byte = NAME[text[index]]
        if byte == 0:
            raise ValueError(f"invalid header name {name!r}")
        if index < LONGEST_KNOWN:
            lowered[index] = byte
            hashed = hashed * 31 + byte
    if size == 0:
        raise ValueError("empty header name")
    slot = find_known(lowered, size, hashed) if size <= LONGEST_KNOWN else -1
    kind[0] = KNOWN[slot].kind if slot >= 0 and KNOWN[slot].kind != SECRET else ORDINARY
    text = <Bytes> PyBytes_AS_STRING(value)
    size = PyBytes_GET_SIZE(value)
    for index in range(size):
        if not VALUE[text[index]]:
            raise ValueError(f"invalid byte in the value of header {name!r}: {value!r}")
    if size and (text[0] <= 32 or text[size - 1] <= 32):
        raise ValueError(f"blank at an end of the value of header {name!r}: {value!r}")
    return 0


cdef tuple _as_pair(item):
    """One header of an ASGI message as a tuple of two ``bytes``."""
    cdef tuple pair = item if type(item) is tuple else tuple(item)
    if len(pair) != 2:
        raise ValueError(f"a header must be a pair (name, value), not {item!r}")
    if type(pair[0]) is not bytes or type(pair[1]) is not bytes:
        raise TypeError(f"header names and values must be bytes, not {item!r}")
    return pair


cpdef list inspect_fields(object headers):
    """Validated fields of an interim response or of trailers: a list of pairs, without those the server owns."""
    cdef int kind
    cdef tuple pair
    cdef list fields = []
    for item in headers:
        pair = _as_pair(item)
        _check_field(<bytes> pair[0], <bytes> pair[1], &kind)
        if kind == ORDINARY or kind == DATE or kind == SERVER:
            fields.append(pair)
    return fields


cdef inline ResponseHead _begin_head(int status):
    cdef ResponseHead head = ResponseHead.__new__(ResponseHead)
    head.status = status
    head.fields = []
    head.content_length = -1
    return head


cdef inline int _take_field(ResponseHead head, tuple pair, int kind) except -1:
    cdef long long length
    cdef bytes value
    if kind != ORDINARY:
        value = <bytes> pair[1]
        if kind == CONTENT_LENGTH:
            length = parse_length(<Bytes> PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
            if length < 0 or (head.content_length >= 0 and head.content_length != length):
                raise ValueError(f"invalid or contradictory content-length {value!r}")
            if head.content_length >= 0:
                return 0
            head.content_length = length
        elif kind == DATE:
            head.has_date = True
        elif kind == SERVER:
            head.has_server = True
        elif kind == CONNECTION:
            head.close |= b"close" in [token.strip() for token in value.lower().split(b",")]
            return 0
        elif kind == TRANSFER_ENCODING or kind == HOP_BY_HOP:
            return 0
    head.fields.append(pair)
    return 0


cpdef ResponseHead begin_head(int status):
    """The head of a final response of ``status``, without fields; raises ``ValueError``."""
    if not 200 <= status <= 999:
        raise ValueError(f"status of a final response must be 200 to 999, not {status}")
    return _begin_head(status)


cpdef int inspect_field(bytes name, bytes value) except -1:
    """What ``take_field`` has to be told of a response's field; raises ``ValueError`` for an invalid one."""
    cdef int kind
    _check_field(name, value, &kind)
    return kind


cpdef int take_field(ResponseHead head, tuple pair, int kind) except -1:
    """Add a field, of which ``inspect_field`` has said ``kind``; those that the server owns are only noted.

    Raises ``ValueError`` for a Content-Length that is none, or another than the one before.
    """
    return _take_field(head, pair, kind)


cpdef ResponseHead inspect_response(object status, object headers):
    """Validate ``status`` and ``headers`` of ``http.response.start``, for every wire alike.

    Raises ``TypeError`` or ``ValueError`` naming the rule; nothing of an invalid head reaches a peer (H1-41, H1-42).
    """
    cdef ResponseHead head
    cdef int kind
    cdef tuple pair
    if type(status) is not int and (not isinstance(status, int) or isinstance(status, bool)):
        raise TypeError(f"status must be an int, not {status!r}")
    if not 200 <= status <= 999:
        raise ValueError(f"status of a final response must be 200 to 999, not {int(status)}")
    head = _begin_head(status)
    for item in headers:
        pair = _as_pair(item)
        _check_field(<bytes> pair[0], <bytes> pair[1], &kind)
        if kind == ORDINARY:
            head.fields.append(pair)
        else:
            _take_field(head, pair, kind)
    return head


cpdef bint has_field(ResponseHead head, bytes name) except -1:
    """Whether there is a field of ``name`` (lower-case) in ``head``."""
    cdef tuple pair
    cdef bytes given
    cdef Py_ssize_t size = PyBytes_GET_SIZE(name)
    for pair in head.fields:
        given = <bytes> pair[0]
        if PyBytes_GET_SIZE(given) == size and given.lower() == name:
            return True
    return False


cdef list STATUS_LINES = [None] * 1000

cdef bytes _status_line(int status):
    line = STATUS_LINES[status]
    if line is None:
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        line = STATUS_LINES[status] = f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")
    return line


cdef inline char* _put(char* cursor, bytes part) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(part)
    memcpy(cursor, PyBytes_AS_STRING(part), size)
    return cursor + size


cdef inline int _put_number(char* digits, unsigned long long number, int base) noexcept:
    """``number`` in ``base`` at the end of the 20 bytes of ``digits``: how many digits."""
    cdef int count = 0
    while True:
        count += 1
        digits[20 - count] = b"0123456789abcdef"[number % base]
        number //= base
        if number == 0:
            return count


cpdef bytes render_response(
    ResponseHead head, bytes body, long long content_length, bint chunked, bytes connection_field,
    bytes date_field, bytes server_field, bytes extra_fields,
):
    """Head and first body part of an HTTP/1.1 response in one ``bytes``.

    ``content_length`` of 0 or more adds that field, -1 none; ``chunked`` adds Transfer-Encoding and frames ``body`` as
    a chunk.  The ``*_field`` arguments are whole lines, or empty.  Sizes are added up first, so ``cursor`` ends exactly
    at the end of the object.
    """
    cdef bytes status_line = _status_line(head.status)
    cdef Py_ssize_t body_size = PyBytes_GET_SIZE(body)
    cdef Py_ssize_t size
    cdef char length_digits[20]
    cdef char chunk_digits[20]
    cdef int length_count = 0, chunk_count = 0
    cdef bytes out
    cdef tuple pair
    cdef char* cursor
    size = (
        PyBytes_GET_SIZE(status_line) + PyBytes_GET_SIZE(connection_field) + PyBytes_GET_SIZE(date_field)
        + PyBytes_GET_SIZE(server_field) + PyBytes_GET_SIZE(extra_fields) + 2 + body_size
    )
    for pair in head.fields:
        size += PyBytes_GET_SIZE(<bytes> pair[0]) + PyBytes_GET_SIZE(<bytes> pair[1]) + 4
    if content_length >= 0:
        length_count = _put_number(length_digits, content_length, 10)
        size += 18 + length_count
    if chunked:
        size += 28
        if body_size:
            chunk_count = _put_number(chunk_digits, body_size, 16)
            size += chunk_count + 4
    out = PyBytes_FromStringAndSize(NULL, size)
    cursor = _put(PyBytes_AS_STRING(out), status_line)
    for pair in head.fields:
        cursor = _put(cursor, <bytes> pair[0])
        cursor[0] = c':'
        cursor[1] = c' '
        cursor = _put(cursor + 2, <bytes> pair[1])
        cursor[0] = 13
        cursor[1] = 10
        cursor += 2
    if content_length >= 0:
        memcpy(cursor, b"content-length: ", 16)
        memcpy(cursor + 16, length_digits + 20 - length_count, length_count)
        memcpy(cursor + 16 + length_count, b"\r\n", 2)
        cursor += 18 + length_count
    if chunked:
        memcpy(cursor, b"transfer-encoding: chunked\r\n", 28)
        cursor += 28
    cursor = _put(cursor, connection_field)
    cursor = _put(cursor, date_field)
    cursor = _put(cursor, server_field)
    cursor = _put(cursor, extra_fields)
    cursor[0] = 13
    cursor[1] = 10
    cursor += 2
    if chunk_count:
        memcpy(cursor, chunk_digits + 20 - chunk_count, chunk_count)
        cursor[chunk_count] = 13
        cursor[chunk_count + 1] = 10
        cursor = _put(cursor + chunk_count + 2, body)
        cursor[0] = 13
        cursor[1] = 10
    else:
        _put(cursor, body)
    return out


cpdef bytes render_fields(int status, list fields):
    """An interim response (1xx): status line, fields and the empty line."""
    return b"".join([_status_line(status), *[name + b": " + value + b"\r\n" for name, value in fields], b"\r\n"])


cpdef bytes render_chunk(bytes body, bint last):
    """``body`` as one chunk (none where it is empty); ``last`` adds the end of a chunked body without trailers."""
    cdef Py_ssize_t body_size = PyBytes_GET_SIZE(body)
    cdef char digits[20]
    cdef int count
    cdef bytes out
    cdef char* cursor
    if body_size == 0:
        return b"0\r\n\r\n" if last else b""
    count = _put_number(digits, body_size, 16)
    out = PyBytes_FromStringAndSize(NULL, count + 4 + body_size + (5 if last else 0))
    cursor = PyBytes_AS_STRING(out)
    memcpy(cursor, digits + 20 - count, count)
    memcpy(cursor + count, b"\r\n", 2)
    cursor = _put(cursor + count + 2, body)
    memcpy(cursor, b"\r\n0\r\n\r\n", 7 if last else 2)
    return out

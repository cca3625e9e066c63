"""Kernels over raw bytes: finding and splitting a request's head, validating and rendering a response's.

``kernels.py`` beside this file is the twin with the same functions for builds without a compiler; one parametrised test
runs both.  Grammar and framing of what a peer sends belong to llhttp; these kernels enforce what llhttp leaves open
(limits, Host, target forms, transfer codings: threats H1-2 to H1-39) and turn the bytes into ASGI's shapes in one pass.

Bounds: every pointer here walks inside one ``bytes`` object whose end is known; each loop's bound is stated above it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memchr, memcmp, memcpy

from .contract cimport Limits, Request, ResponseHead
from .events cimport RawData

from http import HTTPStatus

from .contract import WireError
from .fields import KNOWN_FIELDS, METHODS
from .target import decode_path, refuse_coding, replace_host, split_target

cdef extern from "<sys/socket.h>" nogil:
    int MSG_NOSIGNAL
    int MSG_DONTWAIT
    Py_ssize_t c_send "send"(int fd, const void* data, size_t size, int flags)

ctypedef const unsigned char* Bytes

# What a field means to the server; the numbers index nothing, KNOWN_FIELDS maps names to the same names.
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

cdef dict KINDS = {
    "ordinary": ORDINARY, "secret": SECRET, "host": HOST, "content-length": CONTENT_LENGTH,
    "transfer-encoding": TRANSFER_ENCODING, "connection": CONNECTION, "expect": EXPECT, "te": TE,
    "upgrade": UPGRADE, "date": DATE, "server": SERVER, "hop-by-hop": HOP_BY_HOP,
}

# Byte classes.  NAME: a token byte's lower case, or 0 (RFC 9110 section 5.6.2).
cdef unsigned char NAME[256]
# VALUE: 1 where a field value may hold the byte: HTAB, SP, VCHAR, obs-text (RFC 9110 section 5.5).
cdef unsigned char VALUE[256]
# PATH and QUERY: 1 where a target may hold the byte; stricter than llhttp (H1-20).
cdef unsigned char PATH[256]
cdef unsigned char QUERY[256]
# HOST_BYTE: 1 where a reg-name may hold the byte; no comma, so that a list of hosts is refused (H1-22).
cdef unsigned char HOST_BYTE[256]

cdef void _fill_byte_classes() noexcept:
    cdef int byte
    for byte in range(256):
        NAME[byte] = 0
        VALUE[byte] = byte == 9 or (byte >= 32 and byte != 127)
        QUERY[byte] = 33 <= byte <= 126 and byte != c'#'
        PATH[byte] = QUERY[byte] and byte != c'"' and byte != c'<' and byte != c'>' and byte != c'\\'
        HOST_BYTE[byte] = 0
    for byte in b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz":
        NAME[byte] = byte
    for byte in range(c'A', c'Z' + 1):
        NAME[byte] = byte + 32
        HOST_BYTE[byte] = 1
    for byte in b"-._~!$&'()*+;=%0123456789abcdefghijklmnopqrstuvwxyz":
        HOST_BYTE[byte] = 1

_fill_byte_classes()

# Known field names: an open-addressed table from lower-case bytes to one shared object and its kind.
cdef enum:
    NAME_SLOTS = 512
    LONGEST_KNOWN = 40

cdef struct KnownName:
    const char* text
    Py_ssize_t size
    int kind

cdef KnownName KNOWN[NAME_SLOTS]
cdef list KNOWN_OBJECTS = [None] * NAME_SLOTS
# The last (name, value) of each known name that is not a secret: most fields repeat from request to request, whoever
# sends them (Host, Accept-Encoding, Sec-Fetch-Mode ...), and a repeated one needs no new objects.  Bounded by the size
# of the table and of a value.
cdef enum:
    LONGEST_REPEATED = 256
cdef list LAST_FIELDS = [None] * NAME_SLOTS


cdef inline unsigned int _mix(unsigned int hashed) noexcept nogil:
    return (hashed ^ (hashed >> 7) ^ (hashed >> 15)) & (NAME_SLOTS - 1)


cdef _fill_known_names():
    cdef unsigned int hashed, slot
    cdef bytes name
    for name, kind in KNOWN_FIELDS.items():
        assert len(name) <= LONGEST_KNOWN
        hashed = 0
        for byte in name:
            hashed = hashed * 31 + <unsigned int> byte
        slot = _mix(hashed)
        while KNOWN[slot].text != NULL:
            slot = (slot + 1) & (NAME_SLOTS - 1)
        KNOWN[slot].text = PyBytes_AS_STRING(name)
        KNOWN[slot].size = len(name)
        KNOWN[slot].kind = KINDS[kind]
        KNOWN_OBJECTS[slot] = name

_fill_known_names()


cdef inline int _find_known(const unsigned char* lowered, Py_ssize_t size, unsigned int hashed) noexcept nogil:
    """The slot of a lower-case name, or -1; the table is never full, so the probe ends."""
    cdef unsigned int slot = _mix(hashed)
    while KNOWN[slot].text != NULL:
        if KNOWN[slot].size == size and memcmp(KNOWN[slot].text, lowered, size) == 0:
            return slot
        slot = (slot + 1) & (NAME_SLOTS - 1)
    return -1


# ---- Finding a head ------------------------------------------------------------------------------------------------

cpdef Py_ssize_t find_head_end(bytes data, Py_ssize_t start) except -2:
    """The index after the first empty line at or after ``start``, or -1 where there is none yet."""
    cdef Bytes base = <Bytes> PyBytes_AS_STRING(data)
    cdef Bytes stop = base + PyBytes_GET_SIZE(data) - 3  # cursor < stop, so cursor[3] is inside
    cdef Bytes cursor = base + start
    # From CR to CR: lines are long enough that memchr beats memmem fivefold.
    while cursor < stop:
        cursor = <Bytes> memchr(cursor, 13, stop - cursor)
        if cursor == NULL:
            return -1
        if cursor[1] == 10 and cursor[2] == 13 and cursor[3] == 10:
            return cursor - base + 4
        cursor += 1
    return -1


cpdef Py_ssize_t check_partial_head(bytes data, Py_ssize_t start, Py_ssize_t scanned, Limits limits) except -1:
    """Refuse an unfinished head as early as its bytes allow, and say how far it was scanned.

    ``data[start:]`` is the head so far; bytes before ``scanned`` were checked by an earlier call, so a head that comes
    byte by byte costs linear time.  Raises ``WireError``: 400 for a bare CR or LF or a control byte (H1-9, H1-10), what
    the request line alone deserves once it is whole, 414 and 431 for size.
    """
    cdef Bytes base = <Bytes> PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t index = scanned if scanned > start else start
    cdef Bytes eol
    cdef RequestLine line
    cdef unsigned char byte
    if size > start and base[start] == 13 and size - start > 1:
        raise WireError(400, "empty line before the request line")
    while index < size:  # index stays below size
        byte = base[index]
        if byte == 13:
            if index + 1 == size:
                break
            if base[index + 1] != 10:
                raise WireError(400, "bare CR")
            index += 2
            continue
        if not VALUE[byte]:
            raise WireError(400, "bare LF" if byte == 10 else "control byte")
        index += 1
    eol = <Bytes> memchr(base + start, 13, size - start)
    if eol == NULL:
        if size - start > limits.request_line:
            raise WireError(414, "request line too long")
    elif eol - base + 1 < size:
        _split_request_line(base + start, eol - base - start, limits, &line)
    if size - start > limits.request_head:
        raise WireError(431, "request head too large")
    return index


# ---- Splitting a head ----------------------------------------------------------------------------------------------

cdef struct RequestLine:
    Py_ssize_t method_size
    Bytes target
    Py_ssize_t target_size
    int minor


cdef int _split_request_line(Bytes line, Py_ssize_t size, Limits limits, RequestLine* out) except -1:
    """method SP request-target SP HTTP-version, each separator one space (RFC 9112 section 3, H1-25)."""
    cdef Py_ssize_t method_size = 0, index
    cdef Bytes version
    if size > limits.request_line:
        raise WireError(414, "request line too long")
    while method_size < size and NAME[line[method_size]]:
        method_size += 1
    if method_size == 0 or method_size == size or line[method_size] != 32:
        raise WireError(400, "malformed request line")
    index = method_size + 1
    while index < size and line[index] > 32:
        index += 1
    out.method_size = method_size
    out.target = line + method_size + 1
    out.target_size = index - method_size - 1
    if out.target_size == 0 or index == size or line[index] != 32:
        raise WireError(400, "malformed request line")
    version = line + index + 1
    if size - index - 1 != 8 or memcmp(version, b"HTTP/", 5) != 0 or version[6] != c'.':
        raise WireError(400, "malformed HTTP version")
    if version[5] != c'1' or (version[7] != c'0' and version[7] != c'1'):
        if c'0' <= version[5] <= c'9' and c'0' <= version[7] <= c'9':
            raise WireError(505, "HTTP version not supported")
        raise WireError(400, "malformed HTTP version")
    out.minor = version[7] - c'0'
    return 0


cdef int _read_target(Request request, Bytes target, Py_ssize_t size) except -1:
    """Origin-form into path, raw_path and query_string; other forms go the cold way."""
    cdef Py_ssize_t index = 0, path_size
    cdef bint escaped = False
    if target[0] != c'/':
        return 0
    while index < size and target[index] != c'?':
        if not PATH[target[index]]:
            raise WireError(400, "invalid byte in the request target")
        escaped |= target[index] == c'%'
        index += 1
    path_size = index
    while index < size:
        if not QUERY[target[index]]:
            raise WireError(400, "invalid byte in the request target")
        index += 1
    request.raw_path = PyBytes_FromStringAndSize(<const char*> target, path_size)
    request.query_string = (
        PyBytes_FromStringAndSize(<const char*> target + path_size + 1, size - path_size - 1)
        if path_size < size else b""
    )
    if escaped:
        request.path = decode_path(request.raw_path)
    else:
        request.path = PyUnicode_DecodeASCII(<const char*> target, path_size, NULL)
    return 1


cdef bytes _read_other_target(Request request, Bytes target, Py_ssize_t size):
    """Any form that does not begin with a slash; returns the authority that it names, or None."""
    cdef Py_ssize_t index
    for index in range(size):
        if not PATH[target[index]]:
            raise WireError(400, "invalid byte in the request target")
    authority, request.raw_path, request.query_string = split_target(
        request.method, PyBytes_FromStringAndSize(<const char*> target, size), is_host
    )
    request.path = decode_path(request.raw_path)
    return authority


cpdef bint is_host(bytes value) except -1:
    """Whether ``value`` is ``uri-host [":" port]`` and not empty (RFC 9110 section 7.2, H1-22)."""
    return _is_host(<Bytes> PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))


cdef bint _is_host(Bytes value, Py_ssize_t size) noexcept:
    cdef Py_ssize_t index = 0
    cdef int port = 0
    if size == 0 or value[0] == c':':
        return False
    if value[0] == c'[':  # IP-literal
        index = 1
        while index < size and (NAME[value[index]] or value[index] == c':'):
            index += 1
        if index < 3 or index == size or value[index] != c']':
            return False
        index += 1
    else:
        while index < size and HOST_BYTE[value[index]]:
            index += 1
    if index == size:
        return True
    if value[index] != c':' or size - index > 6:
        return False
    for index in range(index + 1, size):
        if not c'0' <= value[index] <= c'9':
            return False
        port = port * 10 + value[index] - c'0'
    return port <= 65535


cdef bint _equals(Bytes value, Py_ssize_t size, const char* lower, Py_ssize_t lower_size) noexcept:
    """Whether ``value`` is ``lower`` in any case; ``lower`` holds only token bytes in lower case."""
    cdef Py_ssize_t index
    if size != lower_size:
        return False
    for index in range(size):
        if NAME[value[index]] != <unsigned char> lower[index]:
            return False
    return True


cdef long long _parse_length(Bytes value, Py_ssize_t size) noexcept:
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


cdef int _note_connection(Request request, Bytes value, Py_ssize_t size) noexcept:
    """The tokens of one Connection field that matter; others are the sender's business."""
    cdef Py_ssize_t start, stop, index = 0
    while index <= size:  # value[index] is read only where index < size
        start = index
        while index < size and value[index] != c',':
            index += 1
        stop = index
        index += 1
        while start < stop and (value[start] == 32 or value[start] == 9):
            start += 1
        while stop > start and (value[stop - 1] == 32 or value[stop - 1] == 9):
            stop -= 1
        if _equals(value + start, stop - start, b"close", 5):
            request.close = True
        elif _equals(value + start, stop - start, b"keep-alive", 10):
            request.keep_alive = True
        elif _equals(value + start, stop - start, b"upgrade", 7):
            request.connection_upgrade = True
    return 0


cdef int _note_field(Request request, int kind, Bytes value, Py_ssize_t size) except -1:
    """What a known field says about framing, the connection or the host."""
    if kind == HOST:
        if request.has_host:
            raise WireError(400, "more than one Host")
        if not _is_host(value, size):
            raise WireError(400, "invalid Host")
        request.has_host = True
    elif kind == CONNECTION:
        _note_connection(request, value, size)
    elif kind == CONTENT_LENGTH:
        if request.content_length >= 0:
            raise WireError(400, "more than one Content-Length")
        request.content_length = _parse_length(value, size)
        if request.content_length < 0:
            raise WireError(400, "invalid Content-Length")
    elif kind == TRANSFER_ENCODING:
        if request.chunked:
            raise WireError(400, "more than one Transfer-Encoding")
        if not _equals(value, size, b"chunked", 7):
            raise refuse_coding(PyBytes_FromStringAndSize(<const char*> value, size))
        request.chunked = True
    elif kind == EXPECT:
        if not _equals(value, size, b"100-continue", 12):
            raise WireError(417, "unknown expectation")
        request.expect_continue = True
    elif kind == TE:
        for coding in PyBytes_FromStringAndSize(<const char*> value, size).lower().split(b","):
            if coding.partition(b";")[0].strip(b" \t") == b"trailers":
                request.accepts_trailers = True
    elif kind == UPGRADE:
        request.upgrade = True
    return 0


cdef inline tuple _take_field(int slot, bytes name, Bytes value, Py_ssize_t size):
    """``(name, value)`` of a known field: the last one where it is the same."""
    cdef tuple pair = <tuple> LAST_FIELDS[slot]
    cdef bytes last
    if pair is not None:
        last = <bytes> pair[1]
        if PyBytes_GET_SIZE(last) == size and memcmp(PyBytes_AS_STRING(last), value, size) == 0:
            return pair
    pair = (name, PyBytes_FromStringAndSize(<const char*> value, size))
    if size <= LONGEST_REPEATED:
        LAST_FIELDS[slot] = pair
    return pair


cdef int _read_fields(Request request, Bytes cursor, Bytes stop, Limits limits) except -1:
    """Every field line from ``cursor`` to ``stop``, the CR of the empty line that ends the head."""
    cdef unsigned char lowered[LONGEST_KNOWN]
    cdef unsigned char byte
    cdef unsigned int hashed
    cdef Py_ssize_t size, index
    cdef long long count = 0
    cdef Bytes eol
    cdef Bytes value
    cdef Bytes value_stop
    cdef Py_ssize_t value_size
    cdef int slot
    cdef bytes name
    cdef list headers = request.headers
    while cursor < stop:
        eol = <Bytes> memchr(cursor, 13, stop - cursor)
        if eol == NULL or eol[1] != 10:  # eol < stop, and stop[0:2] is inside the head
            raise WireError(400, "bare CR")
        size = eol - cursor
        count += 1
        if count > limits.request_fields:
            raise WireError(431, "too many header fields")
        if size > limits.request_field:
            raise WireError(431, "header field too large")
        hashed = 0
        index = 0
        while index < size:
            byte = NAME[cursor[index]]
            if byte == 0:
                break
            if index < LONGEST_KNOWN:
                lowered[index] = byte
                hashed = hashed * 31 + byte
            index += 1
        if index == 0 or index == size or cursor[index] != c':':
            raise WireError(400, "malformed header field")
        value = cursor + index + 1
        value_stop = eol
        while value < value_stop and (value[0] == 32 or value[0] == 9):
            value += 1
        while value_stop > value and (value_stop[-1] == 32 or value_stop[-1] == 9):
            value_stop -= 1
        value_size = value_stop - value
        slot = _find_known(lowered, index, hashed) if index <= LONGEST_KNOWN else -1
        if slot >= 0:
            name = <bytes> KNOWN_OBJECTS[slot]
            if KNOWN[slot].kind > SECRET:
                _note_field(request, KNOWN[slot].kind, value, value_size)
            if KNOWN[slot].kind != SECRET:
                headers.append(_take_field(slot, name, value, value_size))
                cursor = eol + 2
                continue
        elif index <= LONGEST_KNOWN:
            name = PyBytes_FromStringAndSize(<const char*> lowered, index)
        else:
            name = PyBytes_FromStringAndSize(<const char*> cursor, index).lower()
        headers.append((name, PyBytes_FromStringAndSize(<const char*> value, value_size)))
        cursor = eol + 2
    return 0


cpdef Request split_head(bytes data, Py_ssize_t start, Py_ssize_t end, Limits limits):
    """The head ``data[start:end]`` as a ``Request``; ``end`` is what ``find_head_end`` gave.

    Field values are not checked here: the caller feeds the same bytes to llhttp and drops the request if it objects.
    Raises ``WireError`` with 400, 413, 414, 417, 431, 501 or 505.
    """
    cdef Bytes base = <Bytes> PyBytes_AS_STRING(data)
    cdef Bytes stop = base + end - 2
    cdef Bytes eol
    cdef RequestLine line
    cdef Request request
    cdef bytes method, authority = None
    if start < 0 or end - start < 4 or end > PyBytes_GET_SIZE(data) or memcmp(base + end - 4, b"\r\n\r\n", 4) != 0:
        raise ValueError("not a whole head")
    eol = <Bytes> memchr(base + start, 13, end - start)  # found: the head ends in CR LF CR LF
    if eol[1] != 10:
        raise WireError(400, "bare CR")
    _split_request_line(base + start, eol - base - start, limits, &line)
    if end - start > limits.request_head:
        raise WireError(431, "request head too large")
    request = Request.__new__(Request)
    request.headers = []
    request.content_length = -1
    request.http_version = "1.1" if line.minor else "1.0"
    if line.method_size == 3 and memcmp(base + start, b"GET", 3) == 0:
        request.method = "GET"
    else:
        method = PyBytes_FromStringAndSize(<const char*> base + start, line.method_size)
        request.method = METHODS.get(method)
        if request.method is None:
            raise WireError(501, "method not implemented")
    if not _read_target(request, line.target, line.target_size):
        authority = _read_other_target(request, line.target, line.target_size)
    _read_fields(request, eol + 2, stop, limits)
    if request.chunked and (request.content_length >= 0 or line.minor == 0):
        raise WireError(400, "Transfer-Encoding with Content-Length or in HTTP/1.0")
    if not request.has_host and line.minor == 1:
        raise WireError(400, "no Host")
    if authority is not None:
        replace_host(request, authority)
    if 0 < limits.request_body < request.content_length:
        raise WireError(413, "request body too large")
    return request


# ---- Validating and rendering a response ---------------------------------------------------------------------------

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
    slot = _find_known(lowered, size, hashed) if size <= LONGEST_KNOWN else -1
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


cpdef ResponseHead inspect_response(object status, object headers):
    """Validate ``status`` and ``headers`` of ``http.response.start``, for every wire alike.

    Raises ``TypeError`` or ``ValueError`` naming the rule; nothing of an invalid head reaches a peer (H1-41, H1-42).
    """
    cdef ResponseHead head
    cdef int kind
    cdef tuple pair
    cdef bytes value
    cdef long long length
    if type(status) is not int and (not isinstance(status, int) or isinstance(status, bool)):
        raise TypeError(f"status must be an int, not {status!r}")
    if not 200 <= status <= 999:
        raise ValueError(f"status of a final response must be 200 to 999, not {int(status)}")
    head = ResponseHead.__new__(ResponseHead)
    head.status = status
    head.fields = []
    head.content_length = -1
    for item in headers:
        pair = _as_pair(item)
        value = <bytes> pair[1]
        _check_field(<bytes> pair[0], value, &kind)
        if kind != ORDINARY:
            if kind == CONTENT_LENGTH:
                length = _parse_length(<Bytes> PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
                if length < 0 or (head.content_length >= 0 and head.content_length != length):
                    raise ValueError(f"invalid or contradictory content-length {value!r}")
                if head.content_length >= 0:
                    continue
                head.content_length = length
            elif kind == DATE:
                head.has_date = True
            elif kind == SERVER:
                head.has_server = True
            elif kind == CONNECTION:
                head.close |= b"close" in [token.strip() for token in value.lower().split(b",")]
                continue
            elif kind == TRANSFER_ENCODING or kind == HOP_BY_HOP:
                continue
        head.fields.append(pair)
    return head


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


# ---- Making an event ------------------------------------------------------------------------------------------------

cpdef RawData raw_data(bytes data):
    """``RawData(data)`` without parsing arguments: one is made for each read and each write."""
    cdef RawData event = RawData.__new__(RawData)
    event.data = data
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

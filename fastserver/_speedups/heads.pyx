"""Reading the head of a request from raw bytes: finding its end, refusing it early, splitting it into a ``Request``.

Grammar and framing of what a peer sends belong to llhttp; these kernels enforce what llhttp leaves open (limits, Host,
target forms, transfer codings: threats H1-2 to H1-39) and turn the bytes into ASGI's shapes in one pass.  ``heads.py``
is the twin.  Bounds: see ``kernels.pyx``.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.string cimport memchr, memcmp

from .contract cimport Limits, Request
from .kernels cimport (
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, KNOWN, LONGEST_KNOWN, NAME, NAME_SLOTS, SECRET, TE, TRANSFER_ENCODING,
    UPGRADE, VALUE, Bytes, find_known, parse_length,
)

# An imported object that is held as a C global.
cdef str HTTP_1_1

from .contract import WireError
from .fields import HTTP_1_1, METHODS
from .target import decode_path, refuse_coding, replace_host, split_target

# PATH and QUERY: 1 where a target may hold the byte; stricter than llhttp (H1-20).
cdef unsigned char PATH[256]
cdef unsigned char QUERY[256]
# HOST_BYTE: 1 where a reg-name may hold the byte; no comma, so that a list of hosts is refused (H1-22).
cdef unsigned char HOST_BYTE[256]

cdef void _fill_byte_classes() noexcept:
    cdef int byte
    for byte in range(256):
        QUERY[byte] = 33 <= byte <= 126 and byte != c'#'
        PATH[byte] = QUERY[byte] and byte != c'"' and byte != c'<' and byte != c'>' and byte != c'\\'
        HOST_BYTE[byte] = 0
    for byte in range(c'A', c'Z' + 1):
        HOST_BYTE[byte] = 1
    for byte in b"-._~!$&'()*+;=%0123456789abcdefghijklmnopqrstuvwxyz":
        HOST_BYTE[byte] = 1

_fill_byte_classes()

# Field lines repeat from request to request, whoever sends them (Host, Accept-Encoding, Sec-Fetch-Mode ...), and in the
# same order.  So the last short line of each known name that is not a secret is kept whole with what it came to, and so
# is which name followed which: a line that is the expected one needs one comparison and no new object.
cdef enum:
    LONGEST_REPEATED = 300

@cython.final
@cython.no_gc
cdef class RepeatedLine:
    """A field line with its CR LF, and the (name, value) that it came to."""
    cdef bytes line
    cdef tuple pair
    cdef Py_ssize_t value_at
    cdef Py_ssize_t value_size
    cdef int kind

cdef list REPEATED = [None] * NAME_SLOTS
# How often in a row a name came with another line; one that never repeats (X-Request-ID) is then kept rarely.
cdef unsigned char MISSES[NAME_SLOTS]
# The slot that followed the slot before the index last time (index 0: that began the head), or -1.
cdef int FOLLOWER[NAME_SLOTS + 1]

cdef _forget_followers():
    cdef int index
    for index in range(NAME_SLOTS + 1):
        FOLLOWER[index] = -1

_forget_followers()


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


cdef inline int _read_target(Request request, Bytes target, Py_ssize_t size) except -1:
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


cpdef int read_path(Request request, bytes target) except -1:
    """The ``:path`` of an HTTP/2 or HTTP/3 request into path, raw_path and query_string: origin-form, or ``*``.

    ``request.method`` is set already.  Raises ``WireError(400)`` (RFC 9113 section 8.3.1, H2-11).
    """
    cdef Bytes start = <Bytes> PyBytes_AS_STRING(target)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(target)
    if not _read_target(request, start, size) and _read_other_target(request, start, size) is not None:
        raise WireError(400, "absolute-form in :path")
    return 0


cpdef bint is_host(bytes value) except -1:
    """Whether ``value`` is ``uri-host [":" port]`` and not empty (RFC 9110 section 7.2, H1-22)."""
    return _is_host(<Bytes> PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))


cdef inline bint _is_hex(unsigned char byte) noexcept:
    return c'0' <= byte <= c'9' or c'a' <= (byte | 32) <= c'f'


cdef bint _is_host(Bytes value, Py_ssize_t size) noexcept:
    cdef Py_ssize_t index = 0
    cdef int port = 0
    cdef int colons = 0
    if size == 0 or value[0] == c':':
        return False
    if value[0] == c'[':  # IP-literal (RFC 3986 section 3.2.2): IPv6address loosely, or IPvFuture
        index = 1
        if size > 1 and NAME[value[1]] == c'v':
            while index < size and (HOST_BYTE[value[index]] and value[index] != c'%' or value[index] == c':'):
                index += 1
        else:
            while index < size and (value[index] == c':' or value[index] == c'.' or _is_hex(value[index])):
                colons += value[index] == c':'
                index += 1
            if colons < 2:
                return False
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
        request.content_length = parse_length(value, size)
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


cpdef int note_field(Request request, bytes name, bytes value) except -1:
    """What the known field ``name``, in lower case, says about framing, the connection or the host."""
    cdef Bytes start = <Bytes> PyBytes_AS_STRING(name)
    cdef Py_ssize_t index, size = PyBytes_GET_SIZE(name)
    cdef unsigned int hashed = 0
    cdef int slot
    for index in range(size):
        hashed = hashed * 31 + start[index]
    slot = find_known(start, size, hashed)
    if slot >= 0:
        _note_field(request, KNOWN[slot].kind, <Bytes> PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    return 0


cdef tuple _keep_line(int slot, Bytes line, Py_ssize_t size, Bytes value, Py_ssize_t value_size):
    """The (name, value) of a known field; kept with its line of ``size`` bytes where the same may come again."""
    cdef RepeatedLine repeated
    cdef tuple pair = (<bytes> KNOWN[slot].name, PyBytes_FromStringAndSize(<const char*> value, value_size))
    MISSES[slot] += 1  # it wraps around, and then the name gets another chance
    if size <= LONGEST_REPEATED and KNOWN[slot].kind != SECRET and (MISSES[slot] < 8 or MISSES[slot] & 15 == 0):
        repeated = RepeatedLine.__new__(RepeatedLine)
        repeated.line = PyBytes_FromStringAndSize(<const char*> line, size)
        repeated.pair = pair
        repeated.value_at = value - line
        repeated.value_size = value_size
        repeated.kind = KNOWN[slot].kind
        REPEATED[slot] = repeated
    return pair


cdef int _read_fields(Request request, Bytes cursor, Bytes stop, Limits limits) except -1:
    """Every field line from ``cursor`` to ``stop``, the CR of the empty line that ends the head."""
    cdef long long count = 0
    cdef list headers = request.headers
    cdef RepeatedLine expected
    cdef Py_ssize_t size
    cdef int last = -1  # the slot of the line before; -2 where its name is not a known one
    cdef int slot
    while cursor < stop:
        count += 1
        if count > limits.request_fields:
            raise WireError(431, "too many header fields")
        slot = FOLLOWER[last + 1] if last >= -1 else -1
        if slot >= 0:
            expected = <RepeatedLine> REPEATED[slot]
            if expected is not None:
                size = PyBytes_GET_SIZE(expected.line)
                # Both ends are known: the line must lie in front of `stop`.
                if (
                    size <= stop - cursor and size - 2 <= limits.request_field
                    and memcmp(cursor, PyBytes_AS_STRING(expected.line), size) == 0
                ):
                    if expected.kind > SECRET:
                        _note_field(request, expected.kind, cursor + expected.value_at, expected.value_size)
                    MISSES[slot] = 0
                    headers.append(expected.pair)
                    cursor += size
                    last = slot
                    continue
        cursor = _read_field(request, cursor, stop, limits, &slot)
        if last >= -1:
            FOLLOWER[last + 1] = slot
        last = slot if slot >= 0 else -2
    return 0


cdef Bytes _read_field(Request request, Bytes cursor, Bytes stop, Limits limits, int* known) except NULL:
    """One field line from ``cursor``: what follows it.  ``known`` gets the slot of its name, or -1."""
    cdef unsigned char lowered[LONGEST_KNOWN]
    cdef unsigned char byte
    cdef unsigned int hashed = 0
    cdef Py_ssize_t size, index = 0
    cdef Bytes eol = <Bytes> memchr(cursor, 13, stop - cursor)
    cdef Bytes value
    cdef Bytes value_stop = eol
    cdef int slot
    cdef bytes name
    if eol == NULL or eol[1] != 10:  # eol < stop, and stop[0:2] is inside the head
        raise WireError(400, "bare CR")
    size = eol - cursor
    if size > limits.request_field:
        raise WireError(431, "header field too large")
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
    while value < value_stop and (value[0] == 32 or value[0] == 9):
        value += 1
    while value_stop > value and (value_stop[-1] == 32 or value_stop[-1] == 9):
        value_stop -= 1
    slot = known[0] = find_known(lowered, index, hashed) if index <= LONGEST_KNOWN else -1
    if slot >= 0:
        if KNOWN[slot].kind > SECRET:
            _note_field(request, KNOWN[slot].kind, value, value_stop - value)
        request.headers.append(_keep_line(slot, cursor, size + 2, value, value_stop - value))
        return eol + 2
    if index <= LONGEST_KNOWN:
        name = PyBytes_FromStringAndSize(<const char*> lowered, index)
    else:
        name = PyBytes_FromStringAndSize(<const char*> cursor, index).lower()
    request.headers.append((name, PyBytes_FromStringAndSize(<const char*> value, value_stop - value)))
    return eol + 2


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
    request.protocol = ""
    request.http_version = HTTP_1_1 if line.minor else "1.0"
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

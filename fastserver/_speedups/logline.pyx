"""The lines of the access log, rendered without an object for each value; ``logline.py`` is the twin.

A format is a list of pieces, each a code of ``logline.pxd`` with what it needs.  A value of a client is escaped as it
is copied, so nothing unescaped ever stands in the buffer.

Bounds: every write sees first that there is room for the most that it can take, and has ``_grow`` make it.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from cpython.tuple cimport PyTuple_GET_ITEM
from libc.string cimport memcmp, memcpy

from .contract cimport Peer, Request, ResponseHead

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int CLOCK_REALTIME
    int clock_gettime(int clock, timespec* time)

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    bint PyUnicode_IS_COMPACT_ASCII(object text)

from .logformats import (
    BY_STATUS, CALL, CLIENT_GONE, CODES, DERIVED, FIELD_LIMIT, FLUSH_S, INSERTED, LITERAL, REQUEST_FIELD,
    RESPONSE_FIELD,
    TIME, TIME_MS, Record,
)

cdef Py_ssize_t LIMIT = FIELD_LIMIT
cdef int GONE = CLIENT_GONE
cdef double PAUSE_S = FLUSH_S
# Bytes of a buffer that is kept when it was emptied.
cdef Py_ssize_t KEPT = 1 << 16

assert (LITERAL, TIME, TIME_MS, REQUEST_FIELD, RESPONSE_FIELD, DERIVED, INSERTED, BY_STATUS, CALL, len(CODES)) == (
    LITERAL_, TIME_, TIME_MS_, REQUEST_FIELD_, RESPONSE_FIELD_, DERIVED_, INSERTED_, BY_STATUS_, CALL_, CALL_ + 1
)

# 0 where a byte may stand in a line as it is; filled when the module is imported.
cdef unsigned char UNSAFE[256]
cdef const char* HEX = "0123456789abcdef"


cdef void _fill() noexcept:
    cdef int byte
    for byte in range(256):
        UNSAFE[byte] = byte < 0x20 or byte > 0x7e or byte == c'"' or byte == c'\\'


_fill()


cdef inline bint _is_safe(const unsigned char* text) noexcept:
    """Whether none of sixteen bytes has to be escaped."""
    cdef unsigned char bad = 0
    cdef unsigned char byte
    cdef int at
    for at in range(16):
        byte = text[at]
        bad |= (<unsigned char> (byte - 0x20) > 0x5e) | (byte == c'"') | (byte == c'\\')
    return bad == 0


cpdef double read_wall() noexcept:
    """Unix seconds."""
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return now.tv_sec + now.tv_nsec * 1e-9


cdef object _find(list fields, const char* name, Py_ssize_t size):
    """The first value of a field, or ``None``.  Names of requests are in lower case; an application's may not be."""
    cdef Py_ssize_t index
    cdef object key
    cdef tuple pair
    for index in range(PyList_GET_SIZE(fields)):
        pair = <tuple> PyList_GET_ITEM(fields, index)
        key = <object> PyTuple_GET_ITEM(pair, 0)
        if PyBytes_GET_SIZE(key) == size and _is_name(PyBytes_AS_STRING(key), name, size):
            return <object> PyTuple_GET_ITEM(pair, 1)
    return None


cdef inline bint _is_name(const char* given, const char* name, Py_ssize_t size) noexcept:
    """Whether ``given`` is ``name``, a name in lower case, of the same ``size``."""
    cdef Py_ssize_t at
    cdef char byte
    if memcmp(given, name, size) == 0:
        return True
    for at in range(size):
        byte = given[at]
        if c'A' <= byte <= c'Z':
            byte += 32
        if byte != name[at]:
            return False
    return True


cdef class LineBuffer:
    def __init__(self, pieces, is_json=False, loop=None, excluded=None, matches=None):
        cdef Py_ssize_t at
        cdef Piece* piece
        if self._pieces != NULL:
            raise RuntimeError("made twice")
        self._kept = list(pieces)
        self._pieces = <Piece*> PyMem_Malloc(sizeof(Piece) * (len(self._kept) + 1))
        if self._pieces == NULL:
            raise MemoryError
        for at in range(len(self._kept)):
            code, argument, function = self._kept[at]
            piece = &self._pieces[at]
            piece.code = code
            piece.argument = <void*> <PyObject*> argument
            piece.function = <void*> <PyObject*> function
            piece.text = NULL
            piece.size = 0
            piece.second = 0
            piece.cached = NULL
            if type(argument) is bytes:
                piece.text = PyBytes_AS_STRING(argument)
                piece.size = PyBytes_GET_SIZE(argument)
            self._count += 1
        self._is_json = is_json
        self._loop = loop
        self._excluded = excluded
        self._matches = matches
        self._flushed_at = -PAUSE_S

    def __dealloc__(self):
        cdef Py_ssize_t at
        if self._pieces != NULL:
            for at in range(self._count):
                Py_XDECREF(<PyObject*> self._pieces[at].cached)
            PyMem_Free(self._pieces)
        PyMem_Free(self._data)

    def __call__(self, Request request, int status, long long body_bytes, double duration_s, Peer peer,
                 ResponseHead head):
        try:
            self.add(request, status, body_bytes, duration_s, peer, head, read_wall())
        except Exception:  # a request must not fail for its log line, whatever is wrong with it
            self.failed += 1

    cpdef add(self, Request request, int status, long long body_bytes, double duration_s, Peer peer, ResponseHead head,
              double wall_s):
        cdef Py_ssize_t at
        cdef Py_ssize_t begin = self._size
        cdef Piece* piece
        cdef double now
        if request is None or peer is None:
            raise TypeError("a request and a peer are needed")
        if (self._excluded is not None or self._matches is not None) and self._is_excluded(request):
            return
        try:
            for at in range(self._count):
                piece = &self._pieces[at]
                if piece.code == LITERAL_:
                    self._put(piece.text, piece.size)
                    continue
                self._render(piece, request, status, body_bytes, duration_s, peer, head, wall_s)
            self._put(b"\n", 1)
        except BaseException:
            self._size = begin
            raise
        if self._is_due:
            return
        if self._loop is None:
            self.flush()
            return
        self._is_due = True
        now = self._loop.time()
        if now - self._flushed_at < PAUSE_S:
            self._loop.call_later(PAUSE_S, self.flush)
        else:
            self._loop.call_soon(self.flush)

    cpdef bytes take(self):
        cdef bytes lines
        self._is_due = False
        if self._size == 0:
            return b""
        if self._loop is not None:
            self._flushed_at = self._loop.time()
        lines = PyBytes_FromStringAndSize(self._data, self._size)
        self._size = 0
        if self._room > KEPT:
            PyMem_Free(self._data)
            self._data = NULL
            self._room = 0
        return lines

    def flush(self):
        """Write what ``take`` gives; for who derives."""
        raise NotImplementedError

    cdef bint _is_excluded(self, Request request) except -1:
        if self._excluded is not None and request.path in self._excluded:
            return True
        return self._matches is not None and self._matches(request.path) is not None

    cdef int _render(self, Piece* piece, Request request, int status, long long body_bytes, double duration_s,
                     Peer peer, ResponseHead head, double wall_s) except -1:
        cdef int code = piece.code
        cdef object value
        if code == LITERAL_:
            return self._put(piece.text, piece.size)
        elif code == REQUEST_FIELD_:
            return self._put_bytes(_find(request.headers, piece.text, piece.size))
        elif code == RESPONSE_FIELD_:
            return self._put_bytes(None if head is None else _find(head.fields, piece.text, piece.size))
        elif code == TIME_ or code == TIME_MS_:
            return self._put_time(piece, wall_s)
        elif code == METHOD_:
            return self._put_text(request.method)
        elif code == TARGET_:
            return self._put_target(request)
        elif code == PATH_:
            return self._put_bytes(request.raw_path)
        elif code == QUERY_:
            return self._put_bytes(request.query_string) if PyBytes_GET_SIZE(request.query_string) else 0
        elif code == PROTOCOL_:
            self._put(b"HTTP/", 5)
            return self._put_text(request.http_version)
        elif code == SCHEME_:
            return self._put_text(peer.scheme)
        elif code == STATUS_:
            return self._put_number(status or GONE, 1)
        elif code == BYTES_:
            return self._put_number(body_bytes, 1)
        elif code == BYTES_OR_DASH_:
            return self._put_number(body_bytes, 1) if body_bytes else self._put(b"-", 1)
        elif code == SECONDS_:
            return self._put_number(<long long> duration_s, 1)
        elif code == MILLISECONDS_:
            return self._put_number(<long long> (duration_s * 1000), 1)
        elif code == MICROSECONDS_:
            return self._put_number(<long long> (duration_s * 1000000), 1)
        elif code == DURATION_S_:
            return self._put_fraction(duration_s, 1000000, 6)
        elif code == DURATION_MS_:
            return self._put_fraction(duration_s, 1000, 3)
        elif code == CLIENT_:
            return self._put_text(peer.client[0] if peer.client else None)
        elif code == DERIVED_ or code == INSERTED_:
            return self._put_derived(piece, request)
        elif code == BY_STATUS_:
            value = (<dict> piece.argument).get(status or GONE, b"-")
            return self._put(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        value = (<object> piece.argument)(Record(request, status, body_bytes, duration_s, peer, head, wall_s))
        value = value.encode("ascii", "backslashreplace")
        return self._put(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))

    cdef int _put_target(self, Request request) except -1:
        """The path, and the query behind it; together they are cut at the limit."""
        if PyBytes_GET_SIZE(request.query_string) == 0:
            return self._put_bytes(request.raw_path)
        return self._put_bytes(b"%b?%b" % (request.raw_path, request.query_string))

    cdef int _grow(self, Py_ssize_t size) except -1:
        """Room for ``size`` more bytes."""
        cdef Py_ssize_t room = self._room or 1024
        cdef char* data
        while room < self._size + size:
            room *= 2
        data = <char*> PyMem_Realloc(self._data, room)
        if data == NULL:
            raise MemoryError
        self._data = data
        self._room = room
        return 0

    cdef int _put(self, const char* text, Py_ssize_t size) except -1:
        if self._size + size > self._room:
            self._grow(size)
        memcpy(self._data + self._size, text, size)
        self._size += size
        return 0

    cdef int _put_number(self, long long number, int width) except -1:
        """A number of at most 20 characters, with zeros before it up to ``width``."""
        cdef char digits[24]
        cdef int at = 24
        cdef unsigned long long rest = number if number >= 0 else 0
        while rest or width > 0:
            at -= 1
            digits[at] = <char> (c'0' + <int> (rest % 10))
            rest //= 10
            width -= 1
        return self._put(&digits[at], 24 - at)

    cdef int _put_fraction(self, double value, long long unit, int width) except -1:
        """Seconds times a thousandth of ``unit`` and so many digits behind the point."""
        cdef long long micros = <long long> (value * 1000000 + 0.5)
        self._put_number(micros // unit, 1)
        self._put(b".", 1)
        return self._put_number(micros % unit, width)

    cdef int _put_bytes(self, object value) except -1:
        if value is None or PyBytes_GET_SIZE(value) == 0:
            return self._put_missing()
        return self._escape(<const unsigned char*> PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))

    cdef int _put_text(self, object value) except -1:
        cdef const char* text
        cdef Py_ssize_t size = 0
        if value is None:
            return self._put_missing()
        if type(value) is str and PyUnicode_IS_COMPACT_ASCII(value):
            text = PyUnicode_AsUTF8AndSize(value, &size)
            if size == 0:
                return self._put_missing()
            return self._escape(<const unsigned char*> text, size)
        return self._put_bytes(str(value).encode("utf-8", "backslashreplace"))

    cdef int _put_missing(self) except -1:
        return 0 if self._is_json else self._put(b"-", 1)

    cdef int _escape(self, const unsigned char* text, Py_ssize_t size) except -1:
        """At most six bytes for each of ``text``, which is cut at the limit."""
        cdef Py_ssize_t at
        cdef unsigned char byte
        cdef char* out
        if size > LIMIT:
            size = LIMIT
        if self._size + 6 * size > self._room:
            self._grow(6 * size)
        out = self._data + self._size
        at = 0
        while at < size:
            # Sixteen at once, nearly always: both loops are of a known length, for the compiler's vectors.
            if size - at >= 16 and _is_safe(text + at):
                memcpy(out, text + at, 16)
                out += 16
                at += 16
                continue
            byte = text[at]
            at += 1
            if not UNSAFE[byte]:
                out[0] = <char> byte
                out += 1
                continue
            out[0] = c'\\'
            if not self._is_json:
                out[1] = c'x'
                out += 2
            elif byte == c'"' or byte == c'\\':
                out[1] = <char> byte
                out += 2
                continue
            else:
                out[1] = c'u'
                out[2] = out[3] = c'0'
                out += 4
            out[0] = HEX[byte >> 4]
            out[1] = HEX[byte & 15]
            out += 2
        self._size = out - self._data
        return 0

    cdef int _put_time(self, Piece* piece, double wall_s) except -1:
        """The text of its second, made once; clocks may go backwards."""
        cdef long long milliseconds = <long long> (wall_s * 1000)
        cdef long long second = milliseconds // 1000
        cdef object text
        if piece.cached == NULL or second != piece.second:
            text = (<object> piece.argument)(second)
            Py_INCREF(text)
            Py_XDECREF(<PyObject*> piece.cached)
            piece.cached = <void*> <PyObject*> text
            piece.second = second
        text = <object> <PyObject*> piece.cached
        self._put(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        if piece.code == TIME_MS_:
            self._put(b".", 1)
            self._put_number(milliseconds % 1000, 3)
            self._put(b"Z", 1)
        return 0

    cdef int _put_derived(self, Piece* piece, Request request) except -1:
        """What a function makes of a field of the request; ``INSERTED_`` stands as it is, or not at all."""
        cdef object value = _find(request.headers, piece.text, piece.size)
        if value is not None:
            value = (<object> piece.function)(value)
        if piece.code == DERIVED_:
            return self._put_bytes(value)
        return self._put(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)) if value else 0

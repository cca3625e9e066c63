"""Reading the head of a request that comes as a list of fields (RFC 9113 section 8.3; HTTP/3 has the same rules).

The rules for targets, hosts, names and values are those of HTTP/1, whose kernels do the work.  ``fieldlist.py`` is the
twin.  Bounds: an index runs below the size of the bytes object whose start it is added to.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from .contract cimport Limits, Request
from .heads cimport is_host, note_field, read_path
from .kernels cimport (
    CONNECTION, HOP_BY_HOP, KNOWN, LONGEST_KNOWN, NAME, SECRET, TE, TRANSFER_ENCODING, UPGRADE, VALUE, Bytes,
    find_known,
)

from .contract import WireError
from .fields import METHODS

# Which pseudo-header fields a request has had.
cdef enum:
    METHOD = 1
    SCHEME = 2
    AUTHORITY = 4
    PATH = 8
    PROTOCOL = 16


cdef struct Facts:
    int kind  # what the name means, ORDINARY where nothing
    bint is_cookie


cdef int _check_name(Bytes name, Py_ssize_t size, Facts* facts) except -1:
    """Refuse a name that is not a token in lower case (RFC 9113 section 8.2.1), and look it up."""
    cdef Py_ssize_t index
    cdef unsigned int hashed = 0
    cdef int slot
    for index in range(size):
        # The table has 0 for what no name may hold, NUL itself as well.
        if NAME[name[index]] != name[index] or name[index] == 0:
            raise WireError(400, "malformed field name")
        hashed = hashed * 31 + name[index]
    if size == 0:
        raise WireError(400, "empty field name")
    slot = find_known(name, size, hashed) if size <= LONGEST_KNOWN else -1
    facts.kind = KNOWN[slot].kind if slot >= 0 else 0
    facts.is_cookie = facts.kind == SECRET and size == 6 and memcmp(name, b"cookie", 6) == 0
    return 0


cdef int _check_value(Bytes value, Py_ssize_t size) except -1:
    """Refuse a value with a control byte or with a blank at an end (RFC 9113 section 8.2.1)."""
    cdef Py_ssize_t index
    for index in range(size):
        if not VALUE[value[index]]:
            raise WireError(400, "control byte in a field value")
    if size and (value[0] == 32 or value[0] == 9 or value[size - 1] == 32 or value[size - 1] == 9):
        raise WireError(400, "blank at an end of a field value")
    return 0


cdef int _note_field(Request request, int kind, bytes name, bytes value) except -1:
    """What a known field says; those of the connection have no place here (RFC 9113 section 8.2.2)."""
    if kind == TE:
        if value.lower() != b"trailers":
            raise WireError(400, "TE is not trailers")
        request.accepts_trailers = True
    elif kind == CONNECTION or kind == TRANSFER_ENCODING or kind == UPGRADE or kind == HOP_BY_HOP:
        raise WireError(400, "connection-specific field")
    else:
        note_field(request, name, value)
    return 0


cdef int _find_pseudo(bytes name) except -1:
    if name == b":method":
        return METHOD
    if name == b":path":
        return PATH
    if name == b":scheme":
        return SCHEME
    if name == b":authority":
        return AUTHORITY
    if name == b":protocol":
        return PROTOCOL
    raise WireError(400, "unknown pseudo-header field")


cpdef int check_trailers(list fields, Limits limits) except -1:
    """Refuse trailers that no request may have (RFC 9113 section 8.1).  Raises ``WireError``."""
    cdef bytes name, value
    cdef Facts facts
    if len(fields) > limits.request_fields:
        raise WireError(431, "too many trailer fields")
    for name, value in fields:
        if PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(value) > limits.request_field:
            raise WireError(431, "trailer field too large")
        _check_name(<Bytes> PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), &facts)
        _check_value(<Bytes> PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        if facts.kind in (CONNECTION, TRANSFER_ENCODING, UPGRADE, HOP_BY_HOP):
            raise WireError(400, "connection-specific field")
    return 0


cpdef Request read_field_list(list fields, Limits limits, str http_version, str scheme):
    """The decoded fields of one request as a ``Request``; ``scheme`` is the transport's.

    Raises ``WireError``: 400 for a malformed request (RFC 9113 section 8.1.1: a stream error), 413, 414, 417, 431 and
    501 for what deserves an answer.
    """
    cdef Request request = Request.__new__(Request)
    cdef list headers = []
    cdef list crumbs = None
    cdef tuple pair
    cdef bytes name, value, method = None, path = None, authority = None, given_scheme = None, protocol = None
    cdef Facts facts
    cdef int seen = 0, pseudo
    cdef long long count = 0
    cdef Py_ssize_t cookie_at = 0
    request.headers = headers
    request.content_length = -1
    request.http_version = http_version
    request.protocol = ""
    for pair in fields:
        name = <bytes> pair[0]
        value = <bytes> pair[1]
        _check_value(<Bytes> PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
        if PyBytes_GET_SIZE(name) and (<Bytes> PyBytes_AS_STRING(name))[0] == c':':
            pseudo = _find_pseudo(name)
            if seen & pseudo:
                raise WireError(400, "pseudo-header field given twice")
            if count:
                raise WireError(400, "pseudo-header field behind a field")
            seen |= pseudo
            if pseudo == METHOD:
                method = value
            elif pseudo == PATH:
                path = value
            elif pseudo == SCHEME:
                given_scheme = value
            elif pseudo == AUTHORITY:
                authority = value
            else:
                protocol = value
            continue
        count += 1
        if count > limits.request_fields:
            raise WireError(431, "too many header fields")
        if PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(value) > limits.request_field:
            raise WireError(431, "header field too large")
        _check_name(<Bytes> PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), &facts)
        if facts.kind > SECRET:
            _note_field(request, facts.kind, name, value)
        elif facts.is_cookie:
            # Crumbs compress better; an application gets the one field that they were (RFC 9113 section 8.2.3).
            if crumbs is None:
                crumbs = []
                cookie_at = len(headers)
            else:
                crumbs.append(value)
                continue
            crumbs.append(value)
        headers.append(pair)
    if crumbs is not None and len(crumbs) > 1:
        headers[cookie_at] = ((<tuple> headers[cookie_at])[0], b"; ".join(crumbs))
    _check_pseudo(seen, method, given_scheme, scheme, authority, protocol)
    _place_host(request, authority)
    if protocol is not None:
        request.protocol = protocol.decode("ascii").lower()
    if method == b"GET":
        request.method = "GET"
    elif protocol is not None:
        request.method = "CONNECT"
    else:
        request.method = METHODS.get(method)
        if request.method is None:
            raise WireError(501, "method not implemented")
    if PyBytes_GET_SIZE(path) > limits.request_line:
        raise WireError(414, "request target too long")
    read_path(request, path)
    if 0 < limits.request_body < request.content_length:
        raise WireError(413, "request body too large")
    return request


cdef int _check_pseudo(int seen, bytes method, bytes given, str scheme, bytes authority, bytes protocol) except -1:
    """The pseudo-header fields that a request must and may have (RFC 9113 section 8.3.1, RFC 8441 section 4)."""
    cdef Facts facts
    cdef bytes lowered
    if not seen & METHOD:
        raise WireError(400, "no :method")
    for byte in method:
        if not NAME[<unsigned char> byte]:
            raise WireError(400, "malformed :method")
    if not method:
        raise WireError(400, "malformed :method")
    if authority is not None and not is_host(authority):
        raise WireError(400, "invalid :authority")
    if method == b"CONNECT" and protocol is None:
        if seen != METHOD | AUTHORITY:
            raise WireError(400, "CONNECT needs :authority alone")
        raise WireError(501, "method not implemented")
    if protocol is not None:
        if method != b"CONNECT" or authority is None:
            raise WireError(400, ":protocol without CONNECT and :authority")
        lowered = protocol.lower()
        _check_name(<Bytes> PyBytes_AS_STRING(lowered), PyBytes_GET_SIZE(lowered), &facts)
    if given is None or not seen & PATH:
        raise WireError(400, "no :scheme or no :path")
    if given != b"https" and (given != b"http" or scheme == "https"):
        # What comes in the clear may have been https before a proxy; what comes over TLS has never been http.
        raise WireError(400, ":scheme is not the connection's")
    return 0


cdef int _place_host(Request request, bytes authority) except -1:
    """``:authority`` becomes the first field, ``host``, in the place of one that says the same (H2-14)."""
    cdef Py_ssize_t index
    if authority is None:
        if not request.has_host:
            raise WireError(400, "no :authority")
        return 0
    if request.has_host:
        for index in range(len(request.headers)):
            if request.headers[index][0] == b"host":
                if request.headers[index][1].lower() != authority.lower():
                    raise WireError(400, "Host differs from :authority")
                del request.headers[index]
                break
    request.has_host = True
    request.headers.insert(0, (b"host", authority))
    return 0

"""The Python twin of ``fieldlist.pyx``: a request's head as a list of fields (see ``kernels.py`` on twins)."""

from .contract import Limits, Request, WireError
from .fields import KNOWN_FIELDS, METHODS, is_token, is_value
from .heads import is_host, note_field, read_path

Field = tuple[bytes, bytes]

_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})
_CONNECTION_KINDS = frozenset({"connection", "transfer-encoding", "upgrade", "hop-by-hop"})


def _check_name(name: bytes) -> str:
    """Refuse a name that is not a token in lower case (RFC 9113 section 8.2.1), and say what it means."""
    if not name:
        raise WireError(400, "empty field name")
    if not is_token(name) or name.lower() != name:
        raise WireError(400, "malformed field name")
    return KNOWN_FIELDS.get(name, "ordinary")


def _check_value(value: bytes) -> None:
    """Refuse a value with a control byte or with a blank at an end (RFC 9113 section 8.2.1)."""
    if not is_value(value):
        raise WireError(400, "control byte in a field value")
    if value.strip(b" \t") != value:
        raise WireError(400, "blank at an end of a field value")


def _note_field(request: Request, kind: str, name: bytes, value: bytes) -> None:
    """What a known field says; those of the connection have no place here (RFC 9113 section 8.2.2)."""
    if kind == "te":
        if value.lower() != b"trailers":
            raise WireError(400, "TE is not trailers")
        request.accepts_trailers = True
    elif kind in _CONNECTION_KINDS:
        raise WireError(400, "connection-specific field")
    else:
        note_field(request, name, value)


def check_trailers(fields: list[Field], limits: Limits) -> int:
    """Refuse trailers that no request may have (RFC 9113 section 8.1).  Raises ``WireError``."""
    if len(fields) > limits.request_fields:
        raise WireError(431, "too many trailer fields")
    for name, value in fields:
        if len(name) + len(value) > limits.request_field:
            raise WireError(431, "trailer field too large")
        kind = _check_name(name)
        _check_value(value)
        if kind in _CONNECTION_KINDS:
            raise WireError(400, "connection-specific field")
    return 0


def read_field_list(fields: list[Field], limits: Limits, http_version: str, scheme: str) -> Request:
    """The decoded fields of one request as a ``Request``; ``scheme`` is the transport's.

    Raises ``WireError``: 400 for a malformed request (RFC 9113 section 8.1.1: a stream error), 413, 414, 417, 431 and
    501 for what deserves an answer.
    """
    request = Request()
    request.http_version = http_version
    pseudo: dict[bytes, bytes] = {}
    crumbs: list[bytes] = []
    count = cookie_at = 0
    for name, value in fields:
        _check_value(value)
        if name.startswith(b":"):
            if name not in _PSEUDO:
                raise WireError(400, "unknown pseudo-header field")
            if name in pseudo:
                raise WireError(400, "pseudo-header field given twice")
            if count:
                raise WireError(400, "pseudo-header field behind a field")
            pseudo[name] = value
            continue
        count += 1
        if count > limits.request_fields:
            raise WireError(431, "too many header fields")
        if len(name) + len(value) > limits.request_field:
            raise WireError(431, "header field too large")
        kind = _check_name(name)
        if kind not in ("ordinary", "secret"):
            _note_field(request, kind, name, value)
        elif name == b"cookie":
            # Crumbs compress better; an application gets the one field that they were (RFC 9113 section 8.2.3).
            crumbs.append(value)
            if len(crumbs) > 1:
                continue
            cookie_at = len(request.headers)
        request.headers.append((name, value))
    if len(crumbs) > 1:
        request.headers[cookie_at] = (b"cookie", b"; ".join(crumbs))
    _check_pseudo(pseudo, scheme)
    _place_host(request, pseudo.get(b":authority"))
    method = pseudo[b":method"]
    if b":protocol" in pseudo:
        request.protocol = pseudo[b":protocol"].decode("ascii").lower()
        request.method = "CONNECT"
    elif method in METHODS:
        request.method = METHODS[method]
    else:
        raise WireError(501, "method not implemented")
    if len(pseudo[b":path"]) > limits.request_line:
        raise WireError(414, "request target too long")
    read_path(request, pseudo[b":path"])
    if 0 < limits.request_body < request.content_length:
        raise WireError(413, "request body too large")
    return request


def _check_pseudo(pseudo: dict[bytes, bytes], scheme: str) -> None:
    """The pseudo-header fields that a request must and may have (RFC 9113 section 8.3.1, RFC 8441 section 4)."""
    method, given = pseudo.get(b":method"), pseudo.get(b":scheme")
    if method is None:
        raise WireError(400, "no :method")
    if not is_token(method):
        raise WireError(400, "malformed :method")
    if b":authority" in pseudo and not is_host(pseudo[b":authority"]):
        raise WireError(400, "invalid :authority")
    if method == b"CONNECT" and b":protocol" not in pseudo:
        if pseudo.keys() != {b":method", b":authority"}:
            raise WireError(400, "CONNECT needs :authority alone")
        raise WireError(501, "method not implemented")
    if b":protocol" in pseudo:
        if method != b"CONNECT" or b":authority" not in pseudo:
            raise WireError(400, ":protocol without CONNECT and :authority")
        _check_name(pseudo[b":protocol"].lower())
    if given is None or b":path" not in pseudo:
        raise WireError(400, "no :scheme or no :path")
    if given != b"https" and (given != b"http" or scheme == "https"):
        # What comes in the clear may have been https before a proxy; what comes over TLS has never been http.
        raise WireError(400, ":scheme is not the connection's")


def _place_host(request: Request, authority: bytes | None) -> None:
    """``:authority`` becomes the first field, ``host``, in the place of one that says the same (H2-14)."""
    if authority is None:
        if not request.has_host:
            raise WireError(400, "no :authority")
        return
    if request.has_host:
        index = next(index for index, field in enumerate(request.headers) if field[0] == b"host")
        if request.headers[index][1].lower() != authority.lower():
            raise WireError(400, "Host differs from :authority")
        del request.headers[index]
    request.has_host = True
    request.headers.insert(0, (b"host", authority))

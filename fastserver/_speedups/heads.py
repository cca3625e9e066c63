"""The Python twin of ``heads.pyx``: reading the head of a request (see ``kernels.py`` on twins)."""

import re

from .contract import Limits, Request, WireError
from .fields import KNOWN_FIELDS, METHODS, TOKEN, VALUE, is_token, parse_length
from .target import decode_path, refuse_coding, replace_host, split_target

_match_sound_lines = re.compile(rb"(?:[%b]+|\r\n)*" % VALUE).match
# Each separator of a request line is one space (RFC 9112 section 3, H1-25).
_match_request_line = re.compile(rb"([%b]+) ([\x21-\xff]+) (.*)" % TOKEN, re.DOTALL).fullmatch
_is_version = re.compile(rb"HTTP/[0-9]\.[0-9]").fullmatch
# Printable ASCII without '#', and in a path without '"', '<', '>' and '\': stricter than llhttp (H1-20).
_is_path = re.compile(rb"[!$-;=?-\[\]-~]*").fullmatch
_is_query = re.compile(rb'[!"$-~]*').fullmatch
# No comma in a reg-name, so that a list of hosts is refused (H1-22).
# IP-literals as RFC 3986 section 3.2.2 has them, IPv6address loosely.
_match_host = re.compile(
    rb"(?:\[[vV][-._~!$&'()*+;=0-9A-Za-z:]+\]|\[(?=[^\]]*:[^\]]*:)[0-9A-Fa-f:.]+\]|[-._~!$&'()*+;=%0-9A-Za-z]+)"
    rb"(?::([0-9]{0,5}))?"
).fullmatch

# One shared object for each known name, and what it means.
_KNOWN = {name: (name, "ordinary" if kind == "secret" else kind) for name, kind in KNOWN_FIELDS.items()}


# ---- Finding a head ------------------------------------------------------------------------------------------------


def find_head_end(data: bytes, start: int) -> int:
    """The index after the first empty line at or after ``start``, or -1 where there is none yet."""
    found = data.find(b"\r\n\r\n", start)
    return -1 if found < 0 else found + 4


def check_partial_head(data: bytes, start: int, scanned: int, limits: Limits) -> int:
    """Refuse an unfinished head as early as its bytes allow, and say how far it was scanned.

    ``data[start:]`` is the head so far; bytes before ``scanned`` were checked by an earlier call, so a head that comes
    byte by byte costs linear time.  Raises ``WireError``: 400 for a bare CR or LF or a control byte (H1-9, H1-10), what
    the request line alone deserves once it is whole, 414 and 431 for size.
    """
    size = len(data)
    if data.startswith(b"\r", start) and size - start > 1:
        raise WireError(400, "empty line before the request line")
    sound = _match_sound_lines(data, max(start, scanned))
    assert sound is not None  # it may match nothing, so it always matches
    index = sound.end()
    if index < size and data[index:] != b"\r":
        raise WireError(400, {13: "bare CR", 10: "bare LF"}.get(data[index], "control byte"))
    eol = data.find(b"\r", start)
    if eol < 0:
        if size - start > limits.request_line:
            raise WireError(414, "request line too long")
    elif eol + 1 < size:
        _split_request_line(data[start:eol], limits)
    if size - start > limits.request_head:
        raise WireError(431, "request head too large")
    return index


# ---- Splitting a head ----------------------------------------------------------------------------------------------


def _split_request_line(line: bytes, limits: Limits) -> tuple[bytes, bytes, str]:
    """Method, target and HTTP version of a request line."""
    if len(line) > limits.request_line:
        raise WireError(414, "request line too long")
    match = _match_request_line(line)
    if not match:
        raise WireError(400, "malformed request line")
    method, target, version = match.groups()
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        if _is_version(version):
            raise WireError(505, "HTTP version not supported")
        raise WireError(400, "malformed HTTP version")
    return method, target, version[5:].decode("ascii")


def _read_target(request: Request, target: bytes) -> bytes | None:
    """Any form of target into path, raw_path and query_string; returns the authority that it names, or None."""
    authority = None
    if target.startswith(b"/"):
        request.raw_path, _, request.query_string = target.partition(b"?")
        sound = _is_path(request.raw_path) and _is_query(request.query_string)
    else:
        sound = _is_path(target)
    if not sound:
        raise WireError(400, "invalid byte in the request target")
    if not target.startswith(b"/"):
        authority, request.raw_path, request.query_string = split_target(request.method, target, is_host)
    request.path = decode_path(request.raw_path)
    return authority


def read_path(request: Request, target: bytes) -> int:
    """The ``:path`` of an HTTP/2 or HTTP/3 request into path, raw_path and query_string: origin-form, or ``*``.

    ``request.method`` is set already.  Raises ``WireError(400)`` (RFC 9113 section 8.3.1, H2-11).
    """
    if _read_target(request, target) is not None:
        raise WireError(400, "absolute-form in :path")
    return 0


def is_host(value: bytes) -> bool:
    """Whether ``value`` is ``uri-host [":" port]`` and not empty (RFC 9110 section 7.2, H1-22)."""
    match = _match_host(value)
    return match is not None and int(match[1] or 0) <= 65535


def _note_field(request: Request, kind: str, value: bytes) -> None:
    match kind:
        case "host":
            if request.has_host:
                raise WireError(400, "more than one Host")
            if not is_host(value):
                raise WireError(400, "invalid Host")
            request.has_host = True
        case "connection":
            tokens = {token.strip(b" \t") for token in value.lower().split(b",")}
            request.close |= b"close" in tokens
            request.keep_alive |= b"keep-alive" in tokens
            request.connection_upgrade |= b"upgrade" in tokens
        case "content-length":
            if request.content_length >= 0:
                raise WireError(400, "more than one Content-Length")
            request.content_length = parse_length(value)
            if request.content_length < 0:
                raise WireError(400, "invalid Content-Length")
        case "transfer-encoding":
            if request.chunked:
                raise WireError(400, "more than one Transfer-Encoding")
            if value.lower() != b"chunked":
                raise refuse_coding(value)
            request.chunked = True
        case "expect":
            if value.lower() != b"100-continue":
                raise WireError(417, "unknown expectation")
            request.expect_continue = True
        case "te":
            codings = {coding.partition(b";")[0].strip(b" \t") for coding in value.lower().split(b",")}
            request.accepts_trailers |= b"trailers" in codings
        case "upgrade":
            request.upgrade = True


def note_field(request: Request, name: bytes, value: bytes) -> int:
    """What the known field ``name``, in lower case, says about framing, the connection or the host."""
    _note_field(request, KNOWN_FIELDS[name], value)
    return 0


def _read_fields(request: Request, lines: list[bytes], limits: Limits) -> None:
    for count, line in enumerate(lines, 1):
        if b"\r" in line:
            raise WireError(400, "bare CR")
        if count > limits.request_fields:
            raise WireError(431, "too many header fields")
        if len(line) > limits.request_field:
            raise WireError(431, "header field too large")
        name, colon, value = line.partition(b":")
        if not colon or not is_token(name):
            raise WireError(400, "malformed header field")
        name, kind = _KNOWN.get(name.lower()) or (name.lower(), "ordinary")
        value = value.strip(b" \t")
        if kind != "ordinary":
            _note_field(request, kind, value)
        request.headers.append((name, value))


def split_head(data: bytes, start: int, end: int, limits: Limits) -> Request:
    """The head ``data[start:end]`` as a ``Request``; ``end`` is what ``find_head_end`` gave.

    Field values are not checked here: the caller feeds the same bytes to llhttp and drops the request if it objects.
    Raises ``WireError`` with 400, 413, 414, 417, 431, 501 or 505.
    """
    if start < 0 or end - start < 4 or end > len(data) or data[end - 4 : end] != b"\r\n\r\n":
        raise ValueError("not a whole head")
    line, *lines = data[start : end - 4].split(b"\r\n")
    if b"\r" in line:
        raise WireError(400, "bare CR")
    method, target, http_version = _split_request_line(line, limits)
    if end - start > limits.request_head:
        raise WireError(431, "request head too large")
    request = Request()
    request.http_version = http_version
    if method not in METHODS:
        raise WireError(501, "method not implemented")
    request.method = METHODS[method]
    authority = _read_target(request, target)
    _read_fields(request, lines, limits)
    if request.chunked and (request.content_length >= 0 or http_version == "1.0"):
        raise WireError(400, "Transfer-Encoding with Content-Length or in HTTP/1.0")
    if not request.has_host and http_version == "1.1":
        raise WireError(400, "no Host")
    if authority is not None:
        replace_host(request, authority)
    if 0 < limits.request_body < request.content_length:
        raise WireError(413, "request body too large")
    return request

"""The Python twin of ``kernels.pyx``, for builds without a compiler: the same functions, results and errors.

Where the extension is built, the import system finds it first and this text is run by the tests only, which hold both
to the same tables and to each other.  Who changes one changes both, down to the order in which rules are checked.
"""

import os
import re
from collections.abc import Generator, Iterable
from contextvars import Context
from functools import cache
from http import HTTPStatus
from typing import Any

from .contract import Limits, Request, ResponseHead, WireError
from .events import RawData
from .fields import KNOWN_FIELDS, METHODS
from .target import decode_path, refuse_coding, replace_host, split_target

Field = tuple[bytes, bytes]

# RFC 9110 section 5.6.2.
_TOKEN = rb"!#$%&'*+\-.^_`|~0-9A-Za-z"
_is_token = re.compile(rb"[%b]+" % _TOKEN).fullmatch
# RFC 9110 section 5.5: HTAB, SP, VCHAR, obs-text.
_VALUE = rb"\t\x20-\x7e\x80-\xff"
_is_value = re.compile(rb"[%b]*" % _VALUE).fullmatch
_match_sound_lines = re.compile(rb"(?:[%b]+|\r\n)*" % _VALUE).match
# Each separator of a request line is one space (RFC 9112 section 3, H1-25).
_match_request_line = re.compile(rb"([%b]+) ([\x21-\xff]+) (.*)" % _TOKEN, re.DOTALL).fullmatch
_is_version = re.compile(rb"HTTP/[0-9]\.[0-9]").fullmatch
# Printable ASCII without '#', and in a path without '"', '<', '>' and '\': stricter than llhttp (H1-20).
_is_path = re.compile(rb"[!$-;=?-\[\]-~]*").fullmatch
_is_query = re.compile(rb'[!"$-~]*').fullmatch
# No comma in a reg-name, so that a list of hosts is refused (H1-22).
_match_host = re.compile(rb"(?:\[[%b:]{2,}\]|[-._~!$&'()*+;=%%0-9A-Za-z]+)(?::([0-9]{0,5}))?" % _TOKEN).fullmatch

#: The largest Content-Length whose digits never overflow 64 signed bits on the way.
_LARGEST_LENGTH = 9223372036854775799

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


def is_host(value: bytes) -> bool:
    """Whether ``value`` is ``uri-host [":" port]`` and not empty (RFC 9110 section 7.2, H1-22)."""
    match = _match_host(value)
    return match is not None and int(match[1] or 0) <= 65535


def _parse_length(value: bytes) -> int:
    """A Content-Length as a number, or -1: digits only, below 2**63 (H1-7)."""
    digits = value.lstrip(b"0")
    if not value.isdigit() or len(digits) > 19:  # int() itself would refuse a field full of digits
        return -1
    length = int(digits or b"0")
    return length if length <= _LARGEST_LENGTH else -1


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
            request.content_length = _parse_length(value)
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


def _read_fields(request: Request, lines: list[bytes], limits: Limits) -> None:
    for count, line in enumerate(lines, 1):
        if b"\r" in line:
            raise WireError(400, "bare CR")
        if count > limits.request_fields:
            raise WireError(431, "too many header fields")
        if len(line) > limits.request_field:
            raise WireError(431, "header field too large")
        name, colon, value = line.partition(b":")
        if not colon or not _is_token(name):
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


# ---- Validating and rendering a response ---------------------------------------------------------------------------


def _check_field(item: Any) -> tuple[Field, str]:
    """One header of an ASGI message as a tuple of two ``bytes``, and its kind.

    The name is a token, the value free of controls and outer blanks (H1-41).
    """
    pair = item if type(item) is tuple else tuple(item)
    if len(pair) != 2:
        raise ValueError(f"a header must be a pair (name, value), not {item!r}")
    name, value = pair
    if type(name) is not bytes or type(value) is not bytes:
        raise TypeError(f"header names and values must be bytes, not {item!r}")
    if not name:
        raise ValueError("empty header name")
    if not _is_token(name):
        raise ValueError(f"invalid header name {name!r}")
    if not _is_value(value):
        raise ValueError(f"invalid byte in the value of header {name!r}: {value!r}")
    if value.strip(b" \t") != value:
        raise ValueError(f"blank at an end of the value of header {name!r}: {value!r}")
    return pair, _KNOWN.get(name.lower(), (name, "ordinary"))[1]


def inspect_fields(headers: Iterable[Any]) -> list[Field]:
    """Validated fields of an interim response or of trailers: a list of pairs, without those the server owns."""
    checked = [_check_field(item) for item in headers]
    return [pair for pair, kind in checked if kind in ("ordinary", "secret", "date", "server")]


def inspect_response(status: int, headers: Iterable[Any]) -> ResponseHead:
    """Validate ``status`` and ``headers`` of ``http.response.start``, for every wire alike.

    Raises ``TypeError`` or ``ValueError`` naming the rule; nothing of an invalid head reaches a peer (H1-41, H1-42).
    """
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(f"status must be an int, not {status!r}")
    if not 200 <= status <= 999:
        raise ValueError(f"status of a final response must be 200 to 999, not {int(status)}")
    head = ResponseHead()
    head.status = int(status)
    for item in headers:
        pair, kind = _check_field(item)
        if kind in ("transfer-encoding", "hop-by-hop"):
            continue
        if kind == "connection":
            head.close |= b"close" in [token.strip() for token in pair[1].lower().split(b",")]
            continue
        if kind == "content-length":
            length = _parse_length(pair[1])
            if length < 0 or head.content_length not in (-1, length):
                raise ValueError(f"invalid or contradictory content-length {pair[1]!r}")
            if head.content_length >= 0:
                continue
            head.content_length = length
        elif kind == "date":
            head.has_date = True
        elif kind == "server":
            head.has_server = True
        head.fields.append(pair)
    return head


@cache
def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


def render_response(
    head: ResponseHead,
    body: bytes,
    content_length: int,
    chunked: bool,
    connection_field: bytes,
    date_field: bytes,
    server_field: bytes,
    extra_fields: bytes,
) -> bytes:
    """Head and first body part of an HTTP/1.1 response in one ``bytes``.

    ``content_length`` of 0 or more adds that field, -1 none; ``chunked`` adds Transfer-Encoding and makes ``body`` a
    chunk.  The ``*_field`` arguments are whole lines, or empty.
    """
    parts = [_status_line(head.status), *(b"%b: %b\r\n" % field for field in head.fields)]
    if content_length >= 0:
        parts.append(b"content-length: %d\r\n" % content_length)
    if chunked:
        parts.append(b"transfer-encoding: chunked\r\n")
        body = render_chunk(body, False)
    return b"".join((*parts, connection_field, date_field, server_field, extra_fields, b"\r\n", body))


def render_fields(status: int, fields: list[Field]) -> bytes:
    """An interim response (1xx): status line, fields and the empty line."""
    return b"".join((_status_line(status), *(b"%b: %b\r\n" % field for field in fields), b"\r\n"))


def render_chunk(body: bytes, last: bool) -> bytes:
    """``body`` as one chunk (none where it is empty); ``last`` adds the end of a chunked body without trailers."""
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return chunk + b"0\r\n\r\n" if last else chunk


def raw_data(data: bytes) -> RawData:
    """``RawData(data)``; the extension makes it without parsing arguments."""
    return RawData(data)


def send_bytes(fd: int, data: bytes) -> int:
    """``write(2)`` on a non-blocking socket: how many bytes it took, or -1 for any error, full buffers included.

    The interpreter ignores SIGPIPE, so a peer that has gone is an error like any other.
    """
    try:
        return os.write(fd, data)
    except OSError:
        return -1


#: What ``resume`` returns when the coroutine has finished.
DONE = object()


def resume(coroutine: Generator[Any, Any, Any], context: Context | None) -> Any:
    """Step a coroutine to its next suspension, in ``context`` where one is given: what it yields, or ``DONE``."""
    try:
        return coroutine.send(None) if context is None else context.run(coroutine.send, None)
    except StopIteration:
        return DONE

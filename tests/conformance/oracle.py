"""A second opinion on requests: a slow, plain reader of RFC 9112 that shares nothing with the server.

`read_requests` says which requests a byte stream holds and how it goes on after them.  It is written from the grammar,
one regular expression for each production, with the stricter choices of the threat list (H1-2, H1-20, H1-22, H1-26).
"""

import re
from dataclasses import dataclass
from enum import Enum

from tests.responses import Fields


class Unsure(Exception):
    """A malformed chunk extension: llhttp takes some (an empty name), and the chunk ends where it ends."""


class Rest(Enum):
    """What follows the last whole request."""

    OPEN = "nothing, or the beginning of a request that may become valid"
    FAULT = "what no continuation makes a request"
    CLOSED = "whatever: the last request, or its version, ends the connection"


@dataclass(frozen=True)
class Expected:
    """One valid request; `body` is None where it has not come whole."""

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes | None


_METHODS = set(
    b"ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE M-SEARCH NOTIFY OPTIONS "
    b"PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK "
    b"UNSUBSCRIBE".split()
)
_LINE = re.compile(rb"([A-Z-]+) ([\x21-\x7e]+) HTTP/1\.([01])\Z")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\Z")
_ORIGIN = re.compile(rb"/[^?#\"<>\\]*(\?[^#]*)?\Z")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#\"<>\\]+)(/[^?#\"<>\\]*)?(\?[^#\"<>\\]*)?\Z")
_HOST = re.compile(rb"(\[[^\]/]+\]|[A-Za-z0-9\-._~!$&'()*+;=%]+)(:[0-9]{0,5})?\Z")
_CHUNK_LINE = re.compile(rb"([0-9a-fA-F]+)(;[^\r\n]*)?\Z")
_EXTENSIONS = re.compile(
    rb"(;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(=([!#$%&'*+\-.^_`|~0-9A-Za-z]+"
    rb'|"([\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"))?)*\Z'
)


def read_fields(lines: list[bytes]) -> Fields | None:
    """Fields in lower case with their values, or None where a line is malformed."""
    fields = []
    for line in lines:
        match = _FIELD.match(line)
        if match is None:
            return None
        fields.append((match[1].lower(), match[2].strip(b" \t")))
    return fields


def read_target(method: bytes, target: bytes) -> tuple[bytes | None, bytes] | None:
    """Authority (None unless absolute-form) and what the application sees, or None where the form is not served."""
    if target == b"*":
        return (None, target) if method == b"OPTIONS" else None
    if _ORIGIN.match(target):
        path, mark, query = target.partition(b"?")
        return None if b"%00" in path else (None, path + (mark + query if query else b""))
    match = _ABSOLUTE.match(target)
    if match is None or not is_host(match[1]):
        return None
    path, query = match[2] or b"/", (match[3] or b"")[1:]
    return None if b"%00" in path else (match[1], path + (b"?" + query if query else b""))


def is_host(value: bytes) -> bool:
    match = _HOST.match(value)
    return match is not None and int((match[2] or b":0")[1:] or b"0") <= 65535


def read_chunks(data: bytes) -> tuple[bytes | None, bytes, bool]:
    """The body (None where it does not come whole), what follows it, and whether there is a fault."""
    body = b""
    while True:
        line, mark, rest = data.partition(b"\r\n")
        if not mark:
            return None, b"", bool(re.search(rb"[^0-9a-fA-F]", line.partition(b";")[0].rstrip(b"\r")))
        match = _CHUNK_LINE.match(line)
        if match is None or len(match[1]) > 16:
            return None, b"", True
        if match[2] is not None and not _EXTENSIONS.match(match[2]):
            raise Unsure
        size = int(match[1], 16)
        if size == 0:
            break
        body += rest[:size]
        if not b"\r\n".startswith(rest[size : size + 2]):
            return None, b"", True
        if len(rest) < size + 2:
            return None, b"", False
        data = rest[size + 2 :]
    lines: list[bytes] = []
    while True:
        line, mark, rest = rest.partition(b"\r\n")
        if not mark:
            return None, b"", False
        if not line:
            return body, rest, read_fields(lines) is None
        lines.append(line)


def read_head(head: bytes) -> tuple[Expected, bytes, bool] | None:
    """A head without its empty line: the request, `chunked` or its length, and whether it ends the connection."""
    line, *lines = head.split(b"\r\n")
    match = _LINE.match(line)
    fields = read_fields(lines)
    if match is None or fields is None or match[1] not in _METHODS:
        return None
    target = read_target(match[1], match[2])
    hosts, lengths, codings, tokens, expectations = (
        [value for name, value in fields if name == wanted]
        for wanted in (b"host", b"content-length", b"transfer-encoding", b"connection", b"expect")
    )
    minor = match[3]
    if target is None or len(hosts) > 1 or (minor == b"1" and not hosts) or not all(map(is_host, hosts)):
        return None
    authority, shown = target
    if authority is not None:
        if hosts and hosts[0].lower() != authority.lower():
            return None
        fields = [(name, authority if name == b"host" else value) for name, value in fields]
        if not hosts:
            fields.insert(0, (b"host", authority))
    if codings and (len(codings) > 1 or codings[0].lower() != b"chunked" or lengths or minor == b"0"):
        return None
    if len(lengths) > 1 or any(not re.match(rb"[0-9]+\Z", value) or int(value) >= 1 << 30 for value in lengths):
        return None
    if any(value.lower() != b"100-continue" for value in expectations):
        return None
    options = {token.strip(b" \t").lower() for value in tokens for token in value.split(b",")}
    closes = b"close" in options or (minor == b"0" and b"keep-alive" not in options)
    framing = b"chunked" if codings else lengths[0] if lengths else b"0"
    return Expected(match[1], shown, tuple(fields), None), framing, closes


def read_requests(data: bytes) -> tuple[list[Expected], Rest]:
    """All requests in `data`, and what follows them.  Raises `Unsure`."""
    requests: list[Expected] = []
    while True:
        data = data.removeprefix(b"\r\n")
        head, mark, rest = data.partition(b"\r\n\r\n")
        if not mark:
            return requests, Rest.OPEN
        found = read_head(head)
        if found is None:
            return requests, Rest.FAULT
        request, framing, closes = found
        fault = False
        if framing == b"chunked":
            body, data, fault = read_chunks(rest)
        else:
            size = int(framing)
            body, data = (rest[:size], rest[size:]) if len(rest) >= size else (None, b"")
        if fault:
            body = None
        requests.append(Expected(request.method, request.target, request.fields, body))
        if fault:
            return requests, Rest.FAULT
        if body is None:
            return requests, Rest.OPEN
        if closes:
            return requests, Rest.CLOSED

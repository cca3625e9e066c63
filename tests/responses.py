"""A strict reader of HTTP/1.1 responses: what a careful client or proxy would take the server's bytes for.

It accepts only what RFC 9112 lets a server send, so a test that parses with it also checks the wire's grammar.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)\Z")
_FIELD_LINE = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\Z"
)
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}\Z")
_DIGITS = re.compile(rb"[0-9]+\Z")

Fields = list[tuple[bytes, bytes]]


class MalformedResponse(AssertionError):
    """The server's bytes are not a sequence of HTTP/1.1 responses."""


@dataclass
class Response:
    """One response; `complete` is false where its bytes stop before its end."""

    status: int
    reason: bytes
    headers: Fields
    body: bytes = b""
    trailers: Fields = field(default_factory=list)
    complete: bool = True

    def header(self, name: bytes) -> list[bytes]:
        """Values of a header, in order; `name` is in lower case."""
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def closes(self) -> bool:
        """The response announces the end of the connection."""
        return b"close" in b",".join(self.header(b"connection")).lower().replace(b" ", b"").split(b",")


def _split_fields(lines: Sequence[bytes]) -> Fields:
    fields = []
    for line in lines:
        match = _FIELD_LINE.match(line)
        if match is None:
            raise MalformedResponse(f"malformed field line {line!r}")
        fields.append((match[1], match[2] or b""))
    return fields


def _split_chunks(data: bytes) -> tuple[bytes, Fields, bytes, bool]:
    """Body, trailers, rest and whether the body has ended, of chunked `data`."""
    body = b""
    while True:
        line, mark, rest = data.partition(b"\r\n")
        if not mark:
            return body, [], b"", False
        if not _CHUNK_SIZE.match(line):
            raise MalformedResponse(f"malformed chunk size {line!r}")
        size = int(line, 16)
        if size == 0:
            break
        if len(rest) >= size + 2 and rest[size : size + 2] != b"\r\n":
            raise MalformedResponse("a chunk does not end where it said")
        body += rest[:size]
        if len(rest) < size + 2:
            return body, [], b"", False
        data = rest[size + 2 :]
    trailers: list[bytes] = []
    while True:
        line, mark, rest = rest.partition(b"\r\n")
        if not mark:
            return body, [], b"", False
        if not line:
            return body, _split_fields(trailers), rest, True
        trailers.append(line)


def _split_body(response: Response, data: bytes, method: str, ended: bool) -> bytes:
    """Read the body of `response` from `data`; what follows it comes back."""
    lengths = response.header(b"content-length")
    codings = response.header(b"transfer-encoding")
    if (lengths and codings) or len(lengths) > 1 or len(codings) > 1:
        raise MalformedResponse(f"ambiguous framing: {response.headers}")
    if response.status < 200 or response.status == 204:
        if lengths or codings:
            raise MalformedResponse(f"framing fields in a {response.status}")
        return data
    if method == "HEAD" or response.status == 304:
        if codings:
            raise MalformedResponse("Transfer-Encoding without a body")
        return data
    if codings:
        if codings != [b"chunked"]:
            raise MalformedResponse(f"transfer coding {codings}")
        response.body, response.trailers, rest, response.complete = _split_chunks(data)
        return rest
    if lengths:
        if not _DIGITS.match(lengths[0]):
            raise MalformedResponse(f"malformed Content-Length {lengths[0]!r}")
        size = int(lengths[0])
        response.body, response.complete = data[:size], len(data) >= size
        return data[size:]
    response.body, response.complete = data, ended
    return b""


def split_responses(data: bytes, methods: Sequence[str] = (), ended: bool = False) -> list[Response]:
    """All responses in `data`, interim ones included, in order.

    `methods` are those of the requests they answer (GET where the list is too short); `ended` says that the connection
    has come to a clean end, which ends a body without length.  Raises `MalformedResponse`.
    """
    responses: list[Response] = []
    pending = list(methods)
    while data:
        head, mark, rest = data.partition(b"\r\n\r\n")
        if not mark:
            raise MalformedResponse(f"unfinished head {data!r}")
        status_line, *lines = head.split(b"\r\n")
        match = _STATUS_LINE.match(status_line)
        if match is None:
            raise MalformedResponse(f"malformed status line {status_line!r}")
        response = Response(int(match[1]), match[2], _split_fields(lines))
        method = "GET" if response.status < 200 or not pending else pending.pop(0)
        data = _split_body(response, rest, method, ended)
        responses.append(response)
    return responses

"""The Python twin of ``rendering.pyx``: validating and rendering a response's head (see ``kernels.py`` on twins)."""

from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from typing import Any

from .contract import ResponseHead
from .fields import KNOWN_FIELDS, is_token, is_value, parse_length

Field = tuple[bytes, bytes]


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
    if not is_token(name):
        raise ValueError(f"invalid header name {name!r}")
    if not is_value(value):
        raise ValueError(f"invalid byte in the value of header {name!r}: {value!r}")
    if value.strip(b" \t") != value:
        raise ValueError(f"blank at an end of the value of header {name!r}: {value!r}")
    return pair, KNOWN_FIELDS.get(name.lower(), "ordinary")


def inspect_fields(headers: Iterable[Any]) -> list[Field]:
    """Validated fields of an interim response or of trailers: a list of pairs, without those the server owns."""
    checked = [_check_field(item) for item in headers]
    return [pair for pair, kind in checked if kind in ("ordinary", "secret", "date", "server")]


def begin_head(status: int) -> ResponseHead:
    """The head of a final response of ``status``, without fields; raises ``ValueError``."""
    if not 200 <= status <= 999:
        raise ValueError(f"status of a final response must be 200 to 999, not {int(status)}")
    head = ResponseHead()
    head.status = int(status)
    return head


def inspect_field(name: bytes, value: bytes) -> str:
    """What ``take_field`` has to be told of a response's field; raises ``ValueError`` for an invalid one."""
    return _check_field((name, value))[1]


def take_field(head: ResponseHead, pair: Field, kind: str) -> None:
    """Add a field, of which ``inspect_field`` has said ``kind``; those that the server owns are only noted.

    Raises ``ValueError`` for a Content-Length that is none, or another than the one before.
    """
    if kind in ("transfer-encoding", "hop-by-hop"):
        return
    if kind == "connection":
        head.close |= b"close" in [token.strip() for token in pair[1].lower().split(b",")]
        return
    if kind == "content-length":
        length = parse_length(pair[1])
        if length < 0 or head.content_length not in (-1, length):
            raise ValueError(f"invalid or contradictory content-length {pair[1]!r}")
        if head.content_length >= 0:
            return
        head.content_length = length
    elif kind == "date":
        head.has_date = True
    elif kind == "server":
        head.has_server = True
    head.fields.append(pair)


def inspect_response(status: int, headers: Iterable[Any]) -> ResponseHead:
    """Validate ``status`` and ``headers`` of ``http.response.start``, for every wire alike.

    Raises ``TypeError`` or ``ValueError`` naming the rule; nothing of an invalid head reaches a peer (H1-41, H1-42).
    """
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(f"status must be an int, not {status!r}")
    head = begin_head(status)
    for item in headers:
        take_field(head, *_check_field(item))
    return head


def has_field(head: ResponseHead, name: bytes) -> bool:
    """Whether there is a field of ``name`` (lower-case) in ``head``."""
    return any(len(field[0]) == len(name) and field[0].lower() == name for field in head.fields)


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

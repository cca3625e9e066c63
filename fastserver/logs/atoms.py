"""What each atom of the access log shows, as a piece of ``logline``; formats as lists of pieces."""

from __future__ import annotations

import base64
import binascii
import http
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from fastserver._speedups import logformats as codes
from fastserver._speedups.contract import Peer, Request
from fastserver._speedups.identity import NAME as REQUEST_ID
from fastserver._speedups.identity import parse_traceparent
from fastserver._speedups.logformats import CLIENT_GONE, Record
from fastserver._speedups.logline import LineBuffer
from fastserver.config.logformat import FLOATS, INTEGERS, Atom, parse_format, split_field

Piece: TypeAlias = tuple[int, Any, Any]

#: The logger that access lines are told of as, and where a logging configuration gets them.
ACCESS_NAME: Final = "fastserver.access"

# What stands between the texts of atoms that are rendered together: no value has it.
_SEPARATOR: Final = b"\x1f"

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_COLOURS: Final = {2: "\x1b[32m", 3: "\x1b[36m", 4: "\x1b[33m", 5: "\x1b[31m"}


def compile_format(text: str) -> list[Piece]:
    """The pieces of a format of ``config.logformat``.  Raises ``ValueError``."""
    pieces: list[Piece] = []
    for part in parse_format(text):
        pieces += (literal(part),) if isinstance(part, str) else _compile_atom(part)
    return merge_literals(pieces)


def make_short_format(colour: bool) -> list[Piece]:
    """A line for who reads along: ``10:00:00 127.0.0.1 GET /items?q=2 200 1.250 ms 1234``."""
    statuses: dict[int, bytes] = {}
    for status in (*range(200, 1000), 101, CLIENT_GONE):
        code = _COLOURS.get(status // 100, "") if colour else ""
        statuses[status] = f"{code}{status}{code and chr(27) + '[0m'}".encode()
    blank = literal(" ")
    return [
        (codes.TIME, _render_time_of_day, None), blank, (codes.CLIENT, None, None), blank, (codes.METHOD, None, None),
        blank, (codes.TARGET, None, None), blank, (codes.BY_STATUS, statuses, None), blank,
        (codes.DURATION_MS, None, None), literal(" ms "), (codes.BYTES, None, None),
    ]  # fmt: skip


def make_json_format(has_request_ids: bool) -> list[Piece]:
    """One object on one line; ``trace_id`` and its kin are there where the request names a trace."""
    pieces = [literal('{"time":"'), (codes.TIME_MS, _render_utc, None)]
    pieces.append(literal(f'","level":"INFO","logger":"{ACCESS_NAME}","pid":{os.getpid()}'))
    for name, atom in (("status", "s"), ("bytes", "B"), ("duration_s", "L")):
        pieces += (literal(f',"{name}":'), *_PIECES[atom])
    for name, atom in _JSON_TEXTS + ((("request_id", "id"),) if has_request_ids else ()):
        pieces += (literal(f',"{name}":"'), *_PIECES[atom], literal('"'))
    return merge_literals([*pieces, (codes.INSERTED, b"traceparent", _render_trace_members), literal("}")])


def merge_literals(pieces: Iterable[Piece]) -> list[Piece]:
    """The same with as few pieces as can be."""
    merged: list[Piece] = []
    for piece in pieces:
        if merged and piece[0] == merged[-1][0] == codes.LITERAL:
            merged[-1] = codes.LITERAL, merged[-1][1] + piece[1], None
        else:
            merged.append(piece)
    return merged


def literal(text: str) -> Piece:
    """Text of a format, as it is but for what no line may have in it."""
    return codes.LITERAL, text.encode("ascii", "backslashreplace"), None


class Values(dict[str, Any]):
    """The atoms of one exchange by name, as formatters for gunicorn and hypercorn look for them in ``record.args``."""

    def __init__(self, record: Record) -> None:
        texts = render(_ALL, record).split(_SEPARATOR)
        super().__init__((name, _convert(name, text.decode())) for name, text in zip(_PIECES, texts, strict=False))
        self["p"] = f"<{os.getpid()}>"
        self._record = record

    def __missing__(self, name: str) -> Any:
        if split_field(name) is None:
            raise KeyError(name)
        value = self[name] = render(_list_pieces(name), self._record).decode()
        return value


class _Single(LineBuffer):
    """Renders what is taken at once."""

    def flush(self) -> None:
        pass


def render(pieces: Iterable[Piece], record: Record, is_json: bool = False) -> bytes:
    """One line of text, without its end."""
    buffer = _Single(pieces, is_json)
    buffer.add(*record)
    line: bytes = buffer.take()
    return line[:-1]


def _convert(name: str, text: str) -> Any:
    if name in INTEGERS:
        return int(text)
    return float(text) if name in FLOATS else text


def _compile_atom(atom: Atom) -> tuple[Piece, ...]:
    """The pieces of an atom; where it is to be padded or cut, one that does so with what they show."""
    name, conversion = atom
    pieces = _list_pieces(name)
    if conversion == "s" or (conversion == "d" and name in INTEGERS) or (conversion == ".3f" and name in FLOATS):
        return pieces
    return ((codes.CALL, lambda record: f"%{conversion}" % _convert(name, render(pieces, record).decode()), None),)


def _list_pieces(name: str) -> tuple[Piece, ...]:
    if name == "p":
        return (literal(f"<{os.getpid()}>"),)
    if name in _PIECES:
        return _PIECES[name]
    field = split_field(name)
    assert field is not None
    text, kind = field
    if kind == "e":  # a variable of the environment, as it is now; it is escaped as a client's name would be
        record = Record(Request(), 0, 0, 0.0, Peer(client=(os.environ.get(text, ""), 0)), None)
        return ((codes.LITERAL, render(_PIECES["h"], record), None),)
    code = codes.REQUEST_FIELD if kind == "i" else codes.RESPONSE_FIELD
    return ((code, text.lower().encode("latin-1", "replace"), None),)


def _decode_user(value: bytes) -> bytes:
    """The user name of Basic authentication (RFC 7617); the password is never looked at."""
    scheme, _, token = value.partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(token.strip(), validate=True).partition(b":")[0]
    except (binascii.Error, ValueError):
        return b""


def _get_trace_id(value: bytes) -> bytes:
    found = parse_traceparent(value)
    return found[0] if found is not None else b""


def _get_span_id(value: bytes) -> bytes:
    found = parse_traceparent(value)
    return found[1] if found is not None else b""


def _render_trace_members(value: bytes) -> bytes:
    found = parse_traceparent(value)
    return b',"trace_id":"%b","span_id":"%b","trace_flags":"%b"' % found if found is not None else b""


def _render_clf_time(second: int) -> bytes:
    """``[21/Jul/2026:10:00:00 +0000]``, whatever the locale."""
    now = time.localtime(second)
    return (
        f"[{now.tm_mday:02}/{_MONTHS[now.tm_mon - 1]}/{now.tm_year:04}:"
        f"{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02} {time.strftime('%z', now)}]"
    ).encode()


def _render_local_time(second: int) -> bytes:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(second)).encode()


def _render_time_of_day(second: int) -> bytes:
    return time.strftime("%H:%M:%S", time.localtime(second)).encode()


def _render_utc(second: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()


def _make_request_line(code: int) -> tuple[Piece, ...]:
    return (codes.METHOD, None, None), literal(" "), (code, None, None), literal(" "), (codes.PROTOCOL, None, None)


def _is(code: int, argument: Any = None, function: Any = None) -> tuple[Piece, ...]:
    return ((code, argument, function),)


_PHRASES: Final[Mapping[int, bytes]] = {status.value: status.phrase.encode() for status in http.HTTPStatus}

#: The pieces of every atom with a fixed name; that of the process is not fixed.
_PIECES: Final[Mapping[str, tuple[Piece, ...]]] = {
    # gunicorn's and hypercorn's
    "h": _is(codes.CLIENT),
    "l": (literal("-"),),
    "u": _is(codes.DERIVED, b"authorization", _decode_user),
    "t": _is(codes.TIME, _render_clf_time),
    "r": _make_request_line(codes.TARGET),
    "R": _make_request_line(codes.PATH),
    "m": _is(codes.METHOD),
    "U": _is(codes.PATH),
    "Uq": _is(codes.TARGET),
    "q": _is(codes.QUERY),
    "H": _is(codes.PROTOCOL),
    "S": _is(codes.SCHEME),
    "s": _is(codes.STATUS),
    "st": _is(codes.BY_STATUS, _PHRASES),
    "b": _is(codes.BYTES_OR_DASH),
    "B": _is(codes.BYTES),
    "f": _is(codes.REQUEST_FIELD, b"referer"),
    "a": _is(codes.REQUEST_FIELD, b"user-agent"),
    "T": _is(codes.SECONDS),
    "D": _is(codes.MICROSECONDS),
    "M": _is(codes.MILLISECONDS),
    "L": _is(codes.DURATION_S),
    # granian's
    "addr": _is(codes.CLIENT),
    "time": _is(codes.TIME, _render_local_time),
    "dt_ms": _is(codes.DURATION_MS),
    "status": _is(codes.STATUS),
    "path": _is(codes.PATH),
    "query_string": _is(codes.QUERY),
    "method": _is(codes.METHOD),
    "scheme": _is(codes.SCHEME),
    "protocol": _is(codes.PROTOCOL),
    # our own
    "host": _is(codes.REQUEST_FIELD, b"host"),
    "id": _is(codes.REQUEST_FIELD, REQUEST_ID),
    "trace_id": _is(codes.DERIVED, b"traceparent", _get_trace_id),
    "span_id": _is(codes.DERIVED, b"traceparent", _get_span_id),
}
_ALL: Final = tuple(piece for pieces in _PIECES.values() for piece in (*pieces, (codes.LITERAL, _SEPARATOR, None)))

_JSON_TEXTS: Final = (
    ("client", "h"),
    ("method", "m"),
    ("path", "U"),
    ("query", "q"),
    ("protocol", "H"),
    ("scheme", "S"),
    ("host", "host"),
    ("referer", "f"),
    ("user_agent", "a"),
)

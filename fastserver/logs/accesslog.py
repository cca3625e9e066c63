"""The access log: one line for each finished exchange, in gunicorn's atoms or as JSON.

The format is compiled once: its atoms become functions of a ``Record``.  What a client sent is written so that it
cannot forge a line or move a terminal's cursor (CVE-2020-7694, CVE-2003-0020): each byte outside 0x20 to 0x7e, each
quote and each backslash becomes ``\\xNN``, and a field is cut at 8 KiB.  JSON has an encoder of its own for that.
"""

from __future__ import annotations

import base64
import binascii
import http
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from fastserver._speedups.contract import Peer, Request, ResponseHead
from fastserver.config.errors import ConfigError
from fastserver.config.logformat import parse_format, split_field
from fastserver.config.model import Config
from fastserver.logs.logfile import LogFile

#: Characters of one logged field.
FIELD_LIMIT: Final = 8192

#: What is logged where the client left before the application had answered; the number is nginx's.
CLIENT_GONE: Final = 499

_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNSAFE: Final = re.compile(r'[^\x20-\x7e]|["\\]')


class Record(NamedTuple):
    """What is known of one finished exchange.  ``status`` is 0 and ``head`` ``None`` where nothing was answered."""

    request: Request
    status: int
    body_bytes: int
    duration_s: float
    peer: Peer
    head: ResponseHead | None


Getter = Callable[[Record], Any]
Defer = Callable[[Callable[[], object]], object]


class AccessLog:
    """Called once for each finished exchange.  It never raises; ``failed`` counts the lines that could not be made.

    With ``defer`` (an event loop's ``call_soon``) all lines of one loop turn are written together at its end.
    """

    def __init__(self, render: Callable[[Record], str], file: LogFile, defer: Defer | None = None) -> None:
        self._render = render
        self._file = file
        self._defer = defer
        self._lines: list[str] = []
        self.failed = 0

    def __call__(
        self,
        request: Request,
        status: int,
        body_bytes: int,
        duration_s: float,
        peer: Peer,
        response_head: ResponseHead | None,
    ) -> None:
        try:
            self._lines.append(self._render(Record(request, status, body_bytes, duration_s, peer, response_head)))
        except Exception:  # a request must not fail for its log line, whatever is wrong with it
            self.failed += 1
            return
        if self._defer is None:
            self.flush()
        elif len(self._lines) == 1:
            self._defer(self.flush)

    def flush(self) -> None:
        """Write what has been logged."""
        if self._lines:
            data = "\n".join(self._lines) + "\n"
            self._lines.clear()
            self._file.write(data.encode("ascii", "backslashreplace"))
        else:
            self._file.flush()

    def close(self) -> None:
        self.flush()
        self._file.close()


def make_access_logger(config: Config, defer: Defer | None = None) -> AccessLog | None:
    """The access log that ``config`` wants, or ``None``.

    Raises ``ConfigError`` for a file that cannot be opened.
    """
    if not config.access_log:
        return None
    if config.access_logformat == "json":
        render: Callable[[Record], str] = render_json
    else:
        render = compile_format(config.access_logformat)
    try:
        file = LogFile(config.access_logfile)
    except OSError as error:
        raise ConfigError("access_logfile", f"{config.access_logfile!r} cannot be opened: {error.strerror}") from None
    return AccessLog(render, file, defer)


def compile_format(text: str) -> Callable[[Record], str]:
    """A function that renders a ``Record`` in a format of ``config.logformat``.  Raises ``ValueError``."""
    template, names = parse_format(text)
    getters = make_getters()
    functions = tuple(getters[name] if name in getters else _make_field_getter(name) for name in names)
    return lambda record: template % tuple(function(record) for function in functions)


def render_json(record: Record) -> str:
    """One JSON object on one line, in ASCII."""
    request = record.request
    duration_s = round(record.duration_s, 6)
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "client": _get_client(record),
        "method": _cut(request.method),
        "path": _cut(request.raw_path.decode("latin-1")),
        "query": _cut(request.query_string.decode("latin-1")),
        "protocol": _get_protocol(record),
        "scheme": record.peer.scheme,
        "host": _cut(_find(request.headers, b"host")),
        "status": record.status or CLIENT_GONE,
        "bytes": record.body_bytes,
        "duration_s": duration_s,
        "referer": _cut(_find(request.headers, b"referer")),
        "user_agent": _cut(_find(request.headers, b"user-agent")),
        "pid": os.getpid(),
    }
    return json.dumps(line, separators=(",", ":"))


def escape(text: str) -> str:
    """``text`` as it may stand in a line: cut, and each unsafe byte as ``\\xNN``.  Text of bytes is Latin-1."""
    text = _cut(text)
    return _UNSAFE.sub(_escape_match, text) if _UNSAFE.search(text) else text


def _escape_match(match: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in _encode(match.group()))


def _encode(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def _cut(text: str) -> str:
    return text if len(text) <= FIELD_LIMIT else text[:FIELD_LIMIT]


def _find(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    """The first value of a header, or nothing; an application may write names in any case."""
    for key, value in headers:
        if key == name or (len(key) == len(name) and key.lower() == name):
            return value.decode("latin-1")
    return ""


def _get_client(record: Record) -> str:
    client = record.peer.client
    return str(client[0]) if client else ""


def _get_protocol(record: Record) -> str:
    return f"HTTP/{record.request.http_version}"


def _get_target(record: Record) -> str:
    request = record.request
    target: bytes = request.raw_path
    if request.query_string:
        target = b"%b?%b" % (target, request.query_string)
    return target.decode("latin-1")


def _get_user(record: Record) -> str:
    """The user name of Basic authentication (RFC 7617); the password is never looked at."""
    scheme, _, token = _find(record.request.headers, b"authorization").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(token.strip(), validate=True).partition(b":")[0].decode("latin-1")
    except (binascii.Error, ValueError):
        return ""


class _Time:
    """``[21/Jul/2026:10:00:00 +0000]``, made once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self, record: Record) -> str:
        second = int(time.time())
        if second != self._second:
            now = time.localtime(second)
            zone = time.strftime("%z", now)
            self._second = second
            self._text = (
                f"[{now.tm_mday:02}/{_MONTHS[now.tm_mon - 1]}/{now.tm_year:04}:"
                f"{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02} {zone}]"
            )
        return self._text


def _get_phrase(record: Record) -> str:
    try:
        return http.HTTPStatus(record.status).phrase
    except ValueError:
        return "-"


def make_getters() -> dict[str, Getter]:
    """What each atom with a fixed name shows."""
    pid = f"<{os.getpid()}>"
    return {
        "h": lambda record: escape(_get_client(record)) or "-",
        "l": lambda record: "-",
        "u": lambda record: escape(_get_user(record)) or "-",
        "t": _Time(),
        "r": lambda record: escape(f"{record.request.method} {_get_target(record)} {_get_protocol(record)}"),
        "R": lambda record: escape(f"{record.request.method} {_get_path(record)} {_get_protocol(record)}"),
        "m": lambda record: escape(record.request.method),
        "U": lambda record: escape(_get_path(record)),
        "Uq": lambda record: escape(_get_target(record)),
        "q": lambda record: escape(record.request.query_string.decode("latin-1")),
        "H": lambda record: _get_protocol(record),
        "S": lambda record: record.peer.scheme,
        "s": lambda record: record.status or CLIENT_GONE,
        "st": _get_phrase,
        "b": lambda record: record.body_bytes or "-",
        "B": lambda record: record.body_bytes,
        "f": lambda record: escape(_find(record.request.headers, b"referer")) or "-",
        "a": lambda record: escape(_find(record.request.headers, b"user-agent")) or "-",
        "T": lambda record: int(record.duration_s),
        "D": lambda record: int(record.duration_s * 1_000_000),
        "L": lambda record: f"{record.duration_s:.6f}",
        "M": lambda record: int(record.duration_s * 1_000),
        "p": lambda record: pid,
    }


def _get_path(record: Record) -> str:
    path: bytes = record.request.raw_path
    return path.decode("latin-1")


def _make_field_getter(name: str) -> Getter:
    field = split_field(name)
    assert field is not None
    text, kind = field
    if kind == "e":
        variable = escape(os.environ.get(text, "-"))
        return lambda record: variable
    header = text.lower().encode("latin-1", "replace")
    if kind == "i":
        return lambda record: escape(_find(record.request.headers, header)) or "-"
    return lambda record: (escape(_find(record.head.fields, header)) if record.head is not None else "") or "-"

"""The Python twin of ``logline.pyx``: the lines of the access log (see ``kernels.py`` on twins)."""

import re
import time
from collections.abc import Iterable
from typing import Any

from . import logformats as codes
from .logformats import CLIENT_GONE, FIELD_LIMIT, FLUSH_S, Record

_UNSAFE = re.compile(rb'[^\x20-\x7e]|["\\]')


def read_wall():
    """Unix seconds."""
    return time.time()


class LineBuffer:
    """Called once for each finished exchange; renders its line, and has ``flush`` called to write what there is.

    ``pieces`` are those of ``logformats``, ``is_json`` says how values are escaped.  With a ``loop`` many lines are
    written together, else each at once.  Paths in the set ``excluded``, or for which ``matches`` gives anything but
    ``None``, are left out.  ``failed`` counts the lines that could not be made; a call never raises.
    """

    def __init__(
        self,
        pieces: Iterable[Any],
        is_json: bool = False,
        loop: Any = None,
        excluded: Any = None,
        matches: Any = None,
    ) -> None:
        self.failed = 0
        self._pieces = list(pieces)
        self._lines = []
        self._is_json = is_json
        self._loop = loop
        self._excluded = excluded
        self._matches = matches
        self._is_due = False
        self._flushed_at = -FLUSH_S
        self._times = {}

    def __call__(self, request: Any, status: int, body_bytes: int, duration_s: float, peer: Any, head: Any) -> None:
        try:
            self.add(request, status, body_bytes, duration_s, peer, head, read_wall())
        except Exception:  # a request must not fail for its log line, whatever is wrong with it
            self.failed += 1

    def add(
        self, request: Any, status: int, body_bytes: int, duration_s: float, peer: Any, head: Any, wall_s: float
    ) -> None:
        """Render a line; raises what its functions raise."""
        if request is None or peer is None:
            raise TypeError("a request and a peer are needed")
        if self._is_excluded(request.path):
            return
        record = Record(request, status, body_bytes, duration_s, peer, head, wall_s)
        self._lines.append(b"".join([self._render(piece, record) for piece in self._pieces]) + b"\n")
        if self._is_due:
            return
        if self._loop is None:
            self.flush()
            return
        self._is_due = True
        if self._loop.time() - self._flushed_at < FLUSH_S:
            self._loop.call_later(FLUSH_S, self.flush)
        else:
            self._loop.call_soon(self.flush)

    def take(self) -> bytes:
        """The lines since this was called last."""
        self._is_due = False
        if not self._lines:
            return b""
        if self._loop is not None:
            self._flushed_at = self._loop.time()
        lines = b"".join(self._lines)
        self._lines.clear()
        return lines

    def flush(self) -> None:
        """Write what ``take`` gives; for who derives."""
        raise NotImplementedError

    def _is_excluded(self, path):
        if self._excluded is not None and path in self._excluded:
            return True
        return self._matches is not None and self._matches(path) is not None

    def _render(self, piece, record):
        code, argument, function = piece
        if code == codes.LITERAL:
            return argument
        if code in (codes.TIME, codes.TIME_MS):
            return self._render_time(piece, record.wall_s)
        if code in (codes.DERIVED, codes.INSERTED):
            value = _find(record.request.headers, argument)
            value = None if value is None else function(value)
            return self._escape(value) if code == codes.DERIVED else value or b""
        if code == codes.BY_STATUS:
            return argument.get(record.status or CLIENT_GONE, b"-")
        if code == codes.CALL:
            return argument(record).encode("ascii", "backslashreplace")
        if code in _NUMBERS:
            return _NUMBERS[code](record)
        if code == codes.PROTOCOL:
            return b"HTTP/" + self._escape(record.request.http_version)
        if code == codes.QUERY and not record.request.query_string:
            return b""
        return self._escape(_VALUES[code](record, argument))

    def _escape(self, value):
        """``bytes`` of a text or of bytes, as they may stand in a line; what is missing is a dash, in JSON nothing."""
        if isinstance(value, str):
            value = value.encode("utf-8", "backslashreplace")
        if not value:
            return b"" if self._is_json else b"-"
        return _UNSAFE.sub(_escape_in_json if self._is_json else _escape_in_text, value[:FIELD_LIMIT])

    def _render_time(self, piece, wall_s):
        code, argument, _ = piece
        milliseconds = int(wall_s * 1000)
        second = milliseconds // 1000
        known = self._times.get(argument)
        if known is None or known[0] != second:
            known = self._times[argument] = second, argument(second)
        return b"%b.%03dZ" % (known[1], milliseconds % 1000) if code == codes.TIME_MS else known[1]


def _escape_in_text(match):
    return b"\\x%02x" % match[0][0]


def _escape_in_json(match):
    return b"\\" + match[0] if match[0] in b'"\\' else b"\\u%04x" % match[0][0]


def _find(fields, name):
    """The first value of a field, or ``None``; an application may write names in any case."""
    for key, value in fields:
        if key == name or (len(key) == len(name) and key.lower() == name):
            return value
    return None


def _get_client(record, name):
    client = record.peer.client
    return str(client[0]) if client else None


def _get_target(record, name):
    request = record.request
    return b"%b?%b" % (request.raw_path, request.query_string) if request.query_string else request.raw_path


def _render_fraction(value, unit, width):
    micros = int(value * 1000000 + 0.5)
    return b"%d.%0*d" % (micros // unit, width, micros % unit)


_NUMBERS = {
    codes.STATUS: lambda record: b"%d" % (record.status or CLIENT_GONE),
    codes.BYTES: lambda record: b"%d" % record.body_bytes,
    codes.BYTES_OR_DASH: lambda record: b"%d" % record.body_bytes if record.body_bytes else b"-",
    codes.SECONDS: lambda record: b"%d" % int(record.duration_s),
    codes.MILLISECONDS: lambda record: b"%d" % int(record.duration_s * 1000),
    codes.MICROSECONDS: lambda record: b"%d" % int(record.duration_s * 1000000),
    codes.DURATION_S: lambda record: _render_fraction(record.duration_s, 1000000, 6),
    codes.DURATION_MS: lambda record: _render_fraction(record.duration_s, 1000, 3),
}
_VALUES = {
    codes.CLIENT: _get_client,
    codes.METHOD: lambda record, name: record.request.method,
    codes.PATH: lambda record, name: record.request.raw_path,
    codes.QUERY: lambda record, name: record.request.query_string,
    codes.TARGET: _get_target,
    codes.SCHEME: lambda record, name: record.peer.scheme,
    codes.REQUEST_FIELD: lambda record, name: _find(record.request.headers, name),
    codes.RESPONSE_FIELD: lambda record, name: None if record.head is None else _find(record.head.fields, name),
}

"""The two forms of the error log: text for people, JSON for machines; and when a terminal gets colours."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Mapping
from typing import Any, Final

from fastserver.logs.hygiene import FIELD_LIMIT, clean_line, clean_text, cut_text, indent

_COLOURS: Final = {
    logging.DEBUG: "\x1b[2m",
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}
_PLAIN: Final = "\x1b[0m"

#: What a ``LogRecord`` has of its own; all else was given by ``extra``.
_OWN: Final = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}

#: Levels of nesting of an extra field that JSON shows.
_DEPTH: Final = 4


class TextFormatter(logging.Formatter):
    """``2026-07-21 10:00:00.123 +0000 [4711] INFO message``; what follows a line break is indented below it.

    Of a request that has an id, the id stands behind the message.
    """

    def __init__(self, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        now = time.localtime(record.created)
        level = clean_line(record.levelname)
        if self._colour:
            level = f"{_COLOURS.get(record.levelno, '')}{level}{_PLAIN}"
        message, _, rest = clean_text(record.getMessage()).partition("\n")
        request_id = getattr(record, "request_id", "")
        if request_id:
            message = f"{message} (request {clean_line(str(request_id))})"
        parts = [
            f"{time.strftime('%Y-%m-%d %H:%M:%S', now)}.{int(record.msecs):03} {time.strftime('%z', now)} "
            f"[{record.process}] {level} {message}"
        ]
        if rest:
            parts.append(indent(rest))
        parts += [indent(clean_text(text)) for text in (read_exception(record), record.stack_info) if text]
        return "\n".join(parts)


class JSONFormatter(logging.Formatter):
    """One object on one line, in ASCII: time (RFC 3339, UTC), level, message, pid, logger, and where there are such,
    exception, stack, and the fields that the record was given beside."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": format_time(record.created),
            "level": record.levelname,
            "message": cut_text(record.getMessage()),
            "pid": record.process,
            "logger": record.name,
        }
        for name, text in (("exception", read_exception(record)), ("stack", record.stack_info)):
            if text:
                line[name] = cut_text(text)
        for name, value in vars(record).items():
            if name not in _OWN:
                line.setdefault(name[:FIELD_LIMIT], _simplify(value, _DEPTH))
        return json.dumps(line, separators=(",", ":"))


def make_formatter(form: str, colour: bool) -> logging.Formatter:
    """The formatter of a ``log_format``."""
    return JSONFormatter() if form == "json" else TextFormatter(colour)


def read_exception(record: logging.LogRecord) -> str:
    """The traceback of ``record``, as it is, or nothing."""
    if record.exc_info and not record.exc_text:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
    return record.exc_text or ""


def format_time(wall_s: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    milliseconds = math.floor(wall_s * 1000)
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{now}.{milliseconds % 1000:03}Z"


def wants_colour(use_colors: bool | None, is_terminal: bool) -> bool:
    """Whether lines are coloured: as ``use_colors`` says, else NO_COLOR, FORCE_COLOR, and a terminal that can."""
    if use_colors is not None:
        return use_colors
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return is_terminal and os.environ.get("TERM") != "dumb"


def _simplify(value: object, depth: int) -> Any:
    """``value`` as JSON can have it: what it has no word for becomes text."""
    if value is None or isinstance(value, bool):
        return value
    if type(value) is int and abs(value) < 1 << 63:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if depth and isinstance(value, Mapping):
        return {str(key)[:FIELD_LIMIT]: _simplify(each, depth - 1) for key, each in value.items()}
    if depth and isinstance(value, (list, tuple)):
        return [_simplify(each, depth - 1) for each in value]
    try:
        return str(value)[:FIELD_LIMIT]
    except Exception:  # whatever an application has put there
        return f"<{type(value).__name__}>"

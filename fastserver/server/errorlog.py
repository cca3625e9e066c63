"""The error log: one logger, ``fastserver.error``, with a handler of its own.

It leaves the root logger and the application's loggers alone, and theirs leave it alone: it does not propagate, and
``revive`` undoes what a ``dictConfig`` of the application does to loggers that it does not name.  Where a program that
embeds the server has configured logging by itself, nothing is added: records go where that program sends them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from typing import IO, Final

from fastserver.config.errors import ConfigError

NAME: Final = "fastserver.error"

_COLOURS: Final = {
    logging.DEBUG: "\x1b[2m",
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}


class ErrorLogHandler(logging.Handler):
    """Writes lines to standard error, as it is at that moment, or to the end of a file.  It never raises.

    ``dropped`` counts the records that could not be written.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.dropped = 0
        self._file: IO[str] | None = None
        if path != "-":
            self._file = open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115

    def emit(self, record: logging.LogRecord) -> None:
        try:
            stream = self._file if self.path != "-" else sys.stderr
            if stream is None:
                self.dropped += 1
                return
            stream.write(self.format(record) + "\n")
            stream.flush()
        except (OSError, ValueError, UnicodeError):  # a full disk, a closed pipe, a closed file, a narrow terminal
            self.dropped += 1

    def close(self) -> None:
        # A file stays open: an application's dictConfig closes all handlers that it finds, and this one goes on.
        super().close()

    def close_file(self) -> None:
        """Close the file, for a server that has stopped."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what could not be written cannot be flushed
                self._file.close()


class ErrorLogFormatter(logging.Formatter):
    """``2026-07-21 10:00:00.123 +0000 [4711] INFO message``, and the traceback on the lines below."""

    def __init__(self, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        now = time.localtime(record.created)
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", now)
        level = record.levelname
        if self._colour:
            level = f"{_COLOURS.get(record.levelno, '')}{level}\x1b[0m"
        zone = time.strftime("%z", now)
        head = f"{stamp}.{int(record.msecs):03} {zone} [{record.process}] {level} {record.getMessage()}"
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        return f"{head}\n{record.exc_text}" if record.exc_text else head


def get_error_log() -> logging.Logger:
    """The logger, configured or not."""
    return logging.getLogger(NAME)


def configure_error_log(path: str = "-", level: str = "info", *, embedded: bool = False) -> logging.Logger:
    """Send the error log to ``path`` (``-`` is standard error) from ``level`` on; safe to repeat.

    ``embedded`` yields to handlers that the surrounding program has put on this logger or above it.  Raises
    ``ConfigError`` where the file cannot be opened.
    """
    log = get_error_log()
    ours = [handler for handler in log.handlers if isinstance(handler, ErrorLogHandler)]
    if embedded and not ours and log.hasHandlers():
        return log
    log.setLevel(level.upper())
    log.propagate = False
    if not any(handler.path == path for handler in ours):
        try:
            handler = ErrorLogHandler(path)
        except OSError as error:
            raise ConfigError("error_logfile", f"{path!r} cannot be opened: {error.strerror}") from None
        handler.setFormatter(ErrorLogFormatter(path == "-" and _is_coloured()))
        for old in ours:
            log.removeHandler(old)
            old.close_file()
        log.addHandler(handler)
    return log


def revive(log: logging.Logger) -> None:
    """Switch the logger on again after the application was imported (``disable_existing_loggers`` is on by default)."""
    log.disabled = False


def _is_coloured() -> bool:
    stream = sys.stderr
    return stream is not None and not stream.closed and stream.isatty() and not os.environ.get("NO_COLOR")

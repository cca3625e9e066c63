"""The error log: one logger, ``fastserver.error``, with a handler of its own.

It leaves the root logger and the application's loggers alone, and theirs leave it alone: it does not propagate, and
``revive`` undoes what a ``dictConfig`` of the application does to loggers that it does not name.  Where a program that
embeds the server has configured logging by itself, nothing is added: records go where that program sends them.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Final

from fastserver.config.errors import ConfigError
from fastserver.logs.logfile import LogFile

NAME: Final = "fastserver.error"

#: Seconds that a log which is not read holds up the end of a process.
FLUSH_S: Final = 1.0

_COLOURS: Final = {
    logging.DEBUG: "\x1b[2m",
    logging.INFO: "\x1b[32m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}


class ErrorLogHandler(logging.Handler):
    """Writes lines to standard error or to the end of a file, without waiting for a reader (``LogFile``).

    It never raises.  A program that has put another object in the place of ``sys.stderr`` gets the lines there.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self._lost = 0
        self._file = LogFile(path, standard=2)

    @property
    def dropped(self) -> int:
        """How many lines were lost."""
        return self._lost + self._file.dropped

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
            stream = sys.stderr
            if self.path != "-":
                self._file.write(line.encode("utf-8", "backslashreplace"))
            elif stream is sys.__stderr__ and stream is not None and not stream.closed:
                self._file.write(line.encode(stream.encoding, "backslashreplace"))
            elif stream is not None:
                stream.write(line)
                stream.flush()
            else:
                self._lost += 1
        except (OSError, ValueError, UnicodeError):  # a closed stream, a narrow one
            self._lost += 1

    def write_pending(self) -> None:
        """Write what has found no room until now, as far as it goes."""
        self.acquire()
        try:
            self._file.flush()
        finally:
            self.release()

    def flush(self) -> None:
        """Write what has found no room until now; an end of the process waits so for ``FLUSH_S``."""
        self.acquire()
        try:
            self._file.drain(FLUSH_S)
        finally:
            self.release()

    def forget_pending(self) -> None:
        """In a child process: leave to the parent what it has not written yet."""
        self._file.forget()

    def close(self) -> None:
        # A file stays open: an application's dictConfig closes all handlers that it finds, and this one goes on.
        super().close()

    def close_file(self) -> None:
        """Close the file, for a server that has stopped."""
        self.flush()
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
    ours = find_handlers(log)
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


def find_handlers(log: logging.Logger) -> list[ErrorLogHandler]:
    """This server's own handlers of the logger; none where a program that embeds it has put its own."""
    return [handler for handler in log.handlers if isinstance(handler, ErrorLogHandler)]


def revive(log: logging.Logger) -> None:
    """Switch the logger on again after the application was imported (``disable_existing_loggers`` is on by default)."""
    log.disabled = False


def _is_coloured() -> bool:
    stream = sys.stderr
    return stream is not None and not stream.closed and stream.isatty() and not os.environ.get("NO_COLOR")

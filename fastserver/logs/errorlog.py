"""The error log: one logger, ``fastserver.error``, with a handler of its own.

It leaves the root logger and the application's loggers alone, and theirs leave it alone: it does not propagate, and
``revive`` undoes what a ``dictConfig`` of the application does to loggers that it does not name.  Where a program that
embeds the server has configured logging by itself, nothing is added: records go where that program sends them.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

from fastserver.config.errors import ConfigError
from fastserver.logs.formatters import make_formatter, wants_colour
from fastserver.logs.logfile import LogFile

NAME: Final = "fastserver.error"

#: Seconds that a log which is not read holds up the end of a process.
FLUSH_S: Final = 1.0


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
    def is_terminal(self) -> bool:
        """Whether a person reads along."""
        if self.path == "-" and sys.stderr is not sys.__stderr__:
            return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()
        return self._file.is_terminal

    @property
    def dropped(self) -> int:
        """How many lines this process has lost."""
        return self._lost + self._file.dropped

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._write(record)
        except Exception:  # a closed stream, a narrow one, arguments that do not fit: no request fails for its log line
            self._lost += 1

    def _write(self, record: logging.LogRecord) -> None:
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

    def _tell_loss(self) -> None:
        lost = self._file.take_loss()
        if lost:
            text = "%d lines of this log were lost: %s"
            self.emit(logging.LogRecord(NAME, logging.WARNING, __file__, 0, text, (lost, self._file.fault), None))

    def write_pending(self) -> None:
        """Write what has found no room until now, as far as it goes, and say once it works how much was lost."""
        self.acquire()
        try:
            self._file.flush()
            self._tell_loss()
        finally:
            self.release()

    def flush(self) -> None:
        """Write what has found no room until now; an end of the process waits so for ``FLUSH_S``."""
        self.acquire()
        try:
            self._file.drain(FLUSH_S)
            self._tell_loss()
        finally:
            self.release()

    def forget_pending(self) -> None:
        """In a child process: leave to the parent what it has not written yet, and what it has lost."""
        self._file.forget()
        self._lost = 0

    def close(self) -> None:
        # A file stays open: an application's dictConfig closes all handlers that it finds, and this one goes on.
        super().close()

    def close_file(self) -> None:
        """Close the file, for a server that has stopped."""
        self.flush()
        self._file.close()


def get_error_log() -> logging.Logger:
    """The logger, configured or not."""
    return logging.getLogger(NAME)


def configure_error_log(
    path: str = "-",
    level: str = "info",
    *,
    form: str = "text",
    use_colors: bool | None = None,
    embedded: bool = False,
) -> logging.Logger:
    """Send the error log to ``path`` (``-`` is standard error) from ``level`` on; safe to repeat.

    ``form`` is ``text`` or ``json``.  ``embedded`` yields to handlers that the surrounding program has put on this
    logger or above it.  Raises ``ConfigError`` where the file cannot be opened.
    """
    log = get_error_log()
    ours = find_handlers(log)
    if embedded and not ours and log.hasHandlers():
        return log
    if not any(handler.path == path for handler in ours):
        try:
            handler = ErrorLogHandler(path)
        except OSError as error:
            raise ConfigError("error_logfile", f"{path!r} cannot be opened: {error.strerror}") from None
        remove_handlers(log)
        log.addHandler(handler)
    log.setLevel(level.upper())
    log.propagate = False
    for handler in find_handlers(log):
        handler.setFormatter(make_formatter(form, wants_colour(use_colors, handler.is_terminal)))
    return log


def remove_handlers(log: logging.Logger) -> None:
    """Take this server's own handlers from the logger, and close their files."""
    for handler in find_handlers(log):
        log.removeHandler(handler)
        handler.close_file()


def find_handlers(log: logging.Logger) -> list[ErrorLogHandler]:
    """This server's own handlers of the logger; none where a program that embeds it has put its own."""
    return [handler for handler in log.handlers if isinstance(handler, ErrorLogHandler)]


def revive(log: logging.Logger) -> None:
    """Switch the logger on again after the application was imported (``disable_existing_loggers`` is on by default)."""
    log.disabled = False

"""The access log: one line for each finished exchange, in gunicorn's atoms, as JSON, or short for who reads along.

The format is compiled once, and ``logline`` renders it.  What a client sent is written so that it cannot forge a line
or move a terminal's cursor (CVE-2020-7694, CVE-2003-0020): each byte outside 0x20 to 0x7e, each quote and each
backslash becomes ``\\xNN``, in JSON an escape of its own, and a field is cut at 8 KiB.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from typing import Any

from fastserver._speedups.logformats import Record
from fastserver._speedups.logline import LineBuffer
from fastserver.config.errors import ConfigError
from fastserver.config.logformat import AUTO, JSON, SHORT, TIMED
from fastserver.config.model import Config
from fastserver.logs.atoms import Piece, compile_format, make_json_format, make_short_format
from fastserver.logs.delegation import DelegatedAccessLog
from fastserver.logs.errorlog import get_error_log
from fastserver.logs.formatters import wants_colour
from fastserver.logs.logconfig import find_access_logger
from fastserver.logs.logfile import LogFile

__all__ = ["AccessLog", "Record", "compile_exclusions", "make_access_logger"]


class AccessLog(LineBuffer):
    """Called once for each finished exchange (see ``LineBuffer``); writes to ``file``."""

    def __init__(self, file: LogFile, *facts: Any) -> None:
        super().__init__(*facts)
        self._file = file

    @property
    def dropped(self) -> int:
        """How many lines were lost, or could not be made."""
        return self._file.dropped + self.failed

    def flush(self) -> None:
        """Write what has been logged."""
        lines = self.take()
        if lines:
            self._file.write(lines)
        else:
            self._file.flush()

    def tick(self) -> None:
        """Write, and say in the error log what was lost, once it works again."""
        self.flush()
        lost = self._file.take_loss()
        if lost:
            get_error_log().warning("%d lines of the access log were lost: %s", lost, self._file.fault)

    def close(self) -> None:
        self.tick()
        self._file.close()


def make_access_logger(config: Config, loop: Any = None) -> AccessLog | DelegatedAccessLog | None:
    """The access log that ``config`` wants, or ``None``.  With a ``loop`` of asyncio lines are written
    together.

    Raises ``ConfigError`` for a file that cannot be opened.
    """
    if not config.access_log:
        return None
    exclusions = compile_exclusions(config.access_log_exclude)
    name = find_access_logger() if config.log_config is not None else ""
    if name:
        return DelegatedAccessLog(name, choose_format(config, False), *exclusions)
    try:
        file = LogFile(config.access_logfile)
    except OSError as error:
        raise ConfigError("access_logfile", f"{config.access_logfile!r} cannot be opened: {error.strerror}") from None
    form = choose_format(config, file.is_terminal)
    pieces: list[Piece]
    if form == JSON:
        pieces = make_json_format(config.request_id)
    elif form == SHORT:
        pieces = make_short_format(wants_colour(config.use_colors, file.is_terminal))
    else:
        pieces = compile_format(form)
    return AccessLog(file, pieces, form == JSON, loop, *exclusions)


def choose_format(config: Config, is_terminal: bool) -> str:
    """What ``auto`` means where the log goes to a terminal or elsewhere; any other format as it is."""
    if config.access_logformat != AUTO:
        return config.access_logformat
    if config.log_format == "json":
        return JSON
    return SHORT if is_terminal else TIMED


def compile_exclusions(patterns: Iterable[str]) -> tuple[frozenset[str] | None, Callable[[str], object] | None]:
    """The paths that are excluded, and what tells of any other path whether it is."""
    patterns = tuple(patterns)
    exact = frozenset(each for each in patterns if not any(sign in each for sign in "*?["))
    others = [fnmatch.translate(each) for each in patterns if each not in exact]
    return exact or None, re.compile("|".join(others)).match if others else None

"""Reopening the log files, for who moves them away: logrotate and SIGUSR1."""

from __future__ import annotations

import logging
import os

from fastserver.logs.errorlog import get_error_log
from fastserver.logs.logfile import OPEN_FILES


def reopen_logs() -> bool:
    """Open every log file of this process again by its path: whether all could be.

    One that cannot be opened, as after user and group were dropped, stays the file that it was, and the error log says
    so.  Files that a logging configuration has opened are among them.  It never raises; call it in a loop and not in
    the midst of a signal's handler.
    """
    faults = [fault for file in list(OPEN_FILES) if (fault := _reopen(file.path, file.reopen))]
    for handler in _list_file_handlers():
        fault = _reopen(handler.baseFilename, lambda handler=handler: _reopen_handler(handler))
        if fault:
            faults.append(fault)
    for fault in faults:
        get_error_log().error("cannot reopen %s: it is written on as it was", fault)
    return not faults


def _reopen(path: str, act: object) -> str:
    """What went wrong, or nothing."""
    assert callable(act)
    try:
        act()
    except OSError as error:
        return f"{path!r}, {error.strerror}"
    return ""


def _list_file_handlers() -> list[logging.FileHandler]:
    """The handlers of all loggers that write to a file; one that has opened none yet will open it by itself."""
    loggers = [
        logging.root,
        *(log for log in logging.root.manager.loggerDict.values() if isinstance(log, logging.Logger)),
    ]
    handlers = {id(handler): handler for log in loggers for handler in log.handlers}
    return [each for each in handlers.values() if isinstance(each, logging.FileHandler) and each.stream is not None]


def _reopen_handler(handler: logging.FileHandler) -> None:
    # As its own _open does, but never from the beginning.
    stream = open(os.fspath(handler.baseFilename), "a", encoding=handler.encoding, errors=handler.errors)  # noqa: SIM115
    old = handler.setStream(stream)
    if old is not None:
        old.close()

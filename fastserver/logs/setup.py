"""The error log as a configuration wants it: in the server's own form, or as ``log_config`` says."""

from __future__ import annotations

import logging
from typing import Final

from fastserver.config.model import Config
from fastserver.logs.errorlog import configure_error_log, find_handlers, get_error_log
from fastserver.logs.logconfig import apply_log_config, clean_for_others, forget_log_config

#: The settings that ``configure_logs`` reads.
LOG_KEYS: Final = ("error_logfile", "log_level", "log_format", "use_colors", "log_config")


def configure_logs(config: Config, *, embedded: bool = False) -> logging.Logger:
    """Make the error log what ``config`` says; safe to repeat.

    A process that has read it before its workers were forked has done so for them too: with ``embedded`` a
    ``log_config`` that is applied stays.  ``embedded`` also yields to a surrounding program that has configured
    logging.  Raises ``ConfigError`` for files that cannot be opened or used.
    """
    if config.log_config is not None:
        if apply_log_config(config.log_config, again=not embedded):
            return get_error_log()
        embedded = False  # logging is configured here, so what it says of other loggers is not for this one
    else:
        forget_log_config()
    log = configure_error_log(
        config.error_logfile,
        config.log_level,
        form=config.log_format,
        use_colors=config.use_colors,
        embedded=embedded,
    )
    if not find_handlers(log):
        clean_for_others()
    return log

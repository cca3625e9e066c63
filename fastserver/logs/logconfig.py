"""``log_config``: the standard library's logging, configured by a file, and this server's logs sent there.

Where the configuration names one of the server's loggers, or another server's for the same, records go through that
logger, and its handlers decide; where it names none, the server's own logs stay as they are.

Other servers' names: a configuration made for uvicorn, gunicorn or hypercorn works as it is, its formatters included:
access records have the arguments that those expect.
"""

from __future__ import annotations

import configparser
import importlib
import json
import logging
import logging.config
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastserver.config.errors import ConfigError
from fastserver.config.logsettings import LogSettings
from fastserver.logs.atoms import ACCESS_NAME
from fastserver.logs.errorlog import NAME, get_error_log, remove_handlers
from fastserver.logs.hygiene import clean_text, indent

#: What the error log and the access log may be called, the server's own names first.
ERROR_NAMES: Final = (NAME, "fastserver", "uvicorn.error", "uvicorn", "gunicorn.error", "hypercorn.error")
ACCESS_NAMES: Final = (
    ACCESS_NAME, "fastserver", "uvicorn.access", "gunicorn.access", "hypercorn.access", "granian.access",
)  # fmt: skip


@dataclass(slots=True)
class _Applied:
    """What this process has applied: logging is one for all of it."""

    spec: str | LogSettings | None = None
    error: str = ""
    access: str = ""


_APPLIED: Final = _Applied()


class Cleaner(logging.Filter):
    """Cleans what clients and applications put into a record before handlers that are not ours write it (L-1)."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_clean(value) for value in record.args)
        elif not record.args:
            record.msg = _clean(record.msg)
        if record.exc_info and not record.exc_text:
            record.exc_text = indent(clean_text(logging.Formatter().formatException(record.exc_info)))
        return True


class Forwarder(logging.Handler):
    """Hands records of the error log to another logger."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._target = logging.getLogger(name)

    def emit(self, record: logging.LogRecord) -> None:
        if self._target.isEnabledFor(record.levelno):
            self._target.handle(record)


_CLEANER: Final = Cleaner()


def apply_log_config(spec: str | LogSettings, *, again: bool = True) -> bool:
    """Configure logging: whether the error log goes there.  Without ``again`` what is applied already stays.

    Raises ``ConfigError`` for a file that cannot be read or used.
    """
    if again or spec != _APPLIED.spec:
        log = get_error_log()
        before = log.level, log.propagate
        log.setLevel(logging.NOTSET)
        log.propagate = True
        try:
            names = _configure(spec)
        except Exception as error:  # whatever a parser or a factory that it names raises
            log.disabled = False
            log.setLevel(before[0])
            log.propagate = before[1]
            raise ConfigError("log_config", f"{_show(spec)} cannot be used: {_explain(error)}") from None
        log.disabled = False  # dictConfig switches off what it does not name
        _APPLIED.spec = spec
        _APPLIED.error = next((name for name in ERROR_NAMES if name in names), "")
        _APPLIED.access = next((name for name in ACCESS_NAMES if name in names), "")
        if _APPLIED.error:
            _redirect(log, _APPLIED.error)
    return bool(_APPLIED.error)


def forget_log_config() -> None:
    """No configuration is asked for (any more): the error log is the server's own."""
    log = get_error_log()
    log.removeFilter(_CLEANER)
    for handler in [each for each in log.handlers if isinstance(each, Forwarder)]:
        log.removeHandler(handler)
    _APPLIED.spec, _APPLIED.error, _APPLIED.access = None, "", ""


def clean_for_others() -> None:
    """The error log goes to handlers of the surrounding program: it gets clean records."""
    get_error_log().addFilter(_CLEANER)


def find_access_logger() -> str:
    """The name of the logger that the applied configuration wants access lines by, or nothing."""
    return _APPLIED.access


def _configure(spec: str | LogSettings) -> set[str]:
    """Hand ``spec`` to ``logging.config``: the names of the loggers in it."""
    if isinstance(spec, str):
        kind, path = _split(spec)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if kind == "ini":
            return _configure_by_ini(path, text)
        mapping = _parse(kind, text)
    else:
        mapping = spec.mapping
    if not isinstance(mapping, Mapping):
        raise ValueError("it is no table of settings")
    logging.config.dictConfig(dict(mapping))
    loggers = mapping.get("loggers", {})
    return set(loggers)


def _configure_by_ini(path: str, text: str) -> set[str]:
    facts = {"__file__": os.path.abspath(path), "here": os.path.dirname(os.path.abspath(path))}
    parser = configparser.ConfigParser(facts)
    parser.read_string(text)
    for section in ("loggers", "handlers", "formatters"):
        if not parser.has_section(section):
            raise ValueError(f"there is no section [{section}]")
    logging.config.fileConfig(parser, disable_existing_loggers=False)
    keys = [key.strip() for key in parser.get("loggers", "keys").split(",")]
    return {parser.get(f"logger_{key}", "qualname", fallback=key) for key in keys if key != "root"}


def _split(spec: str) -> tuple[str, str]:
    """The kind of a file and its path; ``json:`` and ``toml:`` before it are hypercorn's way to say the kind."""
    for kind in ("json", "toml"):
        if spec.startswith(f"{kind}:"):
            return kind, spec[len(kind) + 1 :]
    kind = os.path.splitext(spec)[1].lower()
    return {".json": "json", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml"}.get(kind, "ini"), spec


def _parse(kind: str, text: str) -> Any:
    if kind == "json":
        return json.loads(text)
    name, need = ("tomllib", "Python 3.11") if kind == "toml" else ("yaml", "the package PyYAML")
    try:
        module = importlib.import_module(name)
    except ImportError:
        raise ValueError(f"{kind.upper()} needs {need}") from None
    return module.loads(text) if kind == "toml" else module.safe_load(text)


def _redirect(log: logging.Logger, name: str) -> None:
    """Send the error log to the logger ``name``, with clean records, and take its own handlers away."""
    remove_handlers(log)
    for handler in [each for each in log.handlers if isinstance(each, Forwarder)]:
        log.removeHandler(handler)
    log.addFilter(_CLEANER)
    if name not in (NAME, "fastserver"):
        log.propagate = False
        log.setLevel(logging.getLogger(name).getEffectiveLevel())
        log.addHandler(Forwarder(name))


def _clean(value: Any) -> Any:
    """Text, and what becomes text, clean; its further lines are indented.  Numbers stay what they are."""
    if isinstance(value, (int, float)):
        return value
    first, _, rest = clean_text(value if isinstance(value, str) else str(value)).partition("\n")
    return f"{first}\n{indent(rest)}" if rest else first


def _show(spec: str | LogSettings) -> str:
    return repr(spec) if isinstance(spec, str) else str(spec)


def _explain(error: BaseException) -> str:
    """One line: what ``dictConfig`` could not do, and why."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = f"{error}: {error.__cause__}" if error.__cause__ is not None else str(error) or type(error).__name__
    return " ".join(text.split())

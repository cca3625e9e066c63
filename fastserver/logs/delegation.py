"""The access log through the standard library's logging, for a ``log_config`` that names its logger.

Each record has the arguments that formatters of the server whose name was used expect: uvicorn's five, else the atoms
by name.  All text in them is escaped as in the server's own lines.  Handlers of the standard library wait for their
files and write each line by itself: this way is for few requests, or for handlers that queue.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from fastserver._speedups.logformats import Record
from fastserver.config.logformat import JSON, SHORT, TIMED
from fastserver.logs.atoms import Values, make_json_format, render

_UVICORN: Any = '%s - "%s %s HTTP/%s" %d'

#: What a record has beside its arguments, for formatters that write fields: the atom of each.
_EXTRA = {
    "client": "h",
    "method": "m",
    "path": "U",
    "query": "q",
    "protocol": "H",
    "status": "s",
    "bytes": "B",
    "duration_s": "L",
    "request_id": "id",
    "trace_id": "trace_id",
    "span_id": "span_id",
}


class DelegatedAccessLog:
    """Called once for each finished exchange, as ``AccessLog`` is.  It never raises."""

    def __init__(self, name: str, form: str, excluded: frozenset[str] | None, matches: Any) -> None:
        self._log = logging.getLogger(name)
        self._log.disabled = False  # an application's dictConfig may have switched off what it does not name
        self._is_uvicorn = name.startswith("uvicorn")
        self._form = TIMED if form == SHORT else form
        self._json = make_json_format(False) if form == JSON else None
        self._excluded = excluded or frozenset()
        self._matches = matches
        self.failed = 0

    @property
    def dropped(self) -> int:
        """How many lines could not be made."""
        return self.failed

    def __call__(self, request: Any, status: int, body_bytes: int, duration_s: float, peer: Any, head: Any) -> None:
        try:
            if not self._log.isEnabledFor(logging.INFO):
                return
            if request.path in self._excluded or (self._matches is not None and self._matches(request.path)):
                return
            self._tell(Record(request, status, body_bytes, duration_s, peer, head, time.time()))
        except Exception:  # a request must not fail for its log line
            self.failed += 1

    def flush(self) -> None:
        """Nothing is kept here."""

    tick = close = flush

    def _tell(self, record: Record) -> None:
        values = Values(record)
        extra = {name: values[atom] for name, atom in _EXTRA.items() if values[atom] != "-"}
        if self._is_uvicorn:
            client = record.peer.client
            address = f"{values['h']}:{client[1]}" if client else ""
            version = record.request.http_version
            self._log.info(_UVICORN, address, values["m"], values["Uq"], version, values["s"], extra=extra)
        elif self._json is not None:
            self._log.info("%s", render(self._json, record, is_json=True).decode(), extra=extra)
        else:
            self._log.info(self._form, values, extra=extra)

"""What every test of the server gets: an error log that is as it was before.  And what some ask for."""

from collections.abc import Iterator

import pytest

from fastserver.logs.errorlog import ErrorLogHandler, get_error_log
from fastserver.server import quic
from tests.server.quicparts import FakeParts


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    """Put the logger back as it was; pytest's own handlers on the root stay where they are."""
    log = get_error_log()
    saved = (log.handlers[:], log.level, log.propagate, log.disabled)
    filters = log.filters[:]
    log.handlers.clear()
    log.filters.clear()
    log.propagate = True
    yield
    for handler in log.handlers:
        if isinstance(handler, ErrorLogHandler):
            handler.close_file()
    log.filters[:] = filters
    log.handlers[:], level, log.propagate, log.disabled = saved
    log.setLevel(level)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> FakeParts:
    """What carries QUIC in every server of this test."""
    made = FakeParts()
    monkeypatch.setattr(quic, "_load_parts", lambda: quic.Parts(made.open_port, made.open_wire, made.make_engine))
    return made

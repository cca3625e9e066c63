"""The access log: what is logged and what is left out, in which form, and when it is written."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastserver._speedups.contract import Peer
from fastserver._speedups.logformats import FLUSH_S
from fastserver.config.errors import ConfigError
from fastserver.config.logformat import TIMED
from fastserver.config.model import Config
from fastserver.logs.accesslog import AccessLog, choose_format, make_access_logger
from fastserver.logs.errorlog import configure_error_log
from tests.logs.records import make_record


class Loop:
    """What is due at the end of the turn, and what later."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.soon: list[Callable[[], object]] = []
        self.later: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.soon.append(callback)

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> None:
        self.later.append((delay_s, callback))


def log_to(path: Path, text: str = "%(m)s %(s)s", loop: Any = None, **settings: Any) -> AccessLog:
    log = make_access_logger(Config(access_log=True, access_logfile=str(path), access_logformat=text, **settings), loop)
    assert isinstance(log, AccessLog)
    return log


def call(log: AccessLog, **changes: Any) -> None:
    log(*make_record(**changes)[:6])


def test_it_is_off_by_default() -> None:
    assert make_access_logger(Config()) is None


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("before\n")
    log = log_to(path)
    call(log)
    call(log, status=404)
    log.close()
    assert path.read_text() == "before\nGET 200\nGET 404\n"


@pytest.mark.parametrize(("text", "start"), [("combined", "192.0.2.1 - - ["), ("json", '{"time":')])
def test_formats_with_a_name(tmp_path: Path, text: str, start: str) -> None:
    log = log_to(tmp_path / "access.log", text)
    call(log)
    assert (tmp_path / "access.log").read_text().startswith(start)


def test_lines_of_one_turn_are_written_together(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    loop = Loop()
    log = log_to(path, loop=loop)
    call(log)
    call(log)
    assert (len(loop.soon), path.read_text()) == (1, "")
    loop.soon.pop()()
    assert path.read_text() == "GET 200\nGET 200\n"


def test_a_busy_server_writes_the_lines_of_many_turns_together(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    loop = Loop()
    log = log_to(path, loop=loop)
    call(log)
    loop.soon.pop()()
    loop.now += 0.9 * FLUSH_S
    call(log)  # soon after, in the next turn
    call(log)
    assert not loop.soon
    ((delay_s, flush),) = loop.later
    assert delay_s == FLUSH_S
    flush()
    assert path.read_text() == "GET 200\n" * 3
    loop.now += 1.1 * FLUSH_S
    call(log)
    assert (len(loop.soon), len(loop.later)) == (1, 1)


def test_a_line_that_cannot_be_made_costs_no_request(tmp_path: Path) -> None:
    log = log_to(tmp_path / "access.log")
    log(None, 200, 0, 0.0, Peer(), None)
    call(log)
    assert (log.failed, (tmp_path / "access.log").read_text()) == (1, "GET 200\n")


def test_a_file_that_cannot_be_opened_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^access_logfile: .* cannot be opened: No such file or directory$"):
        log_to(tmp_path / "none" / "access.log")


@pytest.mark.parametrize(
    ("pattern", "path", "is_left_out"),
    [
        ("/health", "/health", True),
        ("/health", "/healthy", False),
        ("/health", "/api/health", False),
        ("/static/*", "/static/a/b.css", True),
        ("/static/*", "/static", False),
        ("*.ico", "/favicon.ico", True),
        ("/v[12]/ping", "/v2/ping", True),
        ("/v[12]/ping", "/v3/ping", False),
        ("/a.b", "/a-b", False),
        ("/caf\u00e9", "/caf\u00e9", True),
    ],
)
def test_paths_can_be_left_out(tmp_path: Path, pattern: str, path: str, is_left_out: bool) -> None:
    log = log_to(tmp_path / "access.log", access_log_exclude=["/other", pattern, "/none/*"])
    call(log, path=path)
    assert ((tmp_path / "access.log").read_text() == "") == is_left_out


@pytest.mark.parametrize(
    ("settings", "is_terminal", "form"),
    [
        ({}, False, TIMED),
        ({}, True, "short"),
        ({"log_format": "json"}, False, "json"),
        ({"log_format": "json"}, True, "json"),
        ({"log_format": "json", "access_logformat": "combined"}, False, "combined"),
        ({"access_logformat": "json"}, True, "json"),
        ({"access_logformat": "short"}, False, "short"),
    ],
)
def test_the_form_goes_by_who_reads(settings: dict[str, str], is_terminal: bool, form: str) -> None:
    assert choose_format(Config(**settings), is_terminal) == form


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    reader, terminal = os.openpty()
    log = log_to(Path(os.ttyname(terminal)), "auto")
    call(log)
    assert b" GET /items/1?q=2 \x1b[32m200\x1b[0m " in os.read(reader, 1000)
    log.close()
    os.close(reader)
    os.close(terminal)


def test_what_was_lost_is_told_by_the_error_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_error_log()
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = log_to(path)
    os.close(reader)
    for _ in range(3):
        call(log)
    log.tick()
    assert (capsys.readouterr().err, log.dropped) == ("", 3)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    call(log)
    log.tick()
    log.tick()
    assert os.read(reader, 1000) == b"GET 200\n"
    assert capsys.readouterr().err.endswith("WARNING 3 lines of the access log were lost: Broken pipe\n")
    log.close()
    os.close(reader)


def test_json_of_the_error_log_makes_the_access_log_json(tmp_path: Path) -> None:
    log = log_to(tmp_path / "access.log", "auto", log_format="json", request_id=True)
    call(log, headers=[(b"x-request-id", b"abc")])
    assert json.loads((tmp_path / "access.log").read_text())["request_id"] == "abc"

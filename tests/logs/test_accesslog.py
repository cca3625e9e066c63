"""The access log: every atom, what a client can put into a line, and files that cannot be written."""

import base64
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastserver._speedups.contract import Peer, Request, ResponseHead
from fastserver.config.errors import ConfigError
from fastserver.config.logformat import NUMBERS, TEXTS
from fastserver.config.model import Config
from fastserver.logs.accesslog import (
    FIELD_LIMIT,
    AccessLog,
    Record,
    compile_format,
    escape,
    make_access_logger,
    make_getters,
    render_json,
)


def make_record(**changes: Any) -> Record:
    request = Request()
    request.method = changes.pop("method", "GET")
    request.http_version = changes.pop("http_version", "1.1")
    request.raw_path = changes.pop("raw_path", b"/items/1")
    request.query_string = changes.pop("query_string", b"q=2")
    request.headers = changes.pop(
        "headers",
        [(b"host", b"example.org"), (b"referer", b"http://a/"), (b"user-agent", b"curl/8"), (b"x-id", b"7")],
    )
    head = ResponseHead()
    head.status = 200
    head.fields = [(b"Content-Type", b"text/plain"), (b"etag", b'"v1"')]
    record = Record(request, 200, 1234, 1.5000259, Peer(client=("192.0.2.1", 4711), scheme="https"), head)
    return record._replace(**changes)


def render(text: str, **changes: Any) -> str:
    return compile_format(text)(make_record(**changes))


@pytest.mark.parametrize(
    ("atom", "text"),
    [
        ("%(h)s", "192.0.2.1"),
        ("%(l)s", "-"),
        ("%(u)s", "-"),
        ("%(r)s", "GET /items/1?q=2 HTTP/1.1"),
        ("%(R)s", "GET /items/1 HTTP/1.1"),
        ("%(m)s", "GET"),
        ("%(U)s", "/items/1"),
        ("%(Uq)s", "/items/1?q=2"),
        ("%(q)s", "q=2"),
        ("%(H)s", "HTTP/1.1"),
        ("%(S)s", "https"),
        ("%(s)s", "200"),
        ("%(st)s", "OK"),
        ("%(b)s", "1234"),
        ("%(B)s", "1234"),
        ("%(f)s", "http://a/"),
        ("%(a)s", "curl/8"),
        ("%(T)s", "1"),
        ("%(D)s", "1500025"),
        ("%(M)s", "1500"),
        ("%(L)s", "1.500026"),
        ("%({x-id}i)s", "7"),
        ("%({X-Id}i)s", "7"),
        ("%({none}i)s", "-"),
        ("%({content-type}o)s", "text/plain"),
        ("%({etag}o)s", r"\x22v1\x22"),
        ("%({none}o)s", "-"),
        ("%({NO_SUCH_VARIABLE}e)s", "-"),
        ("%(D)8d|%%|%(m)-5s|", " 1500025|%|GET  |"),
    ],
)
def test_atoms(atom: str, text: str) -> None:
    assert render(atom) == text


def test_the_process() -> None:
    assert render("%(p)s") == f"<{os.getpid()}>"


def test_the_time_is_that_of_common_log_format() -> None:
    assert re.fullmatch(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", render("%(t)s"))


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGGED", "one")
    line = compile_format("%({LOGGED}e)s")
    monkeypatch.setenv("LOGGED", "two")
    assert line(make_record()) == "one"


def test_what_is_not_known_is_a_dash() -> None:
    record = make_record(headers=[], peer=Peer(), status=0, head=None, body_bytes=0)
    line = compile_format("%(h)s %(u)s %(s)s %(st)s %(b)s %(B)s %(f)s %(a)s %({etag}o)s")(record)
    assert line == "- - 499 - - 0 - - -"


def test_the_user_of_basic_authentication_is_logged_without_the_password() -> None:
    token = base64.b64encode(b'al"ice:sesame')
    assert render("%(u)s", headers=[(b"authorization", b"Basic " + token)]) == r"al\x22ice"
    for value in (b"Basic ###", b"Bearer abc", b"Basic", b""):
        assert render("%(u)s", headers=[(b"authorization", value)]) == "-"


HOSTILE = b'a\r\nfake "line" \\ \x1b[2J \x7f \xff end'
ESCAPED = r"a\x0d\x0afake \x22line\x22 \x5c \x1b[2J \x7f \xff end"


@pytest.mark.parametrize("atom", ["%(f)s", "%(a)s", "%({x-id}i)s", "%(U)s", "%(q)s", "%({etag}o)s"])
def test_no_client_can_forge_a_line(atom: str) -> None:
    head = ResponseHead()
    head.fields = [(b"etag", HOSTILE)]
    line = render(
        atom,
        raw_path=HOSTILE,
        query_string=HOSTILE,
        headers=[(b"referer", HOSTILE), (b"user-agent", HOSTILE), (b"x-id", HOSTILE)],
        head=head,
    )
    assert line == ESCAPED


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_is_safe_or_escaped(byte: int) -> None:
    text = chr(byte)
    safe = 0x20 <= byte <= 0x7E and text not in '"\\'
    assert escape(text) == (text if safe else f"\\x{byte:02x}")


@pytest.mark.parametrize(("length", "kept"), [(-1, -1), (0, 0), (1, 0)])
def test_a_field_has_a_limit(length: int, kept: int) -> None:
    assert escape("a" * (FIELD_LIMIT + length)) == "a" * (FIELD_LIMIT + kept)


def test_every_atom_that_the_configuration_lets_pass_has_a_value_of_its_kind() -> None:
    getters = make_getters()
    assert set(getters) == NUMBERS | TEXTS
    for name, getter in getters.items():
        for record in (make_record(), make_record(status=0, body_bytes=0, head=None, peer=Peer())):
            assert isinstance(getter(record), int) or name not in NUMBERS


def test_json_is_one_object_on_one_line() -> None:
    line = render_json(make_record(raw_path=HOSTILE, status=0))
    assert line.isascii()
    assert "\n" not in line
    found = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.pop("time"))
    assert found == {
        "client": "192.0.2.1",
        "method": "GET",
        "path": HOSTILE.decode("latin-1"),
        "query": "q=2",
        "protocol": "HTTP/1.1",
        "scheme": "https",
        "host": "example.org",
        "status": 499,
        "bytes": 1234,
        "duration_s": 1.500026,
        "referer": "http://a/",
        "user_agent": "curl/8",
        "pid": os.getpid(),
    }


def log_to(path: Path, text: str = "%(m)s %(s)s", defer: Callable[[Any], object] | None = None) -> AccessLog:
    log = make_access_logger(Config(access_log=True, access_logfile=str(path), access_logformat=text), defer)
    assert log is not None
    return log


def test_it_is_off_by_default() -> None:
    assert make_access_logger(Config()) is None


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("before\n")
    log = log_to(path)
    log(*make_record())
    log(*make_record(status=404))
    log.close()
    assert path.read_text() == "before\nGET 200\nGET 404\n"


@pytest.mark.parametrize(("text", "start"), [("combined", "192.0.2.1 - - ["), ("json", '{"time":')])
def test_formats_with_a_name(tmp_path: Path, text: str, start: str) -> None:
    log = log_to(tmp_path / "access.log", text)
    log(*make_record())
    assert (tmp_path / "access.log").read_text().startswith(start)


def test_lines_of_one_turn_are_written_together(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    deferred: list[Callable[[], object]] = []
    log = log_to(path, defer=deferred.append)
    log(*make_record())
    log(*make_record())
    assert (len(deferred), path.read_text()) == (1, "")
    deferred.pop()()
    assert path.read_text() == "GET 200\nGET 200\n"
    log(*make_record())
    assert len(deferred) == 1


def test_a_line_that_cannot_be_made_costs_no_request(tmp_path: Path) -> None:
    log = log_to(tmp_path / "access.log")
    log(None, 200, 0, 0.0, Peer(), None)  # type: ignore[arg-type]
    log(*make_record())
    assert (log.failed, (tmp_path / "access.log").read_text()) == (1, "GET 200\n")


def test_a_file_that_cannot_be_opened_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^access_logfile: .* cannot be opened: No such file or directory$"):
        log_to(tmp_path / "none" / "access.log")

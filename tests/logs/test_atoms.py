"""The formats of the access log: every atom, in text and as JSON, and what a client can put into a line."""

import base64
import json
import os
import re

import pytest

from fastserver._speedups.contract import Peer, ResponseHead
from fastserver._speedups.logformats import FIELD_LIMIT
from fastserver.config.logformat import FLOATS, INTEGERS, TEXTS
from fastserver.logs.accesslog import AccessLog
from fastserver.logs.atoms import Values, compile_format, make_json_format, make_short_format, render
from fastserver.logs.logfile import LogFile
from tests.logs.records import ESCAPED, HOSTILE, TRACE, make_record

GRANIAN = '[%(time)s] %(addr)s - "%(method)s %(path)s %(protocol)s" %(status)d %(dt_ms).3f'


def show(text: str, **changes: object) -> str:
    return render(compile_format(text), make_record(**changes)).decode("ascii")


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
        ("%(addr)s", "192.0.2.1"),
        ("%(dt_ms).3f", "1500.026"),
        ("%(dt_ms).1f", "1500.0"),
        ("%(dt_ms)d", "1500"),
        ("%(status)d", "200"),
        ("%(path)s", "/items/1"),
        ("%(query_string)s", "q=2"),
        ("%(method)s", "GET"),
        ("%(scheme)s", "https"),
        ("%(protocol)s", "HTTP/1.1"),
        ("%(host)s", "example.org"),
        ("%(id)s", "-"),
        ("%(trace_id)s", "-"),
        ("%(r)40s|", "               GET /items/1?q=2 HTTP/1.1|"),
        ("%(D)8d|%%|%(m)-5s|", " 1500025|%|GET  |"),
    ],
)
def test_atoms(atom: str, text: str) -> None:
    assert show(atom) == text


def test_the_process() -> None:
    assert show("%(p)s") == f"<{os.getpid()}>"


def test_the_time_is_that_of_common_log_format() -> None:
    assert re.fullmatch(r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]", show("%(t)s"))


def test_the_time_goes_where_the_clock_goes() -> None:
    """Forwards and back, and it is never that of another second (FI-24)."""
    line = compile_format("%(t)s")
    texts = {at: render(line, make_record(wall_s=float(at))) for at in (1_000_000_000, 1_000_000_001, 999_996_400)}
    assert len(set(texts.values())) == 3
    for at in (999_996_400, 1_000_000_001, 1_000_000_000):
        assert render(line, make_record(wall_s=at + 0.999)) == texts[at]


def test_granians_own_format() -> None:
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}"
    assert re.fullmatch(rf'\[{time}\] 192\.0\.2\.1 - "GET /items/1 HTTP/1\.1" 200 1500\.026', show(GRANIAN))


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGGED", 'one"')
    line = compile_format("%({LOGGED}e)s")
    monkeypatch.setenv("LOGGED", "two")
    assert render(line, make_record()) == rb"one\x22"


def test_what_is_not_known_is_a_dash() -> None:
    text = "%(h)s %(u)s %(s)s %(st)s %(b)s %(B)s %(f)s %(a)s %({etag}o)s %(id)s %(trace_id)s %(span_id)s"
    line = show(text, headers=[], peer=Peer(), status=0, head=None, body_bytes=0)
    assert line == "- - 499 - - 0 - - - - - -"


def test_the_user_of_basic_authentication_is_logged_without_the_password() -> None:
    token = base64.b64encode(b'al"ice:sesame')
    assert show("%(u)s", headers=[(b"authorization", b"Basic " + token)]) == r"al\x22ice"
    for value in (b"Basic ###", b"Bearer abc", b"Basic", b""):
        assert show("%(u)s", headers=[(b"authorization", value)]) == "-"


def test_a_request_is_named_by_its_id_and_its_trace() -> None:
    headers = [(b"traceparent", TRACE), (b"x-request-id", b"abc")]
    assert show("%(id)s %(trace_id)s %(span_id)s", headers=headers) == (
        "abc 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7"
    )
    assert show("%(trace_id)s", headers=[(b"traceparent", TRACE[:-1])]) == "-"


@pytest.mark.parametrize("atom", ["%(f)s", "%(a)s", "%({x-id}i)s", "%(U)s", "%(q)s", "%({etag}o)s", "%(f)-1s"])
def test_no_client_can_forge_a_line(atom: str) -> None:
    head = ResponseHead()
    head.fields = [(b"etag", HOSTILE)]
    headers = [(b"referer", HOSTILE), (b"user-agent", HOSTILE), (b"x-id", HOSTILE)]
    assert show(atom, raw_path=HOSTILE, query_string=HOSTILE, headers=headers, head=head) == ESCAPED


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_is_safe_or_escaped(byte: int) -> None:
    text = chr(byte)
    safe = 0x20 <= byte <= 0x7E and text not in '"\\'
    assert show("%(f)s", headers=[(b"referer", bytes([byte]))]) == (text if safe else f"\\x{byte:02x}")


@pytest.mark.parametrize(("length", "kept"), [(-1, -1), (0, 0), (1, 0)])
def test_a_field_has_a_limit(length: int, kept: int) -> None:
    assert show("%(f)s", headers=[(b"referer", b"a" * (FIELD_LIMIT + length))]) == "a" * (FIELD_LIMIT + kept)


def test_every_atom_that_the_configuration_lets_pass_has_a_value_of_its_kind() -> None:
    for record in (make_record(), make_record(status=0, body_bytes=0, head=None, peer=Peer(), headers=[])):
        values = Values(record)
        assert set(values) == INTEGERS | FLOATS | TEXTS
        for name, value in values.items():
            assert type(value) is (int if name in INTEGERS else float if name in FLOATS else str)
            assert f"%({name})s" % values == show(f"%({name})s", **record._asdict()) or name in FLOATS


def test_values_have_fields_too() -> None:
    values = Values(make_record())
    text = "%({X-Id}i)s %({etag}o)s %({none}i)s"
    assert text % values == r"7 \x22v1\x22 -"
    with pytest.raises(KeyError):
        values["none"]


def render_json(has_request_ids: bool = False, **changes: object) -> str:
    lines: list[bytes] = []

    class Log(AccessLog):
        def flush(self) -> None:
            lines.append(self.take())

    log = Log(LogFile("/dev/null"), make_json_format(has_request_ids), True)
    log.add(*make_record(**changes))
    return lines[0].decode("ascii")


def test_json_is_one_object_on_one_line() -> None:
    line = render_json(raw_path=HOSTILE, status=0)
    assert line.index("\n") == len(line) - 1
    assert json.loads(line) == {
        "time": "2001-09-09T01:46:40.123Z",
        "level": "INFO",
        "logger": "fastserver.access",
        "pid": os.getpid(),
        "status": 499,
        "bytes": 1234,
        "duration_s": 1.500026,
        "client": "192.0.2.1",
        "method": "GET",
        "path": HOSTILE.decode("latin-1"),
        "query": "q=2",
        "protocol": "HTTP/1.1",
        "scheme": "https",
        "host": "example.org",
        "referer": "http://a/",
        "user_agent": "curl/8",
    }


def test_json_names_the_request_where_it_has_an_id_and_the_trace_where_there_is_one() -> None:
    headers = [(b"x-request-id", b"abc"), (b"traceparent", TRACE)]
    found = json.loads(render_json(True, headers=headers))
    assert (found["request_id"], found["trace_id"], found["span_id"], found["trace_flags"]) == (
        "abc", "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "01",
    )  # fmt: skip
    found = json.loads(render_json(headers=[(b"x-request-id", b"abc"), (b"traceparent", b'","status":"')]))
    assert not {"request_id", "trace_id", "span_id"} & set(found)


@pytest.mark.parametrize(("status", "code"), [(204, "32"), (302, "36"), (404, "33"), (500, "31"), (0, "33"), (999, "")])
def test_who_reads_along_gets_a_short_line(status: int, code: str) -> None:
    shown = str(status or 499)
    end = f" 192.0.2.1 GET /items/1?q=2 {shown} 1500.026 ms 1234"
    line = render(make_short_format(False), make_record(status=status)).decode()
    assert re.fullmatch(r"\d\d:\d\d:\d\d", line.removesuffix(end))
    line = render(make_short_format(True), make_record(status=status)).decode()
    coloured = f"\x1b[{code}m{shown}\x1b[0m" if code else shown
    assert line.endswith(end.replace(f" {shown} ", f" {coloured} "))

"""The health check: whose requests it takes, what it answers, over every wire, and that nothing else is changed."""

from typing import Any

import pytest

from fastserver._speedups.health import HealthCheck
from fastserver._speedups.http import HTTPApplication
from fastserver._speedups.websocket.settings import WebSocketSettings
from tests.exchange.sessions import upgrade
from tests.fakes import Recorder, Wire, ignore
from tests.h2wire import H2Wire
from tests.h3wire import H3Wire

PATH = "/healthz"


def guard(wire: Any, recorder: Recorder) -> list[tuple[Any, ...]]:
    """Put a health check in front of a wire's application: what its log of requests will hold."""
    application = HTTPApplication(recorder, wire.host, websocket=WebSocketSettings())
    wire.host.application = HealthCheck(application, wire.host, PATH)
    records: list[tuple[Any, ...]] = []
    wire.host.access_log = lambda *record: records.append(record)
    return records


def ask(request: bytes) -> tuple[Wire, Recorder, list[tuple[Any, ...]]]:
    recorder = Recorder(ignore)
    wire = Wire(recorder)
    records = guard(wire, recorder)
    wire.feed(request)
    return wire, recorder, records


def test_ready_and_not() -> None:
    wire, recorder, records = ask(b"GET /healthz?full=1 HTTP/1.1\r\nhost: h\r\n\r\n")
    response = wire.response()
    assert (response.status, response.body) == (200, b"ready\n")
    assert response.header(b"content-type") == [b"text/plain; charset=utf-8"]
    assert response.header(b"cache-control") == [b"no-store"]
    assert not response.closes
    wire.host.ready = False
    wire.feed(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n")
    response = wire.responses("GET", "GET")[1]
    assert (response.status, response.body) == (503, b"not ready\n")
    assert not response.closes  # it is served as before, for a while
    assert (recorder.calls, records) == ([], [])
    assert not any(wire.connection.tally.snapshot_requests().values())
    wire.hang_up()


def test_head_has_no_body() -> None:
    wire, recorder, _ = ask(b"HEAD /healthz HTTP/1.1\r\nhost: h\r\n\r\n")
    response = wire.response("HEAD")
    assert (response.status, response.body, response.header(b"content-length")) == (200, b"", [b"6"])
    assert recorder.calls == []
    wire.hang_up()


@pytest.mark.parametrize(
    "line",
    [
        b"POST /healthz",
        b"OPTIONS /healthz",
        b"GET /healthz/",
        b"GET /healthz/x",
        b"GET /Healthz",
        b"GET /x/healthz",
        b"GET /",
    ],
)
def test_all_else_is_the_applications(line: bytes) -> None:
    wire, recorder, records = ask(line + b" HTTP/1.1\r\nhost: h\r\n\r\n")
    assert recorder.call.target == line.split()[1]
    assert len(records) == 1
    wire.hang_up()


def test_an_encoded_path_is_the_same_path() -> None:
    wire, recorder, _ = ask(b"GET /%68ealthz HTTP/1.1\r\nhost: h\r\n\r\n")
    assert wire.response().status == 200
    assert recorder.calls == []
    wire.hang_up()


def test_a_session_at_the_path_is_the_applications() -> None:
    wire, recorder, _ = ask(upgrade(line=b"GET /healthz HTTP/1.1"))
    assert recorder.call.scope["type"] == "websocket"
    wire.vanish()


def test_another_upgrade_is_ignored_as_ever() -> None:
    wire, recorder, _ = ask(b"GET /healthz HTTP/1.1\r\nhost: h\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n")
    assert wire.response().status == 200
    assert recorder.calls == []
    wire.hang_up()


@pytest.mark.parametrize(
    "framing", [b"content-length: 3\r\n\r\nabc", b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]
)
def test_a_body_is_thrown_away(framing: bytes) -> None:
    request = b"GET /healthz HTTP/1.1\r\nhost: h\r\n" + framing
    for cut in range(1, len(request)):
        wire, recorder, _ = ask(request[:cut])
        wire.feed(request[cut:])
        assert wire.responses("GET")[0].status == 200
        assert recorder.calls == []
        wire.hang_up()


def test_between_pipelined_requests() -> None:
    get = b"GET %s HTTP/1.1\r\nhost: h\r\n\r\n"
    wire, recorder, _ = ask(get % b"/a" + get % b"/healthz" + get % b"/b")
    assert [each.body for each in wire.responses("GET", "GET", "GET")] == [b"GET /a", b"ready\n", b"GET /b"]
    assert recorder.targets == [b"/a", b"/b"]
    wire.hang_up()


def test_in_a_drain_the_connection_ends_as_with_any_request() -> None:
    recorder = Recorder(ignore)
    wire = Wire(recorder)
    guard(wire, recorder)
    wire.host.ready = False
    wire.drain()
    wire.feed(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n")
    assert wire.response().status == 503
    assert wire.response().closes
    wire.hang_up()


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("make_wire", [lambda app: H2Wire(app).greet(), H3Wire])
def test_over_streams(make_wire: Any, method: bytes) -> None:
    recorder = Recorder(ignore)
    wire = make_wire(recorder)
    records = guard(wire, recorder)
    first = wire.request(b"/healthz", method=method)
    wire.host.ready = False
    second = wire.request(b"/healthz", body=b"abc", method=method)
    third = wire.request(b"/healthz", method=b"POST")
    expected = [(200, b"ready\n"), (503, b"not ready\n")] if method == b"GET" else [(200, b""), (503, b"")]
    for stream, (status, body) in zip((first, second), expected, strict=True):
        answer = wire.answer(stream)
        assert (answer.status, answer.body, answer.ended, answer.reset) == (status, body, True, None)
    assert wire.answer(third).status == 200
    assert recorder.targets == [b"/healthz"]
    assert len(records) == 1
    wire.hang_up()


@pytest.mark.parametrize("make_wire", [lambda app: H2Wire(app).greet(), H3Wire])
def test_checks_take_no_place_from_applications(make_wire: Any) -> None:
    """There are 100 places on a connection, each taken until its application ends."""
    wire = make_wire(recorder := Recorder(ignore))
    guard(wire, recorder)
    assert {wire.answer(wire.request(b"/healthz")).status for _ in range(101)} == {200}
    assert wire.answer(wire.request()).body == b"GET /"
    wire.hang_up()

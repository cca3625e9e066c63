"""The lines of the ASGI checklist that HTTP/3 could break, over its wire: HTTP (sessions: ``test_websocket_h3``)."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fastserver import Server
from fastserver._speedups.contract import ClientDisconnected
from tests.certificates import CERTIFICATE
from tests.exchange.test_http_scope import KEYS
from tests.fakes import App, Gate, Message, Receive, Recorder, Send, echo, ignore, read_body, respond
from tests.h3live import H3Client, make_config
from tests.h3wire import DATA, H3Wire, frame
from tests.site import run_in_loop

H3_INTERNAL_ERROR = 0x102
START = {"type": "http.response.start", "status": 200}
BODY = {"type": "http.response.body"}


def scope_of(path: bytes = b"/", *fields: tuple[bytes, bytes], method: bytes = b"GET") -> Message:
    recorder = Recorder(ignore)
    wire = H3Wire(recorder)
    wire.request(path, *fields, method=method)
    return recorder.call.scope


# The scope.


def test_b1_h1_h6_scope() -> None:
    scope = scope_of(b"/caf%C3%A9?x=%31", method=b"PATCH")
    assert type(scope) is dict
    assert set(scope) == KEYS
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert (scope["type"], scope["http_version"], scope["method"], scope["scheme"]) == ("http", "3", "PATCH", "https")
    assert (scope["client"], scope["server"]) == (("192.0.2.7", 4433), ("127.0.0.1", 8443))


def test_h2_h3_path_and_raw_path() -> None:
    scope = scope_of(b"/caf%C3%A9%2F+a?x=%31&y")
    assert (scope["path"], scope["raw_path"]) == ("/caf\u00e9/+a", b"/caf%C3%A9%2F+a")
    assert scope["query_string"] == b"x=%31&y"
    assert scope_of()["query_string"] == b""


def test_h4_h5_headers_and_cookies() -> None:
    """Order and doubles stay, ``host`` is ``:authority`` and first, crumbs of cookies are one field."""
    fields = [(b"x-a", b"1"), (b"cookie", b"a=b"), (b"x-b", b"\xff"), (b"x-a", b"2"), (b"cookie", b"c=d")]
    headers = scope_of(b"/", *fields)["headers"]
    assert [(name, value) for name, value in headers if name != b"cookie"] == [
        (b"host", b"example.org"),
        (b"x-a", b"1"),
        (b"x-b", b"\xff"),
        (b"x-a", b"2"),
    ]
    assert [value for name, value in headers if name == b"cookie"] == [b"a=b; c=d"]


def test_h7_state_is_each_requests_own() -> None:
    recorder = Recorder(ignore)
    wire = H3Wire(recorder)
    shared: list[int] = []
    wire.host.application.state = {"pool": shared}
    for _ in range(2):
        wire.request()
    first, second = (call.scope["state"] for call in recorder.calls)
    first["mine"] = 1
    assert second == {"pool": shared}
    assert first["pool"] is second["pool"] is shared


def test_e5_e6_extensions_that_are_offered() -> None:
    assert set(scope_of()["extensions"]) == {"http.response.early_hint", "http.response.trailers"}


def test_e4_e8_h6_tls_facts_of_a_real_handshake(tmp_path: Path) -> None:
    recorder = Recorder(ignore)

    async def main() -> None:
        async with Server(recorder, make_config(tmp_path, lifespan="off")) as server, H3Client(server) as client:
            assert (await client.fetch("/a?b")).status == 200
            scope = recorder.call.scope
            assert scope["client"] == client.local
            assert scope["server"] == server.quic_addresses[0]
            facts = scope["extensions"]["tls"]
            assert "http.response.pathsend" in scope["extensions"]
            assert facts["tls_version"] == 0x0304
            assert facts["cipher_suite"] in (0x1301, 0x1302, 0x1303)
            assert facts["server_cert"] == CERTIFICATE.cert_chain_pems[0].bytes().decode()
            assert (facts["client_cert_chain"], facts["client_cert_name"], facts["client_cert_error"]) == (
                [],
                None,
                None,
            )

    run_in_loop(asyncio.new_event_loop, main())


# What is received.


def test_h9_an_empty_body_is_one_event() -> None:
    recorder = Recorder()
    H3Wire(recorder).request()
    assert recorder.call.received == [{"type": "http.request", "body": b"", "more_body": False}]


def test_h10_windows_follow_what_the_application_takes() -> None:
    """It starts at the end of the head; another stream is not held up by one that does not read."""
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await gate.wait()
        await echo(scope, receive, send)

    recorder = Recorder(app)
    wire = H3Wire(recorder)
    slow = wire.request(b"/slow", body=bytes(5000), ends=False)
    assert len(recorder.calls) == 1
    credit = wire.engine.credit[slow]
    assert credit < 5000
    assert wire.answer(wire.request(b"/fast", body=b"x")).body == b"POST /fast x"
    assert wire.engine.credit[slow] == credit
    gate.open(wire)
    assert wire.engine.credit[slow] == credit + 5000
    wire.send(slow, b"", True)
    assert wire.answer(slow).ended


def test_h11_continue_is_said_when_the_body_is_asked_for() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await echo(scope, receive, send)

    wire = H3Wire(app)
    stream = wire.take_id()
    names = {b":method": b"POST", b":scheme": b"https", b":authority": b"a", b":path": b"/", b"expect": b"100-continue"}
    wire.send(stream, wire.head(names.items()))
    assert wire.answer(stream).interim == []
    gate.open(wire)
    assert wire.answer(stream).interim == [(100, [])]
    wire.send(stream, frame(DATA, b"body"), True)
    assert (wire.answer(stream).status, wire.answer(stream).body) == (200, b"POST / body")


def test_h12_disconnect_behind_the_response() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        assert [(await receive())["type"] for _ in range(2)] == ["http.disconnect"] * 2

    recorder = Recorder(app)
    H3Wire(recorder).request(body=b"x")
    assert recorder.call.returned


@pytest.mark.parametrize("way", ["reset", "stop", "vanish"])
def test_h13_d3_a_client_that_leaves_is_told_of(way: str) -> None:
    """By RESET_STREAM, STOP_SENDING or the end of the connection, with no write of ours; a cut body is never whole."""
    recorder = Recorder()
    wire = H3Wire(recorder)
    stream = wire.request(body=b"half", ends=False)
    assert not recorder.call.returned
    if way == "vanish":
        wire.vanish()
    else:
        (wire.reset if way == "reset" else wire.stop)(stream)
    assert recorder.call.disconnected
    assert not recorder.call.complete
    assert recorder.call.returned
    assert [record for record in wire.log if record.levelname == "ERROR"] == []


def test_h12_d1_sending_to_a_client_that_has_left_raises() -> None:
    caught: list[BaseException] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        try:
            await send(START)
            await send(BODY)
        except OSError as error:
            caught.append(error)
            raise

    wire = H3Wire(app)
    wire.reset(wire.request(body=b"half", ends=False))
    assert [type(error) for error in caught] == [ClientDisconnected]
    assert [record for record in wire.log if record.levelname == "ERROR"] == []


# What is sent.


def test_h17_connection_fields_stay_here() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        fields = [(b"Connection", b"close"), (b"Keep-Alive", b"5"), (b"Transfer-Encoding", b"chunked"), (b"X-A", b"b")]
        await send({**START, "headers": fields})
        await send({**BODY, "body": b"x"})

    wire = H3Wire(app)
    answer = wire.answer(wire.request())
    assert [name for name, _ in answer.headers] == [b"x-a", b"content-length", b"date", b"server"]


@pytest.mark.parametrize(
    "field", [(b":status", b"200"), (b"x\r\ny", b"z"), (b"x", b"a\r\nb"), (b"x", b"\0"), (b"x y", b"")]
)
def test_h17_bad_fields_never_leave(field: tuple[bytes, bytes]) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({**START, "headers": [field]})

    recorder = Recorder(app)
    wire = H3Wire(recorder)
    assert wire.answer(wire.request()).status == 500
    assert recorder.call.error is not None


async def too_long(scope: Message, receive: Receive, send: Send) -> None:
    await send({**START, "headers": [(b"content-length", b"3")]})
    await send({**BODY, "body": b"12345"})


async def too_short(scope: Message, receive: Receive, send: Send) -> None:
    await send({**START, "headers": [(b"content-length", b"3")]})
    await send({**BODY, "body": b"1"})


async def in_the_middle(scope: Message, receive: Receive, send: Send) -> None:
    await send(START)
    await send({**BODY, "body": b"1", "more_body": True})


async def raises_in_the_middle(scope: Message, receive: Receive, send: Send) -> None:
    await in_the_middle(scope, receive, send)
    raise RuntimeError


@pytest.mark.parametrize("app", [too_short, in_the_middle, raises_in_the_middle])
def test_h18_h19_h20_a_cut_response_is_never_whole(app: App) -> None:
    wire = H3Wire(app)
    answer = wire.answer(wire.request())
    assert (answer.ended, answer.reset) == (False, H3_INTERNAL_ERROR)
    assert not wire.over


def test_h18_more_than_announced_is_dropped() -> None:
    recorder = Recorder(too_long)
    wire = H3Wire(recorder)
    answer = wire.answer(wire.request())
    assert isinstance(recorder.call.error, RuntimeError)
    assert (answer.body, answer.ended, answer.reset) == (b"123", True, None)


async def says_nothing(scope: Message, receive: Receive, send: Send) -> None:
    pass


async def raises_at_once(scope: Message, receive: Receive, send: Send) -> None:
    raise RuntimeError


@pytest.mark.parametrize("app", [says_nothing, raises_at_once])
def test_h19_h20_no_response_is_500(app: App) -> None:
    wire = H3Wire(app)
    answer = wire.answer(wire.request())
    assert (answer.status, answer.ended) == (500, True)
    assert not wire.over


def test_h16_head_and_its_length() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, b"12345")

    wire = H3Wire(app)
    answer = wire.answer(wire.request(method=b"HEAD"))
    assert (answer.header(b"content-length"), answer.body, answer.ended) == ([b"5"], b"", True)


# Extensions.


def test_e5_early_hints() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
        await respond(send)

    wire = H3Wire(app)
    answer = wire.answer(wire.request())
    assert answer.interim == [(103, [(b"link", b"</a.css>; rel=preload")])]
    assert (answer.status, answer.ended) == (200, True)


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_e6_trailers(is_asked_for: bool) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({**START, "trailers": True})
        await send({**BODY, "body": b"x"})
        if "http.response.trailers" in scope["extensions"]:
            await send({"type": "http.response.trailers", "headers": [(b"X-Sum", b"1")], "more_trailers": False})

    wire = H3Wire(app)
    answer = wire.answer(wire.request(b"/", *([(b"te", b"trailers")] if is_asked_for else [])))
    assert answer.body == b"x"
    assert answer.trailers == ([(b"x-sum", b"1")] if is_asked_for else None)
    assert answer.ended


def test_e4_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 1024)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "headers": [(b"content-length", b"%d" % path.stat().st_size)]})
        await send({"type": "http.response.pathsend", "path": str(path)})

    async def main() -> None:
        async with Server(app, make_config(tmp_path, lifespan="off")) as server, H3Client(server) as client:
            assert (await client.fetch()).body == path.read_bytes()

    run_in_loop(asyncio.new_event_loop, main())


def test_d3_the_whole_request_and_no_more_is_no_disconnect() -> None:
    """What is half-closed in TCP is the ordinary case here: the client has said all, and waits."""
    gate = Gate()
    told: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert await read_body(receive) == b"x"
        await gate.wait()
        await respond(send, b"late")
        told.append((await receive())["type"])

    wire = H3Wire(app)
    stream = wire.request(body=b"x")
    gate.open(wire)
    assert wire.answer(stream).body == b"late"
    assert told == ["http.disconnect"]

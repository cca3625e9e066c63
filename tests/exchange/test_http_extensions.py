"""ASGI HTTP extensions: E5 early hints, E6 trailers, and in which states E4 (pathsend) may be used."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fastserver._speedups.http import HTTPApplication
from tests.exchange.live import GET, Live, MakeLoop, each_loop, run
from tests.fakes import App, Gate, Message, Receive, Recorder, Send, Wire, respond
from tests.responses import Response

OpenWire = Callable[..., Wire]
START: Message = {"type": "http.response.start", "status": 200}
WITH_TRAILERS: Message = {**START, "trailers": True}
HINT: Message = {"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]}
LINK = (b"link", b"</a>; rel=preload")
OLD = b"GET / HTTP/1.0\r\n\r\n"


def part(body: bytes = b"", more_body: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more_body}


def trailers(*fields: tuple[bytes, bytes], **more: Any) -> Message:
    return {"type": "http.response.trailers", "headers": fields, **more}


def asking(te: bytes = b"trailers", method: bytes = b"GET") -> bytes:
    return method + b" / HTTP/1.1\r\nHost: h\r\nTE: " + te + b"\r\n\r\n"


def sends(*messages: Message) -> App:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def statuses(wire: Wire) -> list[int]:
    return [response.status for response in wire.responses()]


# ---- E5: early hints -------------------------------------------------------------------------------------------------


def test_e5_early_hint_is_offered(open_wire: OpenWire) -> None:
    recorder = Recorder()
    open_wire(recorder).feed(GET)
    assert recorder.call.scope["extensions"]["http.response.early_hint"] == {}


@pytest.mark.parametrize(
    "messages", [[HINT, START, part(b"x")], [START, HINT, part(b"x")], [HINT, START, HINT, part(b"x", True), part()]]
)
def test_e5_before_the_start_and_while_the_head_is_held(open_wire: OpenWire, messages: list[Message]) -> None:
    wire = open_wire(sends(*messages)).feed(GET)
    *hints, final = wire.responses()
    assert [(hint.status, hint.headers) for hint in hints] == [(103, [LINK])] * messages.count(HINT)
    assert (final.status, final.body) == (200, b"x")


def test_e5_leaves_before_the_response(open_wire: OpenWire) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(HINT)
        await gate.wait()
        await respond(send, b"x")

    wire = open_wire(app).feed(GET)
    assert wire.out.startswith(b"HTTP/1.1 103 ")
    assert statuses(wire) == [103]
    gate.open(wire)
    assert statuses(wire) == [103, 200]


def test_e5_several_links_are_one_response(open_wire: OpenWire) -> None:
    links = [b"</a>; rel=preload; as=style", b"</b>; rel=preconnect"]
    wire = open_wire(sends({**HINT, "links": iter(links)}, START, part())).feed(GET)
    assert wire.responses()[0].headers == [(b"link", link) for link in links]


def test_e5_no_links_is_no_response(open_wire: OpenWire) -> None:
    wire = open_wire(sends({**HINT, "links": []}, START, part())).feed(GET)
    assert statuses(wire) == [200]


def test_e5_is_dropped_behind_the_head(open_wire: OpenWire) -> None:
    wire = open_wire(sends(START, part(b"x", True), HINT, part(b"y"))).feed(GET)
    assert wire.response().body == b"xy"
    assert wire.log == []


def test_e5_never_to_http_1_0(open_wire: OpenWire) -> None:
    wire = open_wire(sends(HINT, START, HINT, part(b"x"))).feed(OLD)
    assert statuses(wire) == [200]
    assert wire.log == []


def test_e5_behind_a_continue(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(HINT)
        assert (await receive())["body"] == b"hello"
        await send(HINT)
        await respond(send, b"x")

    wire = open_wire(app).feed(
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", b"hello"
    )
    assert statuses(wire) == [103, 100, 103, 200]


def test_e5_then_a_500(open_wire: OpenWire) -> None:
    wire = open_wire(sends(HINT)).feed(GET)
    assert statuses(wire) == [103, 500]


@each_loop
def test_e5_on_a_real_connection(make_loop: MakeLoop) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(HINT)
        await asyncio.sleep(0)
        await respond(send, b"x")

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            for _ in range(2):
                client.send(GET)
                assert [response.status for response in await client.read("GET")] == [103, 200]

    run(make_loop, main())


# ---- E6: trailers ----------------------------------------------------------------------------------------------------


def only(wire: Wire, method: str = "GET") -> Response:
    response = wire.response(method)
    assert response.complete
    assert wire.log == []
    return response


def test_e6_trailers_are_offered(open_wire: OpenWire) -> None:
    recorder = Recorder()
    open_wire(recorder).feed(GET)
    assert recorder.call.scope["extensions"]["http.response.trailers"] == {}


@pytest.mark.parametrize("te", [b"trailers", b"Trailers", b"gzip, trailers", b"gzip;q=0.5 ,\tTRAILERS , deflate"])
@pytest.mark.parametrize("parts", [[part(b"hello")], [part(b"he", True), part(b"llo")], [part()]])
def test_e6_trailers_follow_the_body_for_who_takes_them(open_wire: OpenWire, te: bytes, parts: list[Message]) -> None:
    wire = open_wire(sends(WITH_TRAILERS, *parts, trailers((b"X-Sum", b"5"), (b"x-b", b"")))).feed(asking(te))
    response = only(wire)
    assert response.body == b"".join(message["body"] for message in parts)
    assert response.trailers == [(b"X-Sum", b"5"), (b"x-b", b"")]
    wire.feed(asking(te))
    assert len(wire.responses()) == 2


@pytest.mark.parametrize("payload", [GET, asking(b"gzip"), asking(b"trailersx"), asking(b"x-trailers")])
def test_e6_trailers_are_dropped_for_who_does_not(open_wire: OpenWire, payload: bytes) -> None:
    wire = open_wire(sends(WITH_TRAILERS, part(b"hello"), trailers((b"x", b"5")))).feed(payload, payload)
    assert [(response.body, response.trailers) for response in wire.responses()] == [(b"hello", [])] * 2
    assert wire.log == []


def test_e6_trailers_may_come_in_parts(open_wire: OpenWire) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await sends(WITH_TRAILERS, part(b"hello"), trailers((b"a", b"1"), more_trailers=True))(scope, receive, send)
        await gate.wait()
        await send(trailers((b"b", b"2"), more_trailers=True))
        await send({"type": "http.response.trailers"})

    wire = open_wire(app).feed(asking())
    assert not wire.response().complete
    gate.open(wire)
    assert only(wire).trailers == [(b"a", b"1"), (b"b", b"2")]


def test_e6_no_trailers_after_all(open_wire: OpenWire) -> None:
    wire = open_wire(sends(WITH_TRAILERS, part(b"hello"), trailers())).feed(asking())
    assert only(wire).trailers == []


@pytest.mark.parametrize(
    "name",
    [
        b"Content-Length",
        b"transfer-encoding",
        b"Host",
        b"Connection",
        b"keep-alive",
        b"TE",
        b"Trailer",
        b"Upgrade",
        b"Authorization",
        b"Set-Cookie",
        b"content-type",
        b"Content-Encoding",
        b"content-range",
        b"cache-control",
        b"WWW-Authenticate",
    ],
)
def test_e6_forbidden_fields_are_dropped(open_wire: OpenWire, name: bytes) -> None:
    wire = open_wire(sends(WITH_TRAILERS, part(b"hello"), trailers((name, b"1"), (b"x", b"2")))).feed(asking())
    assert only(wire).trailers == [(b"x", b"2")]


@pytest.mark.parametrize("field", [(b"x", b"a\r\nb: c"), (b"x\n", b"a"), (b"x y", b"a"), (b":x", b"a"), ("x", "y")])
def test_e6_bad_trailer_is_an_error_before_anything_goes_out(open_wire: OpenWire, field: Any) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await sends(WITH_TRAILERS, part(b"hello"))(scope, receive, send)
        with pytest.raises((ValueError, TypeError)):
            await send(trailers((b"a", b"1"), field))
        await send(trailers((b"b", b"2")))

    wire = open_wire(app).feed(asking())
    assert only(wire).trailers == [(b"b", b"2")]


def test_e6_known_length_leaves_no_room_for_trailers(open_wire: OpenWire) -> None:
    start = {**WITH_TRAILERS, "headers": [(b"content-length", b"5")]}
    wire = open_wire(sends(start, part(b"hello"), trailers((b"x", b"1")))).feed(asking(), asking())
    assert [(response.body, response.trailers) for response in wire.responses()] == [(b"hello", [])] * 2
    assert wire.log == []


@pytest.mark.parametrize("status", [200, 204, 304])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_e6_no_trailers_where_there_is_no_body(open_wire: OpenWire, method: bytes, status: int) -> None:
    wire = open_wire(sends({**WITH_TRAILERS, "status": status}, part(b""), trailers((b"x", b"1"))))
    wire.feed(asking(method=method), asking(method=method))
    responses = wire.responses(method.decode(), method.decode())
    assert [(response.status, response.body, response.complete) for response in responses] == [(status, b"", True)] * 2
    has_body = method == b"GET" and status == 200
    assert [bool(response.trailers) for response in responses] == [has_body] * 2


def test_e6_http_1_0_gets_none(open_wire: OpenWire) -> None:
    wire = open_wire(sends(WITH_TRAILERS, part(b"hello"), trailers((b"x", b"1"))))
    wire.feed(b"GET / HTTP/1.0\r\nTE: trailers\r\n\r\n")
    assert only(wire).body == b"hello"
    assert wire.ended


def test_e6_response_is_complete_with_its_trailers_only(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        listener = asyncio.ensure_future(receive())
        await sends(WITH_TRAILERS, part(b"hello"))(scope, receive, send)
        await asyncio.sleep(0)
        assert not listener.done()
        await send(trailers((b"x", b"1")))
        assert (await listener)["type"] == "http.disconnect"
        done.append(True)

    done: list[bool] = []
    open_wire(app).feed(asking())
    assert done == [True]


# ---- E4: when a file may be sent -------------------------------------------------------------------------------------

PATHSEND: Message = {"type": "http.response.pathsend", "path": "/file"}


class Sending:
    """What stands in for the sending of files: it notes each path and sends its name."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def __call__(self, exchange: Any, path: str) -> Awaitable[None]:
        self.paths.append(path)
        return self._send(exchange, path.encode())

    async def _send(self, exchange: Any, name: bytes) -> None:
        await asyncio.sleep(0)
        exchange.begin_file(len(name))
        await exchange.send_file_part(name, False)
        exchange.end_file()


def open_files(app: App) -> tuple[Wire, Sending]:
    wire, sending = Wire(app), Sending()
    wire.host.application = HTTPApplication(app, wire.host, "", sending)
    return wire, sending


def test_e4_offered_where_it_can_be_done_only(open_wire: OpenWire) -> None:
    recorder = Recorder()
    open_wire(recorder).feed(GET)
    assert "http.response.pathsend" not in recorder.call.scope["extensions"]
    recorder = Recorder()
    wire, _ = open_files(recorder)
    wire.feed(GET)
    assert recorder.call.scope["extensions"]["http.response.pathsend"] == {}
    wire.hang_up()


def test_e4_sends_between_start_and_body(open_wire: OpenWire) -> None:
    wire, sending = open_files(sends(START, PATHSEND))
    wire.feed(GET, GET)
    assert [response.body for response in wire.responses()] == [b"/file"] * 2
    assert [response.header(b"content-length") for response in wire.responses()] == [[b"5"]] * 2
    assert sending.paths == ["/file"] * 2
    wire.hang_up()


@pytest.mark.parametrize(
    "before",
    [
        [],
        [START, part(b"x", True)],
        [START, part(b"x")],
        [WITH_TRAILERS],
        [WITH_TRAILERS, part(b"x")],
    ],
)
def test_e4_is_refused_in_any_other_state(before: list[Message]) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await sends(*before)(scope, receive, send)
        with pytest.raises(RuntimeError, match="pathsend"):
            await send(PATHSEND)
        done.append(True)
        if not before:
            await respond(send)
        elif before[0].get("trailers"):
            if len(before) == 1:
                await send(part(b"x"))
            await send(trailers())
        elif before[-1]["more_body"]:
            await send(part())

    done: list[bool] = []
    wire, sending = open_files(app)
    wire.feed(GET)
    assert done == [True]
    assert sending.paths == []
    assert wire.response().complete
    assert wire.log == []
    wire.hang_up()


@pytest.mark.parametrize("message", [START, part(b"x"), PATHSEND, HINT, trailers()])
def test_e4_is_once_and_not_mixed_with_anything(message: Message) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(START)
        sending = send(PATHSEND)
        with pytest.raises(RuntimeError):
            await send(message)
        await sending
        with pytest.raises(RuntimeError):
            await send(message)
        done.append(True)

    done: list[bool] = []
    wire, files = open_files(app)
    wire.feed(GET)
    assert done == [True]
    assert files.paths == ["/file"]
    assert wire.response().body == b"/file"
    assert wire.log == []
    wire.hang_up()


def test_e4_where_it_is_not_offered_it_is_refused(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(START)
        with pytest.raises((RuntimeError, ValueError), match="pathsend"):
            await send(PATHSEND)
        await send(part(b"otherwise"))

    wire = open_wire(app).feed(GET)
    assert wire.response().body == b"otherwise"


def test_e4_that_nobody_awaits_is_no_response() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(START)
        dropped: Any = send(PATHSEND)
        dropped.close()

    wire, _ = open_files(app)
    wire.feed(GET)
    assert wire.response().status == 500
    wire.hang_up()


def test_e4_after_the_client_has_gone(open_wire: OpenWire) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(START)
        await gate.wait()
        with pytest.raises(OSError, match="client"):
            await send(PATHSEND)
        done.append(True)

    done: list[bool] = []
    wire, sending = open_files(app)
    wire.feed(GET)
    wire.vanish()
    gate.open(wire)
    assert done == [True]
    assert sending.paths == []


def test_e4_whose_client_goes_meanwhile() -> None:
    gate = Gate()

    class Slow(Sending):
        async def _send(self, exchange: Any, name: bytes) -> None:
            await gate.wait()
            await super()._send(exchange, name)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(START)
        with pytest.raises(OSError, match="client"):
            await send(PATHSEND)
        done.append(True)

    done: list[bool] = []
    wire = Wire(app)
    wire.host.application = HTTPApplication(app, wire.host, "", Slow())
    wire.feed(GET)
    wire.vanish()
    gate.open(wire)
    assert done == [True]
    assert wire.log == []

"""H1-30, H1-41, H1-42: what an application may make the server write, and what it may not."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.conformance.cases import CANARY, check_served, request
from tests.fakes import App, Message, Receive, Recorder, Send, Wire, respond

OpenWire = Callable[..., Wire]
Headers = Sequence[Any]


def answer(*messages: dict[str, Any]) -> App:
    """An application that sends `messages` and returns."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def start(status: Any = 200, headers: Any = (), **more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers, **more}


def part(body: Any = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def check_logged_once(wire: Wire) -> None:
    """The application's fault is the operator's to see: one record, with the traceback."""
    records = [record for record in wire.log if record.levelno >= logging.ERROR]
    assert len(records) == 1, [record.getMessage() for record in records]
    assert records[0].exc_info is not None


# ---- Header injection -----------------------------------------------------------------------------------------------

BAD_HEADERS = [
    (b"x", b"a\r\nset-cookie: b"),
    (b"x", b"a\nb"),
    (b"x", b"a\rb"),
    (b"x", b"a\x00b"),
    (b"x", b"a\x01b"),
    (b"x", b"a\x1bb"),
    (b"x", b"a\x7fb"),
    (b"x", b"\r\n\r\nHTTP/1.1 200 OK"),
    (b"x", b" a"),
    (b"x", b"a "),
    (b"x", b"\ta"),
    (b"x\r\ny", b"a"),
    (b"x: y\r\nz", b"a"),
    (b"x y", b"a"),
    (b"x:", b"a"),
    (b":status", b"200"),
    (b"", b"a"),
    (b"x\x00", b"a"),
    (b"x\xff", b"a"),
    (b"x\n", b"a"),
    (b"location", b"/\r\n\r\n<script>"),
    (b"content-length", b"5\r\nx: y"),
    (b"content-length", b"abc"),
    (b"content-length", b"-1"),
    (b"content-length", b"+1"),
    (b"content-length", b""),
]


@pytest.mark.parametrize("field", BAD_HEADERS, ids=repr)
def test_h1_41_bad_header_is_an_error_and_a_500(open_wire: OpenWire, field: tuple[bytes, bytes]) -> None:
    recorder = Recorder(answer(start(200, [(b"a", b"b"), field]), part(b"body")))
    wire = open_wire(recorder).feed(request())
    response = wire.response()
    assert response.status == 500
    assert response.complete
    assert response.header(b"a") == []
    assert isinstance(recorder.call.error, (ValueError, TypeError))
    check_logged_once(wire)


@pytest.mark.parametrize("field", BAD_HEADERS[:8], ids=repr)
def test_h1_41_application_may_answer_otherwise_after_the_error(
    open_wire: OpenWire, field: tuple[bytes, bytes]
) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        with pytest.raises(ValueError, match="header"):
            await send(start(200, [field]))
        await respond(send, b"other", 202)

    wire = open_wire(Recorder(app)).feed(request())
    response = wire.response()
    assert (response.status, response.body) == (202, b"other")


@pytest.mark.parametrize(
    "headers", [5, [b"x"], [(b"x",)], [(b"x", b"y", b"z")], [("x", "y")], [(b"x", "y")], [(b"x", 5)], [None]]
)
def test_h1_41_header_of_another_shape_is_an_error_and_a_500(open_wire: OpenWire, headers: Any) -> None:
    recorder = Recorder(answer(start(200, headers), part(b"body")))
    wire = open_wire(recorder).feed(request())
    assert wire.response().status == 500
    assert isinstance(recorder.call.error, (ValueError, TypeError))


@pytest.mark.parametrize("status", [99, 0, -1, 1000, 100, 101, 103, 199, "200", b"200", 200.0, None, [200]])
def test_h1_41_status_outside_200_to_999_is_an_error_and_a_500(open_wire: OpenWire, status: Any) -> None:
    recorder = Recorder(answer(start(status), part(b"body")))
    wire = open_wire(recorder).feed(request())
    assert wire.response().status == 500
    assert isinstance(recorder.call.error, (ValueError, TypeError))


@pytest.mark.parametrize("status", [200, 201, 299, 404, 418, 599, 600, 999])
def test_h1_41_any_final_status_is_sent(open_wire: OpenWire, status: int) -> None:
    wire = open_wire(Recorder(answer(start(status), part(b"body")))).feed(request())
    response = wire.response()
    assert (response.status, response.body) == (status, b"body")


def test_h1_41_valid_headers_are_sent_in_order_and_unchanged(open_wire: OpenWire) -> None:
    headers = [
        (b"X-B", b"1"),
        (b"x-a", b"\x80\xff a\tb"),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"x-empty", b""),
    ]
    wire = open_wire(Recorder(answer(start(200, headers), part(b"")))).feed(request())
    assert wire.response().headers[: len(headers)] == headers


@pytest.mark.parametrize("field", BAD_HEADERS[:8], ids=repr)
def test_h1_41_bad_trailer_is_an_error_and_the_end(open_wire: OpenWire, field: tuple[bytes, bytes]) -> None:
    trailers = {"type": "http.response.trailers", "headers": [field], "more_trailers": False}
    recorder = Recorder(answer(start(200, [(b"trailer", b"x")], trailers=True), part(b"body"), trailers))
    wire = open_wire(recorder).feed(request(b"TE: trailers"))
    assert all(not response.complete and response.trailers == [] for response in wire.responses())
    assert isinstance(recorder.call.error, ValueError)
    assert wire.connection.aborted


@pytest.mark.parametrize("link", [b"</a>\r\nset-cookie: b", b"</a>\n", b"</a>\x00", b"\r\n\r\n"])
def test_h1_41_bad_early_hint_is_an_error_and_a_500(open_wire: OpenWire, link: bytes) -> None:
    recorder = Recorder(answer({"type": "http.response.early_hint", "links": [link]}, start(), part(b"body")))
    wire = open_wire(recorder).feed(request())
    assert wire.response().status == 500
    assert isinstance(recorder.call.error, ValueError)


# ---- Framing lies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts", [[b"hello world"], [b"hello", b" world"], [b"hel", b"lo world"], [b"hello", b" ", b"world"]]
)
def test_h1_42_body_beyond_content_length_is_dropped_and_an_error(open_wire: OpenWire, parts: list[bytes]) -> None:
    messages = [part(body, index + 1 < len(parts)) for index, body in enumerate(parts)]
    recorder = Recorder(answer(start(200, [(b"content-length", b"5")]), *messages))
    wire = open_wire(recorder).feed(request() + CANARY)
    assert recorder.calls[0].error is not None
    check_logged_once(wire)
    assert len(recorder.calls) == 1, "the connection must not be used again"
    for response in wire.responses():
        assert b"hello".startswith(response.body) or response.status == 500
    assert b"world" not in wire.out
    wire.advance(3)
    assert wire.over


@pytest.mark.parametrize("parts", [[b""], [b"hell"], [b"he", b"ll"], [b"hell", b""]])
def test_h1_42_body_short_of_content_length_is_a_reset(open_wire: OpenWire, parts: list[bytes]) -> None:
    messages = [part(body, index + 1 < len(parts)) for index, body in enumerate(parts)]
    recorder = Recorder(answer(start(200, [(b"content-length", b"5")]), *messages))
    wire = open_wire(recorder).feed(request() + CANARY)
    assert wire.connection.aborted or wire.response().status == 500
    assert all(response.status == 500 or not response.complete for response in wire.responses())
    assert len(recorder.calls) == 1
    check_logged_once(wire)


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize("suspends", [True, False])
@pytest.mark.parametrize("length", [[], [(b"content-length", b"10")]], ids=["", "with length"])
def test_h1_42_application_that_ends_in_the_middle_is_a_reset(
    open_wire: OpenWire, length: Headers, suspends: bool, raises: bool
) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start(200, length))
        await send(part(b"hello", True))
        if suspends:
            await asyncio.sleep(0)
        if raises:
            raise RuntimeError("the application's fault")

    recorder = Recorder(app)
    wire = open_wire(recorder).feed(request() + CANARY)
    assert wire.connection.aborted
    assert len(recorder.calls) == 1
    # What was said in the last step may be lost with the connection; what came through must not look whole.
    assert [(response.body, response.complete) for response in wire.responses()] in ([(b"hello", False)], [])
    assert bool(wire.out) or not suspends
    records = [record for record in wire.log if record.levelno >= logging.ERROR]
    assert [record.exc_info is not None for record in records] == [raises]


@pytest.mark.parametrize("send_body", [b"", b"hello"])
def test_h1_42_application_that_raises_before_the_response_is_a_500(open_wire: OpenWire, send_body: bytes) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if send_body:
            await send(start(200, [(b"x", b"y")]))
        raise RuntimeError("the application's fault")

    wire = open_wire(Recorder(app)).feed(request())
    response = wire.response()
    assert response.status == 500
    assert response.header(b"x") == []
    check_logged_once(wire)


@pytest.mark.parametrize("coding", [b"chunked", b"gzip, chunked", b"identity", b"gzip"])
@pytest.mark.parametrize("length", [[], [(b"content-length", b"5")]], ids=["", "with length"])
def test_h1_42_transfer_encoding_is_the_servers(open_wire: OpenWire, coding: bytes, length: Headers) -> None:
    headers = [(b"Transfer-Encoding", coding), *length]
    wire = open_wire(Recorder(answer(start(200, headers), part(b"he", True), part(b"llo")))).feed(request())
    response = wire.response()
    assert response.body == b"hello"
    assert response.complete
    assert response.header(b"transfer-encoding") == ([] if length else [b"chunked"])


@pytest.mark.parametrize(
    "headers",
    [
        [(b"connection", b"keep-alive")],
        [(b"connection", b"x"), (b"keep-alive", b"timeout=5")],
        [(b"Connection", b"upgrade"), (b"proxy-connection", b"close")],
    ],
)
def test_h1_42_connection_is_the_servers(open_wire: OpenWire, headers: Headers) -> None:
    recorder = Recorder(answer(start(200, headers), part(b"hello")))
    wire = open_wire(recorder).feed(request(b"Connection: close"))
    assert wire.response().header(b"connection") == [b"close"]
    assert wire.response().header(b"keep-alive") == wire.response().header(b"proxy-connection") == []


@pytest.mark.parametrize("value", [b"close", b"Close", b"x, close"])
def test_h1_42_application_may_ask_for_the_close(open_wire: OpenWire, value: bytes) -> None:
    recorder = Recorder(answer(start(200, [(b"connection", value)]), part(b"hello")))
    wire = open_wire(recorder).feed(request() + CANARY)
    assert wire.response().header(b"connection") == [b"close"]
    assert wire.response().body == b"hello"
    assert wire.ended
    assert len(recorder.calls) == 1


def test_h1_42_different_lengths_are_an_error(open_wire: OpenWire) -> None:
    headers = [(b"content-length", b"5"), (b"content-length", b"6")]
    recorder = Recorder(answer(start(200, headers), part(b"hello")))
    wire = open_wire(recorder).feed(request())
    assert wire.response().status == 500
    assert isinstance(recorder.call.error, ValueError)


@pytest.mark.parametrize("parts", [[b"hello"], [b"he", b"llo"], [b""]])
@pytest.mark.parametrize("length", [[], [(b"content-length", b"5")]], ids=["", "with length"])
@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("HEAD", 404), ("GET", 204), ("GET", 304), ("HEAD", 204), ("HEAD", 304)]
)
def test_h1_42_head_204_and_304_have_no_body(
    open_wire: OpenWire, method: str, status: int, length: Headers, parts: list[bytes]
) -> None:
    messages = [part(body, index + 1 < len(parts)) for index, body in enumerate(parts)]
    bodyless = answer(start(status, [*length, (b"x", b"y")]), *messages)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await (respond(send, b"next") if scope["path"] == "/next" else bodyless(scope, receive, send))

    recorder = Recorder(app)
    wire = open_wire(recorder).feed(
        request(line=method.encode() + b" / HTTP/1.1") + request(line=b"GET /next HTTP/1.1")
    )
    # The strict reader refuses a Transfer-Encoding, or a length of a 204, or a byte of a body.
    first, second = wire.responses(method)
    assert (first.status, first.body, first.header(b"x")) == (status, b"", [b"y"])
    if length and status != 204:
        assert first.header(b"content-length") == [b"5"]
    assert second.body == b"next", "the connection goes on"
    assert not first.closes


def test_h1_42_body_of_unknown_length_is_chunked(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder(answer(start(), part(b"he", True), part(b"", True), part(b"llo"))))
    for number in range(3):
        wire.feed(request())
        response = wire.responses()[number]
        assert response.header(b"transfer-encoding") == [b"chunked"]
        assert response.body == b"hello"
    assert not wire.ended


def test_h1_42_body_of_unknown_length_ends_a_connection_of_http_1_0(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder(answer(start(), part(b"he", True), part(b"llo"))))
    wire.feed(request(b"Connection: keep-alive", line=b"GET / HTTP/1.0"))
    response = wire.response()
    assert response.header(b"transfer-encoding") == []
    assert response.header(b"content-length") == []
    assert response.closes
    assert (response.body, response.complete) == (b"hello", True)
    assert wire.ended


def test_h1_42_trailers_only_for_a_client_that_takes_them(open_wire: OpenWire) -> None:
    trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": False}
    app = answer(start(200, [(b"trailer", b"x-sum")], trailers=True), part(b"hello"), trailers)
    taken = open_wire(Recorder(app)).feed(request(b"TE: trailers"))
    assert (taken.response().body, taken.response().trailers) == (b"hello", [(b"x-sum", b"1")])
    refused = open_wire(Recorder(app)).feed(request(), request())
    assert [(response.body, response.trailers) for response in refused.responses()] == [(b"hello", [])] * 2


def test_h1_42_every_response_has_one_date_and_one_server(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder(answer(start(), part(b"hello")))).feed(request(), b"x\r\n\r\n")
    for response in wire.responses():
        assert response.header(b"date") == [b"Thu, 01 Jan 2026 00:00:00 GMT"]
        assert response.header(b"server") == [b"fastserver"]
    assert [response.status for response in wire.responses()] == [200, 400]


# ---- A client that does not read ------------------------------------------------------------------------------------


def test_h1_30_application_waits_in_send_while_the_client_does_not_read(open_wire: OpenWire) -> None:
    async def flood(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        for _ in range(1000):
            await send(part(b"x" * 4096, True))
        await send(part())

    recorder = Recorder(flood)
    wire = open_wire(recorder)
    wire.block()
    wire.feed(request())
    sent = len(recorder.call.sent)
    assert sent < 40, "more than the cork of 64 KiB and its tail"
    assert len(wire.out) <= 2 * 65536
    wire.advance(20)
    assert len(recorder.call.sent) == sent
    wire.unblock()
    assert recorder.call.returned
    assert len(wire.response().body) == 1000 * 4096


def test_h1_30_waiting_send_fails_when_the_client_leaves(open_wire: OpenWire) -> None:
    async def flood(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        while True:
            await send(part(b"x" * 65536, True))

    recorder = Recorder(flood)
    wire = open_wire(recorder)
    wire.block()
    wire.feed(request())
    assert recorder.call.error is None
    wire.vanish()
    assert isinstance(recorder.call.error, OSError)
    assert wire.log == []


def test_h1_30_reading_stops_while_the_client_does_not_read(open_wire: OpenWire) -> None:
    recorder = Recorder(answer(start(), part(b"x" * 4096)))
    wire = open_wire(recorder)
    wire.block()
    wire.feed(*[request(b"X: " + b"a" * 4000)] * 100)
    assert len(recorder.calls) <= 2
    assert wire.connection.reading_paused
    wire.unblock()
    assert len(recorder.calls) == 100
    assert [len(response.body) for response in wire.responses()] == [4096] * 100


# ---- Keep-alive of old clients --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "connection", "closes"),
    [
        (b"1.1", [], False),
        (b"1.1", [b"close"], True),
        (b"1.1", [b"Close"], True),
        (b"1.1", [b"CLOSE "], True),
        (b"1.1", [b"keep-alive"], False),
        (b"1.1", [b"close, keep-alive"], True),
        (b"1.1", [b"Keep-Alive, Close"], True),
        (b"1.1", [b"keep-alive", b"close"], True),
        (b"1.1", [b"x,close,y"], True),
        (b"1.1", [b", ,close"], True),
        (b"1.1", [b"closed"], False),
        (b"1.1", [b"xclose"], False),
        (b"1.1", [b"clos"], False),
        (b"1.1", [b"x"], False),
        (b"1.0", [], True),
        (b"1.0", [b"close"], True),
        (b"1.0", [b"keep-alive"], False),
        (b"1.0", [b"Keep-Alive"], False),
        (b"1.0", [b"x, keep-alive"], False),
        (b"1.0", [b"close, keep-alive"], True),
        (b"1.0", [b"keep-alive, close"], True),
        (b"1.0", [b"keep-alive", b"close"], True),
        (b"1.0", [b"close", b"keep-alive"], True),
        (b"1.0", [b"keep-alived"], True),
    ],
)
def test_h1_35_any_close_token_closes(version: bytes, connection: list[bytes], closes: bool) -> None:
    payload = request(*[b"Connection: " + value for value in connection], line=b"GET / HTTP/" + version)
    check_served(payload, b"GET / ", closes=closes)
    wire = Wire(Recorder()).feed(payload + request(line=b"GET /2 HTTP/1.1"))
    assert len(wire.responses()) == (1 if closes else 2)
    announced = wire.responses()[0].header(b"connection")
    if version == b"1.0" and not closes:
        assert announced == [b"keep-alive"]
    elif closes:
        assert announced == [b"close"]
    wire.hang_up()

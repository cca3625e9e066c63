"""ASGI HTTP send: H18 to H20 of the checklist, what an application may get wrong about its response."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from tests.exchange.live import GET, Live, MakeLoop, each_loop, run, turn_until
from tests.exchange.test_http_send import HEAD, OLD, part, sends, start
from tests.fakes import App, Gate, Message, Receive, Send, Wire, respond

OpenWire = Callable[..., Wire]


def errors_of(wire: Wire) -> list[logging.LogRecord]:
    return [record for record in wire.log if record.levelno >= logging.ERROR]


# ---- H18 -------------------------------------------------------------------------------------------------------------

FIVE = [(b"content-length", b"5")]


@pytest.mark.parametrize(
    "parts",
    [
        [part(b"hello!")],
        [part(b"hello world")],
        [part(b"hel", True), part(b"lo!")],
        [part(b"hello", True), part(b"!", True)],
        [part(b"hello", True), part(b"", True), part(b"!")],
        [part(b"x" * 100_000)],
    ],
)
def test_h18_excess_is_dropped_and_an_error(open_wire: OpenWire, parts: list[Message]) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start(200, FIVE))
        for message in parts[:-1]:
            await send(message)
        with pytest.raises(RuntimeError, match="longer"):
            await send(parts[-1])
        assert (await receive())["type"] == "http.disconnect"
        done.append(True)

    done: list[bool] = []
    wire = open_wire(app).feed(GET + GET)
    response = wire.response()
    assert response.body == b"".join(message["body"] for message in parts)[:5]
    assert response.complete
    wire.advance(3)
    assert wire.over
    assert done == [True]


def test_h18_excess_of_an_application_that_does_not_catch_it_is_logged(open_wire: OpenWire) -> None:
    wire = open_wire(sends(start(200, FIVE), part(b"hello!"))).feed(GET)
    assert wire.response().body == b"hello"
    assert wire.response().closes
    (record,) = errors_of(wire)
    assert "longer than its content-length" in str(record.exc_info and record.exc_info[1])


@pytest.mark.parametrize("trailers", [False, True])
@pytest.mark.parametrize(
    "parts", [[part()], [part(b"hell")], [part(b"he", True), part(b"ll")], [part(b"hell", True), part()]]
)
def test_h18_short_body_is_an_error_and_a_reset(open_wire: OpenWire, parts: list[Message], trailers: bool) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start(200, FIVE, trailers=trailers))
        for message in parts[:-1]:
            await send(message)
        with pytest.raises(RuntimeError, match="shorter"):
            await send(parts[-1])
        assert (await receive())["type"] == "http.disconnect"
        done.append(True)

    done: list[bool] = []
    wire = open_wire(app).feed(GET.replace(b"\r\n\r\n", b"\r\nTE: trailers\r\n\r\n") + GET)
    assert wire.connection.aborted
    assert not any(response.complete for response in wire.responses())
    assert done == [True]


@pytest.mark.parametrize(
    ("messages", "last"),
    [
        ([], part(b"x")),
        ([], {"type": "http.response.trailers", "headers": []}),
        ([], {"type": "http.response.pathsend", "path": "/"}),
        ([start()], start()),
        ([start()], {"type": "http.response.trailers", "headers": []}),
        ([start(), part(b"x", True)], start()),
        ([start(), part(b"x", True)], {"type": "http.response.trailers", "headers": []}),
        ([start(), part(b"x", True)], {"type": "http.response.pathsend", "path": "/"}),
        ([start(), part(b"x")], start()),
        ([start(), part(b"x")], part(b"y")),
        ([start(), part(b"x")], part()),
        ([start(), part(b"x")], {"type": "http.response.early_hint", "links": [b"</a>"]}),
        ([start(), part(b"x")], {"type": "http.response.trailers", "headers": []}),
        ([start(), part(b"x")], {"type": "http.response.pathsend", "path": "/"}),
        ([start(trailers=True)], {"type": "http.response.trailers", "headers": []}),
        ([start(trailers=True)], {"type": "http.response.pathsend", "path": "/"}),
        ([start(trailers=True), part(b"x")], part(b"y")),
        ([start(trailers=True), part(b"x")], start()),
    ],
)
@pytest.mark.parametrize("pauses", [False, True])
def test_h18_message_out_of_turn_is_an_error(
    open_wire: OpenWire, messages: list[Message], last: Message, pauses: bool
) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await sends(*messages, pauses=pauses)(scope, receive, send)
        before = wire.out
        with pytest.raises(RuntimeError, match=r"http\.response"):
            await send(last)
        assert wire.out == before
        if not messages:
            await respond(send)
        elif messages[0].get("trailers"):
            if len(messages) == 1:
                await send(part(b"x"))
            await send({"type": "http.response.trailers"})
        elif len(messages) == 1 or messages[-1]["more_body"]:
            await send(part(b"z"))
        done.append(True)

    done: list[bool] = []
    wire = open_wire(app)
    wire.feed(GET)
    assert done == [True]
    assert wire.response().complete


def test_h18_after_the_client_has_gone_the_error_is_another(open_wire: OpenWire) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        for message in (part(b"x"), start(), start(), {"type": "http.response.trailers"}):
            with pytest.raises(OSError, match="client"):
                await send(message)
        done.append(True)

    done: list[bool] = []
    wire = open_wire(app).feed(GET)
    wire.vanish()
    gate.open(wire)
    assert done == [True]


# ---- H19, H20 --------------------------------------------------------------------------------------------------------


def ends(*messages: Message, raises: bool, pauses: bool) -> App:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await sends(*messages, pauses=pauses)(scope, receive, send)
        if pauses:
            await asyncio.sleep(0)
        if raises:
            raise LookupError

    return app


def check_ending(wire: Wire, raises: bool) -> None:
    (record,) = errors_of(wire)
    if raises:
        assert record.exc_info
        assert record.exc_info[0] is LookupError
    else:
        assert not record.exc_info
        assert "without completing the response" in record.getMessage()


@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("messages", [[], [start(201, [(b"x-a", b"1")])], [start(201, FIVE, trailers=True)]])
def test_h19_return_before_the_response_is_a_500(open_wire: OpenWire, messages: list[Message], pauses: bool) -> None:
    wire = open_wire(ends(*messages, raises=False, pauses=pauses)).feed(GET)
    check_500(wire)
    check_ending(wire, False)


@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("messages", [[], [start(201, [(b"x-a", b"1")])], [start(201, FIVE, trailers=True)]])
def test_h20_exception_before_the_response_is_a_500(open_wire: OpenWire, messages: list[Message], pauses: bool) -> None:
    wire = open_wire(ends(*messages, raises=True, pauses=pauses)).feed(GET)
    check_500(wire)
    check_ending(wire, True)


def check_500(wire: Wire) -> None:
    response = wire.response()
    assert (response.status, response.body) == (500, b"Internal Server Error")
    assert response.header(b"content-length") == [b"21"]
    assert response.header(b"x-a") == []
    assert not wire.over, "the connection is as good as before"


MIDDLE = [
    [start(), part(b"hello", True)],
    [start(), part(b"", True)],
    [start(200, FIVE), part(b"hell", True)],
    [start(200, FIVE), part(b"hello", True)],
    [start(trailers=True), part(b"hello", True)],
    [start(trailers=True), part(b"hello")],
    [start(trailers=True), part(b"hello"), {"type": "http.response.trailers", "more_trailers": True}],
]


@pytest.mark.parametrize("payload", [GET, OLD])
@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("messages", MIDDLE)
def test_h19_return_in_the_middle_is_a_reset(
    open_wire: OpenWire, messages: list[Message], pauses: bool, payload: bytes
) -> None:
    wire = open_wire(ends(*messages, raises=False, pauses=pauses)).feed(payload)
    check_reset(wire)
    check_ending(wire, False)


@pytest.mark.parametrize("payload", [GET, OLD])
@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("messages", MIDDLE)
def test_h20_exception_in_the_middle_is_a_reset(
    open_wire: OpenWire, messages: list[Message], pauses: bool, payload: bytes
) -> None:
    wire = open_wire(ends(*messages, raises=True, pauses=pauses)).feed(payload)
    check_reset(wire)
    check_ending(wire, True)


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("pauses", [False, True])
@pytest.mark.parametrize("messages", MIDDLE)
def test_h19_h20_response_without_a_body_is_whole_with_its_head(
    open_wire: OpenWire, messages: list[Message], pauses: bool, raises: bool
) -> None:
    wire = open_wire(ends(*messages, raises=raises, pauses=pauses)).feed(HEAD)
    assert wire.response("HEAD").complete
    check_ending(wire, raises)
    assert not wire.over, "the connection is as good as before"


def check_reset(wire: Wire) -> None:
    assert wire.connection.aborted
    assert not wire.out.endswith(b"0\r\n\r\n")


@each_loop
@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("pauses", [False, True])
def test_h19_h20_client_sees_that_a_response_was_cut(make_loop: MakeLoop, raises: bool, pauses: bool) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await ends(start(), part(b"part", True), raises=raises, pauses=pauses)(scope, receive, send)

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            client.send(GET)
            with pytest.raises(ConnectionError):
                await client.read("GET")
            assert b"0\r\n\r\n" not in client.received
            await turn_until(lambda: not live.host.connections)
            assert len(live.errors) == 1

    run(make_loop, main())

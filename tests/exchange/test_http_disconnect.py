"""ASGI disconnect semantics: D1 to D3 of the checklist, and B4 for what `send()` raises."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from fastserver._speedups.contract import ClientDisconnected
from tests.exchange.live import GET, Client, Live, MakeLoop, each_loop, run, turn_until
from tests.fakes import Gate, Message, Receive, Recorder, Send, Wire, respond

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup  # type: ignore[import-not-found, unused-ignore]

OpenWire = Callable[..., Wire]
START: Message = {"type": "http.response.start", "status": 200}


def part(body: bytes = b"", more_body: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more_body}


def loud(wire: Wire) -> list[str]:
    """What an operator would see."""
    return [record.getMessage() for record in wire.log if record.levelno > logging.DEBUG]


# ---- D1: send() after the client has gone ----------------------------------------------------------------------------


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize(
    "message", [START, part(b"x"), part(b"x", False), {"type": "http.response.early_hint", "links": []}]
)
def test_d1_send_raises_an_oserror_once_the_client_has_gone(
    open_wire: OpenWire, message: Message, started: bool
) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if started:
            await send(START)
            await send(part(b"x"))
        await gate.wait()
        for _ in range(3):
            with pytest.raises(OSError, match="client") as caught:
                await send(message)
            assert isinstance(caught.value, ClientDisconnected)
        await send(message)

    recorder = Recorder(app)
    wire = open_wire(recorder).feed(GET)
    wire.vanish()
    gate.open(wire)
    assert isinstance(recorder.call.error, ClientDisconnected)
    assert loud(wire) == []


def test_d1_send_that_waits_raises(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(START)
        while True:
            await send(part(b"x"))

    recorder = Recorder(app)
    wire = open_wire(recorder)
    wire.block()
    wire.feed(GET)
    assert recorder.call.error is None
    wire.vanish()
    assert isinstance(recorder.call.error, ClientDisconnected)
    assert loud(wire) == []


def test_d1_every_send_that_waits_raises(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(START)
        await gate.wait()
        results.extend(await asyncio.gather(*(send(part(b"%d" % n)) for n in range(3)), return_exceptions=True))

    gate = Gate()
    results: list[Any] = []
    wire = open_wire(app).feed(GET)
    wire.block()
    gate.open(wire)
    wire.vanish()
    assert [type(result) for result in results] == [ClientDisconnected] * 3


def test_d1_return_without_a_response_is_no_fault_once_the_client_has_gone(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    wire = open_wire(app).feed(GET)
    wire.vanish()
    assert loud(wire) == []


def test_d1_another_failure_after_the_client_has_gone_is_logged(open_wire: OpenWire) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        raise OSError("not this server's")

    wire = open_wire(app).feed(GET)
    wire.vanish()
    gate.open(wire)
    assert loud(wire) == ["exception in the application: GET /"]


def test_d1_the_oserror_of_one_request_excuses_no_other(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise ClientDisconnected("made up")

    wire = open_wire(app).feed(GET)
    assert wire.response().status == 500
    assert loud(wire) == ["exception in the application: GET /"]


def group(kind: str, error: BaseException) -> BaseException:
    grouped: BaseException = error
    if kind == "group":
        grouped = ExceptionGroup("", [error])
    elif kind == "base group":
        grouped = BaseExceptionGroup("", [error])
    elif kind == "nested":
        grouped = ExceptionGroup("", [ExceptionGroup("", [error]), error])
    return grouped


@pytest.mark.parametrize("kind", ["plain", "group", "base group", "nested"])
def test_b4_what_send_raised_is_ignored_when_it_comes_out_of_the_application(open_wire: OpenWire, kind: str) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        try:
            await send(START)
        except OSError as error:
            failure = group(kind, error)
        raise failure

    wire = open_wire(app).feed(GET)
    wire.vanish()
    gate.open(wire)
    assert loud(wire) == []


def test_b4_a_group_with_anything_else_is_logged(open_wire: OpenWire) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        try:
            await send(START)
        except OSError as error:
            failure = ExceptionGroup("", [error, LookupError()])
        raise failure

    wire = open_wire(app).feed(GET)
    wire.vanish()
    gate.open(wire)
    assert loud(wire) == ["exception in the application: GET /"]


@each_loop
def test_b4_out_of_a_task_group(make_loop: MakeLoop) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(START)
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(stream, send)

    async def stream(send: Send) -> None:
        while True:
            await send(part(b"x" * 100))
            await asyncio.sleep(0)

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            client.send(GET)
            await client.read_some()
            client.reset()
            await turn_until(lambda: not live.host.connections and not live.host.tasks)
            assert live.errors == []

    run(make_loop, main())


# ---- D2: applications that rely on it --------------------------------------------------------------------------------


def test_d2_the_version_that_lets_frameworks_rely_on_it_is_declared(open_wire: OpenWire) -> None:
    recorder = Recorder()
    open_wire(recorder).feed(GET)
    version = recorder.call.scope["asgi"]["spec_version"]
    assert tuple(map(int, version.split("."))) >= (2, 4)


LEAVING: dict[str, Callable[[Client], None]] = {
    "reset": Client.reset,
    "close": lambda client: client.writer.close(),
}


@each_loop
@pytest.mark.parametrize("leaves", LEAVING)
def test_d2_starlette_stream_ends_soon_after_its_client(make_loop: MakeLoop, leaves: str) -> None:
    ended: list[bool] = []

    async def produce() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 100
                await asyncio.sleep(0.001)
        finally:
            ended.append(True)

    async def stream(request: Request) -> StreamingResponse:
        return StreamingResponse(produce())

    async def main() -> None:
        async with Live(Starlette(routes=[Route("/", stream)])) as live:
            client = await live.connect()
            client.send(GET)
            await client.read_some()
            LEAVING[leaves](client)
            await turn_until(lambda: not live.host.tasks and not live.host.connections)
            await asyncio.get_running_loop().shutdown_asyncgens()
            assert ended == [True]
            assert live.errors == []

    run(make_loop, main())


@each_loop
@pytest.mark.parametrize("leaves", [*LEAVING, "half close"])
def test_d2_listener_wakes_while_nothing_is_sent(make_loop: MakeLoop, leaves: str) -> None:
    seen: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(START)
        await send(part(b"hello"))
        await receive()
        seen.append(await receive())

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            client.send(GET)
            await client.read_some()
            client.half_close() if leaves == "half close" else LEAVING[leaves](client)
            await turn_until(lambda: seen)
            await turn_until(lambda: not live.host.tasks)

    run(make_loop, main())
    assert seen == [{"type": "http.disconnect"}]


@each_loop
def test_d2_starlette_is_disconnected(make_loop: MakeLoop) -> None:
    answers: list[bool] = []

    async def poll(request: Request) -> StreamingResponse:
        async def produce() -> AsyncIterator[bytes]:
            yield b"x"
            while not await request.is_disconnected():
                answers.append(False)
                await asyncio.sleep(0.001)
            answers.append(True)

        return StreamingResponse(produce())

    async def main() -> None:
        async with Live(Starlette(routes=[Route("/", poll)])) as live:
            client = await live.connect()
            client.send(GET)
            await client.read_some()
            await turn_until(lambda: len(answers) > 3)
            client.half_close()
            await turn_until(lambda: not live.host.tasks)
            assert live.errors == []

    run(make_loop, main())
    assert answers[-2:] == [False, True]


# ---- D3: leaving unseen ----------------------------------------------------------------------------------------------


def test_d3_half_close_after_the_whole_request_is_a_disconnect_and_no_end(open_wire: OpenWire) -> None:
    """`receive` says so and `send` goes on: a client may close its half and wait for the answer (RFC 9112, 9.6)."""
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        told.append(True)
        await send(START)
        for _ in range(3):
            await gate.wait()
            await send(part(b"x"))
        await send(part(b"y", False))

    told: list[bool] = []
    recorder = Recorder(app)
    wire = open_wire(recorder).feed(GET)
    wire.eof()
    assert told == [True]
    assert recorder.call.error is None
    for _ in range(3):
        gate.open(wire)
    assert wire.response().body == b"xxxy"
    assert recorder.call.returned
    assert wire.ended
    assert loud(wire) == []


def test_d3_half_close_before_the_application_has_received(open_wire: OpenWire) -> None:
    """The request is given first."""
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        assert await receive() == {"type": "http.request", "body": b"hello", "more_body": False}
        assert await receive() == {"type": "http.disconnect"}
        await respond(send, b"whole")

    wire = open_wire(app).feed(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
    wire.eof()
    gate.open(wire)
    assert wire.response("POST").body == b"whole"


def test_d3_half_close_does_not_cancel(open_wire: OpenWire) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, b"slow")

    recorder = Recorder(app)
    wire = open_wire(recorder).feed(GET + GET)
    wire.eof()
    gate.open(wire)
    gate.open(wire)
    assert [response.body for response in wire.responses()] == [b"slow", b"slow"]
    assert [call.error for call in recorder.calls] == [None, None]


def test_d3_half_close_in_the_middle_of_the_body_ends_the_request(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        while (message := await receive())["type"] == "http.request":
            assert message["more_body"]
        with pytest.raises(OSError, match="client"):
            await respond(send)
        done.append(True)

    done: list[bool] = []
    wire = open_wire(app).feed(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell")
    wire.eof()
    assert done == [True]
    assert wire.response("POST").status == 400
    assert loud(wire) == []


@each_loop
def test_d3_half_close_on_a_real_connection(make_loop: MakeLoop) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        await respond(send, b"x" * 1_000_000)

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            client.send(GET)
            await turn_until(lambda: live.host.tasks)
            client.half_close()
            (response,) = await client.read("GET")
            assert len(response.body) == 1_000_000
            assert await client.reader.read() == b""
            await turn_until(lambda: not live.host.connections)
            assert live.errors == []

    run(make_loop, main())


@each_loop
def test_d3_reset_is_seen_while_the_application_is_idle(make_loop: MakeLoop) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        waiting.append(True)
        await asyncio.get_running_loop().create_task(idle.wait())
        with pytest.raises(OSError, match="client"):
            await respond(send)
        assert (await receive())["type"] == "http.disconnect"
        done.append(True)

    waiting: list[bool] = []
    done: list[bool] = []
    idle = asyncio.Event()

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            client.send(GET)
            await turn_until(lambda: waiting)
            client.reset()
            await turn_until(lambda: not live.host.connections)
            idle.set()
            await turn_until(lambda: done)
            assert live.errors == []

    run(make_loop, main())


@each_loop
def test_d3_applications_of_a_client_that_has_gone_are_not_cancelled(make_loop: MakeLoop) -> None:
    """They may have more to do than to answer."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        waiting.append(True)
        await idle.wait()
        done.append(True)

    waiting: list[bool] = []
    done: list[bool] = []
    idle = asyncio.Event()

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            client.send(GET)
            await turn_until(lambda: waiting)
            client.reset()
            await turn_until(lambda: not live.host.connections)
            assert len(live.host.tasks) == 1
            idle.set()
            await turn_until(lambda: done)

    run(make_loop, main())


def test_d1_a_fault_of_its_handler_is_logged(open_wire: OpenWire) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        try:
            await send(START)
        except OSError:
            raise KeyError("missing")  # noqa: B904

    wire = open_wire(app).feed(GET)
    wire.vanish()
    gate.open(wire)
    assert loud(wire) == ["exception in the application: GET /"]

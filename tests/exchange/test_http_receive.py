"""ASGI HTTP receive: H9 and H12 of the checklist, and several receivers at once."""

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from fastserver._speedups.events import RawData
from tests.exchange.live import GET, Live, MakeLoop, each_loop, run, serve
from tests.fakes import App, Message, Receive, Recorder, Send, Wire, echo, every_cut, read_body, respond

OpenWire = Callable[..., Wire]


def post(body: bytes = b"", length: int | None = None, *fields: bytes) -> bytes:
    size = len(body) if length is None else length
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: h", b"Content-Length: %d" % size, *fields, b"", body])


def chunked(body: bytes = b"", *fields: bytes) -> bytes:
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: h", b"Transfer-Encoding: chunked", *fields, b"", body])


def receives(count: int) -> App:
    """An application that answers after it has received `count` messages."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for _ in range(count):
            await receive()
        await respond(send)

    return app


def request(body: bytes = b"", more_body: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more_body}


DISCONNECT: Message = {"type": "http.disconnect"}


# ---- H9: the body ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [GET, post(), chunked(b"0\r\n\r\n"), GET.replace(b"GET", b"HEAD")])
def test_h9_empty_body_is_exactly_one_event(open_wire: OpenWire, payload: bytes) -> None:
    recorder = Recorder(receives(2))
    for reads in every_cut(payload):
        recorder = Recorder(receives(2))
        wire = open_wire(recorder).feed(*reads)
        assert recorder.call.received == [request()]
        wire.eof()
        assert recorder.call.received == [request(), DISCONNECT]


@pytest.mark.parametrize(
    "payload",
    [
        post(b"hello"),
        chunked(b"5\r\nhello\r\n0\r\n\r\n"),
        chunked(b"1\r\nh\r\n2;x=y\r\nel\r\n02\r\nlo\r\n0\r\n\r\n"),
        chunked(b"5\r\nhello\r\n0\r\nx-trailer: y\r\n\r\n", b"Trailer: x-trailer"),
    ],
)
def test_h9_body_is_whole_and_without_framing_however_it_comes(payload: bytes) -> None:
    for reads in every_cut(payload):
        recorder = Recorder(echo)
        wire = Wire(recorder).feed(*reads)
        received = recorder.call.received
        assert b"".join(message["body"] for message in received) == b"hello"
        assert [message["more_body"] for message in received] == [True] * (len(received) - 1) + [False]
        assert all(type(message["body"]) is bytes and set(message) == set(request()) for message in received)
        assert wire.response().body == b"POST / hello"
        wire.hang_up()


def test_h9_body_that_is_there_is_one_event(open_wire: OpenWire) -> None:
    recorder = Recorder(receives(1))
    open_wire(recorder).feed(chunked(b"".join(b"1\r\n%c\r\n" % byte for byte in b"hello") + b"0\r\n\r\n"))
    assert recorder.call.received == [request(b"hello")]


def test_h9_each_message_is_the_applications_own(open_wire: OpenWire) -> None:
    messages: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for _ in range(3):
            messages.append(await receive())
            messages[-1]["own"] = True
        await respond(send)

    wire = open_wire(app).feed(GET)
    wire.eof()
    assert messages == [{**request(), "own": True}, {**DISCONNECT, "own": True}, {**DISCONNECT, "own": True}]


# ---- H12: disconnect, and a receive that is given up -----------------------------------------------------------------


def test_h12_disconnect_after_the_response_is_complete(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send)
        for _ in range(3):
            assert await receive() == DISCONNECT
        done.append(True)

    done: list[bool] = []
    wire = open_wire(app).feed(GET, post(b"unread"))
    assert done == [True, True]
    assert len(wire.responses()) == 2


def test_h12_disconnect_wakes_who_waits_when_the_response_is_complete(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        listener = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not listener.done()
        await respond(send)
        assert await listener == DISCONNECT
        done.append(True)

    done: list[bool] = []
    open_wire(app).feed(GET, GET)
    assert done == [True, True]


@pytest.mark.parametrize("leaves", ["eof", "reset"])
def test_h12_disconnect_after_the_client_is_gone_again_and_again(open_wire: OpenWire, leaves: str) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert await receive() == request()
        for _ in range(3):
            assert await receive() == DISCONNECT
            await asyncio.sleep(0)
        done.append(True)

    done: list[bool] = []
    wire = open_wire(app).feed(GET)
    assert not done
    wire.eof() if leaves == "eof" else wire.vanish()
    assert done


def test_h12_no_disconnect_while_the_client_waits(open_wire: OpenWire) -> None:
    recorder = Recorder(receives(2))
    wire = open_wire(recorder).feed(GET)
    wire.advance(1000, 100)
    assert recorder.call.received == [request()]
    wire.feed(GET)  # the next request is none of its business
    assert recorder.call.received == [request()]
    wire.eof()


WAYS_TO_GIVE_UP = ["wait_for", "move_on_after", "is_disconnected", "task"]


async def give_up(receive: Receive, way: str) -> None:
    """Begin to receive, and be cancelled."""
    if way == "wait_for":
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(receive(), 0.0001)
    elif way == "move_on_after":
        with anyio.move_on_after(0.0001) as limit:
            await receive()
        assert limit.cancelled_caught
    elif way == "is_disconnected":
        with anyio.CancelScope() as limit:
            limit.cancel()
            await receive()
        assert limit.cancelled_caught
    else:
        task = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@each_loop
@pytest.mark.parametrize("way", WAYS_TO_GIVE_UP)
def test_h12_cancelled_receive_swallows_nothing(make_loop: MakeLoop, way: str) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for _ in range(3):
            await give_up(receive, way)
        ready.set()
        body = await read_body(receive)
        for _ in range(3):
            await give_up(receive, way)
        ready.clear()
        await respond(send, body or b"")

    ready = asyncio.Event()

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            for _ in range(3):
                client.send(post(b"", 5))
                await ready.wait()
                client.send(b"hel")
                client.send(b"lo")
                (response,) = await client.read("POST")
                assert response.body == b"hello"
            assert live.errors == []

    run(make_loop, main())


def test_h12_receive_cancelled_in_the_turn_of_its_event_leaves_the_event(open_wire: OpenWire) -> None:
    """The event has woken it, and the cancellation comes before it has run: the next receive gets the event."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        listener = asyncio.ensure_future(receive())
        listeners.append(listener)
        with pytest.raises(asyncio.CancelledError):
            await listener
        messages.append(await receive())
        await respond(send)

    listeners: list[Any] = []
    messages: list[Message] = []
    wire = open_wire(app).feed(post(b"", 5))
    with wire.loop.running():
        wire.protocol.handle(RawData(b"hello"))
        listeners[0].cancel()
    wire.settle()
    assert messages == [request(b"hello")]
    assert wire.response().status == 200


def test_h12_cancelled_error_is_not_swallowed(open_wire: OpenWire) -> None:
    recorder = Recorder(receives(2))
    wire = open_wire(recorder).feed(GET)
    (task,) = wire.host.tasks
    with wire.loop.running():
        task.cancel()
    wire.settle()
    assert isinstance(recorder.call.error, asyncio.CancelledError)
    assert task.cancelled()


def test_h12_receive_can_be_awaited_more_than_once_in_its_ways(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert await asyncio.create_task(receive()) == request(b"a", True)  # type: ignore[arg-type]
        assert await asyncio.wait_for(receive(), 5) == request(b"b", True)
        assert await asyncio.shield(receive()) == request(b"c", True)
        (message,) = await asyncio.gather(receive())
        assert message == request(b"d", False)
        await respond(send)

    wire = open_wire(app).feed(post(b"a", 4), b"b", b"c", b"d")
    assert wire.response().status == 200


@pytest.mark.parametrize("count", [2, 5])
def test_h12_several_receivers_share_what_comes(open_wire: OpenWire, count: int) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        messages.extend(await asyncio.gather(*(receive() for _ in range(count))))
        await respond(send)

    messages: list[Message] = []
    wire = open_wire(app).feed(post(b"", 5), b"he", b"llo")
    wire.eof()
    assert sorted(message.get("body", b"gone") for message in messages) == sorted(
        [b"he", b"llo", *[b"gone"] * (count - 2)]
    )
    assert wire.response().status == 200


@each_loop
def test_h12_receive_beside_a_response(make_loop: MakeLoop) -> None:
    """As Starlette before ASGI 2.4: one task listens for the disconnect while another streams."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            assert await receive() == request()
            assert await receive() == DISCONNECT

        listener = asyncio.ensure_future(listen())
        await send({"type": "http.response.start", "status": 200})
        for _ in range(5):
            await asyncio.gather(
                send({"type": "http.response.body", "body": b"x", "more_body": True}), asyncio.sleep(0)
            )
        assert not listener.done()
        await send({"type": "http.response.body"})
        await listener

    assert serve(make_loop, app) == [b"xxxxx"] * 4

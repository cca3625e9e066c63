"""An exchange and its task leave no cycle behind: with the collector off, all of it is gone when it has ended."""

import asyncio
import gc
import logging
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from tests.exchange.live import GET, Live, MakeLoop, each_loop, run, turn_until
from tests.fakes import App, Gate, Message, Receive, Send, Wire, respond

#: What is made for one request, or for one connection.
REQUEST = {"HTTPExchange", "H1Stream", "Driver", "EagerTask", "Receiving", "Draining", "Request", "ResponseHead"}
CONNECTION = {"H1Connection", "TCPConnection", "Peer"}
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"


class Marker:
    """Hung on a request, which only its exchange, its stream and its scope hold."""


@pytest.fixture(autouse=True)
def _collector_off() -> Iterator[None]:
    """No cycle is broken by chance; what there was before is frozen, which makes a census quick."""
    gc.disable()
    gc.freeze()
    yield
    gc.unfreeze()
    gc.enable()


def census(names: set[str]) -> Counter[str]:
    """How many objects of these types there are that this test has made."""
    return Counter(name for name in (type(thing).__name__ for thing in gc.get_objects()) if name in names)


class Marking:
    """Marks each request of an application."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.markers: list[weakref.ref[Marker]] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        marker = Marker()
        self.markers.append(weakref.ref(marker))
        scope["headers"].append(marker)
        del marker
        await self.app(scope, receive, send)

    @property
    def living(self) -> int:
        return sum(marker() is not None for marker in self.markers)


async def answer_at_once(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await respond(send, b"x")


async def suspend(scope: Message, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0)
    await receive()
    await asyncio.sleep(0)
    await respond(send)


async def look_at_itself(scope: Message, receive: Receive, send: Send) -> None:
    task: Any = asyncio.current_task()
    assert task.get_name()
    assert repr(task)
    task.add_done_callback(lambda task: None)
    if scope["query_string"]:
        await asyncio.sleep(0)
    await respond(send)


async def fail_at_once(scope: Message, receive: Receive, send: Send) -> None:
    raise LookupError


async def fail_later(scope: Message, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200})
    raise LookupError


async def fail_in_send(scope: Message, receive: Receive, send: Send) -> None:
    try:
        await send({"type": "no such type"})
    except ValueError as error:
        caught = error  # kept in this frame, which the exception's traceback holds
    del caught
    await respond(send)


async def stream(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "trailers": True})
    for _ in range(5):
        await send({"type": "http.response.body", "body": b"x" * 20000, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body"})
    await send({"type": "http.response.trailers", "headers": [(b"x", b"y")]})


async def poll(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    for _ in range(3):
        with anyio.CancelScope() as limit:
            limit.cancel()
            await receive()
    await respond(send)


async def cancel_itself(scope: Message, receive: Receive, send: Send) -> None:
    assert cancel_current()
    await receive()
    await receive()


def cancel_current() -> bool:
    """Without a name for the task in the application's frame, which its exception will hold."""
    task = asyncio.current_task()
    return task is not None and task.cancel()


ENDING = [
    answer_at_once,
    suspend,
    look_at_itself,
    fail_at_once,
    fail_later,
    fail_in_send,
    stream,
    poll,
    cancel_itself,
]
each_ending = pytest.mark.parametrize("app", ENDING, ids=lambda app: app.__name__)


# A hand-turned loop keeps its last handle in a frame that the traceback of a cancellation holds; real loops do not.
@pytest.mark.parametrize("app", [app for app in ENDING if app is not cancel_itself], ids=lambda app: app.__name__)
def test_nothing_of_a_request_outlives_its_response(app: App) -> None:
    marking = Marking(app)
    wire = Wire(marking)
    before = census(REQUEST)
    for payload in (GET, POST + b"hello", GET.replace(b"/ ", b"/?x "), GET * 3):
        wire.feed(payload)
        wire.log.clear()  # a record holds its exception, and that the application's frames
        assert marking.living == 0
    assert len(marking.markers) == 6
    assert census(REQUEST) == before
    wire.hang_up()


@each_ending
def test_no_handle_is_left_in_the_loop(app: App) -> None:
    wire = Wire(app).feed(GET, GET)
    wire.settle()
    assert not wire.loop._ready
    assert [handle for _, _, handle in wire.loop._timers if not handle.cancelled()] == []
    assert asyncio.all_tasks(wire.loop) == set()  # type: ignore[arg-type]
    wire.hang_up()


WAITING = ["receive", "receive with task", "send", "future", "both"]


@pytest.mark.parametrize("how", WAITING)
@pytest.mark.parametrize("leaves", ["eof", "reset"])
def test_nothing_of_a_request_outlives_its_client(how: str, leaves: str) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if how == "receive":
            while (await receive())["type"] != "http.disconnect":
                pass
        elif how == "receive with task":
            await receive()
            await asyncio.wait({asyncio.ensure_future(receive())})
        elif how == "send":
            await send({"type": "http.response.start", "status": 200})
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
        elif how == "both":
            await receive()
            await asyncio.gather(receive(), receive())
        else:
            await gate.wait()

    marking = Marking(app)
    wire = Wire(marking)
    before = census(REQUEST)
    wire.block()
    wire.feed(GET)
    assert marking.living == 1
    assert len(wire.host.tasks) == 1
    if leaves == "eof":
        wire.eof()
    wire.vanish()
    gate.open(wire)
    assert not wire.host.tasks
    wire.log.clear()
    assert marking.living == 0
    assert census(REQUEST) == before


@each_loop
@pytest.mark.parametrize("how", ["receive", "future", "turn"])
def test_nothing_of_a_request_outlives_its_cancellation(make_loop: MakeLoop, how: str) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        while how == "turn":
            await asyncio.sleep(0)
        if how == "receive":
            await receive()
        await asyncio.get_running_loop().create_future()

    marking = Marking(app)

    async def main() -> None:
        async with Live(marking) as live:
            live.host.error_log = logging.Logger("forgetful", logging.CRITICAL)
            client = await live.connect()
            before = census(REQUEST)
            for _ in range(3):
                client.send(GET)
                await turn_until(lambda: live.host.tasks)
                for task in list(live.host.tasks):
                    task.cancel()
                del task
                assert (await client.read("GET"))[0].status == 500
                await turn_until(lambda: not live.host.tasks)
                assert marking.living == 0
            assert census(REQUEST) == before

    run(make_loop, main())


def test_a_waiter_that_gave_up_is_forgotten() -> None:
    """`Request.is_disconnected()` in a loop, as streams do for hours, must not add up."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        for count in range(200):
            with anyio.CancelScope() as limit:
                limit.cancel()
                await receive()
            if count == 5:
                counts.append(len(gc.get_objects()))
        counts.append(len(gc.get_objects()))
        await respond(send)

    counts: list[int] = []
    wire = Wire(app).feed(GET)
    assert counts[1] - counts[0] < 100
    wire.hang_up()


@each_loop
@pytest.mark.parametrize("leaves", ["close", "half close", "reset", "server"])
@each_ending
def test_nothing_of_a_connection_outlives_it(make_loop: MakeLoop, app: App, leaves: str) -> None:
    marking = Marking(app)

    async def main() -> None:
        async with Live(marking) as live:
            live.host.error_log = logging.Logger("forgetful", logging.CRITICAL)
            await use(live)  # whatever is made once is made now
            before = census(REQUEST | CONNECTION)
            await use(live)
            assert marking.living == 0
            assert census(REQUEST | CONNECTION) == before

    async def use(live: Live) -> None:
        client = await live.connect()
        for _ in range(2):
            await client.ask()
        if leaves == "reset":
            client.reset()
        elif leaves == "half close":
            client.half_close()
        elif leaves == "server":
            for connection in list(live.host.connections):
                connection.abort()
            del connection
        await client.close()
        live.clients.clear()
        await turn_until(lambda: not live.host.connections and not live.host.tasks)
        for _ in range(3):  # closed transports let go in a later turn
            await asyncio.sleep(0)

    run(make_loop, main())

"""Eager start: how an application may end, and what it may be besides a coroutine function."""

import asyncio
import contextvars
import functools
import logging
import sys
from collections.abc import Awaitable, Callable, Generator
from types import coroutine
from typing import Any

import pytest

from tests._speedups.pause import Pause, each_habit
from tests.exchange.live import GET, Live, MakeLoop, each_loop, run, serve, turn_until
from tests.fakes import App, Gate, Message, Receive, Send, Wire, respond

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup  # type: ignore[import-not-found, unused-ignore]


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


class Lost(Exception):
    """What an application raises."""


FAILURES: list[BaseException] = [
    Lost("lost"),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    StopAsyncIteration(),
    asyncio.CancelledError(),
    asyncio.CancelledError("with a message"),
    TimeoutError(),
    OSError("not this server's"),
    BaseExceptionGroup("both", [KeyboardInterrupt(), Lost()]),
    ExceptionGroup("both", [Lost(), ValueError()]),
    RecursionError(),
    MemoryError(),
]
each_failure = pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)


def check_record(record: logging.LogRecord, failure: BaseException) -> None:
    """A failure is told once with its traceback; a cancellation is nobody's fault."""
    if isinstance(failure, asyncio.CancelledError):
        assert record.levelno == logging.WARNING
        assert not record.exc_info
    else:
        assert record.levelno == logging.ERROR
        assert record.exc_info
        assert record.exc_info[1] is failure


def errors_of(wire: Wire) -> list[logging.LogRecord]:
    return [record for record in wire.log if record.levelno >= logging.ERROR]


# ---- Failures --------------------------------------------------------------------------------------------------------


@each_loop
@each_habit
@each_failure
def test_failure_before_the_response_is_a_500(make_loop: MakeLoop, habit: str, failure: BaseException) -> None:
    """Nor does it end the loop, whatever it is."""
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/fail":
            await pause()
            raise failure
        await respond(send, b"alive")

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            for _ in range(2):
                response = await client.ask(GET.replace(b"/ ", b"/fail "))
                assert (response.status, response.body) == (500, b"Internal Server Error")
                assert (await client.ask()).body == b"alive"
            assert len(live.errors) == 2
            for record in live.errors:
                check_record(record, failure)
            await turn_until(lambda: not live.host.tasks)

    run(make_loop, main())


@each_loop
@each_habit
@each_failure
def test_failure_in_the_response_cuts_it_off(make_loop: MakeLoop, habit: str, failure: BaseException) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        await pause()
        raise failure

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            client.send(GET)
            try:
                received = await client.read_rest()
            except ConnectionResetError:
                received = b""
            assert not received.endswith(b"0\r\n\r\n")
            (record,) = live.errors
            check_record(record, failure)
            await turn_until(lambda: not live.host.connections)

    run(make_loop, main())


@each_loop
@each_habit
@each_failure
def test_failure_after_the_response_spoils_nothing(make_loop: MakeLoop, habit: str, failure: BaseException) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, b"whole")
        await pause()
        raise failure

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            for count in range(1, 4):
                assert (await client.ask()).body == b"whole"
                await turn_until(lambda: len(live.errors) == count)  # noqa: B023

    run(make_loop, main())


@each_failure
def test_failure_of_an_application_that_is_no_coroutine_function(failure: BaseException) -> None:
    def app(scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
        raise failure

    wire = Wire(app).feed(GET)
    assert wire.response().status == 500
    (record,) = wire.log
    check_record(record, failure)
    wire.hang_up()


def test_failure_that_was_thrown_in_goes_on() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            raise Lost from None

    wire = Wire(app).feed(GET)
    (task,) = wire.host.tasks
    with wire.loop.running():
        task.cancel()
    wire.settle()
    assert wire.response().status == 500
    (record,) = errors_of(wire)
    assert record.exc_info
    assert record.exc_info[0] is Lost
    assert task.result() is None
    wire.hang_up()


def test_a_task_is_never_an_unretrieved_exception() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        raise Lost

    wire = Wire(app).feed(GET)
    assert wire.response().status == 500
    wire.hang_up()  # looks at the loop's faults


# ---- Awaitables ------------------------------------------------------------------------------------------------------


async def plain(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await asyncio.sleep(0)
    await respond(send, b"served")


class Callable3:
    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await plain(scope, receive, send)


class SyncCallable3:
    def __call__(self, scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
        return plain(scope, receive, send)


class AwaitableInstance:
    """An application whose call makes an object that is awaited (not a coroutine)."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.arguments = (scope, receive, send)

    def __await__(self) -> Generator[Any, Any, None]:
        return plain(*self.arguments).__await__()


class Iterating:
    """An awaitable whose iterator is no generator."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.inner = plain(scope, receive, send).__await__()

    def __await__(self) -> "Iterating":
        return self

    def __iter__(self) -> "Iterating":
        return self

    def __next__(self) -> Any:
        return next(self.inner)


@coroutine
def generator_based(scope: Message, receive: Receive, send: Send) -> Generator[Any, Any, None]:
    yield from receive().__await__()
    yield
    yield from respond(send, b"served").__await__()


def as_task(scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
    return asyncio.ensure_future(plain(scope, receive, send))


def as_future(scope: Message, receive: Receive, send: Send) -> "asyncio.Future[None]":
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    inner = asyncio.ensure_future(plain(scope, receive, send))
    inner.add_done_callback(lambda task: done.set_result(None))
    return done


def as_coroutine(scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
    return plain(scope, receive, send)


async def partly(greeting: str, scope: Message, receive: Receive, send: Send) -> None:
    await plain(scope, receive, send)


APPLICATIONS: list[Any] = [
    plain,
    Callable3(),
    SyncCallable3(),
    Callable3().__call__,
    AwaitableInstance,
    Iterating,
    generator_based,
    as_task,
    as_future,
    as_coroutine,
    functools.partial(partly, "hello"),
    lambda scope, receive, send: plain(scope, receive, send),
]


@each_loop
@pytest.mark.parametrize("app", APPLICATIONS, ids=lambda app: getattr(app, "__name__", type(app).__name__))
def test_whatever_can_be_called_and_awaited_is_served(make_loop: MakeLoop, app: App) -> None:
    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            for _ in range(3):
                assert (await client.ask()).body == b"served"
            assert live.errors == []

    run(make_loop, main())


def returns(thing: Any) -> Callable[..., Any]:
    def app(scope: Message, receive: Receive, send: Send) -> Any:
        return thing

    return app


async def generating(scope: Message, receive: Receive, send: Send) -> Any:
    yield await receive()


@pytest.mark.parametrize(
    "app",
    [returns(None), returns(5), returns([]), generating, lambda scope: plain],
    ids=["none", "number", "list", "generator", "one argument"],
)
def test_whatever_cannot_be_awaited_is_a_500(app: Any) -> None:
    wire = Wire(app).feed(GET)
    assert wire.response().status == 500
    (record,) = errors_of(wire)
    assert record.exc_info
    assert record.exc_info[0] is TypeError
    wire.hang_up()


# ---- Endings ---------------------------------------------------------------------------------------------------------


@each_loop
@each_habit
def test_work_after_the_response_goes_on(make_loop: MakeLoop, habit: str) -> None:
    """As background tasks of frameworks do, beside the next request of the connection."""
    pause = Pause(habit)
    done: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send)
        task = asyncio.current_task()
        await pause()
        assert (await receive())["type"] == "http.disconnect"
        assert asyncio.current_task() is task
        await pause()
        done.append(scope["path"])

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            for _ in range(4):
                assert (await client.ask()).status == 200
            await turn_until(lambda: len(done) == 4)
            assert live.errors == []

    run(make_loop, main())


@each_habit
@pytest.mark.parametrize("count", [2, 50])
def test_pipelined_requests_are_answered_in_order(habit: str, count: int) -> None:
    pause = Pause(habit)
    running: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        running.append(scope["path"])
        await pause()
        assert running == [scope["path"]], "one at a time"
        await pause()
        running.remove(scope["path"])
        await respond(send, scope["raw_path"])

    wire = Wire(app).feed(b"".join(GET.replace(b"/ ", b"/%d " % number) for number in range(count)))
    assert [response.body for response in wire.responses()] == [b"/%d" % number for number in range(count)]
    wire.hang_up()


@each_loop
def test_a_deep_pipeline_does_not_recurse(make_loop: MakeLoop) -> None:
    depths: set[int] = set()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        frame: Any = sys._getframe()
        depth = 0
        while frame is not None:
            depth, frame = depth + 1, frame.f_back
        depths.add(depth)
        await respond(send)

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            client.send(GET * 200)
            assert len(await client.read(*["GET"] * 200)) == 200
            assert live.errors == []

    run(make_loop, main())
    assert len(depths) <= 2


def test_loop_in_debug_mode() -> None:
    """Debugging takes the stack of whoever makes a task, and looks at every coroutine."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        assert "__call__" in repr(asyncio.current_task())
        await respond(send)

    def make_loop() -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        loop.set_debug(True)
        return loop

    serve(make_loop, app)


@each_loop
@each_habit
def test_what_a_callable_does_before_it_awaits_is_its_tasks(make_loop: MakeLoop, habit: str) -> None:
    """A function that returns a coroutine runs in the request's task and context too, and so does its failure."""
    pause = Pause(habit)

    def app(scope: Message, receive: Receive, send: Send) -> Awaitable[None]:
        assert VARIABLE.get() == "unset"
        VARIABLE.set("mine")
        return inner(asyncio.current_task(), send)

    async def inner(task: object, send: Send) -> None:
        assert VARIABLE.get() == "mine"
        await pause()
        assert VARIABLE.get() == "mine"
        assert task is asyncio.current_task()
        await respond(send)

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            for _ in range(4):
                assert (await client.ask()).status == 200

    run(make_loop, main())

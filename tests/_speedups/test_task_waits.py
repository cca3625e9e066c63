"""Eager start: what an application waits for, alone or with others, before it is a task and after."""

import asyncio
import contextlib
from collections.abc import Generator
from types import coroutine
from typing import Any

import pytest

from fastserver._speedups.events import RawData
from tests._speedups.pause import Pause, each_habit
from tests.exchange.live import GET, Live, MakeLoop, each_loop, run, serve, turn_until
from tests.fakes import Message, Receive, Send, Wire, respond


def current() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task


@each_loop
@pytest.mark.parametrize("how", ["future", "task", "shield", "gather"])
def test_many_requests_wait_for_one_future(make_loop: MakeLoop, how: str) -> None:
    async def work() -> bytes:
        await turn_until(lambda: len(waiting) == 8)
        return b"shared"

    def share() -> "asyncio.Future[bytes]":
        if not shared:
            shared.append(asyncio.ensure_future(work()))
        return shared[0]

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        waiting.append(scope["path"])
        if how == "shield":
            value = await asyncio.shield(share())
        elif how == "gather":
            (value,) = await asyncio.gather(share())
        else:
            value = await share()
        await respond(send, value)

    waiting: list[str] = []
    shared: list[asyncio.Future[bytes]] = []

    async def main() -> None:
        async with Live(app) as live:
            clients = [await live.connect() for _ in range(8)]
            answers = await asyncio.gather(*(client.ask() for client in clients))
            assert [answer.body for answer in answers] == [b"shared"] * 8
            assert live.errors == []

    run(make_loop, main())


def test_many_first_steps_in_one_turn_wait_for_one_future() -> None:
    wires: list[Wire] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, await shared)

    first = Wire(app)
    shared: asyncio.Future[bytes] = first.loop.create_future()
    for _ in range(3):
        wire = Wire(app)
        wire.loop = first.loop
        wire.host.loop = first.loop
        wires.append(wire)
    with first.loop.running():
        for wire in wires:
            wire.protocol.handle(RawData(GET))
        shared.set_result(b"shared")
    first.settle()
    for wire in wires:
        assert wire.response().body == b"shared"
        wire.hang_up()
    first.hang_up()


@each_loop
@each_habit
def test_a_future_that_is_done_is_not_waited_for(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await pause()
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        done.set_result(5)
        assert await done == 5
        failed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        failed.set_exception(LookupError("lost"))
        with pytest.raises(LookupError, match="lost"):
            await failed
        await respond(send)

    serve(make_loop, app)


@each_loop
@each_habit
def test_an_exception_reaches_the_one_who_waits(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def fail() -> None:
        await pause()
        raise LookupError("lost")

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        with pytest.raises(LookupError, match="lost"):
            await asyncio.ensure_future(fail())
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, LookupError("found"))
        with pytest.raises(LookupError, match="found"):
            await future
        await respond(send)

    serve(make_loop, app)


@coroutine
def yield_thing(thing: Any) -> Generator[Any, Any, Any]:
    """What is not allowed in a coroutine that asyncio drives, and must end in RuntimeError as it does there."""
    return (yield thing)


@each_loop
@each_habit
@pytest.mark.parametrize("thing", [5, "future", "foreign"])
def test_a_bad_yield_is_an_error_in_the_application(make_loop: MakeLoop, habit: str, thing: Any) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await pause()
        yielded: Any = thing
        if thing == "future":
            yielded = asyncio.get_running_loop().create_future()
        elif thing == "foreign":
            yielded = other.create_future()
            yielded._asyncio_future_blocking = True
        with pytest.raises(RuntimeError):
            await yield_thing(yielded)
        assert asyncio.current_task() is not None
        await pause()
        await respond(send)

    other = asyncio.new_event_loop()
    try:
        serve(make_loop, app)
    finally:
        other.close()


@each_loop
@each_habit
def test_a_bad_yield_of_a_cancelled_task_is_an_error_too(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await pause()
        current().cancel()
        with pytest.raises((RuntimeError, asyncio.CancelledError)):
            await yield_thing(5)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        await respond(send)

    serve(make_loop, app)

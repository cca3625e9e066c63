"""Eager start: an application's children, its threads, and tasks within tasks."""

import asyncio
import contextvars
import sys
import threading
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from fastserver._speedups.events import RawData
from fastserver._speedups.h1.connection import H1Connection
from tests._speedups.pause import Pause, each_habit
from tests.exchange.live import GET, MakeLoop, each_loop, run, serve
from tests.fakes import FakeConnection, Message, Receive, Send, Wire, make_host, respond

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup  # type: ignore[import-not-found, unused-ignore]

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


class Lost(Exception):
    """What a child raises."""


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


def current() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task


# ---- asyncio ---------------------------------------------------------------------------------------------------------


@each_loop
@each_habit
def test_gather(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def child(number: int) -> int:
        assert current() is not parents[-1]
        await pause()
        if number == 3:
            raise Lost
        return number

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        parents.append(current())
        assert list(await asyncio.gather(child(1), child(2))) == [1, 2]
        one, three = await asyncio.gather(child(1), child(3), return_exceptions=True)
        assert one == 1
        assert isinstance(three, Lost)
        with pytest.raises(Lost):
            await asyncio.gather(child(1), child(3))
        assert current() is parents[-1]
        await respond(send)

    parents: list[object] = []
    serve(make_loop, app)


@each_loop
@each_habit
def test_shield(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def child() -> str:
        await release.wait()
        return "unharmed"

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await pause()
        release.clear()
        task = asyncio.ensure_future(child())
        current().cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.shield(task)
        assert not task.done()
        release.set()
        assert await asyncio.shield(task) == "unharmed"
        await respond(send)

    release = asyncio.Event()
    serve(make_loop, app)


@each_loop
@each_habit
def test_locks_queues_and_events(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def produce(queue: "asyncio.Queue[int]", event: asyncio.Event) -> None:
        await queue.put(1)
        await pause()
        await queue.put(2)
        event.set()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        lock, event, semaphore = asyncio.Lock(), asyncio.Event(), asyncio.Semaphore(1)
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        async with lock, semaphore:
            await pause()
            child = asyncio.create_task(produce(queue, event))
            assert [await queue.get(), await queue.get()] == [1, 2]
            await event.wait()
            await child
        await respond(send)

    serve(make_loop, app)


@each_loop
def test_one_lock_is_taken_in_turn(make_loop: MakeLoop) -> None:
    lock = asyncio.Lock()
    inside: list[int] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        async def work(number: int) -> None:
            async with lock:
                inside.append(number)
                await asyncio.sleep(0)
                assert inside[-1] == number

        await asyncio.gather(*(work(number) for number in range(5)))
        await respond(send)

    serve(make_loop, app)
    assert inside == [0, 1, 2, 3, 4] * 4


@each_loop
@each_habit
def test_callbacks_run_before_a_bare_yield_returns(make_loop: MakeLoop, habit: str) -> None:
    """Also where the task had to be made in the middle of its first step."""
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await pause()
        order: list[str] = []
        if scope["path"] == "/named":
            assert current().get_name()
        asyncio.get_running_loop().call_soon(order.append, "callback")
        child = asyncio.create_task(note(order))
        await asyncio.sleep(0)
        order.append("application")
        await child
        assert order == ["callback", "child", "application"]
        await respond(send)

    async def note(order: list[str]) -> None:
        order.append("child")

    serve(make_loop, app, [GET, GET.replace(b"/ ", b"/named ")] * 3)


@each_loop
@each_habit
def test_threads(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    def work() -> tuple[str, bool]:
        return VARIABLE.get(), threading.current_thread() is threading.main_thread()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        VARIABLE.set("inherited")
        await pause()
        task = current()
        assert await asyncio.to_thread(work) == ("inherited", False)
        assert await asyncio.get_running_loop().run_in_executor(None, work) == ("unset", False)
        assert await anyio.to_thread.run_sync(work) == ("inherited", False)
        assert await anyio.to_thread.run_sync(anyio.from_thread.run_sync, VARIABLE.get) == "inherited"
        await anyio.to_thread.run_sync(anyio.from_thread.run, anyio.sleep, 0)
        assert current() is task
        await respond(send)

    serve(make_loop, app)


if sys.version_info >= (3, 11):

    @each_loop
    @each_habit
    def test_task_group(make_loop: MakeLoop, habit: str) -> None:
        pause = Pause(habit)

        async def child(number: int) -> int:
            await pause()
            return number

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(child(number)) for number in range(3)]
                message = group.create_task(receive())  # type: ignore[arg-type]
                await pause()
            assert [task.result() for task in tasks] == [0, 1, 2]
            assert message.result()["type"] == "http.request"
            async with asyncio.TaskGroup() as group:
                group.create_task(respond(send))

        serve(make_loop, app)

    @each_loop
    @each_habit
    def test_task_group_whose_child_fails_cancels_the_parent(make_loop: MakeLoop, habit: str) -> None:
        pause = Pause(habit)

        async def fail() -> None:
            await pause()
            raise Lost

        async def gather(siblings: "list[asyncio.Task[None]]") -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                siblings.append(group.create_task(forever()))
                await forever()

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            siblings: list[asyncio.Task[None]] = []
            with pytest.raises(ExceptionGroup) as caught:
                await gather(siblings)
            assert [type(part) for part in caught.value.exceptions] == [Lost]
            assert siblings[0].cancelled()
            assert current().cancelling() == 0
            await pause()
            await respond(send)

        serve(make_loop, app)

    @each_loop
    @each_habit
    def test_task_group_whose_body_fails_cancels_the_children(make_loop: MakeLoop, habit: str) -> None:
        pause = Pause(habit)

        async def fail(children: "list[asyncio.Task[None]]") -> None:
            async with asyncio.TaskGroup() as outer, asyncio.TaskGroup() as group:
                children.append(group.create_task(forever()))
                children.append(outer.create_task(forever()))
                await pause()
                raise Lost

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            children: list[asyncio.Task[None]] = []
            with pytest.raises(ExceptionGroup):
                await fail(children)
            assert [child.cancelled() for child in children] == [True, True]
            await respond(send)

        serve(make_loop, app)

    @each_loop
    @each_habit
    def test_task_group_ends_with_the_cancellation_of_its_task(make_loop: MakeLoop, habit: str) -> None:
        pause = Pause(habit)

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            await pause()
            current().cancel("stop")
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.TaskGroup() as group:
                    child = group.create_task(forever())
            assert child.cancelled()
            current().uncancel()
            await respond(send)

        serve(make_loop, app)

    @each_loop
    @each_habit
    def test_timeout_around_a_task_group(make_loop: MakeLoop, habit: str) -> None:
        pause = Pause(habit)

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            await pause()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001), asyncio.TaskGroup() as group:
                    child = group.create_task(forever())
            assert child.cancelled()
            await respond(send)

        serve(make_loop, app)


# ---- A first step within another task --------------------------------------------------------------------------------


def open_inner(app: Any, loop: Any) -> FakeConnection:
    """A connection that serves `app` on `loop`, whose bytes the test hands over itself."""
    connection = FakeConnection(make_host(app, loop))
    connection.protocol = H1Connection(connection, connection.host)
    return connection


@each_loop
@each_habit
def test_fed_from_within_a_task(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)
    inner_tasks: list[object] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        task = current()
        inner_tasks.append(task)
        await pause()
        assert current() is task
        await respond(send, b"inner")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        outer = current()
        for _ in range(3):
            connection = open_inner(app, loop)
            connection.protocol.handle(RawData(GET))
            assert current() is outer
            while b"inner" not in connection.out:
                await asyncio.sleep(0)
                assert current() is outer
            assert outer not in inner_tasks

    run(make_loop, main())
    assert len(set(map(id, inner_tasks))) == len(inner_tasks) == 3


@each_loop
def test_fed_from_within_a_task_it_is_none_until_it_suspends(make_loop: MakeLoop) -> None:
    turns: list[int] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["query_string"]:
            await asyncio.sleep(0)
        await respond(send, b"inner")

    async def main() -> None:
        connection = open_inner(app, asyncio.get_running_loop())
        connection.protocol.handle(RawData(GET))
        assert not connection.host.tasks
        connection.out.clear()
        connection.protocol.handle(RawData(GET.replace(b"/ ", b"/?x ")))
        for turn in range(3):
            if b"inner" in connection.out:
                turns.append(turn)
                break
            await asyncio.sleep(0)

    run(make_loop, main())
    assert turns == [1], "the next turn of the loop, as for any task"


@each_loop
@each_habit
def test_an_application_that_feeds_another(make_loop: MakeLoop, habit: str) -> None:
    """The outer one in its own first step, before it is a task; then after it was suspended."""
    pause = Pause(habit)

    async def inner(scope: Message, receive: Receive, send: Send) -> None:
        task = current()
        VARIABLE.set("inner")
        await pause()
        assert current() is task
        await respond(send, b"inner")

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        task = current()
        VARIABLE.set("outer")
        for _ in range(2):
            connection = open_inner(inner, asyncio.get_running_loop())
            connection.protocol.handle(RawData(GET))
            assert current() is task
            assert VARIABLE.get() == "outer"
            while b"inner" not in connection.out:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert current() is task
            assert VARIABLE.get() == "outer"
        await respond(send)

    serve(make_loop, app)


def test_a_first_step_within_another_that_fails() -> None:
    async def inner(scope: Message, receive: Receive, send: Send) -> None:
        raise Lost

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        task = current()
        connection = open_inner(inner, wire.loop)
        connection.protocol.handle(RawData(GET))
        assert b" 500 " in connection.out
        assert current() is task
        await respond(send, b"outer")

    wire = Wire(app)
    wire.feed(GET)
    assert wire.response().body == b"outer"
    with wire.loop.running():
        assert asyncio.current_task() is None
    wire.hang_up()


def test_a_first_step_within_another_that_cancels_itself() -> None:
    async def inner(scope: Message, receive: Receive, send: Send) -> None:
        current().cancel()
        raise asyncio.CancelledError

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        task = current()
        connection = open_inner(inner, wire.loop)
        connection.protocol.handle(RawData(GET))
        assert b" 500 " in connection.out
        assert current() is task
        await asyncio.sleep(0)
        await respond(send, b"outer")

    wire = Wire(app)
    wire.feed(GET)
    assert wire.response().body == b"outer"
    wire.hang_up()

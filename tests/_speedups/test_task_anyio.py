"""Eager start: anyio's task groups and cancel scopes, in an application's first step and later."""

import asyncio
import sys
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests._speedups.pause import Pause, each_habit
from tests.exchange.live import MakeLoop, each_loop, serve
from tests.fakes import Message, Receive, Send, respond

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup  # type: ignore[import-not-found, unused-ignore]


class Lost(Exception):
    """What a child raises."""


def current() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


@each_loop
@each_habit
def test_anyio_task_group(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def child(number: int, *, task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
        await pause()
        task_status.started(number)
        await pause()
        numbers.append(number)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        numbers.clear()
        async with anyio.create_task_group() as group:
            group.start_soon(child, 1)
            assert await group.start(child, 2) == 2
            await pause()
            group.start_soon(child, 3)
        assert sorted(numbers) == [1, 2, 3]
        await respond(send)

    numbers: list[int] = []
    serve(make_loop, app)


@each_loop
@each_habit
def test_anyio_task_group_takes_receive_and_send(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Any, send: Any) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            await pause()
        async with anyio.create_task_group() as group:
            group.start_soon(send, {"type": "http.response.start", "status": 200})
        async with anyio.create_task_group() as group:
            group.start_soon(send, {"type": "http.response.body"})

    serve(make_loop, app)


@each_loop
@each_habit
def test_anyio_task_group_whose_child_fails_cancels_the_parent(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def fail() -> None:
        await pause()
        raise Lost

    async def gather() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(forever)
            group.start_soon(fail)
            await forever()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await gather()
        assert [type(part) for part in caught.value.exceptions] == [Lost]
        await pause()
        await respond(send)

    serve(make_loop, app)


@each_loop
@each_habit
@pytest.mark.parametrize("when", ["before", "after", "by a child"])
def test_anyio_task_group_cancelled(make_loop: MakeLoop, habit: str, when: str) -> None:
    pause = Pause(habit)

    async def cancel(group: Any) -> None:
        await pause()
        group.cancel_scope.cancel()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        ended = False
        async with anyio.create_task_group() as group:
            if when == "before":
                group.cancel_scope.cancel()
            group.start_soon(forever)
            if when == "by a child":
                group.start_soon(cancel, group)
            if when == "after":
                await pause()
                group.cancel_scope.cancel()
            await receive()
            await forever()
            ended = True
        assert not ended
        assert group.cancel_scope.cancelled_caught
        await pause()
        await respond(send)

    serve(make_loop, app)


@each_loop
@each_habit
def test_anyio_scopes_within_scopes(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        with anyio.CancelScope() as outer:
            with anyio.CancelScope(shield=True) as inner:
                outer.cancel()
                await pause()
                await anyio.sleep(0)
                inner_done = True
            assert not inner.cancelled_caught
            await forever()
        assert outer.cancelled_caught
        assert inner_done
        with anyio.move_on_after(0.001) as limit:
            async with anyio.create_task_group() as group:
                group.start_soon(forever)
        assert limit.cancelled_caught
        await respond(send)

    serve(make_loop, app)


@each_loop
@each_habit
def test_anyio_native_cancellation_is_not_swallowed(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def wait(limit: anyio.CancelScope) -> None:
        with limit:
            await pause()
            current().cancel()
            await forever()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        limit = anyio.CancelScope()
        with pytest.raises(asyncio.CancelledError):
            await wait(limit)
        assert not limit.cancelled_caught
        await respond(send)

    serve(make_loop, app)


@each_loop
@each_habit
def test_anyio_streams_and_events(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        writer, reader = anyio.create_memory_object_stream[int]()
        async with anyio.create_task_group() as group, reader:
            group.start_soon(writer.send, 5)
            await pause()
            assert await reader.receive() == 5
        writer.close()
        await respond(send)

    serve(make_loop, app)

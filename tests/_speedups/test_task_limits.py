"""Eager start: time limits of asyncio and anyio, set before an application's first suspension or after it."""

import asyncio
import sys
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from tests._speedups.pause import Pause, each_habit
from tests.exchange.live import MakeLoop, each_loop, serve
from tests.fakes import Message, Receive, Send, respond


def current() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


@each_loop
@each_habit
@pytest.mark.parametrize("timeout_s", [0, -1, 0.001])
def test_wait_for_ends_a_wait(make_loop: MakeLoop, habit: str, timeout_s: float) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await pause()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(forever(), timeout_s)
        await pause()
        await respond(send)

    serve(make_loop, app)


@each_loop
@each_habit
@pytest.mark.parametrize("timeout_s", [None, 1000])
def test_wait_for_lets_through_what_comes_in_time(make_loop: MakeLoop, habit: str, timeout_s: float | None) -> None:
    pause = Pause(habit)

    async def work() -> int:
        await pause()
        return 5

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert await asyncio.wait_for(work(), timeout_s) == 5
        assert (await asyncio.wait_for(receive(), timeout_s))["type"] == "http.request"
        await asyncio.wait_for(respond(send), timeout_s)

    serve(make_loop, app)


if sys.version_info >= (3, 11):

    @each_loop
    @each_habit
    @pytest.mark.parametrize("timeout_s", [0, -1, 0.001])
    def test_timeout_fires(make_loop: MakeLoop, habit: str, timeout_s: float) -> None:
        pause = Pause(habit)

        async def wait_in(limit: asyncio.Timeout) -> None:
            try:
                async with limit:
                    await pause()
                    await forever()
            finally:
                assert limit.expired()

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            await pause()
            with pytest.raises(TimeoutError):
                await wait_in(asyncio.timeout(timeout_s))
            assert current().cancelling() == 0
            await pause()
            await respond(send)

        serve(make_loop, app)

    @each_loop
    @each_habit
    def test_timeout_does_not_fire(make_loop: MakeLoop, habit: str) -> None:
        pause = Pause(habit)

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            async with asyncio.timeout(1000) as outer, asyncio.timeout(None):
                await pause()
                await receive()
                await respond(send)
                await pause()
            assert not outer.expired()
            await pause()

        serve(make_loop, app)

    @each_loop
    @each_habit
    def test_timeout_set_in_the_first_step_expires_later(make_loop: MakeLoop, habit: str) -> None:
        pause = Pause(habit)

        async def wait(receive: Receive) -> None:
            async with asyncio.timeout(None) as limit:
                await pause()
                await pause()
                limit.reschedule(asyncio.get_running_loop().time() + 0.001)
                await pause()
                await receive()
                await receive()

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            with pytest.raises(TimeoutError):
                await wait(receive)
            await respond(send)

        serve(make_loop, app)

    @each_loop
    @each_habit
    def test_inner_timeout_leaves_the_outer_alone(make_loop: MakeLoop, habit: str) -> None:
        pause = Pause(habit)

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            async with asyncio.timeout(1000):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0):
                        await forever()
                await pause()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await asyncio.sleep(1000)
            await respond(send)

        serve(make_loop, app)


@each_loop
@each_habit
@pytest.mark.parametrize("timeout_s", [0, -1, 0.001])
def test_anyio_limits_fire(make_loop: MakeLoop, habit: str, timeout_s: float) -> None:
    pause = Pause(habit)

    async def fail() -> None:
        with anyio.fail_after(timeout_s):
            await pause()
            await anyio.sleep(1000)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        with anyio.move_on_after(timeout_s) as limit:
            await pause()
            await forever()
        assert limit.cancelled_caught
        with pytest.raises(TimeoutError):
            await fail()
        await pause()
        await respond(send)

    serve(make_loop, app)


@each_loop
@each_habit
def test_anyio_limits_do_not_fire(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        with anyio.move_on_after(1000) as limit, anyio.fail_after(1000):
            await receive()
            await pause()
            await respond(send)
        assert not limit.cancelled_caught
        await pause()

    serve(make_loop, app)


@each_loop
@each_habit
@pytest.mark.parametrize("way", ["future", "turn", "checkpoint", "receive", "thread"])
def test_anyio_scope_cancelled_before_the_first_wait(make_loop: MakeLoop, habit: str, way: str) -> None:
    """As Starlette's `Request.is_disconnected` does it around `receive`."""
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await pause()
        for _ in range(2):
            with anyio.CancelScope() as limit:
                limit.cancel()
                if way == "future":
                    await forever()
                elif way == "turn":
                    await anyio.sleep(0)
                elif way == "checkpoint":
                    await anyio.lowlevel.checkpoint()
                elif way == "receive":
                    await receive()
                else:
                    await anyio.to_thread.run_sync(int)
                pytest.fail("the wait was not cancelled")
            assert limit.cancelled_caught
        with anyio.CancelScope(shield=True):
            await pause()
        await pause()
        await respond(send)

    serve(make_loop, app)

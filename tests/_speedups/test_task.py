"""Eager start: what an application sees is one task, from its first instruction to its last."""

import asyncio
import contextvars
import inspect
import io
import sys
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from fastserver._speedups.events import RawData
from tests._speedups.pause import Pause, each_habit
from tests.exchange.live import GET, Live, MakeLoop, each_loop, run, serve, turn_until
from tests.fakes import Gate, Message, Receive, Send, Wire, respond

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")
OTHER: contextvars.ContextVar[int] = contextvars.ContextVar("OTHER", default=0)


def current() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task


# ---- The first step is taken at once ---------------------------------------------------------------------------------


def test_first_step_runs_inside_handle() -> None:
    order: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        order.append("application")
        await respond(send, b"at once")

    wire = Wire(app)
    wire.loop.call_soon(order.append, "loop")
    wire.feed(GET)
    assert order == ["application", "loop"]
    assert wire.response().body == b"at once"
    wire.hang_up()


def test_a_handler_that_never_suspends_leaves_no_task() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert not wire.host.tasks
        await receive()
        await respond(send)

    wire = Wire(app)
    with wire.loop.running():
        wire.protocol.handle(RawData(GET))
    assert not wire.host.tasks
    assert not asyncio.all_tasks(wire.loop)  # type: ignore[arg-type]
    wire.settle()
    wire.hang_up()


def test_a_suspended_handler_stands_among_the_tasks_until_it_ends() -> None:
    gate = Gate()
    seen: list[object] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        seen.append(current())
        await gate.wait()
        await respond(send)

    wire = Wire(app).feed(GET)
    assert wire.host.tasks == set(seen)
    assert asyncio.all_tasks(wire.loop) == set(seen)  # type: ignore[arg-type]
    gate.open(wire)
    assert wire.host.tasks == set()
    assert wire.response().status == 200
    wire.hang_up()


@each_loop
@each_habit
def test_one_current_task_throughout(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)
    tasks: list[asyncio.Task[Any]] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        task = current()
        tasks.append(task)
        assert isinstance(task, asyncio.Task)
        await pause()
        assert current() is task
        await receive()
        assert current() is task
        await pause()
        await respond(send)
        assert current() is task
        await pause()
        assert current() is task
        assert not task.done()

    serve(make_loop, app)
    assert len({id(task) for task in tasks}) == len(tasks)


@each_loop
@each_habit
def test_running_loop_is_the_hosts(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        await pause()
        assert asyncio.get_running_loop() is loop is current().get_loop()
        await respond(send)

    serve(make_loop, app)


@each_loop
def test_nobody_is_the_current_task_before_and_after(make_loop: MakeLoop) -> None:
    seen: list[object] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        asyncio.get_running_loop().call_soon(lambda: seen.append(asyncio.current_task()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await respond(send)

    serve(make_loop, app)
    assert seen == [None] * 4


@each_loop
@each_habit
def test_sniffio_sees_asyncio(make_loop: MakeLoop, habit: str) -> None:
    sniffio = pytest.importorskip("sniffio")
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert sniffio.current_async_library() == "asyncio"
        await pause()
        assert sniffio.current_async_library() == "asyncio"
        await respond(send)

    serve(make_loop, app)


@each_loop
@each_habit
def test_anyio_sees_a_task(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        info = anyio.get_current_task()
        assert not info.has_pending_cancellation()
        await pause()
        assert anyio.get_current_task() == info
        assert info.name == current().get_name()
        await anyio.lowlevel.checkpoint()
        await respond(send)

    serve(make_loop, app)


# ---- What a task can be asked, in the first step and later -----------------------------------------------------------


@each_loop
@each_habit
def test_name_and_loop(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        task = current()
        assert task.get_name()
        task.set_name("renamed")
        await pause()
        assert task.get_name() == "renamed"
        assert task.get_loop() is asyncio.get_running_loop()
        await respond(send)

    serve(make_loop, app)


@each_loop
@each_habit
def test_coroutine_can_be_inspected(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for _ in range(2):
            coroutine: Any = current().get_coro()
            assert asyncio.iscoroutine(current().get_coro())
            assert inspect.getcoroutinestate(coroutine) == inspect.CORO_RUNNING
            assert coroutine.__qualname__ == "Faithful.__call__"
            assert coroutine.__name__ == "__call__"
            assert coroutine.cr_code.co_name == "__call__"
            assert coroutine.cr_frame is not None
            await pause()
        await respond(send)

    serve(make_loop, app)


def test_coroutine_of_a_suspended_handler_can_be_inspected() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()

    wire = Wire(app).feed(GET)
    (task,) = wire.host.tasks
    assert inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_SUSPENDED
    assert "app" in repr(task)
    assert task.get_stack()[0].f_code is app.__code__
    gate.open(wire)
    assert "finished" in repr(task) or "done" in repr(task)
    assert task.get_stack() == []
    wire.hang_up()


@each_loop
@each_habit
def test_repr_and_stack(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for _ in range(2):
            text = repr(current())
            assert "__call__" in text
            assert "pending" in text
            out = io.StringIO()
            current().print_stack(file=out)
            assert "__call__" in out.getvalue()
            assert [frame.f_code.co_name for frame in current().get_stack(limit=1)] == ["__call__"]
            await pause()
        await respond(send)

    serve(make_loop, app)


@each_loop
@each_habit
def test_states_of_a_running_task(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for _ in range(2):
            task = current()
            assert not task.done()
            assert not task.cancelled()
            with pytest.raises(asyncio.InvalidStateError):
                task.result()
            with pytest.raises(asyncio.InvalidStateError):
                task.exception()
            with pytest.raises(RuntimeError):
                task.set_result(None)
            assert asyncio.isfuture(task)
            assert asyncio.ensure_future(task) is task
            assert task in {task}
            await pause()
        await respond(send)

    serve(make_loop, app)


@each_loop
@each_habit
def test_done_callbacks(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)
    done: list[Any] = []
    removed: list[Any] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        task = current()
        assert task.remove_done_callback(removed.append) == 0
        task.add_done_callback(done.append)
        task.add_done_callback(removed.append)
        assert task.remove_done_callback(removed.append) == 1
        await pause()
        assert done == []
        await respond(send)

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            for count in range(1, 4):
                assert (await client.ask()).status == 200
                await turn_until(lambda: done)
                (task,) = done
                assert task.done()
                assert not task.cancelled()
                assert task.result() is None
                done.clear()
                assert count
            assert live.errors == []

    run(make_loop, main())
    assert removed == []


@each_loop
@each_habit
def test_others_may_wait_for_the_task(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)
    ends: list[bool] = []

    async def watch(task: "asyncio.Task[Any]") -> None:
        await asyncio.wait({task})
        await task
        ends.append(task.done())

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        watchers.append(asyncio.ensure_future(watch(current())))
        await pause()
        await respond(send)

    watchers: list[asyncio.Future[None]] = []

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            for _ in range(3):
                await client.ask()
            await asyncio.gather(*watchers)
            assert live.errors == []

    run(make_loop, main())
    assert ends == [True] * 3


@each_loop
@each_habit
def test_awaiting_oneself_is_an_error(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await pause()
        with pytest.raises(RuntimeError):
            await current()
        await respond(send)

    serve(make_loop, app)


# ---- Context variables -----------------------------------------------------------------------------------------------


@each_loop
@each_habit
def test_context_lasts_and_is_reset_with_its_token(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert VARIABLE.get() == "unset"
        token = VARIABLE.set("mine")
        await pause()
        assert VARIABLE.get() == "mine"
        await receive()
        again = VARIABLE.set("mine again")
        await pause()
        await respond(send)
        VARIABLE.reset(again)
        assert VARIABLE.get() == "mine"
        await pause()
        VARIABLE.reset(token)
        assert VARIABLE.get() == "unset"
        OTHER.set(5)  # left behind, and seen by nobody

    serve(make_loop, app)


@each_loop
def test_requests_at_the_same_time_do_not_share_context(make_loop: MakeLoop) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert VARIABLE.get() == "unset"
        path = scope["path"]
        VARIABLE.set(path)
        for _ in range(5):
            await asyncio.sleep(0)
            assert VARIABLE.get() == path
        barrier.append(path)
        await turn_until(lambda: len(barrier) == 4)
        assert VARIABLE.get() == path
        await respond(send, path.encode())

    barrier: list[str] = []

    async def main() -> None:
        async with Live(app) as live:
            clients = [await live.connect() for _ in range(4)]
            answers = await asyncio.gather(
                *(client.ask(GET.replace(b"/ ", b"/%d " % index)) for index, client in enumerate(clients))
            )
            assert [answer.body for answer in answers] == [b"/0", b"/1", b"/2", b"/3"]
            assert live.errors == []

    run(make_loop, main())


@each_loop
@each_habit
def test_children_inherit_the_context(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def child() -> str:
        await pause()
        value = VARIABLE.get()
        VARIABLE.set("the child's own")
        return value

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        VARIABLE.set("inherited")
        task = asyncio.create_task(child())
        callback: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(lambda: callback.set_result(VARIABLE.get()))
        VARIABLE.set("later")
        await pause()
        assert await task == "inherited"
        assert await callback == "inherited"
        assert VARIABLE.get() == "later"
        await respond(send)

    serve(make_loop, app)


def test_context_of_whoever_feeds_the_wire_is_not_changed() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert VARIABLE.get() == "outer"
        VARIABLE.set("inner")
        await asyncio.sleep(0)
        assert VARIABLE.get() == "inner"
        await respond(send)

    def feed() -> None:
        VARIABLE.set("outer")
        wire.feed(GET)
        assert VARIABLE.get() == "outer"

    wire = Wire(app)
    contextvars.copy_context().run(feed)
    assert wire.response().status == 200
    wire.hang_up()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Task.get_context is of CPython 3.12")
@each_loop
@each_habit
def test_get_context(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        VARIABLE.set("mine")
        await pause()
        assert current().get_context()[VARIABLE] == "mine"  # type: ignore[attr-defined]
        await respond(send)

    serve(make_loop, app)

"""Eager start: cancellation by the application itself and by others, wherever its first suspension is."""

import asyncio
import sys
from typing import Any

import pytest

from fastserver._speedups.events import RawData
from tests._speedups.pause import Pause, each_habit
from tests.exchange.live import GET, Live, MakeLoop, each_loop, run, serve, turn_until
from tests.fakes import Gate, Message, Receive, Recorder, Send, Wire, respond


def current() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


# ---- Cancelled by itself ---------------------------------------------------------------------------------------------


@each_loop
@each_habit
def test_a_task_that_cancels_itself_is_cancelled_where_it_waits_next(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await pause()
        assert current().cancel()
        await receive()  # does not suspend, so it is not the place
        with pytest.raises(asyncio.CancelledError) as caught:
            await forever()
        assert caught.value.args == ()
        await asyncio.sleep(0)  # once is enough
        await respond(send)

    serve(make_loop, app)


@each_loop
@each_habit
def test_a_cancellation_keeps_its_message(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await pause()
        current().cancel("because")
        with pytest.raises(asyncio.CancelledError) as caught:
            await asyncio.sleep(0)
        assert caught.value.args == ("because",)
        current().cancel("and again")
        with pytest.raises(asyncio.CancelledError, match="and again"):
            await current().get_loop().run_in_executor(None, int)
        await respond(send)

    serve(make_loop, app)


@each_loop
@each_habit
def test_a_cancellation_survives_a_look_at_the_task(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await pause()
        current().cancel("before")
        assert current().get_name()
        with pytest.raises(asyncio.CancelledError, match="before"):
            await forever()
        current().cancel("after")
        with pytest.raises(asyncio.CancelledError, match="after"):
            await asyncio.sleep(0)
        await respond(send)

    serve(make_loop, app)


@each_loop
@each_habit
@pytest.mark.parametrize("looks", [True, False])
@pytest.mark.parametrize("waits", [True, False])
def test_a_task_may_end_by_its_own_cancellation(make_loop: MakeLoop, habit: str, looks: bool, waits: bool) -> None:
    pause = Pause(habit)
    done: list[Any] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await pause()
        if looks:
            current().add_done_callback(done.append)
        if not waits:
            raise asyncio.CancelledError
        current().cancel()
        await forever()

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            assert (await client.ask()).status == 500
            await turn_until(lambda: len(done) == looks)
            assert (await client.ask()).status == 500

    run(make_loop, main())
    assert all(task.cancelled() for task in done)


@each_loop
@each_habit
def test_a_cancellation_that_finds_nothing_to_interrupt_does_no_harm(make_loop: MakeLoop, habit: str) -> None:
    pause = Pause(habit)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await pause()
        await respond(send, b"whole")
        current().cancel()

    assert serve(make_loop, app) == [b"whole"] * 4


if sys.version_info >= (3, 11):

    @each_loop
    @each_habit
    def test_cancelling_counts(make_loop: MakeLoop, habit: str) -> None:
        pause = Pause(habit)

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            await pause()
            assert current().cancelling() == 0
            current().cancel()
            current().cancel()
            assert current().cancelling() == 2
            assert current().get_name()
            assert current().cancelling() == 2
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(0)
            assert current().cancelling() == 2
            assert current().uncancel() == 1
            assert current().uncancel() == 0
            await asyncio.sleep(0)
            assert current().cancelling() == 0
            await respond(send)

        serve(make_loop, app)

    @each_loop
    @each_habit
    def test_uncancel_does_here_what_it_does_in_any_task(make_loop: MakeLoop, habit: str) -> None:
        pause = Pause(habit)

        async def cancel_and_uncancel(how_it_waits: str) -> bool:
            current().cancel()
            current().uncancel()
            try:
                await (asyncio.sleep(0) if how_it_waits == "turn" else asyncio.sleep(0.001))
            except asyncio.CancelledError:
                return True
            return False

        async def app(scope: Message, receive: Receive, send: Send) -> None:
            await pause()
            how = scope["path"][1:]
            here = await cancel_and_uncancel(how)
            assert here == await asyncio.create_task(cancel_and_uncancel(how))
            assert current().cancelling() == 0
            await respond(send)

        serve(make_loop, app, [GET.replace(b"/ ", b"/%s " % how) for how in (b"turn", b"while", b"turn")])


# ---- Cancelled by others ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["forever", "sleep", "receive", "child", "shield"])
def test_a_suspended_task_can_be_cancelled(way: str) -> None:
    ends: list[str] = []

    async def child() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            ends.append("child")
            raise

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        inner = asyncio.ensure_future(child()) if way in ("child", "shield") else None
        await receive()
        try:
            if way == "forever":
                await forever()
            elif way == "sleep":
                await asyncio.sleep(1000)
            elif way == "receive":
                await receive()
            elif inner is not None and way == "child":
                await inner
            elif inner is not None:
                await asyncio.shield(inner)
        finally:
            ends.append("application")
            if inner is not None:
                inner.cancel()

    recorder = Recorder(app)
    wire = Wire(recorder).feed(GET)
    (task,) = wire.host.tasks
    with wire.loop.running():
        assert task.cancel()
    wire.settle()
    assert sorted(ends) == (["application", "child"] if way in ("child", "shield") else ["application"])
    assert task.cancelled()
    assert isinstance(recorder.call.error, asyncio.CancelledError)
    assert wire.host.tasks == set()
    assert wire.response().status == 500
    wire.hang_up()


@pytest.mark.parametrize("turns", range(6))
def test_a_task_can_be_cancelled_at_any_turn(turns: int) -> None:
    """Also between its first step and the loop's next turn, when it has not yet seen what it waits for."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await Pause("waits")()
        await asyncio.sleep(0)
        await forever()

    recorder = Recorder(app)
    wire = Wire(recorder)
    with wire.loop.running():
        wire.protocol.handle(RawData(GET))
        (task,) = wire.host.tasks
        for _ in range(turns):
            if wire.loop._ready:
                wire.loop._ready.popleft()._run()
        task.cancel("stop")
    wire.settle()
    assert task.cancelled()
    assert isinstance(recorder.call.error, asyncio.CancelledError)
    assert recorder.call.error.args in ((), ("stop",))
    assert wire.response().status == 500
    wire.hang_up()


def test_a_cancellation_may_be_refused() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for _ in range(2):
            with pytest.raises(asyncio.CancelledError):
                await gate.wait()
        await gate.wait()
        await respond(send, b"stubborn")

    wire = Wire(app).feed(GET)
    (task,) = wire.host.tasks
    for _ in range(2):
        with wire.loop.running():
            task.cancel()
        wire.settle()
        assert not task.done()
    gate.open(wire)
    assert wire.response().body == b"stubborn"
    wire.hang_up()


@each_loop
def test_all_suspended_tasks_of_a_host_can_be_cancelled(make_loop: MakeLoop) -> None:
    cancelled: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            cancelled.append(scope["path"])
            raise

    async def main() -> None:
        async with Live(app) as live:
            clients = [await live.connect() for _ in range(4)]
            for client in clients:
                client.send(GET)
            await turn_until(lambda: len(live.host.tasks) == 4)
            assert live.host.tasks <= asyncio.all_tasks()
            for task in live.host.tasks:
                task.cancel()
            answers = await asyncio.gather(*(client.read("GET") for client in clients))
            assert [answer[0].status for answer in answers] == [500] * 4
            await turn_until(lambda: not live.host.tasks)

    run(make_loop, main())
    assert cancelled == ["/"] * 4

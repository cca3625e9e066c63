"""The protocol handler's contract, sentence by sentence: what it hears and what becomes of its answers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fastserver._speedups.bounds import CORK_BYTES
from fastserver._speedups.contract import ClientDisconnected
from fastserver._speedups.events import Event, RawData, Updated
from fastserver.protocol.facade import HandlerConnection
from fastserver.protocol.handler import UNREAD_BYTES
from tests.protocol.bench import BOTH, Bench, Coroutine, Plain, Recorder, make_busy, make_recorder, spell


def echo(handler: Any, event: RawData) -> RawData:
    return event


# ---- What it hears ---------------------------------------------------------------------------------------------------


@BOTH
def test_hears_each_event_in_order(base: type[Recorder]) -> None:
    handler = make_recorder(base)
    bench = Bench(handler)
    assert handler.last.heard == ["IDLE"]
    # A transport takes a connection for idle from its first moment; a coroutine may take its time to greet.
    assert bench.connection.updates == ([] if base is Plain else [False, True])
    bench.feed(b"a", b"b")
    assert handler.last.heard == ["IDLE", "ACTIVE", "a", "IDLE", "ACTIVE", "b", "IDLE"]
    assert bench.updates == [False, True, False, True]
    bench.vanish()
    assert handler.last.heard[7:] == ["CLOSED"]
    bench.hang_up()


@BOTH
def test_one_handler_for_each_connection(base: type[Recorder]) -> None:
    handler = make_recorder(base)
    Bench(handler)
    first = handler.last
    Bench(handler).feed(b"x")
    assert handler.last is not first
    assert first.heard == ["IDLE"]


def test_knows_its_connection() -> None:
    handler = make_recorder(Plain)
    bench = Bench(handler)
    connection = handler.last.connection
    assert (connection.id, connection.peer, connection.is_draining) == (7, bench.connection.peer, False)


def test_a_connection_that_is_lost_before_it_is_open_makes_no_handler() -> None:
    handler = make_recorder(Plain)
    Bench(handler, opened=False).vanish()
    assert handler.last is None


def test_handle_wins_over_handle_event() -> None:
    heard: list[str] = []

    class Two:
        def handle(self, event: Event) -> None:
            heard.append(spell(event))

        async def handle_event(self, event: Event) -> None:
            raise AssertionError(event)

    bench = Bench(Two).feed(b"x")
    bench.vanish()
    assert heard == ["IDLE", "ACTIVE", "x", "IDLE", "CLOSED"]


def test_a_busy_coroutine_hears_the_next_event_when_it_has_returned() -> None:
    handler = make_busy()
    bench = Bench(handler).feed(b"a", b"b", b"c")
    assert handler.last.heard == ["IDLE", "ACTIVE", "a"]
    assert len(bench.host.tasks) == 1
    bench.act(handler.last.go_on)
    assert handler.last.heard[3:] == ["b"]
    bench.act(handler.last.go_on)
    assert handler.last.heard[4:] == ["c"]
    bench.act(handler.last.go_on)
    assert handler.last.heard[5:] == ["IDLE"]
    assert bench.writes == [b"a", b"b", b"c"]
    assert not bench.host.tasks
    bench.hang_up()


def test_reads_that_wait_are_joined() -> None:
    handler = make_busy()
    bench = Bench(handler).feed(b"a", b"b", *[b"c"] * 1000)
    bench.act(handler.last.go_on)
    bench.act(handler.last.go_on)
    assert handler.last.heard[3:] == ["b", "c" * 1000]


def test_a_coroutine_is_a_task_of_the_loop() -> None:
    tasks: list[Any] = []

    class Looking:
        async def handle_event(self, event: Event) -> None:
            async with asyncio.timeout(5) if hasattr(asyncio, "timeout") else nothing():
                tasks.append(asyncio.current_task())

    bench = Bench(Looking)
    assert all(isinstance(task, asyncio.Task) for task in tasks)
    assert len(tasks) == 1
    bench.vanish()


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


# ---- What it answers -------------------------------------------------------------------------------------------------


def answer_many(handler: Any, event: RawData) -> list[RawData]:
    return [event, RawData(b"-"), event]


def answer_lazily(handler: Any, event: RawData) -> Iterator[RawData]:
    yield from answer_many(handler, event)


def answer_by_sending(handler: Any, event: RawData) -> RawData:
    handler.connection.send(event)
    handler.connection.send(RawData(b"-"))
    return event


@BOTH
@pytest.mark.parametrize("answer", [answer_many, answer_lazily, answer_by_sending])
def test_what_one_call_says_leaves_in_one_write(base: type[Recorder], answer: Callable[[Any, RawData], object]) -> None:
    bench = Bench(make_recorder(base, answer)).feed(b"a", b"b")
    assert bench.writes == [b"a-a", b"b-b"]
    bench.hang_up()


@pytest.mark.parametrize("size", [CORK_BYTES - 1, CORK_BYTES, CORK_BYTES + 1])
def test_no_write_is_larger_than_the_cork(size: int) -> None:
    parts = [RawData(b"x" * (size - 10)), RawData(b"y" * 10)]
    bench = Bench(make_recorder(Plain, lambda handler, event: parts)).feed(b"?")
    sizes = [size] if size <= CORK_BYTES else [size - 10, 10]
    assert [len(write) for write in bench.writes] == sizes


def test_a_large_answer_leaves_as_it_is_and_in_order() -> None:
    large = bytes(CORK_BYTES + 1)
    parts = [RawData(b"a"), RawData(large), RawData(b"z")]
    bench = Bench(make_recorder(Plain, lambda handler, event: parts)).feed(b"?")
    assert bench.writes == [b"a", large, b"z"]


@BOTH
def test_no_bytes_are_no_write(base: type[Recorder]) -> None:
    handler = make_recorder(base, lambda handler, event: RawData(b""))
    bench = Bench(handler).feed(b"?")
    bench.act(handler.last.connection.send, RawData(b""))
    assert bench.writes == []


@BOTH
def test_what_is_sent_from_elsewhere_leaves_at_the_next_turn(base: type[Recorder]) -> None:
    handler = make_recorder(base)
    bench = Bench(handler)

    def publish() -> None:
        handler.last.connection.send(RawData(b"one"))
        handler.last.connection.send(RawData(b"two"))
        assert bench.writes == []

    bench.act(publish)
    assert bench.writes == [b"onetwo"]


def test_what_a_coroutine_says_leaves_while_it_waits() -> None:
    class Slow:
        def __init__(self, connection: HandlerConnection) -> None:
            self.connection = connection

        async def handle_event(self, event: Event) -> None:
            if isinstance(event, RawData):
                self.connection.send(RawData(b"wait"))
                self.connection.send(RawData(b"..."))
                await asyncio.sleep(1)
                self.connection.send(RawData(b"done"))

    bench = Bench(Slow).feed(b"?")
    assert bench.writes == [b"wait..."]
    bench.advance(1)
    assert bench.writes == [b"wait...", b"done"]


@BOTH
def test_who_speaks_first_greets_in_one_write(base: type[Recorder]) -> None:
    class Greeting(base):  # type: ignore[valid-type, misc]
        def __init__(self, connection: HandlerConnection) -> None:
            super().__init__(connection)
            connection.send(RawData(b"220 "))

        def note(self, event: Event) -> object:
            super().note(event)
            return RawData(b"hello") if len(self.heard) == 1 else None

    assert Bench(Greeting).writes == [b"220 hello"]


@BOTH
@pytest.mark.parametrize("answer", [b"bytes", "text", 7, [b"bytes"], [RawData(b"x"), None], object()])
def test_to_answer_with_no_event_is_a_failure(base: type[Recorder], answer: object) -> None:
    handler = make_recorder(base, lambda handler, event: answer)
    bench = Bench(handler).feed(b"?")
    assert (bench.connection.aborted, bench.out) == (True, b"")
    assert len(bench.faults) == 1
    assert "TypeError" in bench.faults[0]
    assert handler.last.heard == ["IDLE", "ACTIVE", "?", "CLOSED"]


def test_to_send_no_event_is_a_failure_of_the_sender() -> None:
    handler = make_recorder(Plain)
    bench = Bench(handler)
    with pytest.raises(TypeError, match="not bytes"):
        handler.last.connection.send(b"x")
    assert not bench.over


# ---- Idle ------------------------------------------------------------------------------------------------------------


@BOTH
def test_an_idle_connection_is_closed_after_the_keep_alive_time(base: type[Recorder]) -> None:
    handler = make_recorder(base, echo)
    bench = Bench(handler, timeout_keep_alive=5).advance(4).feed(b"x").advance(4)
    assert not bench.over
    bench.advance(1)
    assert bench.ended
    assert handler.last.heard == ["IDLE", "ACTIVE", "x", "IDLE", "CLOSED"]


def test_a_busy_coroutine_is_not_idle() -> None:
    handler = make_busy()
    bench = Bench(handler, timeout_keep_alive=5).feed(b"x").advance(60)
    assert not bench.over
    bench.act(handler.last.go_on)
    bench.advance(5)
    assert bench.ended


def test_a_coroutine_that_greets_slowly_is_not_closed_meanwhile() -> None:
    class Greeting:
        async def handle_event(self, event: Event) -> Event | None:
            await asyncio.sleep(10)
            return RawData(b"hello") if event == Updated(True) else None

    bench = Bench(Greeting, timeout_keep_alive=5).advance(10)
    assert (bench.out, bench.over) == (b"hello", False)
    bench.advance(5)
    assert bench.ended


def test_a_coroutine_that_greets_slowly_is_drained() -> None:
    class Greeting:
        async def handle_event(self, event: Event) -> Event | None:
            await asyncio.sleep(10)
            return RawData(b"hello") if event == Updated(True) else None

    bench = Bench(Greeting)
    bench.act(bench.protocol.drain)
    bench.act(bench.protocol.on_idle_timeout)
    assert not bench.over
    bench.advance(10)
    assert (bench.out, bench.ended) == (b"hello", True)


@BOTH
def test_a_handler_that_holds_is_active_until_it_says_otherwise(base: type[Recorder]) -> None:
    def hold_on_half(handler: Any, event: RawData) -> object:
        return Updated(event.data.endswith(b"\n"))

    handler = make_recorder(base, hold_on_half)
    bench = Bench(handler, timeout_keep_alive=5).feed(b"ha").advance(60).feed(b"lf").advance(60)
    assert bench.updates == [False]
    bench.feed(b"\n")
    # It does not hear what it has said itself.
    assert handler.last.heard == ["IDLE", "ACTIVE", "ha", "lf", "\n"]
    assert bench.updates == [False, True]
    bench.feed(b"\n")
    assert handler.last.heard[5:] == ["ACTIVE", "\n"]
    bench.advance(5)
    assert bench.ended


def test_who_says_idle_before_hearing_that_it_is_active_hears_it_once() -> None:
    handler = make_recorder(Coroutine)
    bench = Bench(handler)
    with bench.loop.running():
        bench.protocol.handle(RawData(b"x"))
        handler.last.connection.send(Updated(False))
        handler.last.connection.send(Updated(True))
    bench.settle()
    assert handler.last.heard == ["IDLE", "ACTIVE", "x", "IDLE"]
    assert bench.updates == [False, True]


@BOTH
def test_hold_and_release_from_elsewhere(base: type[Recorder]) -> None:
    handler = make_recorder(base)
    bench = Bench(handler, timeout_keep_alive=5)
    connection = handler.last.connection
    bench.act(connection.send, Updated(False))
    bench.act(connection.send, Updated(False))
    bench.advance(60).feed(b"x")
    assert (bench.updates, handler.last.heard) == ([False], ["IDLE", "x"])

    def end() -> None:
        connection.send(RawData(b"last"))
        connection.send(Updated(True))
        connection.send(Updated(True))

    bench.act(end)
    assert bench.updates == [False, True]
    assert [spell(event) for event in bench.connection.events[-3:]] == ["ACTIVE", "last", "IDLE"]
    bench.advance(5)
    assert bench.ended


def test_hold_in_the_constructor() -> None:
    class Holding(Plain):
        def __init__(self, connection: HandlerConnection) -> None:
            super().__init__(connection)
            connection.send(Updated(False))

    bench = Bench(Holding, timeout_keep_alive=5).advance(60)
    assert (bench.over, bench.connection.updates, Holding.last.heard) == (False, [False], ["IDLE"])


@BOTH
def test_to_say_idle_to_everything_ends(base: type[Recorder]) -> None:
    class Mechanical(base):  # type: ignore[valid-type, misc]
        def note(self, event: Event) -> object:
            super().note(event)
            return Updated(True)

    bench = Bench(Mechanical).feed(b"a", b"b")
    assert Mechanical.last.heard == ["IDLE", "ACTIVE", "a", "ACTIVE", "b"]
    assert bench.updates == [False, True, False, True]


def test_to_hold_and_release_on_hearing_of_idleness_ends() -> None:
    class Restless(Plain):
        def handle(self, event: Event) -> object:
            self.note(event)
            return [Updated(False), Updated(True)] if event == Updated(True) else None

    Bench(Restless).feed(b"x")
    assert Restless.last.heard == ["IDLE", "ACTIVE", "x", "IDLE"]


# ---- Back-pressure ---------------------------------------------------------------------------------------------------


@BOTH
def test_a_slow_peer_is_not_read(base: type[Recorder]) -> None:
    handler = make_recorder(base, echo)
    bench = Bench(handler)
    bench.block()
    assert bench.connection.reading_paused
    bench.feed(b"in flight", b"later")
    assert (handler.last.heard, bench.out) == (["IDLE"], b"")
    bench.unblock()
    assert bench.out == b"in flightlater"
    assert not bench.connection.reading_paused
    bench.hang_up()


@BOTH
def test_bytes_on_their_way_wait_for_a_slow_peer(base: type[Recorder]) -> None:
    handler = make_recorder(base, echo)
    bench = Bench(handler)
    bench.block()
    bench.act(bench.protocol.handle, RawData(b"a"))
    bench.act(bench.protocol.handle, RawData(b"b"))
    assert handler.last.heard == ["IDLE"]
    bench.unblock()
    assert handler.last.heard == ["IDLE", "ACTIVE", "a", "b", "IDLE"]


@BOTH
def test_what_waits_for_a_slow_peer_is_not_lost_to_the_idle_timeout(base: type[Recorder]) -> None:
    bench = Bench(make_recorder(base, echo))
    bench.block()
    bench.act(bench.protocol.handle, RawData(b"a"))
    bench.act(bench.protocol.on_idle_timeout)
    bench.unblock()
    assert (bench.out, bench.over) == (b"a", False)


def test_a_write_that_fills_the_transport_stops_the_reading() -> None:
    handler = make_recorder(Plain, echo)
    bench = Bench(handler)
    bench.connection.full_at = b"a"
    bench.feed(b"a")
    bench.act(bench.protocol.handle, RawData(b"b"))
    assert (bench.out, handler.last.heard) == (b"a", ["IDLE", "ACTIVE", "a", "IDLE"])
    bench.unblock()
    assert bench.out == b"ab"


@pytest.mark.parametrize("size", [UNREAD_BYTES - 1, UNREAD_BYTES, UNREAD_BYTES + 1])
def test_a_busy_coroutine_lets_so_much_wait_and_no_more(size: int) -> None:
    handler = make_busy()
    bench = Bench(handler).feed(b"x", b"y" * (size - 5), b"z" * 5)
    assert bench.connection.reading_paused is (size > UNREAD_BYTES)
    bench.act(handler.last.go_on)
    assert not bench.connection.reading_paused
    bench.act(handler.last.go_on)
    assert [len(word) for word in handler.last.heard[2:]] == [1, size - 5, 5]


class Writing:
    """Writes as much as a cork holds when told, and waits until it may write again."""

    last: Any = None

    def __init__(self, connection: HandlerConnection) -> None:
        self.connection = connection
        self.said: list[str] = []
        type(self).last = self

    async def handle_event(self, event: Event) -> None:
        if isinstance(event, RawData):
            self.connection.send(RawData(event.data * CORK_BYTES))
            try:
                await self.connection.wait_writable()
            except BaseException as error:
                self.said.append(type(error).__name__)
                raise
            self.said.append("writable")


def test_wait_writable() -> None:
    bench = Bench(Writing).feed(b"a")
    assert Writing.last.said == ["writable"]
    bench.connection.full_at = b"b" * CORK_BYTES
    bench.feed(b"b")
    assert (len(bench.writes), Writing.last.said) == (2, ["writable"])
    bench.unblock()
    assert Writing.last.said == ["writable", "writable"]
    bench.hang_up()


@pytest.mark.parametrize("end", ["vanish", "abort", "close"])
def test_wait_writable_raises_once_the_connection_has_ended(end: str) -> None:
    bench = Bench(Writing)
    first = Writing.last
    bench.connection.full_at = b"x" * CORK_BYTES
    bench.act(bench.protocol.handle, RawData(b"x"))
    assert (len(bench.writes), first.said) == (1, [])
    if end == "vanish":
        bench.vanish()
    else:
        bench.act(getattr(first.connection, end))
    assert first.said == ["ClientDisconnected"]
    # Who lets it pass has made no fault.
    assert bench.faults == []
    bench.vanish()
    waiting = first.connection.wait_writable()
    with pytest.raises(ClientDisconnected):
        waiting.send(None)


def test_to_wait_where_there_is_room_makes_no_write() -> None:
    class Chatting(Coroutine):
        async def handle_event(self, event: Event) -> None:
            for _ in range(100):
                self.connection.send(RawData(b"x"))
                await self.connection.wait_writable()

    assert Bench(Chatting).writes == [b"x" * 100]


def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    bench = Bench(Writing)
    bench.block()
    with bench.loop.running():
        task = bench.loop.create_task(Writing.last.connection.wait_writable())
    bench.settle()
    assert len(bench.protocol._waiters) == 1
    bench.act(task.cancel)
    assert (task.cancelled(), bench.protocol._waiters) == (True, set())


@pytest.mark.parametrize("base", [Plain, Coroutine])
@pytest.mark.parametrize("always", [True, False])
def test_a_handler_that_says_busy_and_done_to_each_event_hears_what_was_read(
    base: type[Recorder], always: bool
) -> None:
    """Busy and done again while it is woken for a read: the read comes next, and not another waking, for ever."""

    class Bracketing(base):  # type: ignore[misc, valid-type]
        def note(self, event: Event) -> object:
            super().note(event)
            return (Updated(False), Updated(True)) if always or self.heard[-1] == "ACTIVE" else None

    handler = make_recorder(Bracketing)
    bench = Bench(handler).feed(b"x").feed(b"y")
    heard = [word for word in handler.last.heard if word != "SAID"]
    assert [word for word in heard if len(word) == 1] == ["x", "y"]
    assert heard.count("ACTIVE") == 2
    assert bench.connection.events[-1] == Updated(True)
    bench.hang_up()


def test_a_plain_handle_event_is_taken_as_it_is() -> None:
    class PlainEvent:
        def handle_event(self, event: Event) -> Event | None:
            return RawData(event.data.upper()) if isinstance(event, RawData) else None

    assert Bench(PlainEvent).feed(b"x").writes == [b"X"]

"""The protocol handler's contract, sentence by sentence: how a connection ends, and how it fails."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastserver._speedups.bounds import LINGER_BYTES, LINGER_S
from fastserver._speedups.events import Closed, Event, RawData, Updated
from fastserver.protocol.facade import HandlerConnection
from tests.protocol.bench import BOTH, Bench, Coroutine, Plain, Recorder, make_busy, make_recorder, spell


def echo(handler: Any, event: RawData) -> RawData:
    return event


# ---- The end ---------------------------------------------------------------------------------------------------------


@BOTH
def test_what_came_before_the_end_is_handled(base: type[Recorder]) -> None:
    handler = make_recorder(base, echo)
    bench = Bench(handler)
    with bench.loop.running():
        bench.protocol.handle(RawData(b"a"))
        bench.protocol.handle(RawData(b"b"))
        bench.protocol.on_eof()
    bench.settle()
    assert bench.out == b"ab"
    assert bench.ended
    assert "".join(handler.last.heard).endswith("bIDLECLOSED")


@BOTH
def test_what_came_before_the_loss_is_handled(base: type[Recorder]) -> None:
    """A TLS peer that sends and closes: the transport has closed before a coroutine has begun."""
    handler = make_recorder(base, echo)
    bench = Bench(handler)
    bench.block()
    with bench.loop.running():
        bench.protocol.handle(RawData(b"a"))
        bench.protocol.handle(RawData(b"b"))
        bench.protocol.handle(Closed())
    bench.settle()
    assert handler.last.heard == ["IDLE", "ACTIVE", "a", "b", "CLOSED"]
    assert (bench.updates, bench.out) == ([], b"")


@BOTH
def test_the_end_closes_even_a_handler_that_holds(base: type[Recorder]) -> None:
    handler = make_recorder(base, lambda handler, event: Updated(False))
    bench = Bench(handler).feed(b"half a req")
    bench.eof()
    assert bench.ended
    assert handler.last.heard == ["IDLE", "ACTIVE", "half a req", "CLOSED"]


def test_the_end_waits_for_a_busy_coroutine() -> None:
    handler = make_busy()
    bench = Bench(handler).feed(b"a")
    bench.eof()
    assert not bench.over
    bench.act(handler.last.go_on)
    assert (bench.out, bench.ended) == (b"a", True)
    assert handler.last.heard == ["IDLE", "ACTIVE", "a", "IDLE", "CLOSED"]


@BOTH
def test_a_drained_connection_that_is_idle_is_the_transports_to_close(base: type[Recorder]) -> None:
    handler = make_recorder(base, echo)
    bench = Bench(handler, timeout_keep_alive_min=2)
    bench.drain()
    assert not bench.over
    assert handler.last.connection.is_draining
    bench.advance(2)
    assert bench.ended


@BOTH
def test_a_drained_connection_closes_when_it_has_answered(base: type[Recorder]) -> None:
    handler = make_recorder(base, echo)
    bench = Bench(handler)
    bench.drain()
    bench.feed(b"x")
    assert (bench.out, bench.ended) == (b"x", True)
    assert handler.last.heard == ["IDLE", "ACTIVE", "x", "IDLE", "CLOSED"]


@BOTH
def test_a_connection_that_a_stopping_host_accepts_is_served_once(base: type[Recorder]) -> None:
    handler = make_recorder(base, echo)
    bench = Bench(handler, opened=False)
    bench.host.draining = True
    bench.act(bench.protocol.handle, Updated(True))
    assert not bench.over
    bench.feed(b"x")
    assert (bench.out, bench.ended) == (b"x", True)


def test_says_where_it_stands() -> None:
    handler = make_busy()
    bench = Bench(handler)
    states = [bench.protocol.describe_state()]
    bench.feed(b"x")
    states.append(bench.protocol.describe_state())
    bench.act(handler.last.connection.send, Updated(False))
    states.append(bench.protocol.describe_state())
    bench.act(handler.last.connection.close)
    states.append(bench.protocol.describe_state())
    bench.vanish()
    assert states == ["idle", "active", "held", "lingering"]


def test_a_busy_coroutine_is_drained() -> None:
    handler = make_busy()
    bench = Bench(handler).feed(b"a", b"b")
    with bench.loop.running():
        bench.protocol.drain()  # an operator closes this one; the host goes on
    bench.act(handler.last.go_on)
    assert not bench.over
    bench.act(handler.last.go_on)
    assert (bench.out, bench.ended) == (b"ab", True)


def test_a_handler_that_holds_is_drained_when_it_lets_go() -> None:
    handler = make_recorder(Plain, lambda handler, event: Updated(False))
    bench = Bench(handler).feed(b"subscribe")
    bench.drain()
    bench.advance(60)
    assert not bench.over
    bench.act(handler.last.connection.send, Updated(True))
    assert bench.ended


@BOTH
def test_who_closes_is_done(base: type[Recorder]) -> None:
    def quit_at_q(handler: Any, event: RawData) -> object:
        assert handler.connection.is_draining is False
        handler.connection.send(RawData(b"bye"))
        handler.connection.send(Closed())
        assert handler.connection.is_draining is True
        return [RawData(b"dropped"), Updated(False), Updated(True), Closed()]

    handler = make_recorder(base, quit_at_q)
    bench = Bench(handler)
    bench.act(bench.protocol.handle, RawData(b"q"))
    bench.act(bench.protocol.handle, RawData(b"never heard"))
    assert (bench.out, bench.ended, bench.over) == (b"bye", True, False)
    bench.eof()
    assert (bench.out, bench.over) == (b"bye", True)
    assert handler.last.heard == ["IDLE", "ACTIVE", "q", "CLOSED"]
    connection = handler.last.connection
    for event in (RawData(b"late"), Updated(False), Updated(True), Closed()):
        connection.send(event)
    connection.close()
    connection.abort()
    bench.settle()
    assert (bench.out, connection.is_draining) == (b"bye", True)
    bench.hang_up()


@pytest.mark.parametrize("size", [LINGER_BYTES, LINGER_BYTES + 1])
def test_a_closed_connection_is_read_for_a_while(size: int) -> None:
    bench = Bench(make_recorder(Plain, lambda handler, event: Closed())).feed(b"?")
    bench.feed(bytes(size - 1), b"x")
    assert (bench.connection.finished, bench.over) == (True, size > LINGER_BYTES)


def test_a_closed_connection_is_read_for_so_long() -> None:
    bench = Bench(make_recorder(Plain, lambda handler, event: Closed())).feed(b"?")
    bench.advance(LINGER_S - 0.5, tick=0.5)
    assert not bench.over
    bench.advance(0.5)
    assert bench.ended


def test_to_close_after_the_peers_end_is_to_close_at_once() -> None:
    handler = make_busy()
    bench = Bench(handler).feed(b"x")
    bench.eof()
    bench.act(handler.last.connection.close)
    assert (bench.connection.finished, bench.connection.closed) == (False, True)


def test_closed_in_the_constructor() -> None:
    class Refusing(Plain):
        def __init__(self, connection: HandlerConnection) -> None:
            super().__init__(connection)
            connection.send(RawData(b"busy"))
            connection.close()

    bench = Bench(Refusing).feed(b"x")
    bench.eof()
    assert (bench.out, Refusing.last.heard) == (b"busy", ["CLOSED"])


@BOTH
def test_abort_drops_what_is_not_written(base: type[Recorder]) -> None:
    def abort(handler: Any, event: RawData) -> RawData:
        handler.connection.send(event)
        handler.connection.abort()
        return event

    handler = make_recorder(base, abort)
    bench = Bench(handler).feed(b"x", b"y")
    assert (bench.connection.aborted, bench.out) == (True, b"")
    assert handler.last.heard == ["IDLE", "ACTIVE", "x", "CLOSED"]
    bench.hang_up()


# ---- Failures --------------------------------------------------------------------------------------------------------


def fail(handler: Any, event: RawData) -> object:
    handler.connection.send(RawData(b"never seen"))
    raise ValueError("rubbish")


def fail_late(handler: Any, event: RawData) -> Iterator[Event]:
    yield RawData(b"never seen")
    raise ValueError("rubbish")


def exit_worker(handler: Any, event: RawData) -> object:
    raise SystemExit("rubbish")


def press_a_key(handler: Any, event: RawData) -> object:
    raise KeyboardInterrupt("rubbish")


@BOTH
@pytest.mark.parametrize("answer", [fail, fail_late, exit_worker, press_a_key])
def test_a_handler_that_raises(base: type[Recorder], answer: Callable[[Any, RawData], object]) -> None:
    handler = make_recorder(base, answer)
    bench = Bench(handler)
    with bench.loop.running():
        bench.protocol.handle(RawData(b"x"))
        bench.protocol.handle(RawData(b"y"))
    bench.settle()
    assert (bench.connection.aborted, bench.out) == (True, b"")
    assert len(bench.faults) == 1
    assert bench.faults[0].startswith("protocol handler test:Handler failed on RawData: ")
    assert "rubbish" in bench.faults[0]
    assert handler.last.heard == ["IDLE", "ACTIVE", "x", "CLOSED"]
    bench.hang_up()


@BOTH
def test_a_handler_that_raises_on_everything(base: type[Recorder]) -> None:
    class Failing(base):  # type: ignore[valid-type, misc]
        def note(self, event: Event) -> object:
            super().note(event)
            raise ValueError(spell(event))

    bench = Bench(Failing)
    assert bench.connection.aborted
    assert bench.faults == [
        "protocol handler test:Handler failed on Updated: ValueError('IDLE')",
        "protocol handler test:Handler failed on Closed: ValueError('CLOSED')",
    ]
    bench.hang_up()


@BOTH
def test_a_handler_that_raises_after_the_loss_hears_nothing_but_closed(base: type[Recorder]) -> None:
    handler = make_recorder(base, fail)
    bench = Bench(handler)
    bench.block()
    with bench.loop.running():
        bench.protocol.handle(RawData(b"a"))
        bench.protocol.handle(RawData(b"b"))
        bench.protocol.handle(Closed())
    bench.settle()
    assert handler.last.heard == ["IDLE", "ACTIVE", "a", "CLOSED"]
    assert len(bench.faults) == 1


def test_a_constructor_that_raises() -> None:
    class Broken:
        def __init__(self) -> None:
            raise RuntimeError("no database")

        def handle(self, event: Event) -> None:
            raise AssertionError(event)

    bench = Bench(Broken).feed(b"x")
    assert bench.connection.aborted
    assert bench.faults == ["protocol handler test:Handler failed on the opening: RuntimeError('no database')"]
    bench.hang_up()


@pytest.mark.parametrize(("draining", "level"), [(True, "INFO"), (False, "WARNING")])
def test_a_cancelled_coroutine_is_no_fault(draining: bool, level: str) -> None:
    handler = make_busy()
    bench = Bench(handler).feed(b"x", b"y")
    bench.host.draining = draining
    (task,) = bench.host.tasks
    bench.act(task.cancel)
    assert bench.connection.aborted
    assert [(record.levelname, record.getMessage()) for record in bench.log] == [
        (level, "protocol handler test:Handler was cancelled")
    ]
    assert handler.last.heard == ["IDLE", "ACTIVE", "x", "CLOSED"]
    bench.hang_up()


@pytest.mark.parametrize("lost", [False, True])
def test_a_coroutine_that_is_cancelled_before_it_began(lost: bool) -> None:
    handler = make_recorder(Coroutine)
    bench = Bench(handler)
    with bench.loop.running():
        bench.protocol.handle(RawData(b"x"))
        if lost:
            bench.protocol.handle(Closed())
        (task,) = bench.host.tasks
        task.cancel()
    bench.settle()
    assert handler.last.heard == ["IDLE", "CLOSED"]
    assert bench.connection.aborted is not lost


def test_closed_comes_even_if_its_task_is_cancelled_before_it_began() -> None:
    handler = make_recorder(Coroutine)
    bench = Bench(handler)
    with bench.loop.running():
        bench.protocol.handle(Closed())
        (task,) = bench.host.tasks
        task.cancel()
    bench.settle()
    assert handler.last.heard == ["IDLE", "CLOSED"]


class Ending(BaseException):
    """What no except clause for Exception takes."""


@pytest.mark.parametrize("failure", [Ending, GeneratorExit, SystemExit, KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("word", ["IDLE", "ACTIVE", "x"])
def test_whatever_a_coroutine_raises_ends_its_connection(failure: type[BaseException], word: str) -> None:
    class Failing(Coroutine):
        async def handle_event(self, event: Event) -> object:
            self.note(event)
            if self.heard[-1] == word:
                raise failure("enough")
            return None

    handler = make_recorder(Failing)
    bench = Bench(handler).feed(b"x")
    assert bench.connection.aborted
    (fault,) = bench.faults
    assert failure.__name__ in fault
    assert handler.last.heard[-1] == "CLOSED"
    bench.hang_up()

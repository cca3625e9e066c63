"""Observers of a live server: what is loaded, what is delivered, and what an observer cannot do to the server."""

import asyncio
import functools
import gc
import logging
import sys
import warnings
import weakref
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from fastserver import observe
from fastserver._speedups.observers import EVENTS, Observer, Observers
from fastserver.errors import StartupFailed
from fastserver.events import Closed, RawData, Updated
from fastserver.observe import (
    QUEUE_BYTES,
    QUEUE_EVENTS,
    Delivery,
    Observation,
    is_asynchronous,
    load_observers,
)
from tests.fakes import make_log

LOG = logging.getLogger("test.observe")
EVENT = Updated(True)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run ``main`` and see that nothing is left in the loop, and nothing was told to its exception handler."""
    told: list[dict[str, Any]] = []

    async def checked() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        await main
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(checked(), debug=True)
    gc.collect()
    assert told == []


class Listener:
    """An asynchronous observer that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def __call__(self, connection: object, direction: object, event: object) -> None:
        self.heard.append((connection, direction, event))

    async def method(self, connection: object, direction: object, event: object) -> None: ...


class Gate:
    """An asynchronous observer that waits at each event until it is let through."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, connection: object, direction: object, event: object) -> None:
        self.reached.set()
        await self.open.wait()
        self.heard.append(event)


async def hear_async(connection: object, direction: object, event: object) -> None: ...


def hear(connection: object, direction: object, event: object) -> None: ...


def bound(first: object, connection: object, direction: object, event: object) -> None: ...


async def bound_async(first: object, connection: object, direction: object, event: object) -> None: ...


# Delivery.


def deliver_to(call: Callable[..., object], name: str = "o", log: logging.Logger = LOG) -> Delivery:
    return Delivery(Observer(call, name, log, None), call, log)


def test_an_observer_that_works_leaves_the_loop_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets a fifth of the time; what comes meanwhile fills its queue."""
    now_s = 0.0
    rests: list[float] = []
    rest = asyncio.sleep

    async def sleep(delay_s: float) -> None:
        rests.append(delay_s)
        await rest(0)

    async def work(connection: object, direction: object, event: object) -> None:
        nonlocal now_s
        now_s += 0.004

    async def main() -> None:
        delivery = deliver_to(work)
        for _ in range(3):
            delivery.put(("c", "in", EVENT))
        for _ in range(20):
            await rest(0)
        await delivery.stop(5)
        assert delivery.dropped == 0

    monkeypatch.setattr(observe, "read_timer", lambda: now_s)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(main())
    assert rests == [pytest.approx(0.016)] * 3


@pytest.mark.parametrize("way", ["GeneratorExit", "cancel"])
def test_an_observer_that_ends_its_own_task_is_heard_of_and_goes_on(way: str) -> None:
    heard: list[object] = []
    log, records = make_log()

    async def end(connection: object, direction: object, event: object) -> None:
        heard.append(event)
        if len(heard) == 1:
            if way == "GeneratorExit":
                raise GeneratorExit
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    async def main() -> None:
        delivery = deliver_to(end, log=log)
        for _ in range(3):
            delivery.put(("c", "in", EVENT))
            for _ in range(5):
                await asyncio.sleep(0)
        await delivery.stop(5)
        assert (delivery.observer.errors, len(heard)) == (1, 3)

    asyncio.run(main())
    assert [record.levelname for record in records] == ["ERROR"]


def test_events_are_delivered_in_order() -> None:
    async def main() -> None:
        listener = Listener()
        delivery = deliver_to(listener)
        events = [Updated(True), RawData(b"a"), Closed()]
        delivery.put(("c", "in", events[0]))
        delivery.put(("c", "in", events[1]))
        delivery.put(("d", "out", events[2]))
        assert listener.heard == []
        await delivery.stop(5)
        assert listener.heard == [("c", "in", events[0]), ("c", "in", events[1]), ("d", "out", events[2])]
        assert (delivery.observer.errors, delivery.dropped) == (0, 0)

    run(main())


def test_the_queue_holds_so_many_events(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        listener = Listener()
        delivery = deliver_to(listener)
        dropped = []
        for _ in range(QUEUE_EVENTS + 2):
            delivery.put(("c", "in", EVENT))
            dropped.append(delivery.dropped)
        assert dropped[-3:] == [0, 1, 2]
        await delivery.stop(5)
        assert (len(listener.heard), delivery.dropped, delivery.observer.errors) == (QUEUE_EVENTS, 2, 0)

    run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "observer o is too slow: events that do not fit its queue are left out"
    ]


@pytest.mark.parametrize(("size", "dropped"), [(QUEUE_BYTES - 1, 0), (QUEUE_BYTES, 0), (QUEUE_BYTES + 1, 1)])
def test_the_queue_holds_so_many_bytes(size: int, dropped: int) -> None:
    async def main() -> None:
        gate = Gate()
        delivery = deliver_to(gate)
        delivery.put(("c", "in", RawData(bytes(size - 1))))
        delivery.put(("c", "in", RawData(b"x")))
        delivery.put(("c", "in", EVENT))
        assert delivery.dropped == dropped
        gate.open.set()
        await gate.reached.wait()
        await delivery.stop(5)
        assert len(gate.heard) == 3 - dropped

    run(main())


def test_delivered_bytes_make_room_and_an_event_in_hand_does_not() -> None:
    async def main() -> None:
        gate, whole = Gate(), RawData(bytes(QUEUE_BYTES))
        delivery = deliver_to(gate)
        delivery.put(("c", "in", whole))
        await gate.reached.wait()
        delivery.put(("c", "in", RawData(b"x")))
        assert delivery.dropped == 1
        gate.open.set()
        while not gate.heard:
            await asyncio.sleep(0)
        delivery.put(("c", "in", whole))
        await delivery.stop(5)
        assert (gate.heard, delivery.dropped) == ([whole, whole], 1)

    run(main())


def test_hearing_never_waits_for_a_slow_observer() -> None:
    async def main() -> None:
        gate = Gate()
        delivery = deliver_to(gate)
        delivery.put(("c", "in", EVENT))
        await gate.reached.wait()
        for _ in range(QUEUE_EVENTS + 5):
            delivery.put(("c", "in", EVENT))
        assert (delivery.dropped, gate.heard) == (5, [])
        gate.open.set()
        await delivery.stop(5)
        assert len(gate.heard) == 1 + QUEUE_EVENTS

    run(main())


def test_no_connection_is_kept() -> None:
    class Connection: ...

    async def main() -> None:
        done = asyncio.Event()

        async def call(connection: object, direction: object, event: object) -> None:
            if isinstance(event, Closed):
                done.set()
            elif isinstance(event, Updated):
                raise ValueError

        quiet = logging.Logger("test.observe.quiet", logging.CRITICAL)  # pytest keeps records, and their frames
        delivery = deliver_to(call, log=quiet)
        connection = Connection()
        gone = weakref.ref(connection)
        for event in (EVENT, Closed()):
            delivery.put((connection, "in", event))
        del connection
        await done.wait()
        await asyncio.sleep(0)
        assert gone() is None
        await delivery.stop(5)

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


# What an observer cannot do.


class Oddity(BaseException): ...


@pytest.mark.parametrize(
    "error", [ValueError("no"), asyncio.CancelledError(), SystemExit(3), KeyboardInterrupt(), Oddity(), StopIteration()]
)
def test_failures_are_logged_once_and_counted(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        heard = []

        async def call(connection: object, direction: object, event: object) -> None:
            heard.append(event)
            await asyncio.sleep(0)
            raise error

        delivery = deliver_to(call, "m:call")
        for _ in range(3):
            delivery.put(("c", "in", EVENT))
        await delivery.stop(5)
        assert (len(heard), delivery.observer.errors, delivery.dropped) == (3, 3, 0)

    run(main())
    (record,) = caplog.records
    assert record.getMessage() == "observer m:call failed; further failures of it are only counted"
    assert record.levelname == "ERROR"
    assert record.exc_info is not None
    assert record.exc_info[2] is not None


def test_stop_cancels_what_takes_too_long() -> None:
    async def main() -> None:
        gate = Gate()
        delivery = deliver_to(gate)
        for _ in range(3):
            delivery.put(("c", "in", EVENT))
        await gate.reached.wait()
        await delivery.stop(0.01)
        assert (gate.heard, delivery.dropped, delivery.observer.errors) == ([], 3, 0)
        delivery.put(("c", "in", EVENT))
        assert delivery.dropped == 4

    run(main())


def test_an_observer_that_fails_when_cancelled_is_stopped_all_the_same() -> None:
    async def main() -> None:
        reached = asyncio.Event()

        async def call(connection: object, direction: object, event: object) -> None:
            reached.set()
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("while cancelled")

        delivery = deliver_to(call)
        for _ in range(2):
            delivery.put(("c", "in", EVENT))
        await reached.wait()
        await delivery.stop(0.01)
        assert (delivery.observer.errors, delivery.dropped) == (1, 1)

    run(main())


def test_an_observer_that_ignores_its_cancellation_is_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastserver.observe.CANCEL_S", 0.01)

    async def main() -> None:
        reached, release = asyncio.Event(), asyncio.Event()

        async def call(connection: object, direction: object, event: object) -> None:
            while not release.is_set():
                reached.set()
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        delivery = deliver_to(call)
        delivery.put(("c", "in", EVENT))
        await reached.wait()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await delivery.stop(0.01)
        release.set()
        await asyncio.wait(tasks)  # it ends as soon as the observer lets it

    run(main())
    assert [record.getMessage() for record in caplog.records] == ["observer o ignores its cancellation"]


def test_the_end_of_the_loop_ends_the_task() -> None:
    """``asyncio.run`` cancels and awaits what is left; a task that took this for an observer's own would hang it."""
    gates: list[Gate] = []

    async def main() -> None:
        gates.append(Gate())
        delivery = deliver_to(gates[0])
        delivery.put(("c", "in", EVENT))
        await gates[0].reached.wait()

    asyncio.run(main())
    assert gates[0].heard == []


def test_nothing_runs_before_something_must_be_awaited() -> None:
    async def main() -> None:
        listener = Listener()
        loaded = load_observers([listener, hear], ".", LOG)
        loaded[1].core.take("not awaitable")
        assert asyncio.all_tasks() == {asyncio.current_task()}
        loaded[0].core.hear("c", "in", EVENT)
        (task,) = asyncio.all_tasks() - {asyncio.current_task()}
        assert task.get_name() == f"fastserver-observer-{__name__}:Listener"
        await Observation(loaded).stop(5)
        assert listener.heard == [("c", "in", EVENT)]

    run(main())


def test_nothing_starts_after_the_stop() -> None:
    async def main() -> None:
        listener = Listener()
        loaded = load_observers([listener, lambda *facts: listener(*facts)], ".", LOG)
        await Observation(loaded).stop(5)
        loaded[0].core.hear("c", "in", EVENT)
        loaded[1].core.take(loaded[1].core.hear("c", "in", EVENT))
        assert [each.dropped for each in loaded] == [1, 1]

    run(main())


def test_a_plain_callable_that_gives_back_an_awaitable() -> None:
    async def main() -> None:
        listener = Listener()
        (loaded,) = load_observers([lambda *facts: listener(*facts)], ".", LOG)
        observation = Observation([loaded])
        for _ in range(QUEUE_EVENTS + 3):
            loaded.core.take(loaded.core.hear("c", "in", EVENT))
        loaded.core.take("not awaitable")
        await observation.stop(5)
        assert listener.heard == [("c", "in", EVENT)] * QUEUE_EVENTS
        assert observation.counts() == {loaded.core.name: {"errors": 0, "dropped": 3}}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main())


def test_failures_in_place_and_awaited_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async def fail_later() -> None:
            raise ValueError("later")

        def call(connection: object, direction: object, event: object) -> object:
            if event is EVENT:
                raise ValueError("now")
            return fail_later()

        (loaded,) = load_observers([call], ".", LOG)
        observers = Observers([loaded.core])
        for event in (RawData(b""), EVENT, RawData(b"")):
            observers.notify("c", "in", event)
        observation = Observation([loaded])
        await observation.stop(5)
        assert observation.counts() == {loaded.core.name: {"errors": 3, "dropped": 0}}

    run(main())
    assert len(caplog.records) == 1


# Loading.


@pytest.mark.parametrize(
    ("call", "asynchronous"),
    [
        (hear, False),
        (hear_async, True),
        (lambda connection, direction, event: None, False),
        (functools.partial(bound, 1), False),
        (functools.partial(bound_async, 1), True),
        (functools.partial(functools.partial(bound_async, 1)), True),
        (Listener(), True),
        (functools.partial(Listener()), True),
        (Listener().method, True),
        (print, False),
    ],
)
def test_asynchronous_callables_are_recognised(call: Callable[..., object], asynchronous: bool) -> None:
    assert is_asynchronous(call) is asynchronous
    (loaded,) = load_observers([call], ".", LOG)
    assert (loaded.core.hear is call) is not asynchronous  # called in place, with nothing between


def test_texts_are_imported_and_classes_made(home: Path) -> None:
    (home / "observing.py").write_text(
        "made = []\n"
        "class Sync:\n"
        "    def __init__(self): made.append(self)\n"
        "    def __call__(self, connection, direction, event): return event\n"
        "class Async:\n"
        "    async def __call__(self, connection, direction, event): ...\n"
        "def hear(*facts): return facts\n"
    )
    loaded = load_observers(["observing:Sync", "observing:Async", "observing:hear", Listener], str(home), LOG)
    names = [each.core.name for each in loaded]
    assert names == ["observing:Sync", "observing:Async", "observing:hear", f"{__name__}:Listener"]
    assert loaded[0].core.hear("c", "in", EVENT) is EVENT
    (made,) = sys.modules["observing"].made
    assert loaded[0].core.hear == made.__call__  # bound: cheaper to call than the object itself
    assert loaded[2].core.hear(1, 2, 3) == (1, 2, 3)


@pytest.mark.parametrize(
    ("text", "reason", "details"),
    [
        ("", "observer observing:o: observing has no attribute 'o'", ""),
        ("1 / 0", "observer observing:o: cannot import observing: ZeroDivisionError: division by zero", "1 / 0"),
        ("o = 3", "observer observing:o is an int, which is not callable", ""),
        ("class o: pass", "observer observing:o is an o, which is not callable", ""),
        (
            "class o:\n    def __init__(self): raise OSError('x\\ny')",
            "observer observing:o cannot be made: OSError: x",
            "y",
        ),
        ("def o(event): pass", "observer observing:o cannot be called with three arguments: connection,", ""),
        ("def o(a, b, c, *, d): pass", "observer observing:o cannot be called with three arguments: connection,", ""),
        ("async def o(a, b, c): yield", "observer observing:o is a generator function: want one that returns", ""),
        ("class o:\n    def __call__(self, a, b, c): yield", "observer observing:o is a generator function: want", ""),
    ],
)
def test_what_cannot_observe_is_one_line(home: Path, text: str, reason: str, details: str) -> None:
    (home / "observing.py").write_text(text + "\n")
    with pytest.raises(StartupFailed) as caught:
        load_observers([hear, "observing:o"], str(home), LOG)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)
    assert details in caught.value.details
    assert bool(details) is bool(caught.value.details)


class Reader:
    """Hears what its class says."""

    hears: object = (RawData,)

    def __call__(self, connection: object, direction: object, event: object) -> None: ...


@pytest.mark.parametrize(
    ("hears", "kinds"), [((RawData,), (RawData,)), (Closed, (Closed,)), ([RawData, Updated], (RawData, Updated))]
)
def test_an_observer_says_what_it_wants_to_hear(
    hears: object, kinds: tuple[type, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reader, "hears", hears)
    (instance,) = load_observers([Reader], ".", LOG)
    (partial,) = load_observers([functools.partial(Reader())], ".", LOG)
    (other,) = load_observers([hear], ".", LOG)
    assert (instance.core.hears, partial.core.hears, other.core.hears) == (kinds, kinds, EVENTS)


@pytest.mark.parametrize("hears", [(), "RawData", (RawData, str), None, 7])
def test_what_cannot_be_heard_is_refused(hears: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reader, "hears", hears)
    with pytest.raises(StartupFailed, match=r"^observer tests\.test_observe:Reader has a wrong attribute hears: want"):
        load_observers([Reader], ".", LOG)


class Unreadable:
    @property
    def hears(self) -> object:
        raise RuntimeError("no idea")

    def __call__(self, connection: object, direction: object, event: object) -> None: ...


def test_an_attribute_that_cannot_be_read_is_one_line() -> None:
    with pytest.raises(StartupFailed, match=r"^observer .*:Unreadable has no readable attribute hears: .*no idea$"):
        load_observers([Unreadable], ".", LOG)


def test_what_is_not_there_is_one_line(home: Path) -> None:
    with pytest.raises(
        StartupFailed, match=r"^observer nowhere:o: no module named 'nowhere' in .* or on the Python path$"
    ):
        load_observers(["nowhere:o"], str(home), LOG)


def test_counts_of_one_name_are_summed() -> None:
    async def main() -> None:
        loaded = load_observers([hear_async] * 2, ".", LOG)
        observation = Observation(loaded)
        await observation.stop(5)
        for each in (loaded[0], loaded[1], loaded[1]):
            each.core.hear("c", "in", EVENT)
        assert observation.counts() == {f"{__name__}:hear_async": {"errors": 0, "dropped": 3}}

    run(main())
    assert Observation([]).counts() == {}

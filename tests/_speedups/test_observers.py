"""Observers in both builds: all hear in order, and nothing that one does reaches another or the server."""

import asyncio
import time
from collections.abc import Callable
from logging import LogRecord
from typing import Any

import pytest

from bench.micro.rooms import Room, open_rooms
from tests.fakes import make_log

EVENT = object()
SAMPLE = 64
SLOW_S = 0.05


@pytest.fixture(params=open_rooms(), ids=lambda room: room.name)
def room(request: pytest.FixtureRequest) -> Any:
    return request.param


class Panel:
    """The observers of `hears`, named by their place, with what they log and what they return."""

    def __init__(self, room: Room, *hears: Callable[[Any, Any, Any], Any]) -> None:
        self.log: list[LogRecord]
        log, self.log = make_log()
        self.taken: list[Any] = []
        module = room.module("observers")
        self.observers = module.Observers(
            module.Observer(hear, f"m:{index}", log, self.taken.append) for index, hear in enumerate(hears)
        )

    def notify(self, event: object = EVENT, connection: object = "connection", direction: object = "in") -> None:
        self.observers.notify(connection, direction, event)

    @property
    def errors(self) -> list[int]:
        return [observer.errors for observer in self.observers.all]

    @property
    def messages(self) -> list[str]:
        return [record.getMessage() for record in self.log]


def test_each_hears_what_it_wants(room: Room) -> None:
    events, module = room.module("events"), room.module("observers")
    heard: dict[str, list[str]] = {"data": [], "ends": [], "all": []}
    wants = {"data": (events.RawData,), "ends": (events.Closed, events.Updated), "all": module.EVENTS}
    observers = module.Observers(
        module.Observer(
            lambda connection, direction, event, name=name: heard[name].append(type(event).__name__),
            name,
            make_log()[0],
            None,
            wants[name],
        )
        for name in heard
    )
    for event in (events.RawData(b"x"), events.Updated(True), events.Closed()):
        observers.notify("c", "in", event)
    assert heard == {"data": ["RawData"], "ends": ["Updated", "Closed"], "all": ["RawData", "Updated", "Closed"]}


def test_all_hear_in_the_order_given(room: Room) -> None:
    heard: list[tuple[Any, ...]] = []
    panel = Panel(room, *(lambda *what, place=place: heard.append((place, *what)) for place in range(3)))
    events = [object() for _ in range(SAMPLE + 2)]
    for event in events:
        panel.notify(event, "c", "out")
    assert heard == [(place, "c", "out", event) for event in events for place in range(3)]
    assert (panel.errors, panel.taken, panel.log) == ([0, 0, 0], [], [])


def test_no_observer_at_all(room: Room) -> None:
    panel = Panel(room)
    panel.notify()
    assert panel.observers.all == ()


FAILURES = [
    ValueError,
    SystemExit,
    KeyboardInterrupt,
    asyncio.CancelledError,
    StopIteration,
    GeneratorExit,
    MemoryError,
]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_told_once_and_counted_and_stays_where_it_is(room: Room, failure: type[BaseException]) -> None:
    heard: list[object] = []
    error = failure("what went wrong")

    def fail(*what: object) -> None:
        raise error

    panel = Panel(room, lambda *_: heard.append(0), fail, lambda *_: heard.append(2))
    for _ in range(SAMPLE + 2):  # the first and the last but one are timed
        panel.notify()
    assert heard == [0, 2] * (SAMPLE + 2)
    assert panel.errors == [0, SAMPLE + 2, 0]
    assert panel.messages == ["observer m:1 failed; further failures of it are only counted"]
    (record,) = panel.log
    assert record.levelname == "ERROR"
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert record.exc_info[2] is not None


def test_each_that_fails_is_told_of(room: Room) -> None:
    def fail(*what: object) -> None:
        raise ValueError

    panel = Panel(room, fail, fail)
    for _ in range(3):
        panel.notify()
    assert panel.errors == [3, 3]
    assert len(panel.log) == 2


def test_one_that_cannot_be_called_so(room: Room) -> None:
    panel = Panel(room, lambda connection: None)  # type: ignore[arg-type,misc]
    panel.notify()
    assert panel.errors == [1]


def test_what_is_returned_is_handed_on(room: Room) -> None:
    answers = iter(range(SAMPLE + 1))
    panel = Panel(room, lambda *_: next(answers), lambda *_: None)
    for _ in range(SAMPLE + 1):
        panel.notify()
    assert panel.taken == list(range(SAMPLE + 1))


def test_a_failure_to_take_is_the_observers(room: Room) -> None:
    heard: list[object] = []

    def refuse(answer: object) -> None:
        raise RuntimeError("full")

    log, records = make_log()
    module = room.module("observers")
    observer = module.Observer(lambda *_: 1, "m:a", log, refuse)
    observers = module.Observers([observer, module.Observer(heard.append, "m:b", log, refuse)])
    observers.notify("c", "in", EVENT)
    observers.notify("c", "in", EVENT)
    assert observer.errors == 2
    assert sum(record.levelname == "ERROR" for record in records) == 2


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize("number", [1, SAMPLE + 1])
def test_a_slow_one_is_told_of(room: Room, number: int, failing: bool) -> None:
    count = 0

    def hear(*what: object) -> None:
        nonlocal count
        count += 1
        if count == number:
            time.sleep(SLOW_S * 1.2)  # it is the block that is observed
            if failing:
                raise ValueError

    panel = Panel(room, lambda *_: None, hear)
    for _ in range(SAMPLE + 1):
        panel.notify()
    warnings = [record.getMessage() for record in panel.log if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert warnings[0].startswith("observer m:1 took ")
    assert panel.errors == [0, failing]


def test_it_is_told_of_once_and_only_where_it_is_slow(room: Room) -> None:
    panel = Panel(room, lambda *_: None)
    (observer,) = panel.observers.all
    observer.note_duration(SLOW_S)
    assert panel.log == []
    observer.note_duration(0.0504)
    observer.note_duration(10.0)
    assert panel.messages == [
        "observer m:0 took 50 ms for one event, in which this worker served nobody: make it async, or hand its work "
        "to a thread"
    ]


@pytest.mark.parametrize("name", ["data", "address", "other"])
def test_an_event_cannot_be_changed(room: Room, name: str) -> None:
    """The one who tries fails, and who hears after it gets what was sent."""
    events = room.module("events")
    heard: list[Any] = []

    def change(connection: object, direction: object, event: Any) -> None:
        setattr(event, name, b"changed")

    def delete(connection: object, direction: object, event: Any) -> None:
        delattr(event, name)

    panel = Panel(room, change, delete, lambda connection, direction, event: heard.append(event))
    event = events.RawData(b"sent")
    panel.notify(event)
    assert panel.errors == [1, 1, 0]
    assert heard == [event]
    assert (event.data, event.address) == (b"sent", None)
    for constant in (events.IDLE, events.ACTIVE):
        with pytest.raises(AttributeError):
            constant.idle = not constant.idle
    assert (events.IDLE.idle, events.ACTIVE.idle) == (True, False)


def test_an_observer_may_notify_again(room: Room) -> None:
    """As where it makes the server write: the inner event is heard before the outer one has gone round."""
    heard: list[object] = []

    def hear(connection: object, direction: object, event: object) -> None:
        if event == "outer":
            panel.notify("inner")

    panel = Panel(room, hear, lambda connection, direction, event: heard.append(event))
    panel.notify("outer")
    assert heard == ["inner", "outer"]
    assert panel.errors == [0, 0]

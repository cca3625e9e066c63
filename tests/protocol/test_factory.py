"""What may serve as a protocol handler, and how one is made."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from fastserver._speedups.events import Event
from fastserver.protocol.facade import HandlerConnection
from fastserver.protocol.factory import HandlerFactory, check_handler
from tests.protocol.bench import Bench, Plain, make_recorder


class Empty:
    handle = None


class Misnamed:
    async def handle(self, event: Event) -> None:
        raise AssertionError(event)


class Greedy:
    def __init__(self, connection: HandlerConnection, colour: str) -> None:
        raise AssertionError((connection, colour))

    def handle(self, event: Event) -> None:
        raise AssertionError(event)


class NamedOnly(Plain):
    def __init__(self, *, connection: HandlerConnection) -> None:
        super().__init__(connection)


async def make_later() -> Plain:
    raise AssertionError


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (None, "no class"),
        (Plain.__new__(Plain), "no class"),
        (Empty, "neither a method handle"),
        (Misnamed, "must be handle_event"),
        (Greedy, "with the connection or without"),
        (NamedOnly, "with the connection or without"),
        (make_later, "is a coroutine function"),
    ],
)
def test_refuses_in_one_line(target: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        check_handler(target, "main:Ping")
    message = str(caught.value)
    assert message.startswith("main:Ping ")
    assert "\n" not in message
    with pytest.raises(ValueError, match=reason):
        HandlerFactory("main:Ping", target)


def test_refuses_an_abstract_class() -> None:
    from abc import ABC, abstractmethod

    class Abstract(ABC):
        @abstractmethod
        def handle(self, event: Event) -> None: ...

    with pytest.raises(ValueError, match="abstract"):
        check_handler(Abstract, "main:Ping")


class Bare:
    """Takes no argument; `last` is the one that was made last."""

    last: Any = None

    def __init__(self) -> None:
        self.heard = 0
        type(self).last = self

    def handle(self, event: Event) -> None:
        self.heard += 1


@dataclass
class Optional(Bare):
    connection: HandlerConnection | None = None

    def __post_init__(self) -> None:
        super().__init__()


def test_makes_it_without_the_connection() -> None:
    Bench(Bare)
    assert Bare.last.heard == 1


def test_gives_the_connection_to_whoever_can_take_it() -> None:
    Bench(Optional)
    assert isinstance(Optional.last.connection, HandlerConnection)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda handler: lambda connection: handler(connection),
        lambda handler: lambda *arguments: handler(*arguments),
        lambda handler: functools.partial(handler),
    ],
)
def test_makes_it_by_a_function(wrap: Callable[[Any], Callable[..., Any]]) -> None:
    handler = make_recorder(Plain)
    Bench(wrap(handler))
    assert handler.last.heard == ["IDLE"]


def test_what_a_function_makes_is_seen_at_the_first_connection() -> None:
    factory = HandlerFactory("main:make", lambda: object())
    benches = [Bench(lambda: object()) for _ in range(2)]
    for bench in benches:
        assert (bench.ended, bench.connection.aborted) == (True, False)
        assert len(bench.faults) == 1
        assert "neither handle(event) nor handle_event(event)" in bench.faults[0]
        bench.hang_up()
    # Of one factory, only the first is told.
    assert [factory.note_misfit() for _ in range(3)] == [True, False, False]


def test_has_a_name() -> None:
    assert HandlerFactory("main:Ping", Plain).name == "main:Ping"

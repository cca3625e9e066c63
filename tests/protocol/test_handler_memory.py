"""A handler's connection leaves no cycle behind: with the collector off, all of it is gone when it has closed."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastserver._speedups.events import Event, RawData, Updated
from fastserver.protocol.facade import HandlerConnection
from tests.protocol.bench import Bench


@pytest.fixture(autouse=True)
def _collector_off() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


class Echo:
    def __init__(self, connection: HandlerConnection) -> None:
        self.connection = connection

    def handle(self, event: Event) -> object:
        return event if isinstance(event, RawData) else None


class Holding(Echo):
    def handle(self, event: Event) -> object:
        return Updated(False)


class Waiting:
    def __init__(self, connection: HandlerConnection) -> None:
        self.connection = connection

    async def handle_event(self, event: Event) -> object:
        await asyncio.sleep(0)
        await self.connection.wait_writable()
        return event if isinstance(event, RawData) else None


class Failing(Echo):
    def handle(self, event: Event) -> object:
        raise ValueError


class FailingLater(Waiting):
    async def handle_event(self, event: Event) -> object:
        await asyncio.sleep(0)
        raise ValueError


class Broken(Echo):
    def __init__(self, connection: HandlerConnection) -> None:
        super().__init__(connection)
        raise ValueError


def close(bench: Bench) -> None:
    bench.eof()
    bench.vanish()


@pytest.mark.parametrize("handler", [Echo, Holding, Waiting, Failing, FailingLater, Broken])
@pytest.mark.parametrize("end", [Bench.vanish, close])
def test_leaves_no_cycle(handler: type[Any], end: Callable[[Bench], None]) -> None:
    made: list[weakref.ref[Any]] = []

    def make(connection: HandlerConnection) -> Any:
        made.append(weakref.ref(connection))
        return handler(connection)

    bench = Bench(make)
    bench.feed(b"x", b"y")
    made.append(weakref.ref(bench.protocol))
    end(bench)
    # As a transport does when the connection is lost; and the log keeps tracebacks here.
    bench.connection.protocol = None
    bench.protocol = None
    bench.log.clear()
    bench.settle()
    assert [reference() for reference in made] == [None, None]


def test_who_keeps_the_connection_keeps_nothing_else() -> None:
    kept: list[HandlerConnection] = []

    class Kept(Echo):
        def __init__(self, connection: HandlerConnection) -> None:
            super().__init__(connection)
            kept.append(connection)

    bench = Bench(Kept)
    protocol = weakref.ref(bench.protocol)
    close(bench)
    bench.connection.protocol = None
    bench.protocol = None
    bench.settle()
    assert protocol() is None
    assert kept[0].is_draining
    kept[0].send(RawData(b"late"))

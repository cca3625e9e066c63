"""Event observers: a user's callables that hear ``(connection, direction, event)`` of a live server.

A synchronous observer is called in place, by the core.  An asynchronous one hears through a bounded queue and one task
of its own in each worker; what does not fit is counted and left out, so that neither a slow observer nor one that fails
holds up a connection.  Whatever an observer raises is logged once and counted ever after.  An observer with an
attribute ``hears``, such as ``hears = (RawData, Closed)``, hears these events and no others, which costs less.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from logging import Logger
from typing import Any, Final, TypeAlias

from fastserver.errors import StartupFailed
from fastserver.events import Closed, Event, RawData, Updated
from fastserver.reference import ImportFailed, count_arguments, describe, format_error, import_reference, summarise

#: Events that wait for one asynchronous observer: some hundred requests, so a burst fits and memory stays small.
QUEUE_EVENTS: Final = 1024
#: Bytes of ``RawData`` among them: a thousand events of large bodies would else hold a gigabyte.
QUEUE_BYTES: Final = 8 << 20
#: Seconds that an observer gets to end once it was cancelled.
CANCEL_S: Final = 1.0

#: What there is to hear.
EVENTS: Final = (RawData, Updated, Closed)

Hear: TypeAlias = Callable[[Any, Any, Any], object]
#: What waits: an event with where it happened, or what a synchronous observer has left to be awaited.
Entry: TypeAlias = tuple[Any, Any, Any] | Awaitable[object]


@dataclass(frozen=True, slots=True)
class LoadedObserver:
    """One observer of one worker.

    The core calls ``hear`` for each event of the kinds in ``hears``, and ``queue.take`` with what is not None.
    """

    name: str
    hear: Hear
    hears: tuple[type[Event], ...]
    queue: AsyncObserver


class Observation:
    """All observers of one worker."""

    def __init__(self, observers: Sequence[LoadedObserver]) -> None:
        self.observers = tuple(observers)

    def start(self) -> None:
        """Start a task for each observer, in the running loop."""
        for each in self.observers:
            each.queue.start()

    async def stop(self, timeout: float) -> None:
        """``AsyncObserver.stop`` of all at once; ``timeout`` is in seconds."""
        await asyncio.gather(*(each.queue.stop(timeout) for each in self.observers))

    def counts(self) -> dict[str, dict[str, int]]:
        """By name the failures of an observer's awaiting and what it had to leave out.

        What a synchronous observer raises in place is counted by the core.
        """
        counts: dict[str, dict[str, int]] = {}
        for each in self.observers:
            count = counts.setdefault(each.name, {"errors": 0, "dropped": 0})
            count["errors"] += each.queue.errors
            count["dropped"] += each.queue.dropped
        return counts


class _Phase(Enum):
    """How far an observer's queue has come."""

    OPEN = "open"
    DRAINING = "draining"  # takes nothing more, delivers what is queued
    CUT = "cut"  # delivers nothing more


class AsyncObserver:
    """The queue and the task of one observer; all but ``stop`` return at once and raise nothing.

    An asynchronous observer ``hear``s here, and is awaited for one event after another.  A synchronous one that gives
    back an awaitable (a lambda around a coroutine function) has it ``take``n: it is awaited here too, in the same order
    and under the same bounds, and closed unawaited where it does not fit.
    """

    def __init__(self, name: str, call: Hear, log: Logger) -> None:
        self.name = name
        self.errors = 0
        self.dropped = 0
        self._call = call
        self._log = log
        self._queue: asyncio.Queue[Entry] = asyncio.Queue(QUEUE_EVENTS)
        self._queued_bytes = 0
        self._task: _DeliveryTask | None = None
        self._phase = _Phase.OPEN

    def hear(self, connection: Any, direction: Any, event: Any) -> None:
        """Put an event into the queue, or count it as dropped."""
        self._put((connection, direction, event))

    def take(self, answer: object) -> None:
        """Put what a synchronous observer gave back into the queue if it can be awaited; anything else is ignored."""
        if inspect.isawaitable(answer):
            self._put(answer)

    def start(self) -> None:
        """Start the task in the running loop; what was heard before is delivered now."""
        loop = asyncio.get_running_loop()
        self._task = _DeliveryTask(self._deliver_all(), loop=loop, name=f"fastserver-observer-{self.name}")

    async def stop(self, timeout: float) -> None:
        """Take nothing more, deliver what is queued within ``timeout`` seconds, and count the rest as dropped."""
        self._phase = _Phase.DRAINING
        task, self._task = self._task, None
        if task is not None:
            drained = asyncio.ensure_future(self._queue.join())
            try:
                await asyncio.wait({drained, task}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._phase = _Phase.CUT
                drained.cancel()
                task.cancel()
            await asyncio.wait({drained, task}, timeout=CANCEL_S)
            if not task.done():
                self._log.error("observer %s ignores its cancellation", self.name)
        while not self._queue.empty():
            self._drop(self._queue.get_nowait())

    def _put(self, entry: Entry) -> None:
        size = _count_bytes(entry)
        if self._phase is not _Phase.OPEN or self._queue.full() or self._queued_bytes + size > QUEUE_BYTES:
            self._drop(entry)
        else:
            self._queued_bytes += size
            self._queue.put_nowait(entry)

    def _drop(self, entry: Entry) -> None:
        self.dropped += 1
        if inspect.iscoroutine(entry):
            entry.close()  # else the interpreter warns that it was never awaited
        if self.dropped == 1 and self._phase is _Phase.OPEN:
            self._log.warning("observer %s is too slow: events that do not fit its queue are left out", self.name)

    async def _deliver_all(self) -> None:
        # No turn of the loop is given away between events: while this runs, only the observer itself can cause more.
        while self._phase is not _Phase.CUT:
            await self._deliver(await self._queue.get())

    async def _deliver(self, entry: Entry) -> None:
        """Await the observer for one entry.  A frame of its own: no reference to the connection outlives it."""
        task = asyncio.current_task()
        assert isinstance(task, _DeliveryTask)
        task.is_cancelled = False
        try:
            answer = self._call(*entry) if isinstance(entry, tuple) else entry
            if inspect.isawaitable(answer):
                await answer
        except GeneratorExit:
            raise  # the loop is gone, and this coroutine with it
        except BaseException as error:
            if task.is_cancelled and isinstance(error, asyncio.CancelledError):
                self.dropped += 1
                raise
            self._fail(error)
        finally:
            self._queued_bytes -= _count_bytes(entry)
            self._queue.task_done()

    def _fail(self, error: BaseException) -> None:
        self.errors += 1
        if self.errors == 1:
            self._log.error("observer %s failed; its failures are only counted from now on", self.name, exc_info=error)


class _DeliveryTask(asyncio.Task[None]):
    """A task that knows whether somebody has cancelled it: an observer may raise ``CancelledError`` by itself."""

    is_cancelled = False

    def cancel(self, msg: Any | None = None) -> bool:
        self.is_cancelled = True
        return super().cancel(msg)


def load_observers(observers: Iterable[object], app_dir: str, log: Logger) -> list[LoadedObserver]:
    """The observers of one worker: texts ``module:attr`` are imported, classes called without arguments.

    Raises ``StartupFailed``, one line that names the observer, where one cannot be imported or cannot be called with
    connection, direction and event.
    """
    return [_load(item, app_dir, log) for item in observers]


def is_asynchronous(call: Callable[..., object]) -> bool:
    """Whether ``call`` is a coroutine function, a partial of one, or an object whose ``__call__`` is one."""
    return inspect.iscoroutinefunction(_find_function(call))


def name_observer(item: object) -> str:
    """What logs and metrics call an observer: its text, or module and name of the callable or of its class."""
    if isinstance(item, str):
        return item
    item = _unwrap(item)
    named = item if hasattr(item, "__qualname__") else type(item)
    return f"{getattr(named, '__module__', None) or '?'}:{named.__qualname__}"


def _load(item: object, app_dir: str, log: Logger) -> LoadedObserver:
    name = name_observer(item)
    call: Any = item
    if isinstance(item, str):
        try:
            call = import_reference(item, app_dir)
        except ImportFailed as failure:
            raise StartupFailed(f"observer {name}: {failure}", failure.details) from failure.__cause__
    if isinstance(call, type):
        try:
            call = call()
        except (Exception, SystemExit) as error:
            reason = f"observer {name} cannot be made: {summarise(error)}"
            raise StartupFailed(reason, format_error(error)) from error
    _check(call, name)
    queue = AsyncObserver(name, call, log)
    hear = queue.hear if is_asynchronous(call) else _bind(call)
    return LoadedObserver(name, hear, _read_interest(call, name), queue)


def _check(call: Any, name: str) -> None:
    if not callable(call):
        raise StartupFailed(f"observer {name} is {describe(call)}, which is not callable")
    if count_arguments(call, 3) is not None:
        raise StartupFailed(f"observer {name} cannot be called with three arguments: connection, direction and event")
    function = _find_function(call)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise StartupFailed(f"observer {name} is a generator function: want one that returns, plain or async")


def _read_interest(call: Any, name: str) -> tuple[type[Event], ...]:
    """The events that an observer wants: those of its attribute ``hears``, or all."""
    hears = getattr(_unwrap(call), "hears", EVENTS)
    kinds = tuple(hears) if isinstance(hears, (tuple, list, set, frozenset)) else (hears,)
    if not kinds or any(kind not in EVENTS for kind in kinds):
        raise StartupFailed(f"observer {name} has a wrong attribute hears: want some of RawData, Updated and Closed")
    return kinds


def _bind(call: Any) -> Any:
    """What is called for each event: of an object its bound ``__call__``, which spares a look-up in its class."""
    function = type(call).__call__
    return function.__get__(call) if inspect.isfunction(function) else call


def _unwrap(call: Any) -> Any:
    while isinstance(call, functools.partial):
        call = call.func
    return call


def _find_function(call: Any) -> Any:
    """What runs when ``call`` is called: what a partial holds, and of an object its class's ``__call__``."""
    call = _unwrap(call)
    return call if inspect.isroutine(call) else type(call).__call__


def _count_bytes(entry: Entry) -> int:
    event = entry[2] if isinstance(entry, tuple) else None
    return len(event.data) if isinstance(event, RawData) else 0

"""Event observers: a user's callables that hear ``(connection, direction, event)`` of a live server.

A synchronous observer is called in place, by the core.  An asynchronous one hears through a bounded queue and one task
of its own in each worker; what does not fit is counted and left out, so that neither a slow observer nor one that fails
holds up a connection.  Whatever an observer raises is logged once and counted ever after.  An observer with an
attribute ``hears``, such as ``hears = (RawData, Closed)``, hears these events and no others, which costs less.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import Enum
from logging import Logger
from typing import Any, Final, TypeAlias

from fastserver._speedups.kernels import read_timer
from fastserver._speedups.observers import EVENTS, Observer
from fastserver.errors import StartupFailed
from fastserver.events import Event, RawData
from fastserver.reference import count_arguments, describe, format_error, name_object, resolve, summarise, unwrap

#: Events that wait for one asynchronous observer: some hundred requests, so a burst fits and memory stays small.
QUEUE_EVENTS: Final = 1024
#: Bytes of ``RawData`` among them: a thousand events of large bodies would else hold a gigabyte.
QUEUE_BYTES: Final = 8 << 20
#: An observer that has used the loop for longer than this, in one go, then leaves it alone for so many times as long:
#: it gets a fifth of the worker at the most, and its queue fills instead.
BURST_S: Final = 0.001
REST: Final = 4
#: Seconds that an observer gets to end once it was cancelled.
CANCEL_S: Final = 1.0

Hear: TypeAlias = Callable[[Any, Any, Any], object]
#: What waits: an event with where it happened, or what a synchronous observer has left to be awaited.
Entry: TypeAlias = tuple[Any, Any, Any] | Awaitable[object]


class LoadedObserver:
    """One observer of one worker: ``core`` is what the server calls; what must be awaited goes to a ``Delivery``."""

    def __init__(self, name: str, call: Hear, hears: tuple[type[Event], ...], log: Logger) -> None:
        self.core = Observer(self._hear if is_asynchronous(call) else _bind(call), name, log, self._take, hears)
        self._call = call
        self._log = log
        self._delivery: Delivery | None = None

    @property
    def dropped(self) -> int:
        """Events that were left out."""
        return 0 if self._delivery is None else self._delivery.dropped

    async def stop(self, timeout: float) -> None:
        """``Delivery.stop``; what comes from now on is dropped, also where nothing had to be awaited before."""
        await self._get_delivery().stop(timeout)

    def _hear(self, connection: Any, direction: Any, event: Any) -> None:
        """Hear an event for an asynchronous observer."""
        self._get_delivery().put((connection, direction, event))

    def _take(self, answer: object) -> None:
        """Take what a synchronous observer gave back; what cannot be awaited is ignored."""
        if inspect.isawaitable(answer):
            self._get_delivery().put(answer)

    def _get_delivery(self) -> Delivery:
        if self._delivery is None:
            self._delivery = Delivery(self.core, self._call, self._log)
        return self._delivery


class Observation:
    """All observers of one worker."""

    def __init__(self, observers: Sequence[LoadedObserver]) -> None:
        self.observers = tuple(observers)

    async def stop(self, timeout: float) -> None:
        """``Delivery.stop`` of all at once; ``timeout`` is in seconds."""
        await asyncio.gather(*(each.stop(timeout) for each in self.observers))

    def counts(self) -> dict[str, dict[str, int]]:
        """By name what observers have raised, in place or awaited, and what they had no room for."""
        counts: dict[str, dict[str, int]] = {}
        for each in self.observers:
            count = counts.setdefault(each.core.name, {"errors": 0, "dropped": 0})
            count["errors"] += each.core.errors
            count["dropped"] += each.dropped
        return counts


class _Phase(Enum):
    """How far an observer's queue has come."""

    OPEN = "open"
    DRAINING = "draining"  # takes nothing more, delivers what is queued
    CUT = "cut"  # delivers nothing more


class Delivery:
    """The queue and the task in which an observer is awaited, for one entry after another.

    An asynchronous observer is called here, with an event as it was heard.  Of a synchronous one that gives back an
    awaitable (a lambda around a coroutine function) that is awaited, in the same order, and closed unawaited where it
    does not fit.  What is raised is the failure of ``observer``.
    """

    def __init__(self, observer: Observer, call: Hear, log: Logger) -> None:
        self.dropped = 0
        self.observer = observer
        self._call = call
        self._log = log
        self._queue: asyncio.Queue[Entry] = asyncio.Queue(QUEUE_EVENTS)
        self._queued_bytes = 0
        self._task: _DeliveryTask | None = None
        self._phase = _Phase.OPEN
        # Whether the loop has served nobody else since a burst of deliveries began.
        self._is_alone = False

    def put(self, entry: Entry) -> None:
        """Put ``entry`` into the queue, or count it as dropped; the first one starts the task, in the running loop."""
        size = _count_bytes(entry)
        if self._phase is not _Phase.OPEN or self._queue.full() or self._queued_bytes + size > QUEUE_BYTES:
            self._drop(entry)
            return
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = _DeliveryTask(self._deliver_all(), loop=loop, name=f"fastserver-observer-{self.observer.name}")
            self._task.add_done_callback(self._on_task_end)
        self._queued_bytes += size
        self._queue.put_nowait(entry)

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
                self._log.error("observer %s ignores its cancellation", self.observer.name)
        while not self._queue.empty():
            self._drop(self._queue.get_nowait())

    def _drop(self, entry: Entry) -> None:
        self.dropped += 1
        if inspect.iscoroutine(entry):
            entry.close()  # else the interpreter warns that it was never awaited
        if self.dropped == 1 and self._phase is _Phase.OPEN:
            self._log.warning(
                "observer %s is too slow: events that do not fit its queue are left out", self.observer.name
            )

    async def _deliver_all(self) -> None:
        loop = asyncio.get_running_loop()
        began_s = 0.0
        while self._phase is not _Phase.CUT:
            entry = await self._queue.get()
            if not self._is_alone:
                self._is_alone = True
                loop.call_soon(self._note_turn)
                began_s = read_timer()
            await self._deliver(entry)
            del entry
            if self._is_alone and (spent_s := read_timer() - began_s) > BURST_S and self._phase is _Phase.OPEN:
                await asyncio.sleep(spent_s * REST)

    def _note_turn(self) -> None:
        self._is_alone = False

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        """Nobody has stopped the task, so the observer did, by cancelling it or by a GeneratorExit: the next entry
        starts another."""
        if self._task is task:
            self._task = None
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            self.observer.fail(error or RuntimeError("the task of the observer has ended"))

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
            self.observer.fail(error)
        finally:
            self._queued_bytes -= _count_bytes(entry)
            self._queue.task_done()


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


def _load(item: object, app_dir: str, log: Logger) -> LoadedObserver:
    name = name_object(item)
    call: Any = resolve(item, app_dir, "observer")
    if isinstance(call, type):
        try:
            call = call()
        except (Exception, SystemExit) as error:
            reason = f"observer {name} cannot be made: {summarise(error)}"
            raise StartupFailed(reason, format_error(error)) from error
    _check(call, name)
    return LoadedObserver(name, call, _read_interest(call, name), log)


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
    try:
        hears = getattr(unwrap(call), "hears", EVENTS)
    except Exception as error:
        raise StartupFailed(f"observer {name} has no readable attribute hears: {summarise(error)}") from error
    kinds = tuple(hears) if isinstance(hears, (tuple, list, set, frozenset)) else (hears,)
    if not kinds or any(kind not in EVENTS for kind in kinds):
        raise StartupFailed(f"observer {name} has a wrong attribute hears: want some of RawData, Updated and Closed")
    return kinds


def _bind(call: Any) -> Any:
    """What is called for each event: of an object its bound ``__call__``, which spares a look-up in its class."""
    function = type(call).__call__
    return function.__get__(call) if inspect.isfunction(function) else call


def _find_function(call: Any) -> Any:
    """What runs when ``call`` is called: what a partial holds, and of an object its class's ``__call__``."""
    call = unwrap(call)
    return call if inspect.isroutine(call) else type(call).__call__


def _count_bytes(entry: Entry) -> int:
    event = entry[2] if isinstance(entry, tuple) else None
    return len(event.data) if isinstance(event, RawData) else 0

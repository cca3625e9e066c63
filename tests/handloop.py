"""An event loop without selector or thread, turned by hand.

Real futures, tasks, timers and `asyncio.timeout` work on it; time stands still until a test moves it.
"""

import asyncio
import heapq
from asyncio.events import _set_running_loop  # what an event loop calls around each turn, and this is one
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any


class HandLoop:
    """An event loop without selector or thread: `settle` runs what is ready, `advance` moves time.

    Real futures, tasks and timers work on it; `faults` keeps what a loop would hand to its exception handler.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.faults: list[dict[str, Any]] = []
        # What asyncio's own signatures call an AbstractEventLoop; it asks for no more than is here.
        self._self: Any = self
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_count = 0

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self._self

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self._self)

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> "asyncio.Task[Any]":
        return asyncio.Task(coro, loop=self._self, **options)

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self._self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self._self, context)
        self._timer_count += 1
        heapq.heappush(self._timers, (when, self._timer_count, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """A cancelled timer stays in the heap until its time; `advance` passes it over."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.faults.append(context)

    @contextmanager
    def running(self) -> Iterator[None]:
        """This loop is the running one: what a transport's callback may count on."""
        before = asyncio._get_running_loop()
        _set_running_loop(self._self)
        try:
            yield
        finally:
            _set_running_loop(before)

    def settle(self, turns: int = 100_000) -> None:
        """Run until nothing is ready; `turns` bounds a program that keeps itself busy."""
        with self.running():
            while self._ready:
                turns -= 1
                assert turns > 0, "the loop does not come to rest"
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()

    def advance(self, seconds: float) -> None:
        """Move time and make due timers ready."""
        self.now += seconds
        while self._timers and self._timers[0][0] <= self.now:
            handle = heapq.heappop(self._timers)[2]
            if not handle.cancelled():
                self._ready.append(handle)
        self.settle()

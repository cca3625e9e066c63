"""How a handler suspends: never, always, or only sometimes."""

import asyncio

import pytest


class Pause:
    """`await pause()` wherever a handler may suspend; `habit` says what becomes of it."""

    def __init__(self, habit: str) -> None:
        self.habit = habit
        self._count = 0

    async def __call__(self) -> None:
        habit = self.habit
        if habit == "sometimes":
            self._count += 1
            habit = ("never", "waits", "never", "never", "turns")[self._count % 5]
        if habit == "turns":
            await asyncio.sleep(0)
        elif habit == "waits":
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            loop.call_soon(_resolve, future)
            await future
        elif habit == "ready":
            await _done()


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


async def _done() -> None:
    """A coroutine that awaits and does not suspend."""


each_habit = pytest.mark.parametrize("habit", ["never", "ready", "turns", "waits", "sometimes"])

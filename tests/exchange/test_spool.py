"""A request's body in a temporary file: what is credited when, and that nothing of it is left."""

import asyncio
import os
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

from fastserver.exchange.spool import Spool


class Listener:
    def __init__(self) -> None:
        self.credit = 0
        self.ends: list[BaseException | None] = []
        self.spool = Spool(asyncio.get_running_loop(), self.on_written, self.ends.append)

    def on_written(self, count: int) -> None:
        self.credit += count

    async def end(self) -> None:
        while not self.ends:
            await asyncio.sleep(0.001)


def run(main: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(main(), 20))


def test_what_is_added_is_read_back() -> None:
    async def main() -> None:
        listener = Listener()
        parts = [bytes([number]) * 5000 for number in range(100)]
        for number, part in enumerate(parts):
            listener.spool.add(part, len(part) if number else 1)
            if number % 9 == 0:
                await asyncio.sleep(0.001)
        listener.spool.finish()
        await listener.end()
        assert listener.ends == [None]
        assert listener.credit == 99 * 5000 + 1
        with listener.spool.take_reader() as reader:
            assert reader.read() == b"".join(parts)
        listener.spool.discard()

    run(main)


def test_it_ends_only_when_all_is_written() -> None:
    async def main() -> None:
        listener = Listener()
        listener.spool.add(b"x" * 100_000, 7)
        listener.spool.finish()
        assert (listener.ends, listener.credit) == ([], 0)
        await listener.end()
        assert listener.credit == 7
        listener.spool.discard()

    run(main)


def test_a_directory_that_is_missing_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
        listener = Listener()
        listener.spool.add(b"x", 1)
        await listener.end()
        assert isinstance(listener.ends[0], FileNotFoundError)
        listener.spool.add(b"y", 1)
        listener.spool.finish()
        await asyncio.sleep(0.01)
        assert (len(listener.ends), listener.credit) == (1, 0)

    run(main)


def test_a_file_that_is_full_ends_it() -> None:
    async def main() -> None:
        listener = Listener()
        listener.spool.add(b"x", 1)
        while not listener.credit:
            await asyncio.sleep(0.001)
        full = os.open("/dev/full", os.O_WRONLY)
        file: Any = listener.spool._file
        os.dup2(full, file.fileno())
        os.close(full)
        listener.spool.add(b"y" * 100_000, 1)
        await listener.end()
        assert isinstance(listener.ends[0], OSError)

    run(main)


@pytest.mark.parametrize("at_once", [True, False])
def test_what_is_discarded_is_closed_and_says_no_more(at_once: bool) -> None:
    async def main() -> None:
        listener = Listener()
        listener.spool.add(b"x" * 1000, 1000)
        if not at_once:
            while not listener.credit:
                await asyncio.sleep(0.001)
        listener.spool.discard()
        listener.spool.add(b"more", 4)
        await asyncio.sleep(0.05)
        assert listener.ends == []
        assert listener.spool._file is None

    run(main)

"""Observers that count what they hear, in place and from a queue: what ``observed`` and ``observed-async`` carry."""

from typing import Any

from fastserver.events import Closed, RawData, Updated


class Count:
    """How many events there were of each kind."""

    def __init__(self) -> None:
        self.counts: dict[type, int] = dict.fromkeys((RawData, Updated, Closed), 0)

    def __call__(self, connection: Any, direction: Any, event: Any) -> None:
        self.counts[type(event)] += 1


_COUNTS: dict[type, int] = dict.fromkeys((RawData, Updated, Closed), 0)


async def count_later(connection: Any, direction: Any, event: Any) -> None:
    """The same, awaited."""
    _COUNTS[type(event)] += 1

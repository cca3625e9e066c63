"""The closing state of connections that we have ended (RFC 9000 section 10.2.1).

Their clients may not have heard of it: what comes to a connection's IDs afterwards is answered with the datagram that
closed it.  Nothing else is left of the connection.

Invariants: what is kept is gone ``FAREWELL_S`` after its connection, and there are no more than ``MAX_FAREWELLS``; an
answer is due to the 1st, 2nd, 4th, 8th ... datagram, and all of them together are no larger than what has come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fastserver.protocol.quic.bounds import FAREWELL_S, MAX_FAREWELLS
from fastserver.protocol.quic.datagram import Address

_NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Farewell:
    """The datagram that has closed a connection, and where it went; ``origin`` is who has sent it."""

    data: bytes
    address: Address
    local: bytes | None
    origin: object


class _Closed:
    """One connection that is over."""

    __slots__ = ("_answer_at", "_credit", "_heard", "cids", "farewell", "until")

    def __init__(self, cids: tuple[bytes, ...], farewell: Farewell, until: float) -> None:
        self.cids = cids
        self.farewell = farewell
        self.until = until
        self._heard = 0
        self._answer_at = 1
        #: Bytes that have come, less those of answers.
        self._credit = 0

    def hear(self, size: int) -> bytes | None:
        """So many bytes have come: the answer, if one is due that they pay for."""
        data = self.farewell.data
        self._heard += 1
        self._credit += size
        if self._heard < self._answer_at or self._credit < len(data):
            return None
        self._answer_at *= 2
        self._credit -= len(data)
        return data


class Farewells:
    """Those of one worker, by connection ID, in the order in which they end."""

    def __init__(self) -> None:
        self._table: dict[bytes, _Closed] = {}
        self._order: deque[_Closed] = deque()

    def __len__(self) -> int:
        return len(self._order)

    def keep(self, cids: Iterable[bytes], farewell: Farewell, now: float) -> None:
        """A connection with these IDs has ended with ``farewell``."""
        self.expire(now)
        if len(self._order) >= MAX_FAREWELLS:
            self._lose_oldest()
        closed = _Closed(tuple(cids), farewell, now + FAREWELL_S)
        self._table.update(dict.fromkeys(closed.cids, closed))
        self._order.append(closed)

    def find(self, cid: bytes) -> _Closed | None:
        """Whose ``cid`` was, where it has closed lately."""
        return self._table.get(cid)

    def expire(self, now: float) -> float:
        """Forget those whose time is over: when the next one's is; infinity for never."""
        while self._order and self._order[0].until <= now:
            self._lose_oldest()
        return self._order[0].until if self._order else _NEVER

    def take(self, origin: object) -> list[Farewell]:
        """Forget what ``origin`` has sent, and give it back."""
        found = [closed for closed in self._order if closed.farewell.origin is origin]
        self._order = deque(closed for closed in self._order if closed.farewell.origin is not origin)
        for closed in found:
            self._forget(closed)
        return [closed.farewell for closed in found]

    def _lose_oldest(self) -> None:
        self._forget(self._order.popleft())

    def _forget(self, closed: _Closed) -> None:
        for cid in closed.cids:
            if self._table.get(cid) is closed:
                del self._table[cid]

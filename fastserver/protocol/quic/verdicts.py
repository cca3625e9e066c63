"""What may become of a datagram for which there is no connection, as the dispatcher says and the transport does.

Of the standard library alone: who only acts on verdicts needs nothing of QUIC.
"""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Open:
    """Make a connection: of a client that first chose ``original_cid``, and was sent to ``retry_cid`` if to any.

    ``initial_cid`` is where its Initial packets go until it knows better.
    """

    original_cid: bytes
    retry_cid: bytes | None

    @property
    def initial_cid(self) -> bytes:
        return self.original_cid if self.retry_cid is None else self.retry_cid


@dataclass(frozen=True, slots=True)
class Reply:
    """Send ``data`` to where the datagram came from."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Forward:
    """Hand the datagram to ``worker``."""

    worker: int


Verdict: TypeAlias = Open | Reply | Forward

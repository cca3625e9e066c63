"""What a protocol handler holds of its connection; the contract stands in ``handler``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastserver._speedups.contract import ClientDisconnected, Peer
from fastserver._speedups.events import CLOSED, Closed, Event, RawData, Updated

if TYPE_CHECKING:
    from .handler import HandlerProtocol


class HandlerConnection:
    """One connection, as its handler sees it.

    ``id`` numbers the connections of a worker, ``peer`` holds the addresses, the scheme, the ALPN name and TLS facts.
    """

    __slots__ = ("__weakref__", "_protocol", "id", "peer")

    def __init__(self, protocol: HandlerProtocol) -> None:
        # None once the handler has heard Closed, so that neither keeps the other.
        self._protocol: HandlerProtocol | None = protocol
        self.id: int = protocol.connection.id
        self.peer: Peer = protocol.connection.get_peer()

    def send(self, event: Event) -> None:
        """Say one ``RawData``, ``Updated`` or ``Closed``, or raise ``TypeError``.  Dropped after the end."""
        if not isinstance(event, (RawData, Updated, Closed)):
            raise TypeError(f"a protocol handler sends RawData, Updated and Closed, not {type(event).__name__}")
        if self._protocol is not None:
            self._protocol.say(event)

    async def wait_writable(self) -> None:
        """Return once the peer has taken enough to be sent more.  Raises ``ClientDisconnected`` after the end."""
        if self._protocol is None:
            raise ClientDisconnected
        await self._protocol.wait_writable()

    def close(self) -> None:
        """Close the connection once all is written; the same as to send ``Closed()``."""
        self.send(CLOSED)

    def abort(self) -> None:
        """Drop the connection at once, so that the peer sees a reset and never a clean end."""
        if self._protocol is not None:
            self._protocol.abort()

    @property
    def is_draining(self) -> bool:
        """Whether the connection will be closed as soon as it is idle, or is closed already."""
        return self._protocol is None or self._protocol.is_draining

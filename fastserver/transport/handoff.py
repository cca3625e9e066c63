"""Datagrams from worker to worker: what reached one and is for another goes through a Unix datagram socket.

A datagram meets the wrong worker where the kernel does not steer (``UDPGroup``), in the moment in which it learns to
steer anew, and where only the worker can tell whose it is.  Each worker number has an inbox, made before the fork.
Nothing here waits: what does not fit into an inbox is lost, as it would be on the network.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from fastserver.protocol.quic.datagram import Address

if TYPE_CHECKING:
    from fastserver.transport.udpgroup import UDPGroup

#: Takes what another worker has handed over: payload, the peer's address, ours (packed) where it is known,
#: index of the port in the group.
TakeDatagram: TypeAlias = Callable[[bytes, Address, "bytes | None", int], object]

#: Index of the port, the peer's port, lengths of the peer's host and of our address (0: unknown).
_HEAD: Final = struct.Struct("!BHBB")

#: The longest payload of UDP, and what is before it.
_READ_BYTES: Final = 65535 + _HEAD.size + 2 * 255

#: Datagrams that are read before the loop gets its turn.
_BATCH: Final = 64


def pack(data: bytes, address: Address, local: bytes | None, port_index: int) -> bytes:
    """One message: the datagram, where it came from, at which of our addresses (packed; ``None``: unknown) and port."""
    host = address[0].encode()
    here = local or b""
    return b"".join((_HEAD.pack(port_index, address[1], len(host), len(here)), host, here, data))


def unpack(message: bytes) -> tuple[bytes, Address, bytes | None, int]:
    """What ``pack`` was given.  Only workers of this server can write to an inbox, so what is in it is whole."""
    port_index, port, host_bytes, local_bytes = _HEAD.unpack_from(message)
    middle = _HEAD.size + host_bytes
    start = middle + local_bytes
    address = message[_HEAD.size : middle].decode(), port
    return message[start:], address, message[middle:start] or None, port_index


class Handoff:
    """One worker's end: ``send`` gives datagrams to others, and ``take`` gets what they give."""

    def __init__(self, group: UDPGroup, number: int, take: TakeDatagram) -> None:
        self._group = group
        self._inbox = group.get_inbox(number)
        self._take = take
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """In the worker's loop: read the inbox from now on.  A group of one has none."""
        if self._inbox is not None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._inbox.fileno(), self.on_readable)

    def send(self, worker: int, data: bytes, address: Address, local: bytes | None, port_index: int) -> bool:
        """Hand a datagram to ``worker``; ``False`` where it was dropped: its inbox is full, or nobody has it.

        Never blocks and never raises.
        """
        outbox = self._group.get_outbox(worker) if self._group.is_living(worker) else None
        if outbox is None:
            return False
        try:
            outbox.send(pack(data, address, local, port_index))
        except OSError:  # full, or the system is out of buffers
            return False
        return True

    def on_readable(self) -> None:
        """Take what is in the inbox, a batch of it at most: the loop calls again while there is more."""
        for _ in range(_BATCH):
            if self._inbox is None or self._inbox.fileno() < 0:
                return  # closed by what was taken
            try:
                message = self._inbox.recv(_READ_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            self._take(*unpack(message))

    def close(self) -> None:
        """Read no more, and give up the inbox; safe to repeat."""
        if self._loop is not None and self._inbox is not None:
            self._loop.remove_reader(self._inbox.fileno())
        self._loop = None
        if self._inbox is not None:
            self._inbox.close()
            self._inbox = None

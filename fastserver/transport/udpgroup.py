"""The UDP sockets of all workers of one server, and which of them gets a datagram.

A connection of QUIC lives in one worker and may change its address, so datagrams cannot be spread by address: each
connection ID of ours carries the number of its worker (``fastserver.protocol.quic.cids``).  There are two modes:

- *steered*, on Linux: each worker number has a socket of its own on each port (SO_REUSEPORT), and a program in the
  kernel chooses among them (``fastserver.transport.steering``).  It needs no privilege.
- *shared*, elsewhere or where that is refused: one socket for each port, read by all workers; what is not its own a
  worker hands to its owner.

The parent makes the group before it forks and keeps all sockets open until the last worker is gone: the kernel numbers
the sockets of a port in the order in which they were bound, and closes gaps.  So a number is an index, and the sockets
of a number outlive its workers.  A number whose worker is gone is *deaf*: its sockets drop what reaches them and
are emptied, so that its next worker does not meet what was meant for the last.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import socket
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from fastserver.config.bind import TCPBind
from fastserver.protocol.quic.cids import MAX_WORKERS
from fastserver.protocol.quic.datagram import Address
from fastserver.transport.bpf import DROP_ALL, SO_ATTACH_FILTER, SO_ATTACH_REUSEPORT_CBPF, SO_DETACH_FILTER, attach
from fastserver.transport.sockets import BindError, bind_targets, explain, resolve, set_v6only
from fastserver.transport.steering import compose_steering, pick_number

#: What an inbox may hold, where the system allows it (it often allows less).
INBOX_BYTES: Final = 4 * 1024 * 1024

#: What a number is, as the workers see it.
_GONE, _LIVING, _ACCEPTING = 0, 1, 2


class UDPGroup:
    """The sockets of ``numbers`` worker numbers on each address of ``binds``.  Raises ``BindError``.

    ``constants`` are those of the connection IDs; ``secret`` is for the workers to share, and not used here.  With one
    number there is one plain socket for each address and no inbox: for a server that is alone.
    """

    def __init__(
        self,
        binds: Sequence[TCPBind],
        numbers: int,
        constants: tuple[int, int, int],
        log: logging.Logger,
        *,
        secret: bytes = b"",
        dual_stack: bool = True,
        steered: bool = True,
    ) -> None:
        if not 1 <= numbers <= MAX_WORKERS:
            raise ValueError(f"worker numbers are 1 to {MAX_WORKERS}, not {numbers}")
        self.numbers = numbers
        self.secret = secret
        self.steered = False
        self._constants = constants
        self._log = log
        self._states = mmap.mmap(-1, MAX_WORKERS)  # shared with the workers that are forked from here
        self._seen: bytes = bytes(MAX_WORKERS)  # what the kernel was told last
        self._ports: list[list[socket.socket | None]] = []
        self._inboxes: list[socket.socket | None] = []
        self._outboxes: list[socket.socket | None] = []
        try:
            self._bind(binds, dual_stack)
            if numbers > 1:
                self._open_inboxes()
                self.steered = steered and sys.platform == "linux" and self._multiply()
        except OSError as error:
            self.close()
            raise BindError(f"cannot open the UDP sockets of {numbers} workers: {explain(error)}") from None
        except BaseException:
            self.close()
            raise
        if numbers == 1:
            self.steer({0}, {0})

    # What the parent does.

    def steer(self, accepting: Collection[int], living: Collection[int]) -> bool:
        """Send what arrives from now on to ``living`` workers, new connections to those ``accepting``.

        Each port goes from the former order to this one in a single step, so nothing is lost.  Without anybody who
        accepts, new ones go to the living, who know what to answer.  ``False`` where the kernel did not take it: then
        the former order goes on, and the workers hand over what they get wrongly.
        """
        states = bytearray(MAX_WORKERS)
        for number in living:
            states[number] = _ACCEPTING if number in accepting else _LIVING
        risen = [number for number in range(self.numbers) if states[number] and not self._seen[number]]
        fallen = [number for number in range(self.numbers) if self._seen[number] and not states[number]]
        self._states[:] = self._seen = bytes(states)
        if not self.steered:
            self._empty_queues(fallen)
            return True
        try:
            for number in risen:
                for port in self._ports:
                    _set_deaf(port[number], False)
            if living:
                program = compose_steering(self._constants, accepting or living, living)
                for port in self._ports:
                    if port[0] is not None:
                        attach(port[0], SO_ATTACH_REUSEPORT_CBPF, program)
            for number in fallen:
                for port in self._ports:
                    _set_deaf(port[number], True)
        except OSError as error:
            self._log.warning("the kernel does not steer UDP: %s; workers hand datagrams over", explain(error))
            return False
        finally:
            self._empty_queues(fallen)
        return True

    def close(self) -> None:
        """Close all that this process holds; safe to repeat."""
        for group in (*self._ports, self._inboxes, self._outboxes):
            for sock in group:
                if sock is not None:
                    sock.close()

    # What a worker does.

    def take(self, number: int) -> list[socket.socket]:
        """In the worker: its sockets, one for each port, unblocking.

        What is other workers' is closed, but for the way to their inboxes.  In the shared mode all workers get the same
        sockets: one that retires stops reading them, and gets what is its own through its inbox.
        """
        sockets: list[socket.socket] = []
        for port in self._ports:
            mine = number if len(port) > 1 else 0
            _keep(port, mine)
            sock = port[mine]
            assert sock is not None, "a worker takes its sockets once"
            sockets.append(sock)
        _keep(self._inboxes, number)
        if self._outboxes:
            own, self._outboxes[number] = self._outboxes[number], None
            if own is not None:
                own.close()
        return sockets

    def is_living(self, number: int) -> bool:
        """Whether a worker has that number and reads what is sent to it."""
        return self._states[number] != _GONE

    def pick(self, cid: bytes, own: int) -> int:
        """The worker for a new client that has chosen ``cid``, as the kernel picks it.

        Where nobody accepts it is one of the living, and where nobody lives (the parent has not heard yet that the
        asking worker is ready), ``own``.
        """
        living = [number for number in range(self.numbers) if self._states[number]]
        accepting = [number for number in living if self._states[number] == _ACCEPTING]
        return pick_number(cid, self._constants, accepting or living or (own,))

    def get_inbox(self, number: int) -> socket.socket | None:
        """Where others put datagrams for ``number``; ``None`` in a group of one, and in workers of another number."""
        return self._inboxes[number] if self._inboxes else None

    def get_outbox(self, number: int) -> socket.socket | None:
        """What leads to the inbox of ``number``; ``None`` for the worker's own."""
        return self._outboxes[number] if self._outboxes else None

    @property
    def addresses(self) -> list[Address]:
        """Host and real port of each port, in the order of their indexes."""
        found = [next(sock for sock in port if sock is not None).getsockname() for port in self._ports]
        return [(host, port) for host, port, *_ in found]

    # Making.

    def _bind(self, binds: Sequence[TCPBind], dual_stack: bool) -> None:
        plans = resolve(binds, dual_stack, socket.SOCK_DGRAM)
        taken: set[tuple[str, int]] = set()
        for bind in binds:
            targets, both = plans[bind]
            self._ports += [[sock] for sock in bind_targets(bind, targets, both, taken, _bind_udp)]

    def _open_inboxes(self) -> None:
        for _ in range(self.numbers):
            inbox, outbox = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._inboxes.append(inbox)
            self._outboxes.append(outbox)
            inbox.setblocking(False)
            outbox.setblocking(False)
            outbox.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, INBOX_BYTES)  # the sender's side bounds a pair

    def _multiply(self) -> bool:
        """Bind a socket for each further number, all of them deaf; ``False`` where the kernel does not steer."""
        # A socket that is bound without SO_REUSEPORT is refused a port that anybody has, even another server of this
        # user that would share it; set afterwards, it opens the port to its siblings.
        try:
            for port in self._ports:
                first = port[0]
                assert first is not None
                first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                while len(port) < self.numbers:
                    port.append(_bind_sibling(first))
                attach(first, SO_ATTACH_REUSEPORT_CBPF, compose_steering(self._constants, (0,), (0,)))
                for sock in port:
                    _set_deaf(sock, True)
        except OSError as error:
            self._log.info("the kernel does not steer UDP (%s): workers share a socket", explain(error))
            for port in self._ports:
                first = port[0]
                assert first is not None
                _keep(port, 0)
                del port[1:]
                _set_deaf(first, False)
                first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
            return False
        return True

    def _empty_queues(self, numbers: Collection[int]) -> None:
        """Throw away what waits for numbers without a worker."""
        for number in numbers:
            queues = [port[number] for port in self._ports] if self.steered else []
            for sock in (*queues, self.get_inbox(number)):
                if sock is not None:
                    _empty(sock)


@dataclass(frozen=True, slots=True)
class QUICPlace:
    """What a worker gets to serve QUIC: the sockets of all, and the number that is its own."""

    group: UDPGroup
    number: int


def _bind_udp(family: int, address: tuple[object, ...], dual_stack: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    try:
        sock.setblocking(False)
        set_v6only(sock, address, dual_stack)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_sibling(first: socket.socket) -> socket.socket:
    sock = socket.socket(first.family, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    try:
        sock.setblocking(False)
        if first.family == socket.AF_INET6:
            only = first.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(first.getsockname())
    except BaseException:
        sock.close()
        raise
    return sock


def _set_deaf(sock: socket.socket | None, is_deaf: bool) -> None:
    """Let the kernel drop all that reaches ``sock``, or no more."""
    if sock is None:
        return
    if is_deaf:
        attach(sock, SO_ATTACH_FILTER, DROP_ALL)
        return
    with contextlib.suppress(FileNotFoundError):  # it heard already
        sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


def _empty(sock: socket.socket) -> None:
    try:
        while True:
            sock.recv(1)
    except OSError:
        pass  # empty, or an error of the network that nobody is there to hear


def _keep(socks: list[socket.socket | None], number: int) -> None:
    """Close all of ``socks`` but one."""
    for index, sock in enumerate(socks):
        if index != number and sock is not None:
            sock.close()
            socks[index] = None

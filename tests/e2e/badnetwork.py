"""A UDP proxy that loses, reorders, doubles and delays datagrams, and moves its clients to other ports.

One thread.  Each client has a socket of its own towards the server, as behind a NAT, so the server tells clients apart
by their ports.  What becomes of a datagram is drawn from a seeded source, in the order in which datagrams come.
"""

import contextlib
import heapq
import random
import selectors
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

Address = tuple[str, int]

#: Datagrams taken from one socket before the others have their turn.
TURN = 32
ROOM_BYTES = 4 << 20
#: By how much a datagram is late that is to come out of its order.
LATE_S = 0.003
PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of all datagrams, both ways, and the seconds that each way takes."""

    loss: float = 0.0
    reorder: float = 0.0
    duplicate: float = 0.0
    delay_s: float = 0.0
    seed: int = 1


@dataclass(order=True, slots=True)
class Flight:
    """A datagram under way: it leaves ``source`` at ``when``, towards ``target``, or where it is connected to."""

    when: float
    serial: int
    source: socket.socket = field(compare=False)
    target: Address | None = field(compare=False)
    data: bytes = field(compare=False)


class BadNetwork:
    """Datagrams to ``port`` go to 127.0.0.1:``server_port``.  A context manager; within it the thread runs."""

    def __init__(self, server_port: int, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        #: Datagrams by what became of them: "up" and "down" as they came, "lost", "late" and "doubled".
        self.counts: Counter[str] = Counter()
        self._server: Address = ("127.0.0.1", server_port)
        self._front = _open_socket()
        self._front.bind(("127.0.0.1", 0))
        self.port: int = self._front.getsockname()[1]
        self._chance = random.Random(self.faults.seed)
        self._upstream: dict[Address, socket.socket] = {}
        self._left: list[socket.socket] = []
        self._flights: list[Flight] = []
        self._serial = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._front, selectors.EVENT_READ)
        self._bell, self._ringer = socket.socketpair()
        self._selector.register(self._bell, selectors.EVENT_READ)
        self._orders: list[threading.Event] = []
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "BadNetwork":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped = True
        self._ringer.send(b".")
        self._thread.join(PATIENCE_S)
        self._selector.close()
        for one in (self._front, self._bell, self._ringer, *self._upstream.values(), *self._left):
            one.close()

    @property
    def ports(self) -> list[int]:
        """The ports by which the server knows the clients now."""
        return [one.getsockname()[1] for one in self._upstream.values()]

    def rebind(self) -> None:
        """Give every client another port towards the server; what still comes to the old one is lost in silence."""
        done = threading.Event()
        self._orders.append(done)
        self._ringer.send(b".")
        assert done.wait(PATIENCE_S)

    def _run(self) -> None:
        while not self._stopped:
            pause = None if not self._flights else max(0.0, self._flights[0].when - time.monotonic())
            for key, _ in self._selector.select(pause):
                if key.fileobj is self._bell:
                    self._obey()
                elif key.fileobj is self._front:
                    self._take_up()
                else:
                    self._take_down(key.data, key.fileobj)
            self._deliver()

    def _obey(self) -> None:
        self._bell.recv(1024)
        while self._orders:
            for client, before in list(self._upstream.items()):
                self._selector.unregister(before)
                self._left.append(before)  # stays open, since a closed port would answer by ICMP
                self._open_upstream(client)
            self._orders.pop().set()

    def _open_upstream(self, client: Address) -> socket.socket:
        upstream = _open_socket()
        upstream.connect(self._server)
        self._selector.register(upstream, selectors.EVENT_READ, client)
        self._upstream[client] = upstream
        return upstream

    def _take_up(self) -> None:
        with contextlib.suppress(OSError):
            for _ in range(TURN):
                data, client = self._front.recvfrom(65536)
                upstream = self._upstream.get(client) or self._open_upstream(client)
                self._pass("up", data, upstream, None)

    def _take_down(self, client: Address, upstream: object) -> None:
        assert isinstance(upstream, socket.socket)
        with contextlib.suppress(OSError):
            for _ in range(TURN):
                self._pass("down", upstream.recv(65536), self._front, client)

    def _pass(self, way: str, data: bytes, source: socket.socket, target: Address | None) -> None:
        """Draw what becomes of a datagram: three numbers each, so that one fault does not shift the others."""
        faults = self.faults
        loss, reorder, duplicate = (self._chance.random() for _ in range(3))
        self.counts[way] += 1
        if loss < faults.loss:
            self.counts["lost"] += 1
            return
        when = time.monotonic() + faults.delay_s
        if reorder < faults.reorder:
            self.counts["late"] += 1
            when += LATE_S
        self._launch(when, data, source, target)
        if duplicate < faults.duplicate:
            self.counts["doubled"] += 1
            self._launch(when, data, source, target)

    def _launch(self, when: float, data: bytes, source: socket.socket, target: Address | None) -> None:
        self._serial += 1
        heapq.heappush(self._flights, Flight(when, self._serial, source, target, data))

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._flights and self._flights[0].when <= now:
            flight = heapq.heappop(self._flights)
            with contextlib.suppress(OSError):  # a full buffer, or nobody there: lost, as elsewhere
                if flight.target is None:
                    flight.source.send(flight.data)
                else:
                    flight.source.sendto(flight.data, flight.target)


def _open_socket() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        one.setsockopt(socket.SOL_SOCKET, option, ROOM_BYTES)
    return one

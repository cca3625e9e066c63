"""A UDP port on a bench: a fake wire and a fake dispatcher behind it, a client before it, a loop turned by hand.

A datagram's second byte is its connection's ID; the first says what becomes of it where that is not open: "o" opens it,
"r" asks for a reply, "f" is another worker's.
"""

import asyncio
import math
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

from fastserver._speedups.contract import Host, Protocol
from fastserver._speedups.events import CLOSED, Closed, Event, RawData
from fastserver._speedups.udp import UDPConnection, UDPPort
from fastserver.protocol.quic.farewells import Farewell
from fastserver.protocol.quic.verdicts import Forward, Open, Reply, Verdict
from tests.fakes import echo, make_host
from tests.handloop import HandLoop

# The hot rooms have no type hints.
Base: Any = Protocol
Address: TypeAlias = tuple[str, int]


class FakeWire(Base):  # type: ignore[misc]
    """Notes what it hears; answers each datagram in upper case when the turn ends."""

    def __init__(self, connection: UDPConnection) -> None:
        self.connection: Any = connection
        self.deadline = math.inf
        self.heard: list[Any] = []
        self.timers: list[float] = []
        self.answers: list[RawData] = []
        self.next_timer = math.inf

    def handle(self, event: Event) -> None:
        if isinstance(event, RawData):
            self.heard.append(event.data)
            if event.data.endswith(b"!"):
                raise RuntimeError("a fault of ours")
            if event.data.endswith(b"."):
                self.connection.send(RawData(b"BYE", event.address))
                self.connection.note_farewell(b"BYE")
                self.connection.send(CLOSED)
                return
            self.answers.append(RawData(event.data.upper(), event.address))
            self.connection.set_timer(0.0)
        else:
            self.heard.append("closed" if isinstance(event, Closed) else event)

    def on_timer(self, now: float) -> None:
        self.timers.append(now)
        answers, self.answers = self.answers, []
        for answer in answers:
            self.connection.send(answer)
        self.connection.set_timer(self.next_timer)

    def on_deadline(self, now: float) -> None:
        self.heard.append("deadline")

    def on_idle_timeout(self) -> None:
        self.connection.send(CLOSED)

    def drain(self) -> None:
        self.heard.append("drain")

    def describe_state(self) -> str:
        return "open"

    def count_streams(self) -> int:
        return 1


class FakeProtocol:
    """What a port serves: ``wires`` are those that were opened, ``facts`` those whose TLS was asked for."""

    name = "h3"
    scheme = "https"

    def __init__(self) -> None:
        self.wires: list[FakeWire] = []
        self.facts: list[FakeWire] = []

    def open(self, connection: UDPConnection, host: Host, original_cid: bytes, retry_cid: bytes | None) -> FakeWire:
        assert retry_cid is None
        if original_cid == b"X":
            raise RuntimeError("no wire")
        self.wires.append(FakeWire(connection))
        return self.wires[-1]

    def make_tls_facts(self, wire: FakeWire) -> dict[str, Any] | None:
        self.facts.append(wire)
        return {"tls_version": 0x0304} if len(wire.heard) > 2 else None


class FakeDispatcher:
    """Connections by the first byte of their datagrams."""

    def __init__(self) -> None:
        self.table: dict[bytes, Any] = {}
        self.forgotten: list[Any] = []
        self.asked: list[tuple[bytes, Address, float, bool]] = []
        self.handshakes: list[Any] = []
        self.farewells: list[tuple[float, Farewell]] = []
        self.expired_at: list[float] = []

    def find(self, data: bytes) -> Any:
        return self.table.get(data[1:2])

    def admit(self, data: bytes, address: Address, now: float, *, is_forwarded: bool) -> Verdict | None:
        self.asked.append((data, address, now, is_forwarded))
        cid = data[1:2]
        if data[:1] == b"o":
            return Open(cid, None)
        if data[:1] == b"r":
            return Reply(b"reply")
        if data[:1] == b"f":
            return Forward(3)
        return None

    def note_opened(self, connection: Any, initial_cid: bytes) -> None:
        self.table[initial_cid] = connection

    def note_handshake_done(self, connection: Any, now: float) -> None:
        self.handshakes.append(connection)

    def register(self, connection: Any, cid: bytes) -> None:
        self.table[cid] = connection

    def unregister(self, connection: Any, cid: bytes) -> None:
        del self.table[cid]

    def forget(self, connection: Any, farewell: Farewell | None, now: float) -> None:
        self.table = {cid: each for cid, each in self.table.items() if each is not connection}
        self.forgotten.append(connection.id)
        if farewell is not None:
            self.farewells.append((now + 3.0, farewell))

    def expire(self, now: float) -> float:
        self.expired_at.append(now)
        self.farewells = [kept for kept in self.farewells if kept[0] > now]
        return self.farewells[0][0] if self.farewells else math.inf

    def take_farewells(self, origin: object) -> list[Farewell]:
        taken = [farewell for _, farewell in self.farewells]
        assert all(farewell.origin is origin for farewell in taken)
        self.farewells = []
        return taken


class Strait:
    """A port's socket that can be full: one end of a Unix pair, which takes any name and holds few datagrams."""

    family = socket.AF_INET

    def __init__(self) -> None:
        self.end, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.end.setblocking(False)
        self.other.setblocking(False)

    def getsockname(self) -> Address:
        return ("127.0.0.1", 443)

    def fileno(self) -> int:
        return self.end.fileno()

    def setblocking(self, flag: bool) -> None:
        assert flag is False

    def setsockopt(self, *arguments: Any) -> None:
        """It has none of UDP's options."""

    def close(self) -> None:
        self.end.close()
        self.other.close()

    def fill(self) -> None:
        """There is no room, until the other end has read."""
        with suppress(BlockingIOError):
            while True:
                self.end.send(b"filling")

    def read(self, count: int = 100_000) -> list[bytes]:
        """So many datagrams leave, or all; of those, what the port wrote."""
        found: list[bytes] = []
        with suppress(BlockingIOError):
            while len(found) < count:
                found.append(self.other.recv(65536))
        return [data for data in found if data != b"filling"]


class PortLoop(HandLoop):
    """A `HandLoop` that keeps readers and writers for a test to call."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: dict[int, Callable[[], None]] = {}
        self.writers: dict[int, Callable[[], None]] = {}
        self.called_at: list[float] = []

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        self.readers[fd] = callback

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        self.writers[fd] = callback

    def remove_reader(self, fd: int) -> None:
        self.readers.pop(fd, None)

    def remove_writer(self, fd: int) -> None:
        self.writers.pop(fd, None)

    def call_at(self, when: float, *arguments: Any, **options: Any) -> asyncio.TimerHandle:
        self.called_at.append(when)
        return super().call_at(when, *arguments, **options)

    def count_timers(self) -> int:
        return sum(not handle.cancelled() for _, _, handle in self._timers)


class Bench:
    """A port on a real socket, in a loop turned by hand or a real one, and a client."""

    def __init__(self, loop: Any = None, /, host: str = "127.0.0.1", sock: Any = None, **limits: float) -> None:
        self.loop = loop or PortLoop()
        self.host: Host = make_host(echo, self.loop, **limits)
        self.dispatcher = FakeDispatcher()
        self.protocol = FakeProtocol()
        self.wires, self.facts = self.protocol.wires, self.protocol.facts
        self.forwarded: list[tuple[int, bytes, Address, bytes | None]] = []
        self.sock: Any = sock or socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if sock is None:
            self.sock.bind((host, 0))
        self.target = ("127.0.0.1", self.sock.getsockname()[1])
        self.client = self.make_client()
        self.port = UDPPort(self.host, self.sock, self.dispatcher, self.protocol, self.forward)
        self.port.start()

    def make_client(self) -> socket.socket:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.bind(("127.0.0.1", 0))
        client.setblocking(False)
        return client

    def forward(self, *arguments: Any) -> None:
        self.forwarded.append(arguments)

    def feed(self, *datagrams: bytes, client: socket.socket | None = None) -> None:
        """Each is sent by the client; the port reads them in one turn."""
        for data in datagrams:
            (client or self.client).sendto(data, self.target)
        with self.loop.running():
            self.loop.readers[self.sock.fileno()]()

    def talk(self, *datagrams: bytes) -> list[bytes]:
        """The same, and what the client reads of it at the end of the turn."""
        self.feed(*datagrams)
        self.loop.settle()
        return self.read()

    def read(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self.client.recv(65536))
            except BlockingIOError:
                return found

    def deliver(self, *datagrams: bytes) -> None:
        """Each comes from another worker, in one turn."""
        with self.loop.running():
            for data in datagrams:
                self.port.deliver(data, self.client.getsockname(), None)
        self.loop.settle()

    def open(self, *names: str) -> list[FakeWire]:
        self.talk(*(f"o{name}".encode() for name in names))
        return self.wires[-len(names) :]

    def write_freely(self) -> None:
        with self.loop.running():
            self.loop.writers[self.sock.fileno()]()
        self.loop.settle()

    def close(self) -> None:
        """End it all, and see that nothing is left."""
        self.port.close()
        self.port.close()
        self.client.close()
        assert self.sock.fileno() == -1
        assert not self.host.connections
        assert not self.host.arriving
        assert self.dispatcher.table == {}


def check_end(bench: Bench) -> None:
    bench.close()
    bench.loop.settle()
    assert bench.loop.faults == []
    assert (bench.loop.readers, bench.loop.writers, bench.loop.count_timers()) == ({}, {}, 0)

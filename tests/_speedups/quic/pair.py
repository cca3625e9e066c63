"""A server's engine and a client of aioquic's own, joined by a network in memory with a clock of its own."""

import heapq
import random
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("aioquic")

from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.tls import Epoch

from fastserver._speedups.contract import H3Limits
from fastserver._speedups.quic.end import End
from fastserver._speedups.quic.engine import Engine
from tests.certificates import issue

SERVER = ("192.0.2.1", 443)
CLIENT = ("198.51.100.7", 50000)
LATENCY_S = 0.01


def make_server_configuration() -> QuicConfiguration:
    certificate, key = issue()
    return QuicConfiguration(is_client=False, alpn_protocols=["h3"], certificate=certificate, private_key=key)


def make_client(**settings: Any) -> QuicConnection:
    import ssl

    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="localhost", **settings)
    configuration.verify_mode = ssl.CERT_NONE
    return QuicConnection(configuration=configuration)


class CIDs:
    """Connection IDs by number."""

    def __init__(self) -> None:
        self.made = 0

    def make(self) -> bytes:
        self.made += 1
        return b"cid" + self.made.to_bytes(5, "big")

    def make_reset_token(self, cid: bytes) -> bytes:
        return cid + b"reset..."


class Ear:
    """A listener that writes down what it is told; ``on_data`` may answer."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.data: dict[int, bytearray] = {}
        self.ended: set[int] = set()
        self.closed: list[int] = []
        self.cids: list[bytes] = []
        self.terminated: tuple[End, int] | None = None
        self.on_data: Callable[[int, bytes, bool], None] = lambda stream_id, data, ends: None

    def on_handshake(self) -> None:
        self.told.append(("handshake",))

    def on_stream_data(self, stream_id: int, data: bytes, ends: bool) -> None:
        self.data.setdefault(stream_id, bytearray()).extend(data)
        if ends:
            assert stream_id not in self.ended
            self.ended.add(stream_id)
        self.on_data(stream_id, data, ends)

    def on_stream_reset(self, stream_id: int) -> None:
        self.told.append(("reset", stream_id))

    def on_stop_sending(self, stream_id: int) -> None:
        self.told.append(("stop", stream_id))

    def on_stream_closed(self, stream_id: int) -> None:
        self.closed.append(stream_id)

    def on_connection_id(self, cid: bytes, is_new: bool) -> None:
        if is_new:
            self.cids.append(cid)
        else:
            self.cids.remove(cid)

    def on_path(self, address: tuple[str, int]) -> None:
        self.told.append(("path", address))

    def on_terminated(self, end: End, code: int) -> None:
        assert self.terminated is None
        self.terminated = (end, code)


class Pair:
    """Both ends; ``loss`` and ``jitter`` make the network drop and reorder, by ``seed``."""

    def __init__(
        self,
        limits: H3Limits | None = None,
        *,
        client: QuicConnection | None = None,
        server: Any = None,
        loss: float = 0.0,
        twice: float = 0.0,
        jitter_s: float = 0.0,
        latency_s: float = LATENCY_S,
        seed: int = 0,
    ) -> None:
        self.now = 100.0
        self.ear = Ear()
        self.client = client or make_client()
        self.cids = CIDs()
        self.limits = limits or H3Limits()
        self.server: Any = server or Engine(
            self.ear,
            make_server_configuration(),
            self.limits,
            self.cids,
            self.client.original_destination_connection_id,
        )
        self.address = CLIENT
        self.loss = loss
        self.twice = twice
        self.jitter_s = jitter_s
        self.latency_s = latency_s
        self.random = random.Random(seed)
        self.wire: list[tuple[float, int, bool, bytes, Any]] = []
        self.carried = 0
        self.datagrams: list[bytes] = []
        self.got: dict[int, bytearray] = {}
        self.got_end: set[int] = set()
        self.client_told: list[Any] = []
        self.client_acts: Callable[[], None] = lambda: None
        self.server_acts: Callable[[], None] = lambda: None

    def connect(self) -> None:
        self.client.connect(SERVER, self.now)
        self.run(lambda: any(entry[0] == "handshake" for entry in self.ear.told))
        self.settle()

    def put(self, to_server: bool, data: bytes, address: Any) -> None:
        """Give a datagram to the network."""
        if self.random.random() < self.loss:
            return
        copies = 2 if self.random.random() < self.twice else 1
        for _ in range(copies):
            due = self.now + self.latency_s + self.random.random() * self.jitter_s
            self.carried += 1
            heapq.heappush(self.wire, (due, self.carried, to_server, data, address))

    def flush(self) -> None:
        """Both ends say what they have to say."""
        for data, _ in self.client.datagrams_to_send(self.now):
            self.put(True, data, self.address)
        for data, address in self.server.take_datagrams(self.now):
            self.datagrams.append(data)
            self.put(False, data, address)

    def hear(self) -> None:
        """Read the client's events."""
        while (event := self.client.next_event()) is not None:
            if isinstance(event, events.StreamDataReceived):
                self.got.setdefault(event.stream_id, bytearray()).extend(event.data)
                if event.end_stream:
                    self.got_end.add(event.stream_id)
            else:
                self.client_told.append(event)

    def step(self, until: float = float("inf")) -> bool:
        """Go on to the next thing that happens; ``False`` where nothing does."""
        self.client_acts()
        self.server_acts()
        self.flush()
        timer = self.client.get_timer()
        times = [self.server.get_deadline(), float("inf") if timer is None else timer]
        if self.wire:
            times.append(self.wire[0][0])
        due = min(times)
        if due > until or due == float("inf"):
            return False
        self.now = max(self.now, due)
        arrived = False
        while self.wire and self.wire[0][0] <= self.now:
            _, _, to_server, data, address = heapq.heappop(self.wire)
            arrived = True
            if to_server:
                self.server.receive(data, address, self.now)
            elif address == self.address:
                self.client.receive_datagram(data, SERVER, self.now)
        if not arrived:
            self.now += 1e-6
        if timer is not None and timer <= self.now:
            self.client.handle_timer(self.now)
        self.server.on_deadline(self.now)
        self.hear()
        return True

    def run(self, is_done: Callable[[], bool], most_s: float = 120.0, steps: int = 200_000) -> None:
        """Until ``is_done``; fails where nothing more happens."""
        end = self.now + most_s
        for _ in range(steps):
            if is_done():
                return
            assert self.step(end), f"stalled at {self.now}"
        raise AssertionError("too many steps")

    def settle(self, for_s: float = 0.2) -> None:
        """Let so much time pass."""
        end = self.now + for_s
        while self.step(end):
            pass
        self.now = max(self.now, end)

    def craft(self, payload: bytes) -> bytes:
        """A 1-RTT packet of the client with any payload."""
        client = self.client
        number = client._packet_number
        client._packet_number += 1
        pair = client._cryptos[Epoch.ONE_RTT]
        header = bytes([0x41 | pair.key_phase << 2]) + client._peer_cid.cid + number.to_bytes(2, "big")
        return pair.encrypt_packet(header, payload.ljust(4, b"\0"), number)

    def inject(self, payload: bytes) -> None:
        """Let the server receive such a packet at once."""
        self.server.receive(self.craft(payload), self.address, self.now)


def varint(value: int) -> bytes:
    for size, bits in ((1, 0), (2, 1), (4, 2), (8, 3)):
        if value < 1 << (8 * size - 2):
            return (value | bits << (8 * size - 2)).to_bytes(size, "big")
    raise ValueError(value)


def stream_frame(stream_id: int, offset: int, data: bytes, *, ends: bool = False) -> bytes:
    kind = 0x0E | (1 if ends else 0)
    return bytes([kind]) + varint(stream_id) + varint(offset) + varint(len(data)) + data


def connect(limits: H3Limits | None = None, **settings: Any) -> Pair:
    """A pair whose handshake is done."""
    pair = Pair(limits, **settings)
    pair.connect()
    return pair

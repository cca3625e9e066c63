"""QUIC in memory: the engine in both builds beside aioquic's own connection, all with aioquic's client.

Only what the server does is timed.  Requests are 60 raw bytes on a bidirectional stream, answers 20; a round brings one
or 32 of them.  The client is driven without a network: what it says is received in the same turn.
"""

import ssl
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import StreamDataReceived
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.micro.rooms import Room
from bench.micro.timing import Effort, Row

SERVER = ("192.0.2.1", 443)
CLIENT = ("198.51.100.7", 50000)
REQUEST = bytes(60)
ANSWER = bytes(20)
DOWNLOAD_BYTES = 10 << 20
PART = bytes(64 * 1024)
#: Seconds between two turns.
TURN_S = 0.0005
WARM_ROUNDS = 5


class CIDs:
    """Connection IDs by number."""

    def __init__(self) -> None:
        self._made = 0

    def make(self) -> bytes:
        self._made += 1
        return self._made.to_bytes(8, "big")

    def make_reset_token(self, cid: bytes) -> bytes:
        return cid * 2


def make_configuration() -> QuicConfiguration:
    """A server's, with a P-256 certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    return QuicConfiguration(is_client=False, alpn_protocols=["h3"], certificate=certificate, private_key=key)


class Stock:
    """aioquic's connection by the engine's names."""

    def __init__(self, listener: Any, configuration: QuicConfiguration, original_cid: bytes) -> None:
        self._quic = QuicConnection(configuration=configuration, original_destination_connection_id=original_cid)
        self._listener = listener
        self.send = self._quic.send_stream_data
        self.take_datagrams = self._quic.datagrams_to_send

    def receive(self, data: bytes, address: Any, now: float) -> None:
        self._quic.receive_datagram(data, address, now)
        while (event := self._quic.next_event()) is not None:
            if isinstance(event, StreamDataReceived):
                self._listener.on_stream_data(event.stream_id, event.data, event.end_stream)

    def on_deadline(self, now: float) -> None:
        timer = self._quic.get_timer()
        if timer is not None and timer <= now:
            self._quic.handle_timer(now)

    def get_deadline(self) -> float | None:
        return self._quic.get_timer()

    def consume(self, stream_id: int, size: int) -> None:
        """Its windows go by themselves."""

    def get_unsent(self, stream_id: int) -> int:
        sender = self._quic._streams[stream_id].sender
        return sender._buffer_stop - sender.highest_offset


class Listener:
    """Answers requests; what else it is told it lets pass."""

    server: Any

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def on_stream_data(self, stream_id: int, data: bytes, ends: bool) -> None:
        self.server.consume(stream_id, len(data))
        if ends and self._answer:
            self.server.send(stream_id, self._answer, True)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


def make_client() -> QuicConnection:
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="localhost")
    configuration.verify_mode = ssl.CERT_NONE
    configuration.max_data = configuration.max_stream_data = 2 * DOWNLOAD_BYTES
    return QuicConnection(configuration=configuration)


class Line:
    """One connection: ``taken_s`` is what the server's side has taken, ``got`` what the client got."""

    def __init__(self, make_server: Callable[[Listener, bytes], Any], answer: bytes = ANSWER) -> None:
        self.now = 1.0
        self.taken_s = 0.0
        self.got = 0
        self.ended = 0
        self.feed: Callable[[], None] = lambda: None
        self.client = make_client()
        self._make_server = make_server
        self._listener = Listener(answer)
        self.server: Any = None
        self.client.connect(SERVER, self.now)
        while not self.client._handshake_confirmed:
            self.turn()

    def turn(self) -> None:
        """The client speaks, the server hears and answers."""
        self.now += TURN_S
        said = self.client.datagrams_to_send(self.now)
        started = time.perf_counter()
        if self.server is None:
            original = self.client.original_destination_connection_id
            self.server = self._listener.server = self._make_server(self._listener, original)
        for data, _ in said:
            self.server.receive(data, CLIENT, self.now)
        self.server.on_deadline(self.now)
        self.feed()
        answered = self.server.take_datagrams(self.now)
        self.server.get_deadline()
        self.taken_s += time.perf_counter() - started
        for data, _ in answered:
            self.client.receive_datagram(data, SERVER, self.now)
        while (event := self.client.next_event()) is not None:
            if isinstance(event, StreamDataReceived):
                self.got += len(event.data)
                self.ended += event.end_stream
        timer = self.client.get_timer()
        if timer is not None and timer <= self.now:
            self.client.handle_timer(self.now)


def time_requests(make_server: Callable[[Listener, bytes], Any], batch: int, rounds: int) -> float:
    """Nanoseconds a request in rounds of ``batch``."""
    line = Line(make_server)
    for number in range(WARM_ROUNDS + rounds):
        if number == WARM_ROUNDS:
            line.taken_s = 0.0
        wanted = line.ended + batch
        for _ in range(batch):
            line.client.send_stream_data(line.client.get_next_available_stream_id(), REQUEST, end_stream=True)
        while line.ended < wanted:
            line.turn()
    return line.taken_s / (rounds * batch) * 1e9


def time_download(make_server: Callable[[Listener, bytes], Any], size: int = DOWNLOAD_BYTES) -> float:
    """Nanoseconds for each KiB of a large answer that is given in parts."""
    line = Line(make_server, b"")
    line.client.send_stream_data(0, REQUEST)
    line.turn()
    line.turn()
    line.taken_s = 0.0
    given = 0

    def feed() -> None:
        nonlocal given
        while given < size and line.server.get_unsent(0) <= len(PART):
            line.server.send(0, PART, False)
            given += len(PART)

    line.feed = feed
    while line.got < size:
        line.turn()
    return line.taken_s / (size / 1024) * 1e9


def list_makers(rooms: list[Room]) -> dict[str, Callable[[Listener, bytes], Any]]:
    """What makes the server's side: the engine of each room, and aioquic's connection."""
    configuration = make_configuration()
    cids = CIDs()

    def select(room: Room) -> Callable[[Listener, bytes], Any]:
        engine = room.module("quic.engine").Engine
        limits = room.module("contract").H3Limits()
        return lambda listener, original: engine(listener, configuration, limits, cids, original)

    makers = {room.name: select(room) for room in rooms}
    makers["aioquic"] = lambda listener, original: Stock(listener, configuration, original)
    return makers


def measure(rooms: list[Room], effort: Effort) -> list[Row]:
    """Nanoseconds a handshake, a request, and a KiB of a download: the least of some tries each."""
    makers = list_makers(rooms)
    tries = range(max(1, effort.repeats // 10))
    cases: dict[str, Callable[[Callable[[Listener, bytes], Any]], float]] = {
        "handshake": lambda maker: min(Line(maker).taken_s for _ in range(10)) * 1e9,
        "request, one at a time": lambda maker: time_requests(maker, 1, 200),
        "request of 32 at a time": lambda maker: time_requests(maker, 32, 30),
        "KiB of a 10 MiB download": time_download,
    }
    return [
        Row(name, {variant: min(case(maker) for _ in tries) for variant, maker in makers.items()})
        for name, case in cases.items()
    ]

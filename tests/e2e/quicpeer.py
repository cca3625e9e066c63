"""Clients of HTTP/3 on real sockets: a good one on aioquic, and one that seals whatever it is told with its keys."""

import contextlib
import math
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("aioquic")

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, StreamDataReceived
from aioquic.quic.events import StreamReset as StreamWasReset
from aioquic.tls import Epoch

from tests.e2e.processes import PATIENCE_S
from tests.h2wire import Answer
from tests.h3wire import DATA, HEADERS, frame, read_varint, settings, varint

if TYPE_CHECKING:
    from typing_extensions import Self

pylsqpack = pytest.importorskip("pylsqpack")

HOST = "127.0.0.1"
#: A client's control stream, and a server's.
CONTROL, SERVER_CONTROL = 2, 3
#: What a path must carry (RFC 9000 section 14.1); bytes.
DATAGRAM = 1200

Fields = Iterable[tuple[bytes, bytes]]


def make_configuration(token: bytes = b"", window: int = 1 << 24, name: str = "localhost") -> QuicConfiguration:
    return QuicConfiguration(
        is_client=True,
        alpn_protocols=["h3"],
        server_name=name,
        verify_mode=ssl.CERT_NONE,
        max_data=window,
        max_stream_data=window,
        token=token,
        idle_timeout=PATIENCE_S,
    )


def make_socket(port: int) -> socket.socket:
    """A UDP socket of a port of its own that talks to the server."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((HOST, port))
    sock.setblocking(False)
    return sock


def make_first_datagram() -> bytes:
    """What a client says first: 1200 bytes of an Initial packet with its ClientHello."""
    quic = QuicConnection(configuration=make_configuration())
    quic.connect((HOST, 443), time.monotonic())
    (data, _), *_ = quic.datagrams_to_send(time.monotonic())
    return data


def drain(sock: socket.socket) -> list[bytes]:
    """What has come by now."""
    found = []
    while True:
        try:
            found.append(sock.recv(65536))
        except BlockingIOError:
            return found
        except ConnectionRefusedError:
            raise AssertionError("the server's socket is gone") from None


def collect(sock: socket.socket, for_s: float) -> list[bytes]:
    """What comes in so much time."""
    found = []
    until = time.monotonic() + for_s
    while (left := until - time.monotonic()) > 0:
        if select.select([sock], [], [], left)[0]:
            found += drain(sock)
    return found


class QuicPeer:
    """One connection; ``answers`` is what came by stream, ``over`` how the server ended it."""

    def __init__(self, port: int, token: bytes = b"", window: int = 1 << 24, name: str = "localhost") -> None:
        self.port = port
        self.sock = make_socket(port)
        self.quic = QuicConnection(configuration=make_configuration(token, window, name))
        self.answers: dict[int, Answer] = {}
        self.heard: list[bytes] = []
        self.is_open = False
        self.over: ConnectionTerminated | None = None
        self._encoder = pylsqpack.Encoder()
        self._decoder = pylsqpack.Decoder(0, 0)
        self._data: dict[int, bytes] = {}
        self.next_id = 0
        self.quic.connect((HOST, port), time.monotonic())
        self.flush()

    def __enter__(self) -> "Self":
        self.wait(lambda: self.is_open, "a handshake")
        self.quic.send_stream_data(CONTROL, varint(0) + settings())
        self.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.over is None:
            self.quic.close()
            self.flush()
        self.sock.close()

    # What it says.

    def head(self, path: str = "/", method: bytes = b"GET", fields: Fields = ()) -> bytes:
        """A HEADERS frame."""
        pseudo = [(b":method", method), (b":scheme", b"https"), (b":authority", b"localhost")]
        return frame(HEADERS, self._encoder.encode(0, [*pseudo, (b":path", path.encode()), *fields])[1])

    def take_id(self) -> int:
        """The next request stream."""
        self.next_id += 4
        return self.next_id - 4

    def request(self, path: str = "/", body: bytes | None = None, ends: bool = True) -> int:
        """Begin a request: its stream."""
        stream = self.take_id()
        said = self.head(path, b"GET" if body is None else b"POST") + (b"" if body is None else frame(DATA, body))
        self.quic.send_stream_data(stream, said, ends)
        self.flush()
        return stream

    def fetch(self, path: str = "/", body: bytes | None = None) -> Answer:
        stream = self.request(path, body)
        self.wait(lambda: stream in self.answers and self.answers[stream].ended, "an answer")
        return self.answers.pop(stream)

    def flush(self) -> None:
        """Send what aioquic has to say."""
        for data, _ in self.quic.datagrams_to_send(time.monotonic()):
            self.send(data)

    def send(self, data: bytes) -> None:
        """One datagram; lost where the socket is full, as on any network."""
        with contextlib.suppress(BlockingIOError):
            self.sock.send(data)

    # What it hears.

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"not in time: {what}"
            assert self.over is None, f"ended before {what}: {self.over}"
            self.pump(deadline)

    def wait_over(self, within_s: float = PATIENCE_S) -> ConnectionTerminated:
        """How the server ends the connection."""
        deadline = time.monotonic() + within_s
        while self.over is None:
            assert time.monotonic() < deadline, "the connection was not ended"
            self.pump(deadline)
        return self.over

    def pump(self, until: float = 0.0) -> None:
        """Read what there is, or wait for something until then, and answer it."""
        timer = self.quic.get_timer()
        due = min(until, math.inf if timer is None else timer)
        select.select([self.sock], [], [], max(0.0, due - time.monotonic()))
        for data in drain(self.sock):
            self.quic.receive_datagram(data, (HOST, self.port), time.monotonic())
        timer = self.quic.get_timer()
        if timer is not None and timer <= time.monotonic():
            self.quic.handle_timer(time.monotonic())
        self.flush()
        self._hear()

    def _hear(self) -> None:
        while (event := self.quic.next_event()) is not None:
            if isinstance(event, HandshakeCompleted):
                self.is_open = True
            elif isinstance(event, ConnectionTerminated):
                self.over = event
            elif isinstance(event, StreamWasReset):
                self.answers.setdefault(event.stream_id, Answer()).reset = event.error_code
            elif isinstance(event, StreamDataReceived) and not event.stream_id & 2:
                self._take(event.stream_id, event.data, event.end_stream)

    def _take(self, stream: int, data: bytes, ends: bool) -> None:
        answer = self.answers.setdefault(stream, Answer())
        data = self._data.pop(stream, b"") + data
        at = 0
        while len(data) - at > 16 or (at < len(data) and ends):
            kind, behind = read_varint(data, at)
            size, behind = read_varint(data, behind)
            if behind + size > len(data):
                break
            payload = data[behind : behind + size]
            at = behind + size
            if kind == HEADERS:
                answer.take_head(self._decoder.feed_header(stream, payload)[1])
            elif kind == DATA:
                answer.body += payload
        if data[at:]:
            self._data[stream] = data[at:]
        answer.ended = answer.ended or ends


class Attacker(QuicPeer):
    """A client that says what no client says; what it reads in between keeps keys and acknowledgements right."""

    def craft(self, payload: bytes, epoch: Epoch = Epoch.ONE_RTT, number: int | None = None) -> bytes:
        """A packet of these frames."""
        quic = self.quic
        if number is None:
            number = quic._packet_number
            quic._packet_number += 1
        pair = quic._cryptos[epoch]
        payload = payload.ljust(4, b"\0")
        if epoch is Epoch.ONE_RTT:
            header = bytes([0x43 | pair.key_phase << 2]) + quic._peer_cid.cid
        else:
            kind = 0xC3 if epoch is Epoch.INITIAL else 0xE3
            header = bytes([kind]) + (1).to_bytes(4, "big")
            for cid in (quic._peer_cid.cid, quic.host_cid):
                header += bytes([len(cid)]) + cid
            header += (varint(len(quic._peer_token)) + quic._peer_token) if epoch is Epoch.INITIAL else b""
            header += varint(len(payload) + 4 + 16)
        data: bytes = pair.encrypt_packet(header + number.to_bytes(4, "big"), payload, number)
        return data

    def say(self, payload: bytes, epoch: Epoch = Epoch.ONE_RTT) -> None:
        """Send a packet of these frames; nothing once the server has ended the connection."""
        if self.over is None:
            self.send(self.craft(payload, epoch))

    def flood(self, make: Callable[[int], bytes], for_s: float) -> None:
        """Say packet after packet, as fast as they are sealed, until the server ends it or so much time is over."""
        until = time.monotonic() + for_s
        number = 0
        while self.over is None and time.monotonic() < until:
            self.say(make(number))
            number += 1
            if number % 16 == 0:
                self.pump()

    def move(self) -> None:
        """Speak from another port from now on."""
        self.sock.close()
        self.sock = make_socket(self.port)


class GoodClient(threading.Thread):
    """Asks one request after another, on one connection and now and then on a new one, and writes down how long."""

    #: Requests on the lasting connection for one on a connection of its own.
    SHARE = 20

    def __init__(self, port: int, visits: bool = True) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.visits = visits
        self.latencies: list[float] = []
        self.handshakes: list[float] = []
        self.fault: BaseException | None = None
        self._ends = threading.Event()

    def run(self) -> None:
        try:
            with QuicPeer(self.port) as peer:
                while not self._ends.is_set() or len(self.latencies) < self.SHARE:
                    self._ask(peer, self.latencies)
                    if self.visits and len(self.latencies) % self.SHARE == 0:
                        self._visit()
        except BaseException as error:
            self.fault = error

    def stop(self) -> None:
        """Wait for the last answer; raises what went wrong."""
        self._ends.set()
        self.join(2 * PATIENCE_S)
        assert not self.is_alive()
        if self.fault is not None:
            raise self.fault

    def _visit(self) -> None:
        started = time.monotonic()
        with QuicPeer(self.port) as peer:
            self._ask(peer, self.latencies)
        self.handshakes.append(time.monotonic() - started)

    def _ask(self, peer: QuicPeer, latencies: list[float]) -> None:
        number = len(latencies)
        started = time.monotonic()
        answer = peer.fetch(f"/?{number}")
        latencies.append(time.monotonic() - started)
        assert answer.status == 200
        assert answer.body.endswith(b"%d" % number)

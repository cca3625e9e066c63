"""An HTTP/3 connection under test, above QUIC: an engine that remembers, and a client made of frames.

`H3Wire` is a `Wire` whose peer's hands write what they like on any stream, right or wrong; `pylsqpack` writes and reads
the fields.  The engine keeps the promises of `quic.engine` without a packet: what is sent arrives, as far as the test
lets it (`room`).
"""

import math
from collections.abc import Iterable
from typing import Any

import pytest

from fastserver._speedups.contract import H3Limits, Host, Peer
from fastserver._speedups.events import RawData, Updated
from fastserver._speedups.h3.connection import H3Connection
from fastserver._speedups.quic.end import End
from tests.fakes import App, FakeConnection, Wire
from tests.h2wire import Answer, Fields

pylsqpack = pytest.importorskip("pylsqpack", reason="aioquic is not installed")

DATA, HEADERS, SETTINGS, GOAWAY = 0x0, 0x1, 0x4, 0x7
PEER = ("192.0.2.7", 4433)
#: What `H3Wire.request` sends unless told otherwise.
REQUEST: dict[bytes, bytes] = {b":method": b"GET", b":scheme": b"https", b":authority": b"example.org", b":path": b"/"}


def varint(value: int) -> bytes:
    """RFC 9000 section 16."""
    size = 1 if value < 1 << 6 else 2 if value < 1 << 14 else 4 if value < 1 << 30 else 8
    return (value | (size.bit_length() - 1) << (8 * size - 2)).to_bytes(size, "big")


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The integer at `at`, and where it ends."""
    size = 1 << (data[at] >> 6)
    return int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1), at + size


def frame(kind: int, payload: bytes = b"") -> bytes:
    return varint(kind) + varint(len(payload)) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, b"".join(varint(name) + varint(value) for name, value in pairs))


def split_frames(data: bytes) -> list[tuple[int, bytes]]:
    """All whole frames of a stream, strictly: nothing may be left."""
    frames, at = [], 0
    while at < len(data):
        kind, at = read_varint(data, at)
        size, at = read_varint(data, at)
        assert at + size <= len(data), "a part of a frame"
        frames.append((kind, data[at : at + size]))
        at += size
    return frames


class FakeEngine:
    """What `quic.engine.Engine` is to its listener; `room` is how many bytes the path and the peer take in all."""

    def __init__(self, listener: Any, host: Host) -> None:
        self.listener = listener
        self.host = host
        self.said: dict[int, bytearray] = {}
        self.gone: dict[int, int] = {}
        self.ended: set[int] = set()
        self.resets: dict[int, int] = {}
        self.stops: dict[int, int] = {}
        self.fed: dict[int, int] = {}
        self.finished: set[int] = set()
        self.credit: dict[int, int] = {}
        self.closed: tuple[int, str] | None = None
        self._is_over = False
        self.is_detached = False
        self.farewell: bytes | None = None
        self.room = math.inf
        self.received: list[bytes] = []
        self.deadline = math.inf
        self._next = 3

    @property
    def unsent(self) -> int:
        return sum(self.get_unsent(stream) for stream in self.said)

    def get_unsent(self, stream: int) -> int:
        return 0 if stream in self.resets else len(self.said.get(stream, b"")) - self.gone.get(stream, 0)

    def receive(self, data: bytes, address: tuple[str, int], now: float) -> None:
        self.received.append(data)

    def on_deadline(self, now: float) -> None:
        self.deadline = math.inf

    def get_deadline(self) -> float:
        return self.deadline

    def take_datagrams(self, now: float) -> list[tuple[bytes, tuple[str, int]]]:
        taken = 0
        for stream in self.said:
            size = int(min(self.get_unsent(stream), self.room))
            self.gone[stream] = self.gone.get(stream, 0) + size
            self.room -= size
            taken += size
        return [(b"%d bytes" % taken, PEER)] if taken else []

    def open_stream(self) -> int:
        self._next += 4
        return self._next - 4

    def send(self, stream: int, data: bytes, ends: bool) -> None:
        assert type(data) is bytes
        if stream in self.resets or self._is_over:
            return
        assert stream not in self.ended, "said behind the end of a stream"
        self.said.setdefault(stream, bytearray()).extend(data)
        if ends:
            self.ended.add(stream)

    def reset(self, stream: int, code: int) -> None:
        self.resets.setdefault(stream, code)

    def stop(self, stream: int, code: int) -> None:
        if stream not in self.finished:
            self.stops.setdefault(stream, code)

    def consume(self, stream: int, size: int) -> None:
        assert size >= 0
        self.credit[stream] = self.credit.get(stream, 0) + size
        assert self.credit[stream] <= self.fed.get(stream, 0), "more is given back than has come"

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)
            self.farewell = reason.encode() or b"farewell"
            self._is_over = True

    def terminate(self, end: End, code: int) -> None:
        """It is over without our word; to be called where the loop runs."""
        self._is_over = True
        self.listener.on_terminated(end, code)

    def detach(self) -> None:
        """The listener is gone, and the circle with it."""
        self.is_detached = True
        self.listener = None


class DatagramConnection(FakeConnection):
    """The transport's side, with the timer that datagrams get."""

    def __init__(self, host: Host, peer: Peer | None = None) -> None:
        super().__init__(host, peer or Peer(PEER, ("127.0.0.1", 8443), "https", "h3"))
        self.tally = host.metrics.get_tally("h3")
        self.timer = math.inf
        self.handshaken = False
        self.ended_there = False
        self.farewell: bytes | None = None
        self.cids: list[tuple[bytes, bool]] = []
        self.moves: list[tuple[str, int]] = []

    def set_timer(self, when: float) -> None:
        self.timer = when
        if when <= self.host.clock.now:
            self.host.loop.call_soon(self.fire)

    def fire(self) -> None:
        if self.timer <= self.host.clock.now and not self.lost:
            self.timer = math.inf
            self.protocol.on_timer(self.host.clock.now)

    def note_farewell(self, data: bytes) -> None:
        self.farewell = data

    def note_end_by_peer(self) -> None:
        self.ended_there = True

    def note_handshake(self) -> None:
        self.handshaken = True

    def note_connection_id(self, cid: bytes, is_new: bool) -> None:
        self.cids.append((cid, is_new))

    def move(self, address: tuple[str, int]) -> None:
        self.moves.append(address)


class H3Wire(Wire):
    """One HTTP/3 connection.  Unless told otherwise its handshake is done and the client's SETTINGS have come."""

    def __init__(
        self, app: App, peer: Peer | None = None, /, h3: H3Limits | None = None, shakes: bool = True, **limits: float
    ) -> None:
        self._h3 = h3 or H3Limits()
        self.connection: DatagramConnection
        self.encoder = pylsqpack.Encoder()
        self.decoder = pylsqpack.Decoder(0, 0)
        self._next = 0
        self._next_lane = 2
        super().__init__(app, peer, **limits)
        if shakes:
            self.shake()
            self.open_lane(0, settings())

    def _open(self) -> Any:
        self.host.limits.h3 = self._h3
        self.connection = DatagramConnection(self.host)
        protocol = H3Connection(self.connection, self.host, self._make_engine)
        protocol.handle(Updated(idle=True))
        return protocol

    def _make_engine(self, listener: Any) -> FakeEngine:
        self.engine = FakeEngine(listener, self.host)
        return self.engine

    # ---- The peer's side -------------------------------------------------------------------------------------------

    def shake(self) -> None:
        """The handshake is done."""
        with self.loop.running():
            self.protocol.on_handshake()
        self.settle()

    def send(self, stream: int, data: bytes, ends: bool = False) -> None:
        """Bytes of one stream, as one packet brings them; nothing where the connection is over."""
        if not (self.over or self.connection.lost):
            with self.loop.running():
                self.protocol.handle(RawData(b"a datagram", PEER))
                self.tell(stream, data, ends)
        self.settle()

    def tell(self, stream: int, data: bytes, ends: bool = False) -> None:
        """What an engine does with a frame; to be called where the loop runs."""
        engine = self.engine
        engine.fed[stream] = engine.fed.get(stream, 0) + len(data)
        if ends:
            engine.finished.add(stream)
        self.protocol.on_stream_data(stream, data, ends)

    def open_lane(self, kind: int, data: bytes = b"") -> int:
        """A unidirectional stream of the client's."""
        lane = self._next_lane
        self._next_lane += 4
        self.send(lane, varint(kind) + data)
        return lane

    def encode(self, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        _, block = self.encoder.encode(0, list(fields))
        return bytes(block)

    def head(self, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        """A HEADERS frame of exactly these fields."""
        return frame(HEADERS, self.encode(fields))

    def take_id(self) -> int:
        """The next request stream of this client."""
        self._next += 4
        return self._next - 4

    def request(
        self,
        path: bytes = b"/",
        *fields: tuple[bytes, bytes],
        body: bytes | None = None,
        ends: bool = True,
        **pseudo: bytes,
    ) -> int:
        """A request, with its body where one is given: its stream.  `method=b"PUT"` and the like change the head."""
        stream = self.take_id()
        names = {f":{name}".encode(): value for name, value in pseudo.items()}
        head = {**REQUEST, b":path": path, **({b":method": b"POST"} if body is not None else {}), **names}
        said = self.head([*head.items(), *fields])
        if body is not None:
            said += frame(DATA, body)
        self.send(stream, said, ends)
        return stream

    def reset(self, stream: int) -> None:
        """The client resets its side."""
        self.engine.finished.add(stream)
        with self.loop.running():
            self.protocol.on_stream_reset(stream)
        self.settle()

    def stop(self, stream: int, code: int = 0x10C) -> None:
        """The client asks the server to stop: the engine resets its side, as RFC 9000 section 3.5 demands."""
        self.engine.reset(stream, code)
        with self.loop.running():
            self.protocol.on_stop_sending(stream)
        self.settle()

    def take_datagram(self, data: bytes) -> None:
        """A datagram without a frame of a stream; to be called where the loop runs."""
        self.protocol.handle(RawData(data, PEER))

    def terminate(self, end: End = End.PEER, code: int = 0x100) -> None:
        """QUIC is over: the client has closed the connection, or the engine has given it up."""
        with self.loop.running():
            self.engine.terminate(end, code)
        self.settle()

    def acknowledge(self, stream: int) -> None:
        """The client has acknowledged all of a stream, and both sides of it are over."""
        with self.loop.running():
            self.protocol.on_stream_closed(stream)
        self.settle()

    def make_room(self, size: float) -> None:
        """The path takes `size` bytes more."""
        self.engine.room += size
        with self.loop.running():
            self.protocol.on_timer(self.host.clock.now)
        self.settle()

    @property
    def owed(self) -> dict[int, int]:
        """By stream, the bytes of requests that are over and of lanes that were not given back."""
        credit = self.engine.credit
        left = {stream: size - credit.get(stream, 0) for stream, size in self.engine.fed.items()}
        return {stream: size for stream, size in left.items() if size and stream not in self.protocol.streams}

    def hang_up(self) -> None:
        assert self.over or self.connection.lost or self.owed == {}
        super().hang_up()
        assert (self.protocol.streams, self.protocol.tails, self.protocol.passed) == ({}, {}, set())
        assert self.engine.is_detached

    # ---- What came of it -------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        super()._sweep()
        with self.loop.running():
            self.connection.fire()

    def answer(self, stream: int) -> Answer:
        """What has been said on `stream` and has left."""
        self.settle()
        answer = Answer(reset=self.engine.resets.get(stream))
        left = self.engine.gone.get(stream, 0)
        said = bytes(self.engine.said.get(stream, b""))
        for kind, payload in split_frames(said if left == len(said) else b""):
            if kind == HEADERS:
                _, fields = self.decoder.feed_header(stream, payload)
                answer.take_head(fields)
            else:
                assert kind == DATA, "a frame that has no place on a request stream"
                answer.body += payload
        answer.ended = stream in self.engine.ended and left == len(said)
        return answer

    @property
    def control(self) -> list[tuple[int, bytes]]:
        """The frames of the server's control stream."""
        said = bytes(self.engine.said[3])
        kind, at = read_varint(said, 0)
        assert kind == 0, "not a control stream"
        return split_frames(said[at:])

    @property
    def went_away(self) -> list[int]:
        """The stream of each GOAWAY."""
        return [read_varint(payload, 0)[0] for kind, payload in self.control if kind == GOAWAY]

    def decode(self, block: bytes) -> Fields:
        _, fields = self.decoder.feed_header(0, block)
        return [(bytes(name), bytes(value)) for name, value in fields]

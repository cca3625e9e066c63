"""A bad client beside a good one (FI-30): it is cut within a second, and the good one notices nothing.

Each flood is raw bytes on one connection for as long as the server lets it (threats H2-1, 3, 5, 20, WS-3, 4).  Its code
proves that it was cut by the budget that is meant, and not for another fault in what this file sends.
"""

import base64
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import hpack
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from fastserver._speedups.h2.errors import ENHANCE_YOUR_CALM
from tests.e2e.conftest import Serve, Served, read_rss
from tests.e2e.h2peer import H2Peer
from tests.e2e.peers import connect
from tests.e2e.processes import PATIENCE_S
from tests.h2wire import PREFACE

MIB = 1 << 20
#: A WebSocket's opcode, and its code for who does what he may not (RFC 6455 section 7.4.1).
CLOSE, POLICY = 8, 1008
#: In which a flood has to end.
CUT_S = 1.0
#: What a busy machine adds to an answer that is due at once.
ANSWER_S = 0.5
GREETING = PREFACE + SettingsFrame(0).serialize() + SettingsFrame(0, flags=["ACK"]).serialize()
HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/sleep?10")]

#: Gives bytes without end.
Flood = Callable[[], Iterator[bytes]]


def repeat(*frames: Frame, count: int = 1000) -> Iterator[bytes]:
    """The same frames, many at once."""
    data = b"".join(frame.serialize() for frame in frames) * count
    yield GREETING
    while True:
        yield data


def rapid_resets() -> Iterator[bytes]:
    """H2-1: requests that are taken back at once."""
    encoder = hpack.Encoder()
    stream = 1
    yield GREETING
    while True:
        frames: list[Frame] = []
        for _ in range(100):
            block = encoder.encode(HEAD)
            frames.append(HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM"]))
            frames.append(RstStreamFrame(stream, 8))
            stream += 2
        yield b"".join(frame.serialize() for frame in frames)


def continuations() -> Iterator[bytes]:
    """H2-3: a field block that never ends."""
    yield GREETING + HeadersFrame(1, hpack.Encoder().encode(HEAD)).serialize()
    while True:
        yield ContinuationFrame(1, b"\x00\x01a\x01b" * 100).serialize()


def empty_data() -> Iterator[bytes]:
    """H2-5 and H2-20: DATA of nothing on a stream that is open."""
    yield GREETING + HeadersFrame(1, hpack.Encoder().encode(HEAD), flags=["END_HEADERS"]).serialize()
    while True:
        yield DataFrame(1).serialize() * 1000


def resets_of_nothing() -> Iterator[bytes]:
    """H2-5: resets of a stream that is over.  On one that never was, the first would be a connection error."""
    head = [*HEAD[:-1], (":path", "/")]
    yield GREETING + HeadersFrame(1, hpack.Encoder().encode(head), flags=["END_HEADERS", "END_STREAM"]).serialize()
    while True:
        yield RstStreamFrame(1, 8).serialize() * 1000


def open_websocket() -> bytes:
    key = base64.b64encode(bytes(16)).decode()
    fields = ["host: localhost", "upgrade: websocket", "connection: upgrade", f"sec-websocket-key: {key}"]
    return "\r\n".join(["GET /ws HTTP/1.1", *fields, "sec-websocket-version: 13", "", ""]).encode()


def pieces(first: bytes, rest: bytes) -> Flood:
    def flood() -> Iterator[bytes]:
        yield open_websocket() + first
        while True:
            yield rest * 1000

    return flood


FLOODS: dict[str, Flood] = {
    "H2-1 rapid resets": rapid_resets,
    "H2-3 continuations": continuations,
    "H2-5 pings": lambda: repeat(PingFrame(0, bytes(8))),
    "H2-5 settings": lambda: repeat(SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 1})),
    "H2-5 priorities": lambda: repeat(PriorityFrame(1, stream_weight=7)),
    "H2-5 window updates": lambda: repeat(WindowUpdateFrame(0, 1)),
    "H2-5 resets of nothing": resets_of_nothing,
    "H2-20 empty settings": lambda: repeat(SettingsFrame(0)),
    "H2-20 empty data": empty_data,
    "H2-20 unknown frames": lambda: iter([GREETING, *[b"\0\0\0\xfa\0\0\0\0\0" * 1000] * 100_000]),
    "WS-3 fragments": pieces(b"\x01\x80\0\0\0\0", b"\x00\x81\0\0\0\0x"),
    "WS-3 empty fragments": pieces(b"\x01\x80\0\0\0\0", b"\x00\x80\0\0\0\0"),
    "WS-4 pings": pieces(b"", b"\x89\x84\0\0\0\0ping"),
    "WS-4 pongs": pieces(b"", b"\x8a\x80\0\0\0\0"),
}


@dataclass
class Attack:
    """One connection that floods until the server ends it, and what came of it."""

    seconds: float = 0.0
    heard: bytearray = field(default_factory=bytearray)

    def run(self, site: Served, flood: Flood) -> None:
        sock = connect(site.port)
        started = time.monotonic()
        try:
            for data in flood():
                sock.settimeout(max(0.001, started + PATIENCE_S - time.monotonic()))
                sock.sendall(data)
                if self._hear(sock):
                    break
        except (ConnectionError, TimeoutError):
            self._hear(sock)  # what came before the reset
        finally:
            sock.close()
        self.seconds = time.monotonic() - started

    def _hear(self, sock: socket.socket) -> bool:
        """Take what has come: whether the server has said its last."""
        sock.setblocking(False)
        try:
            while data := sock.recv(65536):
                self.heard += data
        except BlockingIOError:
            return False
        except ConnectionError:
            pass
        return True

    def code(self) -> int:
        """That of the server's last frame, which has to be GOAWAY, or a WebSocket's Close."""
        if self.heard.startswith(b"HTTP/1.1 101 "):
            return self._close_code()
        at = 0
        while True:
            frame, size = Frame.parse_frame_header(memoryview(self.heard)[at : at + 9])
            frame.parse_body(memoryview(self.heard)[at + 9 : at + 9 + size])
            at += 9 + size
            if at == len(self.heard):
                assert isinstance(frame, GoAwayFrame)
                return frame.error_code

    def _close_code(self) -> int:
        at = self.heard.index(b"\r\n\r\n") + 4
        while True:
            opcode, size = self.heard[at] & 0xF, self.heard[at + 1]
            payload = self.heard[at + 2 : at + 2 + size]
            at += 2 + size
            if at == len(self.heard):
                assert opcode == CLOSE
                return int.from_bytes(payload[:2], "big")


@pytest.fixture(scope="module")
def site(serve_long: Serve) -> Served:
    served = serve_long("tests.e2e.streams:app", "--h2c")
    with H2Peer(served.port) as peer:  # what is made once is made before memory is looked at
        peer.fetch("/bytes?1000000")
    Attack().run(served, FLOODS["H2-5 pings"])
    return served


@pytest.mark.parametrize("name", FLOODS)
def test_the_attacker_is_cut_and_a_good_client_notices_nothing(site: Served, name: str) -> None:
    before = read_rss(site.pids[0])
    attack = Attack()
    attacker = threading.Thread(target=attack.run, args=(site, FLOODS[name]))
    slowest = 0.0
    answers = 0
    with H2Peer(site.port) as peer:
        peer.fetch()
        attacker.start()
        while attacker.is_alive() or answers < 20:
            started = time.monotonic()
            assert peer.fetch(f"/?{answers}").body.endswith(f" {answers}".encode())
            slowest = max(slowest, time.monotonic() - started)
            answers += 1
        assert peer.went_away == []
    attacker.join()
    assert attack.seconds < CUT_S
    assert attack.code() == (POLICY if name.startswith("WS") else ENHANCE_YOUR_CALM)
    assert slowest < ANSWER_S
    assert read_rss(site.pids[0]) - before < 16 * MIB
    assert site.server.process.poll() is None

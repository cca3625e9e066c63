"""A bad client beside a good one (FI-30): it is cut within a second, and the good one notices nothing.

Each flood is raw bytes on one connection for as long as the server lets it (threats H2-1, 3, 5, 20, WS-3, 4).
"""

import base64
import socket
import threading
import time
from collections.abc import Callable, Iterator

import hpack
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.e2e.conftest import Serve, Served, read_rss
from tests.e2e.h2peer import H2Peer
from tests.e2e.peers import connect
from tests.e2e.processes import PATIENCE_S
from tests.h2wire import PREFACE

MIB = 1 << 20
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
    block = hpack.Encoder().encode(HEAD)  # its first use fills the table, the others read from it
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
    "H2-5 resets of nothing": lambda: repeat(RstStreamFrame(1, 8)),
    "H2-20 empty settings": lambda: repeat(SettingsFrame(0)),
    "H2-20 empty data": empty_data,
    "H2-20 unknown frames": lambda: iter([GREETING, *[b"\0\0\0\xfa\0\0\0\0\0" * 1000] * 100_000]),
    "WS-3 fragments": pieces(b"\x01\x80\0\0\0\0", b"\x00\x81\0\0\0\0x"),
    "WS-3 empty fragments": pieces(b"\x01\x80\0\0\0\0", b"\x00\x80\0\0\0\0"),
    "WS-4 pings": pieces(b"", b"\x89\x84\0\0\0\0ping"),
    "WS-4 pongs": pieces(b"", b"\x8a\x80\0\0\0\0"),
}


def attack(site: Served, flood: Flood) -> tuple[float, int]:
    """Flood until the server ends the connection: after how many seconds, and bytes, that was."""
    sock = connect(site.port)
    sent = 0
    started = time.monotonic()
    try:
        for data in flood():
            sock.settimeout(max(0.001, started + PATIENCE_S - time.monotonic()))
            sock.sendall(data)
            sent += len(data)
            if _is_ended(sock):
                break
    except (ConnectionError, TimeoutError):
        pass
    finally:
        sock.close()
    return time.monotonic() - started, sent


def _is_ended(sock: socket.socket) -> bool:
    """Throw away what has come: whether the server has said its last."""
    sock.setblocking(False)
    try:
        while data := sock.recv(65536):
            del data
    except BlockingIOError:
        return False
    return True


@pytest.fixture(scope="module")
def site(serve_long: Serve) -> Served:
    served = serve_long("tests.e2e.streams:app", "--h2c")
    with H2Peer(served.port) as peer:  # what is made once is made before memory is looked at
        peer.fetch("/bytes?1000000")
    attack(served, FLOODS["H2-5 pings"])
    return served


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_the_attacker_is_cut_and_a_good_client_notices_nothing(site: Served, flood: Flood) -> None:
    before = read_rss(site.pids[0])
    found: list[tuple[float, int]] = []
    attacker = threading.Thread(target=lambda: found.append(attack(site, flood)))
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
    ((seconds, _),) = found
    assert seconds < CUT_S
    assert slowest < ANSWER_S
    assert read_rss(site.pids[0]) - before < 16 * MIB
    assert site.server.process.poll() is None

"""The scanner inside a real ``H2Connection``: events and bytes as with ``h2``'s own buffer, and the right GOAWAY."""

from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import Event, RequestReceived, UnknownFrameReceived
from h2.settings import ChangedSetting
from hpack import Encoder

from fastserver._speedups.h2.codes import END_HEADERS, END_STREAM, HEADERS, PADDED, PREFACE, WITH_PRIORITY
from tests._speedups.h2 import wire
from tests._speedups.h2.wire import OPENING, Reader, Split, cut, frame, u32

REQUEST = [(":method", "POST"), (":scheme", "https"), (":authority", "example.org"), (":path", "/some/path?q=1")]
BROWSER = [("user-agent", "Mozilla/5.0"), ("accept", "*/*"), ("cookie", "a=b; c=d" * 10), ("te", "trailers")]
FULL = 0x2D


def make_blocks() -> tuple[bytes, bytes, bytes]:
    """Three field blocks of one encoder: two requests and trailers."""
    encoder = Encoder()
    first, second = encoder.encode(REQUEST), encoder.encode(REQUEST + BROWSER)
    return first, second, encoder.encode([("x-checksum", "123")])


FIRST, SECOND, TRAILERS = make_blocks()
GET = wire.headers(1, FIRST, END_HEADERS | END_STREAM)

SEQUENCES = {
    "nothing but the opening": OPENING,
    "acknowledged settings": OPENING + wire.SETTINGS_ACK,
    "settings of a browser": PREFACE
    + wire.settings((1, 65536), (2, 0), (3, 1000), (4, 6291456), (5, 16384), (6, 262144))
    + wire.window_update(0, 15663105)
    + GET,
    "settings again": OPENING + wire.settings((4, 10)) + wire.settings((4, 100000), (5, 20000)) + GET,
    "one request": OPENING + GET,
    "two requests": OPENING + GET + wire.headers(3, SECOND, END_HEADERS | END_STREAM),
    "a body": OPENING + wire.headers(1, FIRST) + wire.data(1, b"x" * 100) + wire.data(1, b"y" * 50, END_STREAM),
    "a body with an empty end": OPENING + wire.headers(1, FIRST) + wire.data(1, b"z") + wire.data(1, b"", END_STREAM),
    "a padded body": OPENING
    + wire.headers(1, FIRST)
    + wire.data(1, b"\x05hello" + bytes(5), PADDED)
    + wire.data(1, b"\x00hello", PADDED)
    + wire.data(1, b"\x03" + bytes(3), PADDED)
    + wire.data(1, b"\x00", PADDED | END_STREAM),
    "trailers": OPENING
    + wire.headers(1, FIRST)
    + wire.headers(3, SECOND)
    + wire.data(1, b"x")
    + wire.headers(1, TRAILERS, END_HEADERS | END_STREAM),
    "padded headers with priority": OPENING
    + frame(HEADERS, FULL, 1, b"\x04" + u32(3 | 1 << 31) + b"\xff" + FIRST + bytes(4)),
    "headers with priority": OPENING
    + frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, u32(0) + b"\x00" + FIRST)
    + wire.data(1, b"x", END_STREAM),
    "padded headers in pieces": OPENING
    + frame(HEADERS, PADDED | END_STREAM, 1, b"\x02" + FIRST[:2] + bytes(2))
    + wire.continuation(1, FIRST[2:], END_HEADERS),
    "headers in many pieces": OPENING
    + wire.headers(1, FIRST[:1], END_STREAM)
    + b"".join(wire.continuation(1, FIRST[at : at + 3]) for at in range(1, 19, 3))
    + wire.continuation(1, FIRST[19:], END_HEADERS)
    + wire.ping(),
    "pings": OPENING + wire.ping() * 3 + wire.ping(1),
    "priorities": OPENING + wire.priority(1) + wire.priority(3, 1) + wire.priority(5, 3 | 1 << 31) + GET,
    "windows": OPENING + GET + wire.window_update(0, 1) + wire.window_update(1, (1 << 31) - 1 - 65535),
    "a window too large": OPENING + GET + wire.window_update(1, (1 << 31) - 1) + wire.ping(),
    "a reset": OPENING + GET + wire.rst_stream(1) + wire.window_update(1, 1) + wire.rst_stream(1),
    "data after a reset": OPENING + wire.headers(1, FIRST) + wire.rst_stream(1) + wire.data(1, b"late"),
    "unknown frames": OPENING + frame(0xBE, 0xFF, 0, b"what") + GET + frame(0x10, 0, 0, u32(1) + b"u=1") + wire.ping(),
    "a request and all at once": OPENING
    + wire.SETTINGS_ACK
    + wire.window_update(0, 1000)
    + wire.headers(1, FIRST)
    + wire.priority(1, 7)
    + wire.data(1, b"x" * 1000)
    + wire.headers(3, SECOND, END_HEADERS | END_STREAM)
    + wire.rst_stream(3)
    + wire.data(1, b"", END_STREAM)
    + wire.ping(),
}


class Peer:
    """A server's ``H2Connection`` with its own buffer, or with ours."""

    def __init__(self, *, scans: bool) -> None:
        self.connection = H2Connection(
            config=H2Configuration(client_side=False, validate_inbound_headers=False, header_encoding=False)
        )
        self.connection.initiate_connection()
        self.scanner = Reader(b"").scanner
        self.scans = scans
        if scans:
            buffer: Any = self.scanner
            self.connection.incoming_buffer = buffer
        self.events: list[Event] = []

    def feed(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.events += self.connection.receive_data(piece)
            while self.scans and self.scanner.has_frame():
                self.events += self.connection.receive_data(b"")

    def describe(self) -> list[Any]:
        return [describe(event) for event in self.events if not isinstance(event, UnknownFrameReceived)]


def describe(value: Any) -> Any:
    """An event, or what stands in one, as plain values."""
    if isinstance(value, (Event, ChangedSetting)):
        return type(value).__name__, {name: describe(part) for name, part in vars(value).items()}
    if isinstance(value, dict):
        return {key: describe(part) for key, part in value.items()}
    return value


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES)
@pytest.mark.parametrize("split", [lambda text: [text], cut], ids=["whole", "cut"])
def test_events_and_bytes_are_those_of_its_own_buffer(sequence: bytes, split: Split) -> None:
    own, ours = Peer(scans=False), Peer(scans=True)
    own.feed(*split(sequence))
    ours.feed(*split(sequence))
    assert ours.describe() == own.describe()
    assert ours.connection.data_to_send() == own.connection.data_to_send()
    assert ours.scanner.faults == []
    assert ours.scanner.held == 0


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES)
def test_one_cut_anywhere_changes_nothing(sequence: bytes) -> None:
    whole = Peer(scans=True)
    whole.feed(sequence)
    for at in range(len(sequence)):
        pair = Peer(scans=True)
        pair.feed(sequence[:at], sequence[at:])
        assert pair.describe() == whole.describe()


def test_the_block_of_headers_that_depend_on_themselves_is_decoded() -> None:
    peer = Peer(scans=True)
    peer.feed(OPENING + frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, u32(1) + b"\x10" + FIRST))
    assert peer.scanner.faults == [(1, ErrorCodes.PROTOCOL_ERROR)]
    peer.feed(wire.headers(3, SECOND))
    requests = [event for event in peer.events if isinstance(event, RequestReceived)]
    assert [event.stream_id for event in requests] == [1, 3]
    assert dict(requests[1].headers)[b"user-agent"] == b"Mozilla/5.0"

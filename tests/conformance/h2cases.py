"""How an HTTP/2 conformance row is written and checked: octets, and what must come of them however they arrive.

Rows hold octets, not frames of a library, which would refuse to write most of them.  Field blocks are literals that
touch no table, so that a row is the same wherever it stands in a connection.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hyperframe.frame import GoAwayFrame, RstStreamFrame

from fastserver._speedups.h2.errors import (
    CANCEL,
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
)
from tests.conformance.cases import arriving, check_quiet
from tests.fakes import Message, Receive, Recorder, Send, echo
from tests.h2wire import PREFACE, H2Wire

__all__ = [
    "CANCEL",
    "COMPRESSION_ERROR",
    "ENHANCE_YOUR_CALM",
    "FLOW_CONTROL_ERROR",
    "FRAME_SIZE_ERROR",
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "REFUSED_STREAM",
    "STREAM_CLOSED",
]

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
#: The stream on which a good request follows a row.
AFTER = 1001
#: Up to this many octets a payload is also cut at each of them.
CUT_BYTES = 60

Fields = list[tuple[bytes, bytes]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Any frame, right or wrong."""
    return struct.pack("!I", len(payload))[1:] + bytes((kind, flags)) + struct.pack("!I", stream) + payload


def string(data: bytes) -> bytes:
    """A string literal without Huffman coding (RFC 7541 section 5.2)."""
    if len(data) < 127:
        return bytes((len(data),)) + data
    rest, size = len(data) - 127, b"\x7f"
    while rest >= 128:
        size += bytes((rest % 128 + 128,))
        rest //= 128
    return size + bytes((rest,)) + data


def block(fields: Fields) -> bytes:
    """A field block of literals without indexing (RFC 7541 section 6.2.2)."""
    return b"".join(b"\x00" + string(name) + string(value) for name, value in fields)


def pseudo(method: bytes = b"GET", path: bytes = b"/", scheme: bytes = b"http", authority: bytes = b"h") -> Fields:
    return [(b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", path)]


def head(fields: Fields, stream: int = 1, ends: bool = True) -> bytes:
    """HEADERS with exactly these fields."""
    return frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, block(fields))


def get(*fields: tuple[bytes, bytes], stream: int = 1, path: bytes = b"/") -> bytes:
    """A whole request without a body."""
    return head([*pseudo(path=path), *fields], stream)


def post(*fields: tuple[bytes, bytes], stream: int = 1, path: bytes = b"/") -> bytes:
    """The head of a request whose body is to come."""
    return head([*pseudo(b"POST", path), *fields], stream, ends=False)


def data(body: bytes = b"", ends: bool = False, stream: int = 1) -> bytes:
    return frame(DATA, END_STREAM if ends else 0, stream, body)


def trailers(*fields: tuple[bytes, bytes], stream: int = 1, ends: bool = True) -> bytes:
    return head(list(fields), stream, ends)


def rst(stream: int = 1, code: int = CANCEL) -> bytes:
    return frame(RST, 0, stream, struct.pack("!I", code))


def window(stream: int, increment: int) -> bytes:
    return frame(WINDOW, 0, stream, struct.pack("!I", increment))


def settings(*pairs: tuple[int, int], flags: int = 0, stream: int = 0) -> bytes:
    return frame(SETTINGS, flags, stream, b"".join(struct.pack("!HI", name, value) for name, value in pairs))


def priority(stream: int, depends_on: int = 0) -> bytes:
    return frame(PRIORITY, 0, stream, struct.pack("!IB", depends_on, 15))


HELLO = PREFACE + settings() + settings(flags=ACK)


async def answer(scope: Message, receive: Receive, send: Send) -> None:
    """`echo`, but for three paths.

    /wait is never answered, /now before its body is read, and /stuck without end: the body of a client that takes
    nothing of that is read by nobody.
    """
    if scope["path"] == "/wait":
        while (await receive())["type"] != "http.disconnect":
            pass
    elif scope["path"] == "/now":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"now"})
    elif scope["path"] == "/stuck":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": bytes(4096), "more_body": True})
    else:
        await echo(scope, receive, send)


@dataclass(frozen=True)
class Outcome:
    """What must come of a row: `kind` is connection, stream, ignored, served or refused."""

    kind: str
    codes: tuple[int, ...] = ()
    stream: int = 1
    body: bytes | None = None

    def check(self, wire: H2Wire, recorder: Recorder) -> None:
        getattr(self, f"_check_{self.kind}")(wire, recorder)

    def _check_connection(self, wire: H2Wire, recorder: Recorder) -> None:
        wire.feed(get(stream=AFTER, path=b"/smuggled"))
        wire.read()
        last = wire.frames[-1]
        assert isinstance(last, GoAwayFrame), wire.frames
        assert last.error_code in self.codes, last
        assert wire.connection.finished
        assert wire.ended
        assert b"/smuggled" not in recorder.targets
        assert sum(isinstance(frame, GoAwayFrame) for frame in wire.frames) == 1

    def _check_alive(self, wire: H2Wire) -> None:
        """A good request on the same connection is served."""
        wire.feed(get(stream=AFTER, path=b"/after"))
        assert wire.went_away == []
        assert wire.answers[AFTER].body == b"GET /after "
        assert wire.answers[AFTER].ended
        assert not wire.connection.finished

    def _check_stream(self, wire: H2Wire, recorder: Recorder) -> None:
        """A stream error is a RST_STREAM, one, and the other streams live."""
        self._check_alive(wire)
        resets = [frame for frame in wire.frames if isinstance(frame, RstStreamFrame)]
        assert [(frame.stream_id, frame.error_code) for frame in resets] == [(self.stream, self.codes[0])]
        assert not any(call.complete and not call.disconnected and not call.returned for call in recorder.calls)

    def _check_ignored(self, wire: H2Wire, recorder: Recorder) -> None:
        self._check_alive(wire)
        assert not any(isinstance(frame, RstStreamFrame) for frame in wire.frames)

    def _check_served(self, wire: H2Wire, recorder: Recorder) -> None:
        self._check_ignored(wire, recorder)
        assert wire.answers[self.stream].status == 200
        assert wire.answers[self.stream].ended
        assert self.body is None or wire.answers[self.stream].body == self.body

    def _check_refused(self, wire: H2Wire, recorder: Recorder) -> None:
        self._check_alive(wire)
        assert wire.answers[self.stream].status in self.codes
        assert wire.answers[self.stream].ended
        assert recorder.targets == [b"/after"]


def connection(*codes: int) -> Outcome:
    """A connection error (RFC 9113 section 5.4.1): GOAWAY with one of `codes` is the last frame, then the end."""
    return Outcome("connection", codes)


def stream(code: int, stream: int = 1) -> Outcome:
    """A stream error (section 5.4.2).  The RFC allows a connection error in its place; this server does not."""
    return Outcome("stream", (code,), stream)


def served(body: bytes | None = None, stream: int = 1) -> Outcome:
    """The request is answered with 200, and no frame was an error."""
    return Outcome("served", stream=stream, body=body)


def refused(*statuses: int) -> Outcome:
    """An answer, without the application."""
    return Outcome("refused", statuses)


IGNORED = Outcome("ignored")


@dataclass(frozen=True)
class Row:
    """One rule: octets that follow `hello`, and what must come of them."""

    rule: str
    octets: bytes
    outcome: Outcome
    hello: bytes = HELLO
    wire: dict[str, Any] = field(default_factory=dict)

    def ways(self) -> Iterator[list[bytes]]:
        """Whole, in single octets (or pieces, where they are many), and short ones cut at each octet."""
        octets, size = self.octets, len(self.octets)
        yield [octets]
        piece = 1 if size <= 2000 else 999
        yield [octets[start : start + piece] for start in range(0, size, piece)]
        if size <= CUT_BYTES:
            for cut in range(1, size):
                yield [octets[:cut], octets[cut:]]

    def check(self) -> None:
        for reads in self.ways():
            recorder = Recorder(answer)
            wire = H2Wire(recorder, **self.wire)
            wire.feed(self.hello) if self.hello else None
            with arriving(reads):
                wire.feed(*reads)
                wire.read()
                self.outcome.check(wire, recorder)
                wire.hang_up()
                check_quiet(wire)


def parametrize(rows: list[Row]) -> Callable[[Callable[..., None]], Any]:
    return pytest.mark.parametrize("row", rows, ids=[row.rule for row in rows])

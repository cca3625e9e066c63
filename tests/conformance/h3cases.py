"""How an HTTP/3 conformance row is written and checked: octets of one stream, and what must come of them.

Rows hold octets, not what a library writes, which would refuse most of them.  Field sections are literals that touch no
table.  Streams are the client's: 0 is that of a request, 6 the first lane behind its control stream.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from fastserver._speedups.h3.errors import (
    H3_CLOSED_CRITICAL_STREAM,
    H3_EXCESSIVE_LOAD,
    H3_FRAME_ERROR,
    H3_FRAME_UNEXPECTED,
    H3_ID_ERROR,
    H3_MESSAGE_ERROR,
    H3_MISSING_SETTINGS,
    H3_REQUEST_INCOMPLETE,
    H3_SETTINGS_ERROR,
    H3_STREAM_CREATION_ERROR,
)
from fastserver._speedups.qpack.errors import (
    QPACK_DECODER_STREAM_ERROR,
    QPACK_DECOMPRESSION_FAILED,
    QPACK_ENCODER_STREAM_ERROR,
)
from tests.conformance.cases import arriving, check_quiet
from tests.conformance.h2cases import answer
from tests.fakes import Recorder
from tests.h3wire import H3Wire, frame, settings, varint

__all__ = [
    "H3_CLOSED_CRITICAL_STREAM",
    "H3_EXCESSIVE_LOAD",
    "H3_FRAME_ERROR",
    "H3_FRAME_UNEXPECTED",
    "H3_ID_ERROR",
    "H3_MESSAGE_ERROR",
    "H3_MISSING_SETTINGS",
    "H3_REQUEST_INCOMPLETE",
    "H3_SETTINGS_ERROR",
    "H3_STREAM_CREATION_ERROR",
    "QPACK_DECODER_STREAM_ERROR",
    "QPACK_DECOMPRESSION_FAILED",
    "QPACK_ENCODER_STREAM_ERROR",
    "answer",
    "frame",
    "settings",
    "varint",
]

DATA, HEADERS, CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID = 0x0, 0x1, 0x3, 0x4, 0x5, 0x7, 0xD
CONTROL, PUSH, ENCODER, DECODER = range(4)
#: A type of frames, of streams and a setting that mean nothing (RFC 9114 sections 6.2.3, 7.2.4.1 and 7.2.8).
GREASE = 0x1F * 5 + 0x21
REQUEST, LANE = 0, 6
#: The stream on which a good request follows a row.
AFTER = 400
#: Up to this many octets a payload is also cut at each of them.
CUT_BYTES = 60

Fields = list[tuple[bytes, bytes]]


def integer(first: int, mask: int, value: int) -> bytes:
    """An integer behind the bits of `first` (RFC 9204 section 4.1.1)."""
    if value < mask:
        return bytes((first | value,))
    octets, rest = bytearray((first | mask,)), value - mask
    while rest >= 128:
        octets.append(rest % 128 + 128)
        rest //= 128
    return bytes((*octets, rest))


def line(name: bytes, value: bytes) -> bytes:
    """A literal with a literal name, without Huffman coding (section 4.5.6)."""
    return integer(0x20, 7, len(name)) + name + integer(0, 0x7F, len(value)) + value


def section(fields: Fields, octets: bytes = b"") -> bytes:
    """An encoded field section that ends with `octets`."""
    return b"\0\0" + b"".join(line(name, value) for name, value in fields) + octets


def pseudo(method: bytes = b"GET", path: bytes = b"/", scheme: bytes = b"https", authority: bytes = b"h") -> Fields:
    return [(b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", path)]


def head(fields: Fields, octets: bytes = b"") -> bytes:
    """HEADERS with exactly these fields."""
    return frame(HEADERS, section(fields, octets))


def get(*fields: tuple[bytes, bytes], path: bytes = b"/") -> bytes:
    return head([*pseudo(path=path), *fields])


def post(*fields: tuple[bytes, bytes], path: bytes = b"/") -> bytes:
    """The head of a request with a body."""
    return head([*pseudo(b"POST", path), *fields])


def data(body: bytes = b"") -> bytes:
    return frame(DATA, body)


@dataclass(frozen=True)
class Outcome:
    """What must come of a row: `kind` is connection, stream, ignored, served or refused."""

    kind: str
    codes: tuple[int, ...] = ()
    body: bytes | None = None

    def check(self, wire: H3Wire, recorder: Recorder, stream: int) -> None:
        getattr(self, f"_check_{self.kind}")(wire, recorder, stream)

    def _check_connection(self, wire: H3Wire, recorder: Recorder, stream: int) -> None:
        assert wire.engine.closed is not None
        assert wire.engine.closed[0] in self.codes, wire.engine.closed
        assert wire.over
        assert AFTER not in wire.engine.said
        assert not wire.protocol.streams

    def _check_alive(self, wire: H3Wire) -> None:
        """A good request on the same connection is served."""
        assert wire.engine.closed is None, wire.engine.closed
        wire.send(AFTER, get(path=b"/after"), True)
        assert wire.answer(AFTER).body == b"GET /after "
        assert wire.answer(AFTER).ended
        assert wire.engine.closed is None
        assert wire.owed == {}

    def _check_stream(self, wire: H3Wire, recorder: Recorder, stream: int) -> None:
        """A stream error resets the stream, that one, and the others live."""
        self._check_alive(wire)
        assert wire.engine.resets == {stream: self.codes[0]}
        assert not any(call.complete and not call.disconnected and not call.returned for call in recorder.calls)
        assert stream not in wire.protocol.streams

    def _check_ignored(self, wire: H3Wire, recorder: Recorder, stream: int) -> None:
        self._check_alive(wire)
        assert wire.engine.resets == {}

    def _check_served(self, wire: H3Wire, recorder: Recorder, stream: int) -> None:
        self._check_ignored(wire, recorder, stream)
        assert wire.answer(stream).status == 200
        assert wire.answer(stream).ended
        assert self.body is None or wire.answer(stream).body == self.body

    def _check_refused(self, wire: H3Wire, recorder: Recorder, stream: int) -> None:
        self._check_ignored(wire, recorder, stream)
        assert wire.answer(stream).status in self.codes
        assert wire.answer(stream).ended
        assert recorder.targets == [b"/after"]


def connection(*codes: int) -> Outcome:
    """A connection error (RFC 9114 section 8): it is closed with one of `codes`."""
    return Outcome("connection", codes)


def stream(code: int) -> Outcome:
    """A stream error.  The RFC allows a connection error in its place; this server does not."""
    return Outcome("stream", (code,))


def served(body: bytes | None = None) -> Outcome:
    """The request is answered with 200, and nothing was an error."""
    return Outcome("served", body=body)


def refused(*statuses: int) -> Outcome:
    """An answer, without the application."""
    return Outcome("refused", statuses)


IGNORED = Outcome("ignored")
MALFORMED = stream(H3_MESSAGE_ERROR)


@dataclass(frozen=True)
class Row:
    """One rule: the octets of one stream, which ends where `ends`, and what must come of them.

    `hello` is the client's control stream, none where it is empty.
    """

    rule: str
    octets: bytes
    outcome: Outcome
    number: int = REQUEST
    ends: bool = True
    hello: bytes = varint(CONTROL) + settings()
    wire: dict[str, Any] = field(default_factory=dict)

    def ways(self) -> Iterator[list[bytes]]:
        """Whole, with the end by itself, in single octets (or pieces, where they are many), and cut at each octet."""
        octets, size = self.octets, len(self.octets)
        yield [octets]
        yield [octets, b""]
        piece = 1 if size <= 2000 else 999
        yield [octets[start : start + piece] for start in range(0, size, piece)] or [b""]
        if size <= CUT_BYTES:
            for cut in range(1, size):
                yield [octets[:cut], octets[cut:]]

    def check(self) -> None:
        for pieces in self.ways():
            recorder = Recorder(answer)
            wire = H3Wire(recorder, None, None, False, **self.wire)
            wire.shake()
            if self.hello:
                wire.send(2, self.hello)
            with arriving(pieces):
                for piece in pieces[:-1]:
                    wire.send(self.number, piece)
                wire.send(self.number, pieces[-1], self.ends)
                self.outcome.check(wire, recorder, self.number)
                wire.hang_up()
                check_quiet(wire)


def lane(rule: str, octets: bytes, outcome: Outcome, ends: bool = False, **others: Any) -> Row:
    """A row of a unidirectional stream, whose type its `octets` begin with."""
    return Row(rule, octets, outcome, LANE, ends, **others)


def control(rule: str, octets: bytes, outcome: Outcome, ends: bool = False) -> Row:
    """A row of the client's control stream, behind its type."""
    return lane(rule, varint(CONTROL) + octets, outcome, ends, hello=b"")


def parametrize(rows: list[Row]) -> Callable[[Callable[..., None]], Any]:
    return pytest.mark.parametrize("row", rows, ids=[row.rule for row in rows])

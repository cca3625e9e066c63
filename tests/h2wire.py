"""An HTTP/2 connection under test, with a client made of frames: it says what a test wants said, right or wrong.

`H2Wire` is a `Wire` whose peer's hands hold frames (`hyperframe` writes and reads them, `hpack` their fields), and not
a client library: a library would refuse to send what an attacker sends.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from fastserver._speedups.contract import H2Limits, Peer
from fastserver._speedups.events import Updated
from fastserver.protocol.h2 import open_h2
from tests.fakes import App, Wire

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Fields = list[tuple[bytes, bytes]]

#: What `H2Wire.request` sends unless told otherwise.
REQUEST: dict[bytes, bytes] = {b":method": b"GET", b":scheme": b"http", b":authority": b"example.org", b":path": b"/"}


@dataclass
class Answer:
    """What has come on one stream: final head, body, and how it ended."""

    status: int = 0
    headers: Fields = field(default_factory=list)
    interim: list[tuple[int, Fields]] = field(default_factory=list)
    body: bytes = b""
    trailers: Fields | None = None
    ended: bool = False
    reset: int | None = None

    def take_head(self, fields: Iterable[tuple[Any, Any]]) -> None:
        """A decoded field block: an interim head, the final one, or trailers."""
        plain = [(bytes(name), bytes(value)) for name, value in fields]
        if self.status:
            self.trailers = plain
        elif plain[0][1].startswith(b"1"):
            self.interim.append((int(plain[0][1]), plain[1:]))
        else:
            self.status, self.headers = int(plain[0][1]), plain[1:]

    def header(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


class H2Wire(Wire):
    """One HTTP/2 connection; `frames` is all that the server has written, `answers` the same by stream.

    With `reads` the peer gives the windows back as DATA comes.
    """

    def __init__(
        self, app: App, peer: Peer | None = None, /, h2: H2Limits | None = None, reads: bool = True, **limits: float
    ) -> None:
        self._h2 = h2 or H2Limits()
        self.reads = reads
        self.frames: list[Frame] = []
        self.answers: dict[int, Answer] = {}
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self._parsed = 0
        self._next = 1
        self._block: list[bytes] = []
        super().__init__(app, peer, **limits)

    def _open(self) -> Any:
        self.host.limits.h2 = self._h2
        protocol = open_h2(self.connection, self.host)
        protocol.handle(Updated(idle=True))
        return protocol

    # ---- The peer's side -------------------------------------------------------------------------------------------

    def greet(self, **settings: int) -> "H2Wire":
        """Preface, SETTINGS by their hyperframe names, and the acknowledgement of the server's."""
        codes = {getattr(SettingsFrame, name.upper()): value for name, value in settings.items()}
        self.feed(PREFACE + SettingsFrame(0, codes).serialize() + SettingsFrame(0, flags=["ACK"]).serialize())
        self.read()
        return self

    def send(self, *frames: Frame) -> "H2Wire":
        """All frames in one read."""
        self.feed(b"".join(frame.serialize() for frame in frames))
        self.read()
        return self

    def encode(self, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        return self.encoder.encode(list(fields))

    def head(self, fields: Iterable[tuple[bytes, bytes]], stream: int, ends: bool = True) -> HeadersFrame:
        """A whole HEADERS frame of exactly these fields."""
        flags = ["END_HEADERS", "END_STREAM"] if ends else ["END_HEADERS"]
        return HeadersFrame(stream, self.encode(fields), flags=flags)

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
        frames: list[Frame] = [self.head([*head.items(), *fields], stream, ends and body is None)]
        if body is not None:
            frames += self.data(stream, body, ends)
        self.send(*frames)
        return stream

    def take_id(self) -> int:
        """The next stream of this client."""
        self._next += 2
        return self._next - 2

    def data(self, stream: int, body: bytes, ends: bool = False) -> list[Frame]:
        """DATA frames of at most 16 KiB."""
        parts = [body[start : start + 16384] for start in range(0, len(body), 16384)] or [b""]
        return [
            DataFrame(stream, part, flags=["END_STREAM"] if ends and index == len(parts) - 1 else [])
            for index, part in enumerate(parts)
        ]

    # ---- What came of it -------------------------------------------------------------------------------------------

    def read(self) -> list[Frame]:
        """Parse what the server has written since the last call; returns those frames."""
        self.settle()
        fresh: list[Frame] = []
        while True:
            out = self.connection.out
            if len(out) - self._parsed < 9:
                break
            frame, size = Frame.parse_frame_header(memoryview(bytes(out[self._parsed : self._parsed + 9])))
            assert len(out) - self._parsed >= 9 + size, "the server has written a part of a frame"
            frame.parse_body(memoryview(bytes(out[self._parsed + 9 : self._parsed + 9 + size])))
            self._parsed += 9 + size
            fresh.append(frame)
            self._take(frame)
        self.frames += fresh
        if self.reads:
            self._give_back(fresh)
        return fresh

    def _give_back(self, frames: list[Frame]) -> None:
        updates: list[Frame] = []
        for frame in frames:
            if isinstance(frame, DataFrame) and frame.flow_controlled_length:
                size = frame.flow_controlled_length
                updates += [WindowUpdateFrame(0, size), WindowUpdateFrame(frame.stream_id, size)]
        if updates and not self.over:
            self.send(*updates)

    def _take(self, frame: Frame) -> None:
        answer = self.answers.setdefault(frame.stream_id, Answer())
        if isinstance(frame, (HeadersFrame, ContinuationFrame)):
            self._block.append(frame.data)
            if isinstance(frame, HeadersFrame) and "END_STREAM" in frame.flags:
                answer.ended = True
            if "END_HEADERS" in frame.flags:
                answer.take_head(self.decoder.decode(b"".join(self._block), raw=True))
                self._block = []
        elif isinstance(frame, DataFrame):
            answer.body += frame.data
            answer.ended = "END_STREAM" in frame.flags
        elif isinstance(frame, RstStreamFrame):
            answer.reset = frame.error_code

    def answer(self, stream: int) -> Answer:
        """What has come on `stream`."""
        self.read()
        return self.answers.get(stream, Answer())

    @property
    def went_away(self) -> list[tuple[int, int]]:
        """(code, last stream) of each GOAWAY."""
        self.read()
        return [(frame.error_code, frame.last_stream_id) for frame in self.frames if isinstance(frame, GoAwayFrame)]

    @property
    def pongs(self) -> list[bytes]:
        self.read()
        return [frame.opaque_data for frame in self.frames if isinstance(frame, PingFrame) and "ACK" in frame.flags]

"""A client of frames on a real socket: HTTP/2 by hyperframe and hpack, which sends what it is told to.

A client library would end the connection at the first GOAWAY; this one reads on, as RFC 9113 section 6.8 wants it.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterable

import hpack
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.e2e.peers import Address, connect, wrap
from tests.e2e.processes import PATIENCE_S
from tests.h2wire import PREFACE, Answer

#: What this client lets come at once.
WINDOW = 1 << 30


class H2Peer:
    """One connection; ``answers`` is what came by stream, ``went_away`` (code, last stream) of each GOAWAY.

    ``over`` is set when the server has closed.
    """

    def __init__(
        self,
        address: Address,
        context: ssl.SSLContext | None = None,
        greet: bool = True,
        sock: socket.socket | None = None,
    ) -> None:
        """Connect, or go on from ``sock``, which is connected and has said nothing."""
        self.sock = connect(address, context) if sock is None else wrap(sock, context)
        self.scheme = "http" if context is None else "https"
        self.answers: dict[int, Answer] = {}
        self.frames: list[Frame] = []
        self.went_away: list[tuple[int, int]] = []
        self.settings: dict[int, int] = {}
        self.over = False
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._data = b""
        self._next = 1
        #: What the server lets this client send: of the connection, and of each stream.
        self.window = 65535
        self.windows: dict[int, int] = {}
        if greet:
            self.greet()

    def __enter__(self) -> "H2Peer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.sock.close()

    def greet(self) -> None:
        """The preface, and both sides' SETTINGS."""
        settings = SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: WINDOW})
        self.send(settings, WindowUpdateFrame(0, WINDOW), preface=PREFACE)
        self.wait(lambda: bool(self.settings), "the server's SETTINGS")

    def send(self, *frames: Frame, preface: bytes = b"") -> None:
        self.send_bytes(preface + b"".join(frame.serialize() for frame in frames))

    def send_bytes(self, data: bytes) -> None:
        self.sock.settimeout(PATIENCE_S)
        self.sock.sendall(data)

    def request(
        self,
        path: str = "/",
        *fields: tuple[str, str],
        method: str = "GET",
        body: bytes | None = None,
        ends: bool = True,
    ) -> int:
        """Begin a request: its stream."""
        head = [(":method", method), (":scheme", self.scheme), (":authority", "localhost"), (":path", path), *fields]
        stream = self.take_id()
        flags = ["END_HEADERS", "END_STREAM"] if body is None and ends else ["END_HEADERS"]
        self.send(HeadersFrame(stream, self.encode(head), flags=flags))
        if body is not None:
            self.send_data(stream, body, ends)
        return stream

    def connect_session(self, path: str = "/", *fields: tuple[str, str]) -> int:
        """An extended CONNECT for a WebSocket (RFC 8441 section 4): its stream."""
        stream = self.take_id()
        head = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", self.scheme),
            (":authority", "localhost"),
            (":path", path),
            ("sec-websocket-version", "13"),
            *fields,
        ]
        self.send(HeadersFrame(stream, self.encode(head), flags=["END_HEADERS"]))
        return stream

    def take_id(self) -> int:
        self._next += 2
        self.windows[self._next - 2] = self.settings.get(SettingsFrame.INITIAL_WINDOW_SIZE, 65535)
        return self._next - 2

    def encode(self, fields: Iterable[tuple[str, str]]) -> bytes:
        return bytes(self._encoder.encode(list(fields)))

    def send_data(self, stream: int, body: bytes, ends: bool = False) -> None:
        """As much at a time as the server's windows take."""
        while True:
            if body:
                self.wait(lambda: min(self.window, self.windows[stream]) > 0, "room in the windows")
            size = min(len(body), 16384, self.window, self.windows[stream])
            part, body = body[:size], body[size:]
            self.window -= size
            self.windows[stream] -= size
            self.send(DataFrame(stream, part, flags=["END_STREAM"] if ends and not body else []))
            if not body:
                return

    def wait_answer(self, stream: int) -> Answer:
        """The whole answer on ``stream``, or what was there when it was reset or the connection ended."""
        self.wait(lambda: self.over or self.answer(stream).ended or self.answer(stream).reset is not None, "an answer")
        return self.answer(stream)

    def answer(self, stream: int) -> Answer:
        return self.answers.setdefault(stream, Answer())

    def fetch(self, path: str = "/") -> Answer:
        return self.wait_answer(self.request(path))

    def wait(self, condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
        """Read until ``condition`` holds."""
        deadline = time.monotonic() + patience_s
        while not condition():
            assert not self.over, f"the connection ended before {what}"
            left = deadline - time.monotonic()
            assert left > 0, f"no {what} in time"
            self.read(left)

    def read(self, timeout_s: float) -> None:
        """Take what comes within ``timeout_s``, at least once."""
        self.sock.settimeout(timeout_s)
        try:
            data = self.sock.recv(1 << 18)
        except (TimeoutError, ssl.SSLWantReadError):
            return
        except ConnectionError:
            data = b""
        if not data:
            self.over = True
            return
        self._data += data
        while len(self._data) >= 9:
            frame, size = Frame.parse_frame_header(memoryview(self._data[:9]))
            if len(self._data) < 9 + size:
                return
            frame.parse_body(memoryview(self._data[9 : 9 + size]))
            self._data = self._data[9 + size :]
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        self.frames.append(frame)
        if isinstance(frame, HeadersFrame):
            assert "END_HEADERS" in frame.flags
            self.answer(frame.stream_id).take_head(self._decoder.decode(frame.data, raw=True))
            self.answer(frame.stream_id).ended |= "END_STREAM" in frame.flags
        elif isinstance(frame, DataFrame):
            self.answer(frame.stream_id).body += frame.data
            self.answer(frame.stream_id).ended |= "END_STREAM" in frame.flags
        elif isinstance(frame, RstStreamFrame):
            self.answer(frame.stream_id).reset = frame.error_code
        elif isinstance(frame, GoAwayFrame):
            self.went_away.append((frame.error_code, frame.last_stream_id))
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.settings = dict(frame.settings)
            self.send(SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self.send(PingFrame(0, frame.opaque_data, flags=["ACK"]))
        elif isinstance(frame, WindowUpdateFrame):
            self._take_window(frame.stream_id, frame.window_increment)

    def _take_window(self, stream: int, increment: int) -> None:
        if stream == 0:
            self.window += increment
        elif stream in self.windows:
            self.windows[stream] += increment

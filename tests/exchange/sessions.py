"""WebSocket sessions under test: a client's frames, a strict reader of the server's, and the two ends that they go by.

`Session` is a session through the HTTP/1 wire; `StreamSession` one over a sink that remembers, as HTTP/2 gives it.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from fastserver._speedups.contract import Peer, Request, ResponseHead, Sink
from fastserver._speedups.http import HTTPApplication
from fastserver._speedups.websocket.settings import WebSocketSettings
from tests.fakes import App, Message, Receive, Send, Wire, make_host, make_log
from tests.handloop import HandLoop
from tests.responses import Response, split_responses

#: The key and its answer of RFC 6455 section 1.3.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def upgrade(
    *fields: bytes, line: bytes = b"GET /chat HTTP/1.1", key: bytes | None = KEY, version: bytes = b"13"
) -> bytes:
    """A handshake over HTTP/1.1; `fields` are added as they stand."""
    keys = [] if key is None else [b"Sec-WebSocket-Key: " + key]
    versions = [b"Sec-WebSocket-Version: " + version] if version else []
    given = [b"Host: h", b"Upgrade: websocket", b"Connection: Upgrade", *versions, *keys, *fields]
    return b"\r\n".join([line, *given, b"", b""])


def frame(opcode: int, payload: bytes = b"", fin: bool = True, mask: bytes = b"\x11\x22\x33\x44") -> bytes:
    """A client's frame."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    else:
        length = b"\xfe" + size.to_bytes(2, "big") if size < 65536 else b"\xff" + size.to_bytes(8, "big")
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes([(0x80 if fin else 0) | opcode]) + length + mask + masked


def text(words: str) -> bytes:
    """A client's text message."""
    return frame(TEXT, words.encode("utf-8"))


def close(code: int | None = None, reason: str = "") -> bytes:
    """A client's Close."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode("utf-8"))


class Frame(NamedTuple):
    """A server's frame, which is whole and unmasked."""

    opcode: int
    payload: bytes


def closing(code: int | None, reason: str = "") -> Frame:
    """The server's Close."""
    return Frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason.encode("utf-8"))


def split_frames(data: bytes) -> list[Frame]:
    """All frames in what a server sent; nothing may be left."""
    frames = []
    while data:
        assert data[0] & 0xF0 == 0x80, data
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        assert data[1] < 128, data
        assert len(data) >= start + size, data
        frames.append(Frame(data[0] & 15, data[start : start + size]))
        data = data[start + size :]
    return frames


class Talk:
    """An application of one session: accepts, runs `body`, and keeps what it was given."""

    def __init__(self, body: Callable[["Talk"], Awaitable[None]] | None = None, **accept: Any) -> None:
        self._body = body
        self._accept = accept
        self.calls = 0
        self.scope: Message = {}
        self.received: list[Message] = []
        self.failure: BaseException | None = None
        self.receive: Receive
        self.send: Send

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        self.calls += 1
        self.scope, self.receive, self.send = scope, receive, send
        try:
            await self.take()
            await send({"type": "websocket.accept", **self._accept})
            await (self.echo() if self._body is None else self._body(self))
        except BaseException as failure:
            self.failure = failure
            raise

    async def take(self) -> Message:
        """Receive one message."""
        self.received.append(await self.receive())
        return self.received[-1]

    async def echo(self) -> None:
        """Send back each message until the session ends."""
        while (message := await self.take())["type"] == "websocket.receive":
            await self.send({**message, "type": "websocket.send"})

    async def say(self, words: str) -> None:
        await self.send({"type": "websocket.send", "text": words})

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.send({"type": "websocket.close", "code": code, "reason": reason})

    @property
    def told(self) -> list[str | bytes | tuple[int, str]]:
        """What it was told after `websocket.connect`: texts, bytes, and code and reason of the end."""
        assert self.received[0] == {"type": "websocket.connect"}
        found: list[str | bytes | tuple[int, str]] = []
        for message in self.received[1:]:
            if message["type"] == "websocket.disconnect":
                assert message.keys() == {"type", "code", "reason"}
                found.append((message["code"], message["reason"]))
            else:
                assert message.keys() == {"type", "text", "bytes"}
                assert (message["text"] is None) != (message["bytes"] is None)
                found.append(message["bytes"] if message["text"] is None else message["text"])
        return found


class Session(Wire):
    """A session over HTTP/1; `settings` override the defaults of `WebSocketSettings`."""

    def __init__(
        self,
        app: App,
        peer: Peer | None = None,
        root_path: str = "",
        /,
        limits: dict[str, float] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(app, peer, **(limits or {}))
        self.host.application = HTTPApplication(app, self.host, root_path, websocket=WebSocketSettings(**settings))
        self.access: list[tuple[Any, ...]] = []
        self.host.access_log = lambda *record: self.access.append(record)

    def feed(self, *reads: bytes) -> "Session":
        super().feed(*reads)
        return self

    def advance(self, seconds: float, tick: float = 1.0) -> "Session":
        super().advance(seconds, tick)
        return self

    def open(self, *fields: bytes) -> "Session":
        """Send the handshake, which must be accepted."""
        self.feed(upgrade(*fields))
        assert self.head.status == 101
        return self

    @property
    def head(self) -> Response:
        """The answer to the handshake."""
        return split_responses(self.out.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")[0]

    @property
    def frames(self) -> list[Frame]:
        """What the server has said in the session."""
        return split_frames(self.out.partition(b"\r\n\r\n")[2])

    @property
    def faults(self) -> list[str]:
        """What an operator sees in the log."""
        return [record.getMessage() for record in self.log if record.levelname != "DEBUG"]


class FakeSink(Sink):
    """A stream that remembers what was said to it."""

    def __init__(self, peer: Peer | None = None) -> None:
        self.peer = peer or Peer(("127.0.0.1", 50000), ("127.0.0.1", 8000), "https", "h2")
        self.accepted: list[tuple[bytes, bytes]] | None = None
        self.response: ResponseHead | None = None
        self.out = b""
        self.ended = False
        self.aborted = False
        self.consumed = 0
        self.deadline = math.inf
        self.writable = True
        self.host: Any = None

    def accept(self, head: ResponseHead) -> None:
        assert self.accepted is None
        self.accepted = head.fields

    def respond(self, head: ResponseHead, body: bytes, more: bool) -> None:
        assert self.accepted is None
        self.response = head
        self.write(body, more)

    def write(self, body: bytes, more: bool) -> None:
        assert not self.ended
        self.out += body
        self.ended = not more

    def abort(self) -> None:
        self.aborted = True

    def consume(self, count: int) -> None:
        self.consumed += count

    def forbid_reuse(self) -> None:
        pass

    def want_body(self) -> None:
        pass

    def set_deadline(self, deadline: float) -> None:
        self.deadline = deadline

    def is_writable(self) -> bool:
        return self.writable

    def cork(self) -> None:
        pass

    def uncork(self) -> None:
        pass

    def get_peer(self) -> Peer:
        return self.peer

    def get_tally(self) -> Any:
        return self.host.metrics.get_tally("h2")


def connect(*fields: tuple[bytes, bytes], protocol: str = "websocket") -> Request:
    """An extended CONNECT (RFC 8441 section 4) as the wire gives it."""
    request = Request()
    request.method, request.http_version, request.protocol = "CONNECT", "2", protocol
    request.path, request.raw_path, request.query_string = "/chat", b"/chat", b""
    request.headers = [(b"host", b"h"), *fields]
    request.content_length = -1
    return request


class StreamSession:
    """A session over a fake sink, by default as HTTP/2 opens it."""

    def __init__(self, app: App, request: Request | None = None, settings: WebSocketSettings | None = None) -> None:
        self.loop = HandLoop()
        error_log, self.log = make_log()
        self.host = make_host(app, self.loop, error_log)
        self.application = HTTPApplication(app, self.host, websocket=settings or WebSocketSettings())
        self.sink = FakeSink()
        self.sink.host = self.host
        self.request = request or connect()
        self.exchange = self.application.open(self.sink, self.request)

    def start(self) -> "StreamSession":
        return self.do(self.exchange.start)

    def feed(self, *reads: bytes) -> "StreamSession":
        for data in reads:
            self.do(self.exchange.on_body, data, True)
        return self

    def settle(self) -> None:
        """Let the loop come to rest."""
        self.loop.settle()

    def do(self, call: Callable[..., Any], *arguments: Any) -> "StreamSession":
        """Make a call of the wire's, and let the loop come to rest."""
        with self.loop.running():
            call(*arguments)
        self.loop.settle()
        return self

    def advance(self, seconds: int) -> "StreamSession":
        """Let `seconds` pass, with a sweep in each."""
        for _ in range(seconds):
            self.host.clock.tick(self.loop.now + 1, 0.0)
            self.loop.advance(1)
            now = self.host.clock.now
            if self.sink.deadline <= now:
                self.sink.deadline = math.inf
                self.do(self.exchange.on_deadline, now)
        return self

    @property
    def frames(self) -> list[Frame]:
        return split_frames(self.sink.out)


async def refuse(scope: Message, receive: Receive, send: Send) -> None:
    """An application that must not be called."""
    raise AssertionError("the application was called")


async def wait_for_ever() -> None:
    await asyncio.get_running_loop().create_future()

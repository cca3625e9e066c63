"""HTTP/3 by aioquic as the client, on a blocking socket: requests, resets, and WebSockets by ``wsproto`` (RFC 9220)."""

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection, Setting
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    ProtocolNegotiated,
    QuicEvent,
    StopSendingReceived,
    StreamReset,
)
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from tests.e2e.processes import PATIENCE_S


@dataclass
class Answer:
    """What came on one stream; ``reset`` and ``stopped`` are codes."""

    heads: list[dict[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: int | None = None
    stopped: int | None = None

    @property
    def status(self) -> int:
        return int(self.heads[0][":status"]) if self.heads else 0


class H3Peer:
    """One connection to 127.0.0.1:``port``; ``answers`` by stream, ``over`` is how it ended."""

    def __init__(self, port: int, authority: str) -> None:
        configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="localhost")
        configuration.load_verify_locations(cafile=authority)
        configuration.verify_mode = ssl.CERT_REQUIRED
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.address = ("127.0.0.1", port)
        self.quic = QuicConnection(configuration=configuration)
        self.http: H3Connection | None = None
        self.answers: dict[int, Answer] = {}
        self.sessions: dict[int, Session] = {}
        self.over: ConnectionTerminated | None = None
        self.greeted = False
        self.quic.connect(self.address, time.monotonic())
        self.flush()
        self.wait(lambda: self.greeted and self.wire.received_settings is not None, "the server's SETTINGS")

    def __enter__(self) -> "H3Peer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.quic.close(ErrorCode.H3_NO_ERROR)
        self.flush()
        self.sock.close()

    @property
    def wire(self) -> H3Connection:
        assert self.http is not None
        return self.http

    @property
    def may_connect(self) -> bool:
        """Whether the server takes an extended CONNECT."""
        return bool((self.wire.received_settings or {}).get(Setting.ENABLE_CONNECT_PROTOCOL))

    def request(
        self,
        path: str = "/",
        *fields: tuple[str, str],
        method: str = "GET",
        body: bytes | None = None,
        ends: bool = True,
        trailers: tuple[tuple[str, str], ...] = (),
    ) -> int:
        """Begin a request: its stream."""
        stream = self.quic.get_next_available_stream_id()
        self.answers[stream] = Answer()
        self._send_head(stream, [(":method", method), *self._target(path), *fields], ends and body is None)
        if body is not None:
            self.wire.send_data(stream, body, end_stream=ends and not trailers)
        if trailers:
            self._send_head(stream, list(trailers), True)
        self.flush()
        return stream

    def open_session(self, path: str = "/", *fields: tuple[str, str]) -> "Session":
        """An extended CONNECT for a WebSocket; what comes of it is its ``status``."""
        stream = self.quic.get_next_available_stream_id()
        self.answers[stream] = Answer()
        head = [(":method", "CONNECT"), (":protocol", "websocket"), *self._target(path)]
        self._send_head(stream, [*head, ("sec-websocket-version", "13"), *fields], False)
        self.sessions[stream] = Session(self, stream)
        self.flush()
        self.wait(lambda: self.answers[stream].status != 0 or self.answers[stream].reset is not None, "an answer")
        return self.sessions[stream]

    def _target(self, path: str) -> list[tuple[str, str]]:
        return [(":scheme", "https"), (":authority", f"localhost:{self.address[1]}"), (":path", path)]

    def _send_head(self, stream: int, head: list[tuple[str, str]], ends: bool) -> None:
        self.wire.send_headers(stream, [(name.encode(), value.encode()) for name, value in head], end_stream=ends)

    def send_data(self, stream: int, data: bytes, ends: bool = False) -> None:
        self.wire.send_data(stream, data, end_stream=ends)
        self.flush()

    def reset(self, stream: int, code: int = ErrorCode.H3_REQUEST_CANCELLED) -> None:
        """Send no more of the request."""
        self.quic.reset_stream(stream, code)
        self.flush()

    def stop(self, stream: int, code: int = ErrorCode.H3_REQUEST_CANCELLED) -> None:
        """Want no more of the response."""
        self.quic.stop_stream(stream, code)
        self.flush()

    def wait_answer(self, stream: int) -> Answer:
        """The whole answer, or what was there when it was reset."""
        answer = self.answers[stream]
        self.wait(lambda: answer.ended or answer.reset is not None, "an answer")
        return answer

    def fetch(self, path: str = "/", **options: Any) -> Answer:
        return self.wait_answer(self.request(path, **options))

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Read until ``condition`` holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.over is None, f"the connection ended before {what}: {self.over}"
            assert time.monotonic() < deadline, f"no {what} in time"
            self.read(deadline)

    def wait_over(self) -> ConnectionTerminated:
        """Read until the connection has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while self.over is None:
            assert time.monotonic() < deadline, "the connection does not end"
            self.read(deadline)
        return self.over

    def read(self, deadline: float) -> None:
        """Take a datagram, or do what is due."""
        now = time.monotonic()
        timer = self.quic.get_timer()
        due = deadline if timer is None else min(timer, deadline)
        self.sock.settimeout(max(due - now, 0.0001))
        try:
            data, address = self.sock.recvfrom(65536)
            self.quic.receive_datagram(data, address, time.monotonic())
        except TimeoutError:
            if timer is not None and timer <= time.monotonic():
                self.quic.handle_timer(time.monotonic())
        while (event := self.quic.next_event()) is not None:
            self._take(event)
        self.flush()

    def flush(self) -> None:
        for data, address in self.quic.datagrams_to_send(time.monotonic()):
            self.sock.sendto(data, address)

    def _take(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self.quic)
        elif isinstance(event, HandshakeCompleted):
            self.greeted = True
        elif isinstance(event, ConnectionTerminated):
            self.over = event
        elif isinstance(event, StreamReset) and event.stream_id in self.answers:
            self.answers[event.stream_id].reset = event.error_code
        elif isinstance(event, StopSendingReceived) and event.stream_id in self.answers:
            self.answers[event.stream_id].stopped = event.error_code
        if self.http is not None:
            for found in self.http.handle_event(event):
                self._take_http(found)

    def _take_http(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            answer = self.answers[event.stream_id]
            answer.heads.append({name.decode(): value.decode("latin-1") for name, value in event.headers})
            answer.ended |= event.stream_ended
        elif isinstance(event, DataReceived):
            answer = self.answers[event.stream_id]
            answer.ended |= event.stream_ended
            session = self.sessions.get(event.stream_id)
            if session is not None and answer.status == 200:
                session.take(event.data)
            else:
                answer.body += event.data


class Session:
    """One WebSocket on a stream."""

    def __init__(self, peer: H3Peer, stream: int) -> None:
        self.peer = peer
        self.stream = stream
        self.frames = Connection(ConnectionType.CLIENT)
        self.events: list[Event] = []
        self._parts: list[Any] = []

    @property
    def answer(self) -> Answer:
        return self.peer.answers[self.stream]

    @property
    def status(self) -> int:
        return self.answer.status

    def take(self, data: bytes) -> None:
        """Events in order, messages whole; a ping is answered."""
        if not data:
            return
        self.frames.receive_data(data)
        for event in self.frames.events():
            if isinstance(event, TextMessage | BytesMessage):
                self._parts.append(event.data)
                if event.message_finished:
                    whole = self._parts[0][:0].join(self._parts)
                    self._parts.clear()
                    self.events.append(type(event)(data=whole))
            else:
                if isinstance(event, Ping):
                    self.send(event.response())
                self.events.append(event)

    def send(self, event: Event, ends: bool = False) -> None:
        self.peer.send_data(self.stream, self.frames.send(event), ends)

    def receive(self) -> Event:
        self.peer.wait(lambda: bool(self.events), "an event of a session")
        return self.events.pop(0)

    def ask(self, message: str | bytes) -> str | bytes:
        """Send a message and give back the one that comes."""
        self.send(TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message))
        event = self.receive()
        assert isinstance(event, TextMessage | BytesMessage), event
        return event.data if isinstance(event, TextMessage) else bytes(event.data)

    def close(self, code: int = 1000, reason: str = "") -> tuple[int, str | None]:
        """Close, and what the server says to it."""
        self.send(CloseConnection(code=code, reason=reason))
        event = self.receive()
        assert isinstance(event, CloseConnection), event
        return event.code, event.reason

    def ping(self, payload: bytes) -> bytes:
        self.send(Ping(payload=payload))
        event = self.receive()
        assert isinstance(event, Pong), event
        return bytes(event.payload)

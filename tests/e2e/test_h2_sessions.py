"""WebSockets over HTTP/2 (RFC 8441), by the ``h2`` package as the client and ``wsproto`` for its frames."""

import signal
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RemoteSettingsChanged, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from tests.e2e.conftest import Serve, Served
from tests.e2e.h2peer import H2Peer
from tests.e2e.peers import Address, connect
from tests.e2e.processes import PATIENCE_S

APP = "tests.e2e.websocket_application:app"
ARGUMENTS = ["--h2c"]
MIB = 1 << 20


class Tunnels:
    """One connection of ``h2``'s with sessions on its streams."""

    def __init__(self, address: Address, context: ssl.SSLContext | None) -> None:
        self.sock = connect(address, context)
        self.scheme = "http" if context is None else "https"
        self.wire = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.sessions: dict[int, Session] = {}
        self.may_connect = False
        self.wire.initiate_connection()
        self.flush()
        self.wait(lambda: self.may_connect, "SETTINGS_ENABLE_CONNECT_PROTOCOL")

    def open(self, path: str = "/", *fields: tuple[str, str]) -> "Session":
        """Ask for a session; what comes of it is its ``status``."""
        stream = self.wire.get_next_available_stream_id()
        self.sessions[stream] = Session(self, stream)
        head = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", self.scheme),
            (":authority", "localhost"),
            (":path", path),
            ("sec-websocket-version", "13"),
            *fields,
        ]
        self.wire.send_headers(stream, head)
        self.flush()
        self.wait(lambda: self.sessions[stream].status != 0, "an answer")
        return self.sessions[stream]

    def flush(self) -> None:
        self.sock.sendall(self.wire.data_to_send())

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, what
            data = self.sock.recv(65536)
            assert data, f"the connection ended before {what}"
            for event in self.wire.receive_data(data):
                self._take(event)
            self.flush()

    def _take(self, event: Any) -> None:
        if isinstance(event, RemoteSettingsChanged):
            changed = event.changed_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL)
            self.may_connect |= changed is not None and changed.new_value == 1
        elif isinstance(event, ResponseReceived):
            session = self.sessions[event.stream_id]
            session.fields = dict(event.headers)  # type: ignore[arg-type]
            session.status = int(session.fields[":status"])
        elif isinstance(event, DataReceived):
            self.sessions[event.stream_id].take(event.data)
            self.wire.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.sessions[event.stream_id].ended = True
        elif isinstance(event, StreamReset):
            self.sessions[event.stream_id].reset = int(event.error_code)


class Session:
    """One stream: what came on it as events of ``wsproto``, or as a body where it was denied."""

    def __init__(self, tunnels: Tunnels, stream: int) -> None:
        self.tunnels = tunnels
        self.stream = stream
        self.status = 0
        self.fields: dict[str, str] = {}
        self.body = b""
        self.events: list[Event] = []
        self.ended = False
        self.reset: int | None = None
        self._frames = Connection(ConnectionType.CLIENT)

    def take(self, data: bytes) -> None:
        if not data:  # the end of the stream
            return
        if self.status == 200:
            self._frames.receive_data(data)
            self.events += list(self._frames.events())
        else:
            self.body += data

    def send(self, event: Event) -> None:
        """As much at a time as the windows take."""
        data = self._frames.send(event)
        wire = self.tunnels.wire
        while data:
            self.tunnels.wait(lambda: wire.local_flow_control_window(self.stream) > 0, "a window")
            size = min(len(data), wire.local_flow_control_window(self.stream), wire.max_outbound_frame_size)
            wire.send_data(self.stream, data[:size])
            data = data[size:]
            self.tunnels.flush()

    def receive(self) -> Event:
        """The next event; the parts of a message as one."""
        self.tunnels.wait(lambda: self._is_whole() or self.ended or self.reset is not None, "a message")
        assert self._is_whole(), (self.events, self.reset)
        event = self.events.pop(0)
        while isinstance(event, (TextMessage, BytesMessage)) and not event.message_finished:
            part: Any = self.events.pop(0)
            event = type(event)(data=event.data + part.data, message_finished=part.message_finished)
        return event

    def _is_whole(self) -> bool:
        return any(getattr(event, "message_finished", True) for event in self.events)


@pytest.fixture(params=["plain", "secure"])
def tunnels(request: pytest.FixtureRequest, h2_trust: ssl.SSLContext) -> Iterator[Tunnels]:
    site: Served = request.getfixturevalue(request.param)
    opened = Tunnels(site.port, h2_trust if site.scheme == "https" else None)
    yield opened
    opened.sock.close()


def test_echo_and_close(tunnels: Tunnels) -> None:
    session = tunnels.open()
    assert session.status == 200
    assert "sec-websocket-accept" not in session.fields
    for message in (TextMessage(data="größer"), BytesMessage(data=b"\0\xff"), BytesMessage(data=bytes(MIB))):
        session.send(message)
        echo = session.receive()
        assert isinstance(echo, type(message))
        assert echo.data == message.data
    session.send(Ping(payload=b"p"))
    assert session.receive() == Pong(payload=b"p")
    session.send(CloseConnection(code=4000, reason="done"))
    assert session.receive() == CloseConnection(code=4000, reason="")
    tunnels.wait(lambda: session.ended, "the end of the stream")


def test_subprotocol_and_the_servers_close(tunnels: Tunnels) -> None:
    session = tunnels.open("/tell", ("sec-websocket-protocol", "one, two"))
    assert session.fields["sec-websocket-protocol"] == "two"
    told = session.receive()
    assert isinstance(told, TextMessage)
    assert told.data.split()[1:] == ["ws" if tunnels.scheme == "http" else "wss", "2", "one,two"]
    assert session.receive() == CloseConnection(code=3001, reason="told")


def test_a_denial_is_a_response(tunnels: Tunnels) -> None:
    session = tunnels.open("/deny")
    assert (session.status, session.fields["www-authenticate"]) == (401, "Basic")
    tunnels.wait(lambda: session.ended, "the end of the stream")
    assert session.body == b"who then?"
    assert tunnels.open("/reject").status == 403


def test_many_sessions_on_one_connection(tunnels: Tunnels) -> None:
    sessions = [tunnels.open() for _ in range(50)]
    for number, session in enumerate(sessions):
        session.send(TextMessage(data=str(number)))
    for number, session in enumerate(sessions):
        assert session.receive() == TextMessage(data=str(number))


def test_a_reset_ends_one_session_and_is_told_as_1006(plain: Served) -> None:
    tunnels = Tunnels(plain.port, None)
    other, session = tunnels.open(), tunnels.open()
    session.send(TextMessage(data="x"))
    assert session.receive() == TextMessage(data="x")
    tunnels.wire.reset_stream(session.stream, 8)
    other.send(TextMessage(data="y"))
    assert other.receive() == TextMessage(data="y")
    request = tunnels.wire.get_next_available_stream_id()
    head = {":method": "GET", ":scheme": "http", ":authority": "localhost", ":path": "/"}
    tunnels.sessions[request] = answer = Session(tunnels, request)
    tunnels.wire.send_headers(request, list(head.items()), end_stream=True)
    answer.status = 1  # so that its DATA counts as a body
    tunnels.flush()
    tunnels.wait(lambda: answer.ended, "the ends")
    assert answer.status == 200
    tunnels.sock.close()


def test_what_is_wrong_is_closed_with_its_code(tunnels: Tunnels) -> None:
    session = tunnels.open()
    tunnels.wire.send_data(session.stream, b"\x81\x81\0\0\0\0\xff")
    tunnels.flush()
    close = session.receive()
    assert isinstance(close, CloseConnection)
    assert close.code == 1007


def test_sigterm_closes_each_session_with_1012(serve: Serve) -> None:
    """Seen by a client of frames, since ``h2`` reads nothing behind a GOAWAY."""
    site = serve(APP, "--h2c", "--timeout-stream-shutdown", "0.1")
    with H2Peer(site.port) as peer:
        streams = [peer.connect_session() for _ in range(10)]
        peer.wait(lambda: all(peer.answer(stream).status == 200 for stream in streams), "sessions")
        site.server.send(signal.SIGTERM)
        peer.wait(lambda: all(peer.answer(stream).body for stream in streams), "closes")
        for stream in streams:
            assert peer.answer(stream).body == b"\x88\x02" + (1012).to_bytes(2, "big")
            peer.send_data(stream, b"\x88\x82\0\0\0\0" + (1012).to_bytes(2, "big"), True)
            peer.wait_answer(stream)
            assert peer.answer(stream).ended
        peer.wait(lambda: peer.over, "the end")
    assert site.server.wait_exit() == 0
    assert "ERROR" not in site.server.text


def test_without_websockets_it_is_not_offered(serve: Serve) -> None:
    site = serve(APP, "--h2c", "--no-ws")
    sock = connect(site.port)
    wire = H2Connection(H2Configuration(client_side=True))
    wire.initiate_connection()
    sock.sendall(wire.data_to_send())
    offered: list[Any] = []
    while not offered:
        offered += [event for event in wire.receive_data(sock.recv(65536)) if isinstance(event, RemoteSettingsChanged)]
    changed = offered[0].changed_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL)
    assert changed is None or changed.new_value == 0
    sock.close()

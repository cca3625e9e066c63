"""H1-37: an Upgrade that is not taken changes nothing, and CONNECT is not served; what is taken is a tunnel."""

from typing import Any

import pytest

from fastserver._speedups.contract import Application, Exchange, ResponseHead
from fastserver._speedups.h1.bounds import BODY_BUFFER_BYTES, BODY_LOW_BYTES
from fastserver._speedups.h1.state import H1State
from fastserver._speedups.http import HTTPApplication
from fastserver._speedups.websocket.settings import WebSocketSettings
from tests.conformance.cases import CANARY, check_refusal, check_refused, check_served, request
from tests.fakes import App, Recorder, Wire, echo, every_cut

#: A body that would be a request, were it parsed as one.
BODY = CANARY
NEXT = request(line=b"GET /next HTTP/1.1")


def framed(framing: str) -> tuple[bytes, bytes]:
    """The field that announces `BODY`, and the bytes that carry it."""
    if framing == "length":
        return b"Content-Length: %d" % len(BODY), BODY
    return b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)


UPGRADES = [
    pytest.param((b"Connection: Upgrade", b"Upgrade: foo"), id="unknown"),
    pytest.param((b"Upgrade: foo", b"Connection: upgrade"), id="other order"),
    pytest.param((b"Connection: keep-alive, Upgrade", b"Upgrade: foo, bar/1"), id="list"),
    pytest.param((b"Connection: Upgrade", b"Connection: x", b"Upgrade: foo"), id="two fields"),
    pytest.param((b"Connection:upgrade\t,\tx", b"Upgrade: foo"), id="blanks"),
    pytest.param((b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), id="h2c"),
    pytest.param(
        (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"), id="websocket with a body"
    ),
    pytest.param((b"Upgrade: foo",), id="no Connection"),
    pytest.param((b"Connection: Upgrade",), id="no Upgrade"),
    pytest.param((b"Connection: Upgrade", b"Upgrade:"), id="empty Upgrade"),
]


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("fields", UPGRADES)
def test_h1_37_request_with_an_upgrade_is_served_with_its_body(fields: tuple[bytes, ...], framing: str) -> None:
    field, body = framed(framing)
    payload = request(*fields, field, line=b"POST /up HTTP/1.1", body=body) + NEXT
    recorder = check_served(payload, b"POST /up " + BODY, b"GET /next ")
    assert recorder.calls[0].body == BODY
    assert recorder.calls[0].complete


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("fields", UPGRADES[:2])
def test_h1_37_body_after_the_framing_field(fields: tuple[bytes, ...], framing: str) -> None:
    field, body = framed(framing)
    payload = request(field, *fields, line=b"PUT /up HTTP/1.1", body=body) + NEXT
    check_served(payload, b"PUT /up " + BODY, b"GET /next ")


@pytest.mark.parametrize("fields", UPGRADES)
def test_h1_37_request_with_an_upgrade_and_no_body_is_served(fields: tuple[bytes, ...]) -> None:
    if b"Upgrade: websocket" in fields:
        fields = (b"Connection: Upgrade", b"Upgrade: websocket/2")
    check_served(request(*fields, line=b"GET /up HTTP/1.1") + NEXT, b"GET /up ", b"GET /next ")
    check_served(request(*fields, b"Content-Length: 0", line=b"POST /up HTTP/1.1") + NEXT, b"POST /up ", b"GET /next ")


def test_h1_37_h2c_upgrade_is_never_taken() -> None:
    fields = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")
    recorder = Recorder()
    wire = Wire(recorder).feed(request(*fields))
    assert wire.response().status == 200
    assert b"101" not in wire.out
    # An HTTP/2 client that took it for granted is refused, and its preface is not a request.
    wire.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert [response.status for response in wire.responses()][1:] in ([400], [501], [505])
    assert len(recorder.calls) == 1
    wire.hang_up()


@pytest.mark.parametrize("fields", UPGRADES[:2])
def test_h1_37_upgrade_in_http_1_0_is_ignored(fields: tuple[bytes, ...]) -> None:
    payload = request(*fields, b"Content-Length: 2", line=b"POST /up HTTP/1.0", body=b"ab")
    check_served(payload, b"POST /up ab", closes=True)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_h1_37_many_upgrades_on_one_connection(framing: str) -> None:
    field, body = framed(framing)
    one = request(b"Connection: Upgrade", b"Upgrade: foo", field, line=b"POST /up HTTP/1.1", body=body)
    recorder = Recorder()
    wire = Wire(recorder).feed(one * 5 + NEXT)
    assert [response.body for response in wire.responses()] == [b"POST /up " + BODY] * 5 + [b"GET /next "]
    wire.hang_up()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_h1_37_bad_framing_with_an_upgrade_is_refused(framing: str) -> None:
    fields = (b"Connection: Upgrade", b"Upgrade: foo")
    if framing == "length":
        check_refused(request(*fields, b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), 400)
        check_refused(request(*fields, b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"hello"), 400)
    else:
        check_refused(request(*fields, b"Transfer-Encoding: chunked", body=b"x\r\nhello\r\n"), 400, started=True)
        check_refused(request(*fields, b"Transfer-Encoding: chunked", body=b"5\r\nhelloX\r\n"), 400, started=True)


@pytest.mark.parametrize(
    "payload",
    [
        request(line=b"CONNECT h:443 HTTP/1.1", host=b"h:443"),
        request(line=b"CONNECT h:443 HTTP/1.0", host=None),
        request(line=b"CONNECT / HTTP/1.1"),
        request(b"Content-Length: 5", line=b"CONNECT h:443 HTTP/1.1", host=b"h:443", body=b"hello"),
        request(b"Connection: Upgrade", b"Upgrade: foo", line=b"CONNECT h:443 HTTP/1.1", host=b"h:443"),
    ],
    ids=["1.1", "1.0", "origin-form", "body", "upgrade"],
)
def test_h1_37_connect_is_refused(payload: bytes) -> None:
    check_refused(payload, 405, 501)


# ---- An upgrade that is taken ----------------------------------------------------------------------------------------

WEBSOCKET = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
KEY_FIELD = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


def open_websockets(app: App) -> Wire:
    """A wire whose application is served WebSockets too."""
    wire = Wire(app)
    wire.host.application = HTTPApplication(app, wire.host, websocket=WebSocketSettings())
    return wire


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_h1_37_post_is_never_upgraded(framing: str) -> None:
    """Its body is its own and no frames, although WebSockets are served."""
    field, body = framed(framing)
    payload = request(*WEBSOCKET, KEY_FIELD, field, line=b"POST /up HTTP/1.1", body=body) + NEXT
    for reads in every_cut(payload, 100):
        recorder = Recorder()
        wire = open_websockets(recorder).feed(*reads)
        assert [response.body for response in wire.responses()] == [b"POST /up " + BODY, b"GET /next "]
        wire.hang_up()


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_h1_37_body_of_a_refused_upgrade_is_no_request(framing: str) -> None:
    field, body = framed(framing)
    payload = request(*WEBSOCKET, KEY_FIELD, field, body=body)
    for reads in every_cut(payload + NEXT, 100):
        recorder = Recorder()
        wire = open_websockets(recorder).feed(*reads)
        check_refusal(wire.response(), 400)
        assert wire.ended
        assert recorder.calls == []
        wire.hang_up()


class Tunnel(Exchange):
    """Takes the upgrade at once, and keeps what comes through it."""

    def __init__(self, sink: Any) -> None:
        self.sink = sink
        self.got = b""
        self.calls: list[str] = []

    def start(self) -> None:
        head = ResponseHead()
        head.status = 101
        head.fields = [(b"x-own", b"1")]
        self.sink.accept(head)
        self.sink.write(b"hello", True)

    def on_body(self, data: bytes, more: bool) -> None:
        assert more
        self.got += data

    def on_eof(self) -> None:
        self.calls.append("eof")
        self.sink.write(b"bye", False)

    def on_deadline(self, now: float) -> None:
        self.calls.append("deadline")

    def on_drain(self) -> None:
        self.calls.append("drain")

    def on_disconnect(self) -> None:
        self.calls.append("disconnect")


class Tunnels(Application):
    """Opens nothing but tunnels."""

    def __init__(self) -> None:
        self.opened: list[Tunnel] = []

    def open(self, sink: Any, request: Any) -> Exchange:
        self.opened.append(Tunnel(sink))
        return self.opened[-1]


def open_tunnel(*reads: bytes) -> tuple[Wire, Tunnel]:
    wire = Wire(echo)
    wire.host.application = tunnels = Tunnels()
    wire.feed(*reads)
    return wire, tunnels.opened[0]


def test_what_follows_an_accepted_upgrade_is_the_sessions() -> None:
    """Whatever it looks like, and however it arrives."""
    for reads in every_cut(request(*WEBSOCKET) + NEXT + b"\x00\r\n\r\n"):
        wire, tunnel = open_tunnel(*reads)
        assert tunnel.got == NEXT + b"\x00\r\n\r\n"
        head, _, rest = wire.out.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nx-own: 1\r\nconnection: Upgrade\r\n")
        assert rest == b"hello"
        assert wire.protocol.state is H1State.TUNNELLING
        wire.vanish()
        assert tunnel.calls == ["disconnect"]


def test_tunnel_pauses_reading_above_its_bound_and_goes_on_below() -> None:
    wire, tunnel = open_tunnel(request(*WEBSOCKET), bytes(BODY_BUFFER_BYTES))
    assert not wire.connection.reading_paused
    wire.feed(b"x", b"y")
    assert wire.connection.reading_paused
    assert len(tunnel.got) == BODY_BUFFER_BYTES + 1
    tunnel.sink.consume(BODY_BUFFER_BYTES - BODY_LOW_BYTES)
    assert wire.connection.reading_paused
    tunnel.sink.consume(1)
    wire.settle()
    assert tunnel.got[-2:] == b"xy"
    wire.vanish()


def test_tunnel_hears_of_deadlines_and_of_the_drain() -> None:
    wire, tunnel = open_tunnel(request(*WEBSOCKET))
    tunnel.sink.set_deadline(wire.host.clock.now + 2)
    wire.advance(1)
    assert tunnel.calls == []
    wire.advance(3)
    assert tunnel.calls == ["deadline"]
    wire.drain()
    assert tunnel.calls == ["deadline", "drain"]
    wire.vanish()


def test_end_of_a_tunnel_is_a_graceful_one() -> None:
    wire, tunnel = open_tunnel(request(*WEBSOCKET))
    tunnel.sink.write(b"bye", False)
    tunnel.sink.write(b"not any more", True)
    wire.feed(b"still on its way")
    assert wire.out.endswith(b"hellobye")
    assert wire.connection.finished
    assert not wire.over
    wire.eof()
    assert wire.connection.closed
    wire, tunnel = open_tunnel(request(*WEBSOCKET))
    wire.eof()
    assert (tunnel.calls, wire.connection.closed) == (["eof"], True)
    assert wire.out.endswith(b"hellobye")

"""Rules of HTTP/3 that no flood shows (Q-9, Q-11 to Q-14): what a request may be, what is answered, how it all ends."""

import ssl
from typing import Any

import pytest

pytest.importorskip("aioquic")

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from fastserver._speedups.h3.errors import H3_EXCESSIVE_LOAD, H3_MESSAGE_ERROR, H3_NO_ERROR, H3_REQUEST_CANCELLED
from tests._speedups.quic.pair import Pair
from tests.fakes import Gate, Message, Receive, Recorder, Send, ignore, respond
from tests.h3wire import DATA, HEADERS, REQUEST, H3Wire, frame

#: Heads that are malformed, as changes of a good one; ``None`` leaves a field out (RFC 9114 sections 4.2 and 4.3).
MALFORMED: dict[str, list[tuple[bytes, bytes | None]]] = {
    "no method": [(b":method", None)],
    "no scheme": [(b":scheme", None)],
    "no path": [(b":path", None)],
    "no scheme and no path": [(b":scheme", None), (b":path", None)],
    "no authority": [(b":authority", None)],
    "an empty path": [(b":path", b"")],
    "a space in the path": [(b":path", b"/a b")],
    "a method that is more": [(b":method", b"GET / X")],
    "a host that differs": [(b"host", b"evil.example")],
    "an upper-case name": [(b"X-Y", b"z")],
    "a name that is no token": [(b"a(b)", b"z")],
    "a control in a value": [(b"x", b"a\x01")],
    "a field of the connection": [(b"connection", b"close")],
    "a length with a sign": [(b"content-length", b"+5")],
    "a length with an underscore": [(b"content-length", b"1_0")],
    "a response's field": [(b":status", b"200")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_q_11_a_malformed_request_ends_its_stream_alone(name: str) -> None:
    recorder = Recorder()
    wire = H3Wire(recorder)
    head: dict[bytes, bytes | None] = {**REQUEST, **dict(MALFORMED[name])}
    stream = wire.take_id()
    wire.send(stream, wire.head([(key, value) for key, value in head.items() if value is not None]), True)
    assert wire.answer(stream).reset == H3_MESSAGE_ERROR
    assert recorder.calls == []
    assert wire.answer(wire.request()).status == 200


def test_q_11_an_empty_name_is_malformed() -> None:
    wire = H3Wire(ignore)
    stream = wire.take_id()
    wire.send(stream, frame(HEADERS, wire.encode(REQUEST.items()) + b"\x20\x01z"), True)
    assert wire.answer(stream).reset == H3_MESSAGE_ERROR


def test_q_11_two_lengths_that_differ_are_none() -> None:
    wire = H3Wire(ignore)
    fields = ((b"content-length", b"3"), (b"content-length", b"5"))
    assert wire.answer(wire.request(b"/", *fields, body=b"12345")).reset == H3_MESSAGE_ERROR


FORBIDDEN: list[tuple[bytes, bytes]] = [
    (b"x", b"a\r\nb: c"),
    (b"x", b"a\nb"),
    (b"x", b"a\0b"),
    (b"x\r\ny", b"z"),
    (b"", b"z"),
]


@pytest.mark.parametrize("field", FORBIDDEN)
def test_q_12_a_response_that_would_be_two_is_none(field: tuple[bytes, bytes]) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [field]})
        await send({"type": "http.response.body"})

    wire = H3Wire(app)
    answer = wire.answer(wire.request())
    assert answer.status == 500
    assert field not in answer.headers


def test_q_12_names_are_in_lower_case_and_fields_of_the_connection_stay_behind() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        fields = [(b"X-Y", b"z"), (b"connection", b"close"), (b"transfer-encoding", b"chunked"), (b"keep-alive", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body"})

    wire = H3Wire(app)
    names = [name for name, _ in wire.answer(wire.request()).headers]
    assert b"x-y" in names
    assert not {b"connection", b"transfer-encoding", b"keep-alive"} & set(names)


def test_q_13_no_ticket_is_given_and_so_nothing_comes_early() -> None:
    tickets: list[Any] = []
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE)
    client = QuicConnection(configuration=configuration, session_ticket_handler=tickets.append)
    pair = Pair(client=client)
    pair.connect()
    pair.settle(1)
    assert tickets == []
    assert not client.tls.early_data_accepted


def test_q_14_a_drain_serves_what_is_open_and_then_closes() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, b"done")

    wire = H3Wire(app)
    stream = wire.request()
    wire.drain()
    assert len(wire.went_away) == 1
    wire.advance(2)
    assert wire.went_away[1:] == [stream + 4]
    assert wire.engine.closed is None
    gate.open(wire)
    assert wire.answer(stream).body == b"done"
    wire.acknowledge(stream)
    wire.advance(1)
    assert wire.engine.closed is not None
    assert wire.engine.closed[0] == H3_NO_ERROR


def test_q_9_streams_that_are_reset_before_their_heads_are_counted() -> None:
    wire = H3Wire(ignore)
    for _ in range(200):
        stream = wire.take_id()
        wire.reset(stream)
        assert wire.engine.resets[stream] == H3_REQUEST_CANCELLED
    assert wire.engine.closed is None
    wire.reset(wire.take_id())
    assert wire.engine.closed is not None
    assert wire.engine.closed[0] == H3_EXCESSIVE_LOAD


def test_q_10_data_before_its_head_is_the_end() -> None:
    wire = H3Wire(ignore)
    wire.send(wire.take_id(), frame(DATA, b"x"))
    assert wire.engine.closed is not None

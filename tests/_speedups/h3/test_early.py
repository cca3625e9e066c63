"""Responses that are whole before their requests: the rest is thrown away, so that no client forgets them."""

from collections.abc import Callable

import pytest

from fastserver._speedups.bounds import DISCARD_BYTES, DISCARD_S
from fastserver._speedups.contract import H3Limits
from fastserver._speedups.h3.errors import H3_NO_ERROR, H3_REQUEST_REJECTED
from tests.fakes import Message, Receive, Send, ignore, read_body, respond
from tests.h3wire import DATA, HEADERS, H3Wire, frame, varint

ANNOUNCED = [(b"content-length", b"200000")]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    if scope["path"] == "/read":
        await read_body(receive)
        await respond(send)
    else:
        await ignore(scope, receive, send)


def respond_early(wire: H3Wire) -> int:
    return wire.request(method=b"POST", ends=False)


def refuse_head(wire: H3Wire) -> int:
    return wire.request(b"/", *ANNOUNCED, method=b"POST", ends=False)


def refuse_large_head(wire: H3Wire) -> int:
    stream = wire.take_id()
    wire.send(stream, varint(HEADERS) + varint(32769) + b"x")
    return stream


def refuse_body(wire: H3Wire) -> int:
    return wire.request(b"/read", body=bytes(100_001), ends=False)


@pytest.fixture(params=[(respond_early, 200), (refuse_head, 413), (refuse_large_head, 431), (refuse_body, 413)])
def early(request: pytest.FixtureRequest) -> tuple[H3Wire, int]:
    """A connection with a stream whose response is whole, and whose request is not."""
    begin: Callable[[H3Wire], int]
    begin, status = request.param
    wire = H3Wire(app, request_body=100_000)
    stream = begin(wire)
    answer = wire.answer(stream)
    assert (answer.status, answer.ended, answer.reset) == (status, True, None)
    assert wire.engine.stops == {}
    return wire, stream


def test_a_request_that_ends_is_not_stopped(early: tuple[H3Wire, int]) -> None:
    wire, stream = early
    wire.send(stream, bytes(DISCARD_BYTES), True)
    wire.advance(DISCARD_S + 1)
    assert wire.engine.stops == {}
    assert not wire.protocol.streams
    wire.advance(100)
    assert wire.over
    wire.hang_up()


def test_much_more_is_announced() -> None:
    wire = H3Wire(ignore)
    for size, stopped in ((DISCARD_BYTES, False), (DISCARD_BYTES + 1, True)):
        stream = wire.request(b"/", (b"content-length", b"%d" % size), method=b"POST", ends=False)
        assert (wire.answer(stream).status, wire.answer(stream).ended) == (200, True)
        assert wire.engine.stops.get(stream) == (H3_NO_ERROR if stopped else None)
        assert wire.answer(stream).reset is None
    wire.hang_up()


def test_much_more_is_stopped(early: tuple[H3Wire, int]) -> None:
    wire, stream = early
    wire.send(stream, bytes(DISCARD_BYTES))
    assert wire.engine.stops == {}
    wire.send(stream, b"x")
    assert wire.engine.stops == {stream: H3_NO_ERROR}
    wire.send(stream, b"what was under way")
    wire.reset(stream)
    assert wire.answer(stream).ended
    wire.hang_up()


def test_a_rest_that_does_not_come_is_stopped(early: tuple[H3Wire, int]) -> None:
    wire, stream = early
    wire.advance(DISCARD_S - 1)
    assert wire.engine.stops == {}
    wire.advance(1)
    assert wire.engine.stops == {stream: H3_NO_ERROR}
    wire.hang_up()


def test_the_client_resets_it(early: tuple[H3Wire, int]) -> None:
    wire, stream = early
    wire.reset(stream)
    assert wire.answer(stream).reset is None
    wire.acknowledge(stream)
    wire.drain()
    wire.advance(2)
    assert wire.over
    assert wire.connection.breaches == []
    wire.hang_up()


def test_the_client_stops_a_response_that_is_whole(early: tuple[H3Wire, int]) -> None:
    """What it says of its request is still thrown away."""
    wire, stream = early
    wire.stop(stream)
    wire.send(stream, frame(0x5)[:1] + bytes(1000))
    assert not wire.over
    wire.send(stream, b"", True)
    assert not wire.protocol.streams
    assert wire.engine.stops == {}
    wire.hang_up()


def test_a_connection_that_drains_waits_for_it(early: tuple[H3Wire, int]) -> None:
    wire, stream = early
    wire.drain()
    wire.advance(2)
    assert not wire.over
    wire.send(stream, b"rest", True)
    assert not wire.over
    wire.acknowledge(stream)
    wire.advance(1)
    assert wire.over
    assert wire.connection.breaches == []
    wire.hang_up()


def test_its_place_is_taken() -> None:
    """As the client counts streams: one that it has not ended is open."""
    wire = H3Wire(ignore, h3=H3Limits(streams=2))
    first, second = respond_early(wire), respond_early(wire)
    assert wire.answer(wire.request()).reset == H3_REQUEST_REJECTED
    wire.send(first, frame(DATA), True)
    assert wire.answer(wire.request()).status == 200
    assert wire.answer(second).reset is None
    wire.hang_up()


def test_resets_of_it_spend_nothing() -> None:
    wire = H3Wire(ignore, h3=H3Limits(resets=3))
    for _ in range(10):
        wire.reset(respond_early(wire))
    assert not wire.over
    wire.hang_up()


def test_a_client_that_was_asked_to_stop_and_does_spends_nothing() -> None:
    """Its RESET_STREAM is what RFC 9000 section 3.5 demands, also where much of the response has not left."""

    async def large(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, bytes(300_000))

    wire = H3Wire(large, h3=H3Limits(resets=3))
    for _ in range(10):
        wire.engine.room = 100
        stream = wire.request(b"/", (b"content-length", b"9000000"), method=b"POST", ends=False)
        wire.advance(2)
        assert wire.engine.stops[stream] == H3_NO_ERROR
        wire.reset(stream)
        wire.make_room(1 << 20)
        assert wire.answer(stream).body == bytes(300_000)
    assert not wire.over
    wire.hang_up()

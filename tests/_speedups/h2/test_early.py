"""Responses that are whole before their requests: the rest is thrown away, so that no client forgets them."""

from collections.abc import Callable

import pytest

from fastserver._speedups.bounds import DISCARD_BYTES, DISCARD_S
from fastserver._speedups.contract import H2Limits
from fastserver._speedups.h2.errors import NO_ERROR, REFUSED_STREAM
from tests.fakes import Message, Receive, Send, ignore, read_body, respond
from tests.h2wire import Answer, H2Wire

ANNOUNCED = [(b"content-length", b"200000")]


async def read(scope: Message, receive: Receive, send: Send) -> None:
    await read_body(receive)
    await respond(send)


def respond_early(wire: H2Wire) -> int:
    return wire.request(method=b"POST", ends=False)


def refuse_head(wire: H2Wire) -> int:
    return wire.request(b"/", *ANNOUNCED, method=b"POST", ends=False)


def refuse_body(wire: H2Wire) -> int:
    stream = wire.request(b"/read", method=b"POST", ends=False)
    wire.send(*wire.data(stream, bytes(100_001)))
    return stream


async def app(scope: Message, receive: Receive, send: Send) -> None:
    await (read if scope["path"] == "/read" else ignore)(scope, receive, send)


@pytest.fixture(params=[(respond_early, 200), (refuse_head, 413), (refuse_body, 413)])
def early(request: pytest.FixtureRequest) -> tuple[H2Wire, int]:
    """A connection with a stream whose response is whole, and whose request is not."""
    begin: Callable[[H2Wire], int]
    begin, status = request.param
    wire = H2Wire(app, request_body=100_000).greet()
    stream = begin(wire)
    answer: Answer = wire.answer(stream)
    assert (answer.status, answer.ended, answer.reset) == (status, True, None)
    return wire, stream


def test_a_request_that_ends_is_not_reset(early: tuple[H2Wire, int]) -> None:
    wire, stream = early
    wire.send(*wire.data(stream, bytes(DISCARD_BYTES), ends=True))
    wire.advance(DISCARD_S + 1)
    assert wire.answer(stream).reset is None
    wire.advance(100)
    assert wire.over
    wire.hang_up()


def test_a_request_that_ends_with_trailers(early: tuple[H2Wire, int]) -> None:
    wire, stream = early
    wire.send(wire.head([(b"x-sum", b"7")], stream))
    wire.advance(DISCARD_S + 1)
    assert wire.answer(stream).reset is None
    assert wire.went_away == []
    wire.hang_up()


def test_much_more_is_announced() -> None:
    wire = H2Wire(ignore).greet()
    for size, code in ((DISCARD_BYTES, None), (DISCARD_BYTES + 1, NO_ERROR)):
        answer = wire.answer(wire.request(b"/", (b"content-length", b"%d" % size), method=b"POST", ends=False))
        assert (answer.status, answer.ended, answer.reset) == (200, True, code)
    wire.hang_up()


def test_much_more_is_reset(early: tuple[H2Wire, int]) -> None:
    wire, stream = early
    wire.send(*wire.data(stream, bytes(DISCARD_BYTES)))
    assert wire.answer(stream).reset is None
    wire.send(*wire.data(stream, b"x"))
    assert wire.answer(stream).reset == NO_ERROR
    wire.hang_up()


def test_a_rest_that_does_not_come_is_reset(early: tuple[H2Wire, int]) -> None:
    wire, stream = early
    wire.advance(DISCARD_S - 1)
    assert wire.answer(stream).reset is None
    wire.advance(1)
    assert wire.answer(stream).reset == NO_ERROR
    wire.hang_up()


def test_the_client_resets_it(early: tuple[H2Wire, int]) -> None:
    wire, stream = early
    wire.feed(bytes((0, 0, 4, 3, 0, 0, 0, 0, stream, 0, 0, 0, 8)))
    wire.drain()
    wire.advance(2)
    assert wire.over
    assert wire.connection.breaches == []
    wire.hang_up()


def test_a_connection_that_drains_waits_for_it(early: tuple[H2Wire, int]) -> None:
    wire, stream = early
    wire.drain()
    wire.advance(2)
    assert not wire.over
    wire.send(*wire.data(stream, b"rest", ends=True))
    assert wire.over
    assert wire.connection.breaches == []
    wire.hang_up()


def test_its_place_is_taken() -> None:
    """As the client counts streams: one that it has not ended is open."""
    wire = H2Wire(ignore, h2=H2Limits(streams=2)).greet()
    first, second = respond_early(wire), respond_early(wire)
    assert wire.answer(wire.request()).reset == REFUSED_STREAM
    wire.send(*wire.data(first, b"", ends=True))
    assert wire.answer(wire.request()).status == 200
    assert wire.answer(second).reset is None
    wire.hang_up()


def test_resets_of_it_spend_nothing() -> None:
    wire = H2Wire(ignore, h2=H2Limits(resets=3)).greet()
    for _ in range(10):
        stream = respond_early(wire)
        wire.feed(bytes((0, 0, 4, 3, 0, 0, 0, 0, stream, 0, 0, 0, 8)))
    assert wire.went_away == []
    wire.hang_up()


def test_windows_come_back() -> None:
    """However many bodies are thrown away, the window of the connection does not leak."""
    wire = H2Wire(ignore, h2=H2Limits(connection_window=65535)).greet()
    for _ in range(100):
        stream = respond_early(wire)
        wire.send(*wire.data(stream, bytes(30_000)), *wire.data(stream, b"x", ends=True))
        assert wire.answer(stream).reset is None
    assert wire.went_away == []
    wire.hang_up()

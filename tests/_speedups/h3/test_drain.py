"""The graceful end of an HTTP/3 connection in every state: two GOAWAYs, what is under way, then the close (Q-14)."""

from fastserver._speedups.contract import H3Limits
from fastserver._speedups.h3.codes import LARGEST_VARINT
from fastserver._speedups.h3.errors import H3_EXCESSIVE_LOAD, H3_NO_ERROR, H3_REQUEST_REJECTED
from fastserver._speedups.h3.state import H3State
from tests.fakes import Message, Receive, Send, ignore
from tests.h3wire import H3Wire, frame

#: The first GOAWAY: the last stream that there can be.
FIRST = LARGEST_VARINT - 3


async def wait(scope: Message, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def test_a_drain_of_an_idle_connection() -> None:
    wire = H3Wire(ignore)
    wire.drain()
    assert (wire.went_away, wire.protocol.state) == ([FIRST], H3State.DRAINING)
    wire.advance(1)
    wire.advance(1)
    assert wire.went_away == [FIRST, 0]
    assert wire.engine.closed == (H3_NO_ERROR, "")
    assert wire.over
    wire.hang_up()


def test_a_drain_before_the_handshake_is_said_behind_it() -> None:
    wire = H3Wire(ignore, shakes=False)
    wire.drain()
    assert 3 not in wire.engine.said
    wire.shake()
    assert (wire.went_away, wire.protocol.state) == ([FIRST], H3State.DRAINING)
    assert wire.answer(wire.request()).status == 200
    wire.hang_up()


def test_a_drain_twice_is_one() -> None:
    wire = H3Wire(wait)
    wire.request(method=b"POST", ends=False)
    for _ in range(4):
        wire.drain()
        wire.advance(1)
    assert wire.went_away == [FIRST, 4]
    wire.drain()
    assert wire.protocol.state is H3State.LEAVING
    wire.hang_up()


def test_a_drain_of_what_is_over() -> None:
    wire = H3Wire(ignore)
    wire.send(0, frame(0x5))
    wire.drain()
    assert wire.went_away == []
    wire.hang_up()
    wire.drain()


def test_a_drain_waits_for_what_has_not_arrived() -> None:
    wire = H3Wire(ignore)
    stream = wire.request()
    wire.drain()
    wire.advance(1.5)
    assert not wire.over
    wire.acknowledge(stream)
    wire.advance(1)
    assert wire.over
    wire.hang_up()


def test_a_drain_does_not_wait_for_what_was_refused() -> None:
    wire = H3Wire(ignore)
    wire.drain()
    wire.advance(1)
    late = wire.request()
    assert wire.answer(late).reset in (None, H3_REQUEST_REJECTED)
    wire.advance(3)
    assert wire.over
    wire.hang_up()


def test_an_idle_end_behind_a_drain_never_takes_a_goaway_back() -> None:
    wire = H3Wire(wait)
    stream = wire.request(method=b"POST", ends=False)
    wire.drain()
    wire.advance(2)
    for _ in range(3):
        wire.request()
    wire.reset(stream)
    wire.advance(5)
    assert wire.went_away == sorted(wire.went_away, reverse=True)
    wire.hang_up()


def test_requests_behind_the_last_goaway_are_counted() -> None:
    """As many as may have been under way cost nothing; beyond them each is a reset."""
    wire = H3Wire(wait, h3=H3Limits(streams=10, resets=5))
    wire.request(method=b"POST", ends=False)
    wire.drain()
    wire.advance(1)
    late = [wire.request() for _ in range(10 + 5)]
    assert all(wire.answer(stream).reset == H3_REQUEST_REJECTED for stream in late)
    assert not wire.over
    wire.request()
    assert wire.engine.closed == (H3_EXCESSIVE_LOAD, "too many streams reset")
    wire.hang_up()

"""A connection that has had its share of requests: where its first GOAWAY stands."""

from fastserver._speedups.contract import H3Limits
from tests.fakes import Message, Receive, Send, read_body, respond
from tests.h3wire import DATA, H3Wire, frame

FIRST = [(1 << 62) - 4]


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    await respond(send, await read_body(receive) or b"-")


def test_it_stands_behind_the_last_response() -> None:
    wire = H3Wire(echo, keep_alive_max_requests=2)
    wire.request()
    assert wire.went_away == []
    stream = wire.request()
    assert wire.answer(stream).ended
    assert wire.went_away == FIRST


def test_it_leaves_with_the_last_response() -> None:
    wire = H3Wire(echo, keep_alive_max_requests=1)
    before = len(wire.connection.events)
    wire.request()
    assert sum(type(event).__name__ == "RawData" for event in wire.connection.events[before:]) == 1
    assert wire.went_away == FIRST


def test_it_waits_for_what_is_open() -> None:
    wire = H3Wire(echo, keep_alive_max_requests=2)
    upload = wire.request(body=b"a", ends=False)
    wire.request()
    assert wire.went_away == []
    wire.send(upload, frame(DATA, b"b"), True)
    assert wire.answer(upload).body == b"ab"
    assert wire.went_away == FIRST


def test_it_waits_for_as_many_requests_as_may_be_open() -> None:
    wire = H3Wire(echo, h3=H3Limits(streams=5), keep_alive_max_requests=2)
    wire.request(body=b"a", ends=False)
    for _ in range(5):
        wire.request()
    assert wire.went_away == []
    wire.request()
    assert wire.went_away == FIRST


def test_the_connection_ends() -> None:
    wire = H3Wire(echo, keep_alive_max_requests=2)
    first, second = wire.request(), wire.request()
    wire.advance(2)
    assert wire.went_away == [*FIRST, second + 4]
    assert not wire.over
    wire.acknowledge(first)
    wire.acknowledge(second)
    wire.advance(1)
    assert wire.over
    wire.hang_up()

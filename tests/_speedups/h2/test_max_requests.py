"""A connection that has had its share of requests: where its first GOAWAY stands."""

from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame

from fastserver._speedups.contract import H2Limits
from fastserver._speedups.events import RawData
from fastserver._speedups.h2.codes import LARGEST_STREAM
from fastserver._speedups.h2.errors import NO_ERROR
from tests.fakes import Message, Receive, Send, read_body, respond
from tests.h2wire import H2Wire

FIRST = [(NO_ERROR, LARGEST_STREAM)]


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    await respond(send, await read_body(receive) or b"-")


def test_it_stands_behind_the_last_response_and_leaves_with_it() -> None:
    wire = H2Wire(echo, keep_alive_max_requests=2).greet()
    wire.request()
    assert wire.went_away == []
    wire.connection.events.clear()
    wire.frames.clear()
    wire.request()
    kinds = [type(frame) for frame in wire.frames]
    assert kinds == [HeadersFrame, DataFrame, GoAwayFrame]
    assert sum(type(event) is RawData for event in wire.connection.events) == 1
    assert wire.went_away == FIRST


def test_it_waits_for_what_is_open() -> None:
    wire = H2Wire(echo, keep_alive_max_requests=2).greet()
    upload = wire.request(body=b"a", ends=False)
    wire.request()
    assert wire.went_away == []
    wire.send(*wire.data(upload, b"b", True))
    assert wire.answer(upload).body == b"ab"
    assert wire.went_away == FIRST


def test_it_waits_for_as_many_requests_as_may_be_open() -> None:
    wire = H2Wire(echo, h2=H2Limits(streams=5), keep_alive_max_requests=2).greet()
    wire.request(body=b"a", ends=False)
    for _ in range(5):
        wire.request()
    assert wire.went_away == []
    wire.request()
    assert wire.went_away == FIRST

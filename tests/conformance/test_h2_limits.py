"""Rules H2-7 to H2-18 of the threat list: clients that take nothing, take too much, lie, or never end.

`test_h2_<number>_...` names the rule.
"""

from itertools import count

import pytest
from hyperframe.frame import WindowUpdateFrame

from fastserver._speedups.contract import H2Limits
from fastserver._speedups.h2.codes import LARGEST_STREAM
from fastserver._speedups.h2.errors import SETTINGS_TIMEOUT
from tests.conformance.h2attack import check_cut, odd, open_wire, resets
from tests.conformance.h2cases import (
    ACK,
    CANCEL,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    answer,
    data,
    get,
    head,
    post,
    pseudo,
    rst,
    settings,
    trailers,
    window,
)
from tests.fakes import Gate, Message, Receive, Recorder, Send, read_body, respond
from tests.h2wire import PREFACE, H2Wire

# ---- H2-7: windows that stay shut ------------------------------------------------------------------------------------

CHUNK = 4096


class Endless:
    """An application without end that counts what it could say."""

    def __init__(self) -> None:
        self.said = 0
        self.ended = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                self.said += CHUNK
                await send({"type": "http.response.body", "body": bytes(CHUNK), "more_body": True})
        finally:
            self.ended += 1


@pytest.mark.parametrize("size", [0, 1])
def test_h2_07_window_stays_shut(size: int) -> None:
    app = Endless()
    wire = H2Wire(app, reads=False)
    wire.feed(PREFACE + settings((4, size)) + settings(flags=ACK) + get())
    assert app.said - size <= 64 * 1024 + CHUNK
    wire.advance(29)
    assert resets(wire) == []
    wire.advance(2)
    assert resets(wire) == [(1, CANCEL)]
    assert app.ended == 1
    assert wire.host.metrics.timeouts_write == 1
    wire.hang_up()


def test_h2_07_stalled_streams_count_as_resets() -> None:
    """And a budget that is exhausted by a tick ends the connection as one that is exhausted by a frame."""
    app = Endless()
    wire = H2Wire(app, None, H2Limits(resets=4), reads=False)
    wire.feed(PREFACE + settings((4, 0)) + settings(flags=ACK))
    wire.feed(*(get(stream=odd(number)) for number in range(8)))
    wire.advance(31)
    assert app.ended == 8
    check_cut(wire)


def test_h2_07_pending_octets_of_a_connection() -> None:
    app = Endless()
    wire = H2Wire(app, reads=False)
    wire.feed(PREFACE + settings((4, 0)) + settings(flags=ACK))
    wire.feed(*(get(stream=odd(number)) for number in range(100)))
    assert 1 << 20 <= app.said <= (1 << 20) + 100 * CHUNK
    wire.hang_up()
    assert app.ended == 100


def test_h2_07_connection_window_stays_shut() -> None:
    app = Endless()
    wire = H2Wire(app, reads=False)
    wire.feed(PREFACE + settings((4, 1 << 20)) + settings(flags=ACK) + get() + get(stream=3))
    assert sum(len(wire.answer(stream).body) for stream in (1, 3)) == 65535
    wire.advance(31)
    assert sorted(resets(wire)) == [(1, CANCEL), (3, CANCEL)]
    wire.hang_up()


def test_h2_07_a_stream_that_waits_for_its_turn_is_not_stalled() -> None:
    """On a slow connection the turns of many streams are far apart; what counts is that something moves."""
    app = Endless()
    wire = H2Wire(app, reads=False)
    wire.feed(PREFACE + settings((4, 1 << 20)) + settings(flags=ACK))
    wire.feed(*(get(stream=odd(number)) for number in range(6)))
    for _ in range(18):
        wire.advance(20)
        wire.feed(window(0, 16384))
    assert resets(wire) == []
    assert min(len(wire.answer(odd(number)).body) for number in range(6)) >= 2 * 16384
    wire.advance(31)
    assert len(resets(wire)) == 6
    wire.hang_up()


def test_h2_07_a_stream_whose_own_window_is_shut_has_no_excuse() -> None:
    app = Endless()
    wire = H2Wire(app, reads=False)
    wire.feed(PREFACE + settings((4, 0)) + settings(flags=ACK) + get() + get(stream=3))
    for _ in range(4):
        wire.feed(window(3, 1000))
        wire.advance(10)
    assert resets(wire) == [(1, CANCEL)]
    assert len(wire.answer(3).body) == 4000
    wire.hang_up()


# ---- H2-8 and H2-9: streams and bodies -------------------------------------------------------------------------------


def test_h2_08_more_than_100_streams_in_the_first_flight() -> None:
    recorder = Recorder(answer)
    wire = H2Wire(recorder)
    wire.feed(PREFACE + settings(), *(get(stream=odd(number), path=b"/wait") for number in range(130)))
    assert resets(wire) == [(odd(number), REFUSED_STREAM) for number in range(100, 130)]
    assert len(recorder.calls) == 100
    wire.feed(settings(flags=ACK), rst(odd(0)), get(stream=1001))
    assert wire.answer(1001).status == 200
    assert wire.went_away == []
    wire.hang_up()


def test_h2_09_no_window_before_the_application_has_read() -> None:
    gate = Gate()

    async def late(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, b"%d" % len(await read_body(receive) or b""))

    wire = open_wire(late)
    wire.feed(post(), *[data(b"x" * 16384)] * 16)
    assert not any(isinstance(frame, WindowUpdateFrame) for frame in wire.read())
    wire.advance(60)
    assert not any(isinstance(frame, WindowUpdateFrame) for frame in wire.read())
    gate.open(wire)
    assert any(isinstance(frame, WindowUpdateFrame) and frame.stream_id == 1 for frame in wire.read())
    wire.feed(data(b"y", True))
    assert wire.answer(1).body == b"%d" % (16 * 16384 + 1)
    wire.hang_up()


# ---- H2-10 to H2-16: requests ----------------------------------------------------------------------------------------

MALFORMED: dict[str, bytes] = {
    "10 upper case": head([*pseudo(), (b"X-A", b"b")], 3),
    "10 a pseudo-header field twice": head([*pseudo(), (b":path", b"/")], 3),
    "10 a pseudo-header field behind others": head([(b"a", b"b"), *pseudo()], 3),
    "11 a path with a blank": head(pseudo(path=b"/a HTTP/1.1"), 3),
    "11 a method with a blank": head(pseudo(b"GET / X"), 3),
    "11 user information": head(pseudo(authority=b"u@h"), 3),
    "11 another scheme": head(pseudo(scheme=b"ftp"), 3),
    "12 a name that is no token": head([*pseudo(), (b"a(b)", b"c")], 3),
    "12 a control octet": head([*pseudo(), (b"a", b"\x01")], 3),
    "12 a second line": head([*pseudo(), (b"a", b"b\r\nc: d")], 3),
    "13 connection": head([*pseudo(), (b"connection", b"close")], 3),
    "13 te": head([*pseudo(), (b"te", b"gzip")], 3),
    "14 another host": head([*pseudo(), (b"host", b"other")], 3),
    "14 two hosts": head([*pseudo(), (b"host", b"h"), (b"host", b"h")], 3),
    "15 a body that is not there": head([*pseudo(), (b"content-length", b"10")], 3),
    "15 two lengths": head([*pseudo(b"POST"), (b"content-length", b"1"), (b"content-length", b"1")], 3, ends=False),
}


@pytest.mark.parametrize("octets", MALFORMED.values(), ids=list(MALFORMED))
def test_h2_10_malformed_requests_are_reset(octets: bytes) -> None:
    check_bad_beside_good(octets)


def check_bad_beside_good(octets: bytes) -> None:
    """A bad request is reset, no application sees it, and the request beside it does not notice."""
    recorder = Recorder(answer)
    wire = open_wire(recorder)
    wire.feed(post() + data(b"a"))
    wire.feed(octets)
    wire.feed(data(b"b", True))
    assert resets(wire) == [(3, PROTOCOL_ERROR)]
    assert wire.answer(1).body == b"POST / ab"
    assert len(recorder.calls) == 1
    assert wire.went_away == []
    wire.hang_up()


def test_h2_11_targets() -> None:
    check_bad_beside_good(MALFORMED["11 a path with a blank"])


def test_h2_12_field_octets() -> None:
    check_bad_beside_good(MALFORMED["12 a second line"])


def test_h2_13_fields_of_the_connection() -> None:
    check_bad_beside_good(MALFORMED["13 connection"])


@pytest.mark.parametrize("fields", [pseudo(), [*pseudo(), (b"host", b"h")], [*pseudo(), (b"host", b"H")]])
def test_h2_14_one_host(fields: list[tuple[bytes, bytes]]) -> None:
    recorder = Recorder(answer)
    wire = open_wire(recorder)
    wire.feed(head([*fields, (b"x", b"y")]))
    assert recorder.call.scope["headers"] == [(b"host", b"h"), (b"x", b"y")]
    wire.hang_up()


@pytest.mark.parametrize(
    "octets",
    [
        data(b"abc"),
        data(b"a", True),
        data(b"a") + data(b"b") + data(b"c", True),
        data(b"a") + trailers((b"x", b"y")),
        trailers((b"x", b"y")),
    ],
)
def test_h2_15_bodies_that_are_not_as_long_as_announced(octets: bytes) -> None:
    recorder = Recorder(answer)
    wire = open_wire(recorder)
    wire.feed(post((b"content-length", b"2")) + octets)
    assert resets(wire) == [(1, PROTOCOL_ERROR)]
    assert not recorder.call.complete
    assert recorder.call.disconnected
    wire.feed(get(stream=3))
    assert wire.answer(3).status == 200
    wire.hang_up()


def test_h2_16_bad_streams_beside_good_ones() -> None:
    """All the bad requests there are, and a good one around them."""
    wire = open_wire()
    wire.feed(post() + data(b"a"))
    for number, octets in zip(count(3, 2), MALFORMED.values(), strict=False):
        wire.feed(octets[:5] + number.to_bytes(4, "big") + octets[9:])
    wire.feed(data(b"b", True))
    assert resets(wire) == [(number, PROTOCOL_ERROR) for number in range(3, 3 + 2 * len(MALFORMED), 2)]
    assert wire.answer(1).body == b"POST / ab"
    wire.hang_up()


# ---- H2-17 and H2-18: time and ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets", [b"", PREFACE[:10], PREFACE, PREFACE + settings(), PREFACE + settings() + get(path=b"/wait")]
)
def test_h2_17_settings_are_due(octets: bytes) -> None:
    wire = H2Wire(answer)
    wire.feed(octets) if octets else None
    wire.advance(9)
    assert wire.went_away == []
    wire.advance(2)
    check_cut(wire, SETTINGS_TIMEOUT)


def test_h2_17_a_preface_that_drips() -> None:
    wire = H2Wire(answer)
    for octet in PREFACE[:11]:
        wire.feed(bytes((octet,)))
        wire.advance(1)
    check_cut(wire, SETTINGS_TIMEOUT)


def test_h2_17_idle() -> None:
    wire = open_wire()
    wire.feed(get())
    wire.advance(74)
    assert not wire.over
    wire.advance(2)
    assert wire.went_away == [(NO_ERROR, 1)]
    assert wire.over
    assert wire.connection.breaches == []


def test_h2_18_drain_in_two_steps() -> None:
    recorder = Recorder(answer)
    wire = open_wire(recorder)
    wire.feed(post() + data(b"a"))
    wire.drain()
    assert wire.went_away == [(NO_ERROR, LARGEST_STREAM)]
    wire.feed(post(stream=3))
    wire.advance(1)
    assert wire.went_away[1:] == [(NO_ERROR, 3)]
    wire.feed(get(stream=5))
    assert resets(wire) == [(5, REFUSED_STREAM)]
    wire.feed(data(b"b", True))
    assert wire.answer(1).body == b"POST / ab"
    assert not wire.over
    wire.feed(data(b"c", True, 3))
    assert wire.answer(3).body == b"POST / c"
    assert wire.over
    assert [call.target for call in recorder.calls] == [b"/", b"/"]
    assert wire.connection.breaches == []


def test_h2_18_drain_of_an_idle_connection() -> None:
    wire = open_wire()
    wire.feed(get())
    wire.drain()
    wire.feed(get(stream=3))
    assert wire.answer(3).status == 200
    wire.advance(1)
    assert wire.went_away == [(NO_ERROR, LARGEST_STREAM), (NO_ERROR, 3)]
    assert wire.over


def test_h2_18_requests_of_a_connection_are_counted() -> None:
    wire = open_wire(keep_alive_max_requests=3)
    wire.feed(get(), get(stream=3))
    assert wire.went_away == []
    wire.feed(get(stream=5), get(stream=7))
    assert wire.went_away == [(NO_ERROR, LARGEST_STREAM)]
    wire.advance(1)
    assert all(wire.answer(stream).status == 200 for stream in (1, 3, 5, 7))
    assert wire.went_away[1:] == [(NO_ERROR, 7)]
    assert wire.over

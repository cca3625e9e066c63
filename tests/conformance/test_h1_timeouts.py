"""H1-26, H1-28, H1-29: time that a peer may take, and that no byte of it can win more.

A sweep looks at the clock once a second, so a deadline of ten seconds acts within the eleventh.
"""

from collections.abc import Callable

import pytest

from tests.conformance.cases import check_quiet, check_refusal, chunked, post, request
from tests.fakes import Gate, Message, Receive, Recorder, Send, Wire, ignore, read_body, respond

OpenWire = Callable[..., Wire]


def trickle(wire: Wire, payload: bytes, seconds: int) -> None:
    """One byte of `payload` a second."""
    for index in range(seconds):
        wire.feed(payload[index : index + 1])
        wire.advance(1)


# ---- The head -------------------------------------------------------------------------------------------------------


def test_h1_28_silent_connection_is_closed_without_a_word(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder()).advance(9)
    assert not wire.over
    wire.advance(2)
    assert wire.out == b""
    wire.advance(2)
    assert wire.over
    check_quiet(wire)


@pytest.mark.parametrize(
    "start", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r"]
)
def test_h1_28_unfinished_head_is_answered_408(open_wire: OpenWire, start: bytes) -> None:
    recorder = Recorder()
    wire = open_wire(recorder).feed(start).advance(9)
    assert wire.out == b""
    wire.advance(2)
    check_refusal(wire.response(), 408)
    wire.advance(3)
    assert wire.over
    assert recorder.calls == []
    check_quiet(wire)


def test_h1_28_trickle_does_not_move_the_deadline(open_wire: OpenWire) -> None:
    recorder = Recorder()
    wire = open_wire(recorder)
    payload = request(b"X: " + b"a" * 100)
    trickle(wire, payload, 9)
    assert wire.out == b""
    trickle(wire, payload[9:], 3)
    check_refusal(wire.response(), 408)
    wire.feed(payload[12:])
    assert recorder.calls == []


def test_h1_28_head_that_ends_in_time_is_served(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder())
    payload = request()
    trickle(wire, payload, 9)
    wire.feed(payload[9:])
    assert wire.response().status == 200
    wire.advance(20)
    assert not wire.over


@pytest.mark.parametrize("timeout", [1, 3, 60])
def test_h1_28_timeout_is_a_setting(open_wire: OpenWire, timeout: int) -> None:
    wire = open_wire(Recorder(), timeout_request_header=timeout).feed(b"GET").advance(timeout - 0.5)
    assert wire.out == b""
    wire.advance(1.5)
    check_refusal(wire.response(), 408)


def test_h1_28_next_head_has_its_own_deadline(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder()).feed(request()).advance(50).feed(b"GET /2 HT").advance(9)
    assert len(wire.responses()) == 1
    assert not wire.over
    wire.advance(2)
    first, second = wire.responses()
    assert first.status == 200
    check_refusal(second, 408)


def test_h1_28_next_head_in_the_same_read_has_its_own_deadline(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder()).feed(request() + b"GET /2 HT").advance(9)
    assert len(wire.responses()) == 1
    wire.advance(2)
    check_refusal(wire.responses()[1], 408)


def test_h1_28_time_of_the_application_does_not_count(open_wire: OpenWire) -> None:
    gate = Gate()

    async def wait(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send)

    wire = open_wire(Recorder(wait)).feed(request()).advance(300)
    assert not wire.over
    gate.open(wire)
    assert wire.response().status == 200


@pytest.mark.parametrize("data", [b"\r\n", b"\r", b"\n"])
def test_h1_26_line_ends_do_not_hold_a_connection(open_wire: OpenWire, data: bytes) -> None:
    wire = open_wire(Recorder())
    for _ in range(14):
        wire.feed(data).advance(1)
    assert wire.ended or wire.over
    assert [response.status for response in wire.responses()] in ([], [400], [408])


# ---- Keep-alive -----------------------------------------------------------------------------------------------------


def test_keep_alive_idle_connection_is_closed_after_75_seconds(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder()).feed(request()).advance(74)
    assert not wire.over
    wire.advance(2)
    assert wire.over
    assert not wire.connection.aborted
    assert wire.response().status == 200


def test_keep_alive_time_begins_anew_with_each_request(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder())
    for _ in range(3):
        wire.feed(request()).advance(60)
        assert not wire.over
    assert len(wire.responses()) == 3


def test_keep_alive_of_a_waiting_application_is_not_idle(open_wire: OpenWire) -> None:
    gate = Gate()

    async def wait(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await gate.wait()
        await respond(send)

    wire = open_wire(Recorder(wait)).feed(request()).advance(70).feed(request(line=b"GET /slow HTTP/1.1")).advance(200)
    assert not wire.over
    gate.open(wire)
    assert len(wire.responses()) == 2


def test_keep_alive_ends_after_the_set_number_of_requests(open_wire: OpenWire) -> None:
    recorder = Recorder()
    wire = open_wire(recorder, keep_alive_max_requests=2).feed(request() * 3)
    assert [response.closes for response in wire.responses()] == [False, True]
    assert len(recorder.calls) == 2
    assert wire.ended


# ---- The body -------------------------------------------------------------------------------------------------------

BODIES = [
    pytest.param(lambda size: post(b"Content-Length: %d" % size), lambda data: data, id="length"),
    pytest.param(lambda size: chunked(b""), lambda data: b"%x\r\n%b\r\n" % (len(data), data), id="chunked"),
]
Head = Callable[[int], bytes]
Frame = Callable[[bytes], bytes]


@pytest.mark.parametrize(("head", "frame"), BODIES)
def test_h1_29_idle_body_is_answered_408(open_wire: OpenWire, head: Head, frame: Frame) -> None:
    recorder = Recorder()
    wire = open_wire(recorder, request_body_rate=0).feed(head(1000), frame(b"x")).advance(29)
    assert wire.out == b""
    wire.advance(2)
    check_refusal(wire.response(), 408)
    assert recorder.call.disconnected
    assert not recorder.call.complete
    wire.advance(3)
    assert wire.over
    check_quiet(wire)


@pytest.mark.parametrize(("head", "frame"), BODIES)
def test_h1_29_each_read_moves_the_idle_deadline(open_wire: OpenWire, head: Head, frame: Frame) -> None:
    wire = open_wire(Recorder(), request_body_rate=0).feed(head(1000))
    for _ in range(5):
        wire.feed(frame(b"x")).advance(25)
    assert wire.out == b""
    wire.advance(6)
    check_refusal(wire.response(), 408)


@pytest.mark.parametrize(("head", "frame"), BODIES)
def test_h1_29_slow_body_is_answered_408(open_wire: OpenWire, head: Head, frame: Frame) -> None:
    recorder = Recorder()
    wire = open_wire(recorder).feed(head(100_000))
    for _ in range(9):
        wire.feed(frame(b"x" * 100)).advance(1)
    assert wire.out == b""
    for _ in range(6):
        wire.feed(frame(b"x" * 100)).advance(1)
    check_refusal(wire.response(), 408)
    assert recorder.call.disconnected
    assert not recorder.call.complete


@pytest.mark.parametrize(("head", "frame"), BODIES)
@pytest.mark.parametrize("rate", [240, 1000])
def test_h1_29_body_at_the_least_rate_is_served(open_wire: OpenWire, head: Head, frame: Frame, rate: int) -> None:
    recorder = Recorder()
    wire = open_wire(recorder, request_body_rate=rate).feed(head(60 * rate))
    for _ in range(60):
        wire.feed(frame(b"x" * rate)).advance(1)
    wire.feed(b"" if frame(b"") == b"" else b"0\r\n\r\n")
    assert wire.response().status == 200
    assert len(recorder.call.body) == 60 * rate


@pytest.mark.parametrize(("head", "frame"), BODIES)
@pytest.mark.parametrize("tick", [0.25, 0.999])
def test_h1_29_slow_body_is_found_however_often_it_comes(
    open_wire: OpenWire, head: Head, frame: Frame, tick: float
) -> None:
    # Deadlines that each read moves on would never pass.
    wire = open_wire(Recorder()).feed(head(100_000))
    for _ in range(int(15 / tick)):
        wire.feed(frame(b"x")).advance(tick, tick)
    check_refusal(wire.response(), 408)


def test_h1_29_framing_is_not_data(open_wire: OpenWire) -> None:
    # 240 bytes of chunk extensions a second hold the line, and one byte of body.
    wire = open_wire(Recorder()).feed(chunked(b""))
    for _ in range(20):
        wire.feed(b"1;" + b"a" * 240 + b"\r\nx\r\n").advance(1)
    check_refusal(wire.response(), 408)


def test_h1_29_rate_of_zero_is_off(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder(), request_body_rate=0).feed(post(b"Content-Length: 100"))
    for _ in range(100):
        wire.feed(b"x").advance(1)
    assert wire.response().status == 200


def test_h1_29_time_in_which_reading_was_paused_does_not_count(open_wire: OpenWire) -> None:
    gate = Gate()

    async def slow(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await read_body(receive)
        await respond(send)

    recorder = Recorder(slow)
    size = 400_000
    wire = open_wire(recorder).feed(post(b"Content-Length: %d" % size))
    wire.feed(*[b"x" * 4096] * (size // 4096), b"x" * (size % 4096))
    assert wire.connection.reading_paused
    assert len(wire.inbox) > 50  # the rest is the kernel's to hold
    wire.advance(200)
    assert wire.out == b""
    assert not wire.over
    gate.open(wire)
    assert wire.response().status == 200
    assert len(recorder.call.body) == size


def test_h1_29_slow_body_after_the_response_began_is_cut_off(open_wire: OpenWire) -> None:
    async def stream(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await read_body(receive)

    recorder = Recorder(stream)
    wire = open_wire(recorder).feed(post(b"Content-Length: 100")).advance(40)
    assert not wire.response().complete
    assert recorder.call.disconnected
    wire.advance(5)
    assert wire.over


def test_h1_29_unread_body_does_not_hold_a_connection(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder(ignore)).feed(post(b"Content-Length: 1000"))
    assert wire.response().status == 200
    for _ in range(8):
        wire.feed(b"x").advance(1)
    assert wire.over or wire.connection.finished
    wire.advance(3)
    assert wire.over

"""H1-31 to H1-34: how a request that is not read, and a connection, come to an end."""

import asyncio
from collections.abc import Callable

import pytest

from tests.conformance.cases import (
    CANARY,
    check_quiet,
    check_refusal,
    check_refused,
    check_served,
    chunked,
    post,
    request,
)
from tests.fakes import Gate, Message, Receive, Recorder, Send, Wire, every_cut, ignore, read_body, respond

OpenWire = Callable[..., Wire]
NEXT = request(line=b"GET /next HTTP/1.1")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# ---- A body that the application does not read ----------------------------------------------------------------------


def test_h1_31_unread_body_is_never_a_request() -> None:
    payload = post(b"Content-Length: %d" % len(CANARY), body=CANARY)
    check_served(payload + NEXT, b"POST /", b"GET /next", app=ignore)


def test_h1_31_unread_chunked_body_is_never_a_request() -> None:
    # How much of it is to come nobody knows: the server may close rather than wait for its end.
    for reads in every_cut(chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(CANARY), CANARY)) + NEXT):
        recorder = Recorder(ignore)
        wire = Wire(recorder).feed(*reads)
        first, *rest = wire.responses()
        assert (first.status, first.body) == (200, b"POST /")
        assert [response.body for response in rest] == ([] if first.closes else [b"GET /next"])
        assert recorder.targets == ([b"/"] if first.closes else [b"/", b"/next"])
        wire.hang_up()
        check_quiet(wire)


@pytest.mark.parametrize("size", [1, 1000, 65_535, 65_536])
def test_h1_31_unread_body_of_64_kib_is_drained(open_wire: OpenWire, size: int) -> None:
    recorder = Recorder(ignore)
    wire = open_wire(recorder).feed(post(b"Content-Length: %d" % size))
    assert not wire.response().closes
    body = (CANARY * (1 + size // len(CANARY)))[:size]
    wire.feed(*[body[index : index + 4096] for index in range(0, size, 4096)])
    assert recorder.targets == [b"/"]
    wire.feed(NEXT)
    assert recorder.targets == [b"/", b"/next"]
    assert not wire.connection.reading_paused


@pytest.mark.parametrize("size", [65_537, 1_000_000, 1 << 29])
def test_h1_31_larger_unread_body_ends_the_connection(open_wire: OpenWire, size: int) -> None:
    recorder = Recorder(ignore)
    wire = open_wire(recorder).feed(post(b"Content-Length: %d" % size))
    assert wire.response().closes
    assert wire.ended
    wire.feed(*[CANARY] * 200)
    wire.advance(6)
    assert wire.over
    assert recorder.targets == [b"/"]
    check_quiet(wire)


def test_h1_31_unread_chunked_body_is_drained_to_64_kib(open_wire: OpenWire) -> None:
    recorder = Recorder(ignore)
    wire = open_wire(recorder).feed(chunked(b""))
    assert wire.response().status == 200
    chunk = b"1000\r\n%b\r\n" % (CANARY * 4096)[:4096]
    wire.feed(*[chunk] * 15)
    assert not wire.over
    wire.feed(*[chunk] * 100)
    wire.advance(6)
    assert wire.over
    assert recorder.targets == [b"/"]


def test_h1_31_unread_chunked_body_that_ends_in_time_is_drained(open_wire: OpenWire) -> None:
    recorder = Recorder(ignore)
    wire = open_wire(recorder).feed(chunked(b"1000\r\n"), b"x" * 4096, b"\r\n0\r\n\r\n" + NEXT)
    if wire.responses()[0].closes:
        assert recorder.targets == [b"/"]
    else:
        assert recorder.targets == [b"/", b"/next"]


def test_h1_31_drain_of_an_unread_body_ends_after_5_seconds(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder(ignore)).feed(post(b"Content-Length: 1000")).advance(4)
    assert not wire.over
    wire.advance(5)
    assert wire.over
    check_quiet(wire)


def test_h1_31_fault_in_an_unread_body_ends_the_connection(open_wire: OpenWire) -> None:
    recorder = Recorder(ignore)
    wire = open_wire(recorder).feed(chunked(b""), b"x\r\n", CANARY)
    assert wire.response().status == 200
    assert recorder.targets == [b"/"]
    wire.advance(3)
    assert wire.over
    check_quiet(wire)


def test_h1_31_half_read_body_is_drained(open_wire: OpenWire) -> None:
    async def read_once(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await respond(send)

    recorder = Recorder(read_once)
    wire = open_wire(recorder).feed(post(b"Content-Length: 1000"), CANARY[:10], b"x" * 990, NEXT)
    assert [response.status for response in wire.responses()] == [200, 200]
    assert recorder.targets == [b"/", b"/next"]


def test_h1_31_body_that_comes_while_the_application_works_is_bounded(open_wire: OpenWire) -> None:
    gate = Gate()

    async def wait(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send)

    recorder = Recorder(wait)
    wire = open_wire(recorder).feed(post(b"Content-Length: 1000000"), *[b"x" * 4096] * 240)
    held = 240 - len(wire.inbox)
    assert wire.connection.reading_paused
    assert held * 4096 <= 3 * 65536
    gate.open(wire)
    assert wire.response().closes
    wire.advance(6)
    assert wire.over


# ---- Expect: RFC 9110 section 10.1.1 --------------------------------------------------------------------------------

EXPECT = b"Expect: 100-continue"


@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue", b"100-CONTINUE", b" 100-continue\t"])
def test_h1_32_100_when_the_application_reads(value: bytes) -> None:
    head = post(b"Content-Length: 5", b"Expect:" + value)
    for reads in every_cut(head):
        recorder = Recorder()
        wire = Wire(recorder).feed(*reads)
        assert wire.out == CONTINUE
        wire.feed(b"he", b"llo")
        assert [response.status for response in wire.responses()] == [100, 200]
        assert recorder.call.body == b"hello"
        wire.feed(NEXT)
        assert len(recorder.calls) == 2
        wire.hang_up()


def test_h1_32_100_waits_for_the_application(open_wire: OpenWire) -> None:
    gate = Gate()

    async def late(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, await read_body(receive) or b"")

    # However long: a client that waits to be told is not a slow one.
    wire = open_wire(Recorder(late)).feed(chunked(b"", EXPECT)).advance(100)
    assert wire.out == b""
    gate.open(wire)
    assert wire.out == CONTINUE
    wire.advance(5)
    wire.feed(b"5\r\nhello\r\n0\r\n\r\n")
    assert wire.responses()[1].body == b"hello"


def test_h1_32_no_100_without_reading(open_wire: OpenWire) -> None:
    recorder = Recorder(ignore)
    wire = open_wire(recorder).feed(post(b"Content-Length: %d" % len(CANARY), EXPECT))
    assert wire.response().status == 200
    assert wire.response().closes
    # The client may send its body all the same, or take the response for the end of it and send the next request.
    wire.feed(CANARY, CANARY)
    wire.advance(6)
    assert wire.over
    assert recorder.targets == [b"/"]


def test_h1_32_no_100_once_the_body_comes(open_wire: OpenWire) -> None:
    recorder = Recorder()
    wire = open_wire(recorder).feed(post(b"Content-Length: 5", EXPECT, body=b"h"), b"ello")
    assert wire.response().status == 200
    assert recorder.call.body == b"hello"


def test_h1_32_no_100_for_a_body_with_its_head(open_wire: OpenWire) -> None:
    recorder = Recorder()
    payload = post(b"Content-Length: %d" % len(CANARY), EXPECT, body=CANARY)
    wire = open_wire(recorder).feed(payload + NEXT)
    assert [response.status for response in wire.responses()] == [200, 200]
    assert recorder.targets == [b"/", b"/next"]
    assert recorder.calls[0].body == CANARY


@pytest.mark.parametrize("first", [b"5", b"5\r", b"5\r\n", b"5;a=b"])
def test_h1_32_framing_alone_is_the_body_coming(open_wire: OpenWire, first: bytes) -> None:
    gate = Gate()

    async def late(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, await read_body(receive) or b"")

    wire = open_wire(Recorder(late)).feed(chunked(b"", EXPECT)).advance(20).feed(first).advance(5)
    assert wire.out == b""
    gate.open(wire)
    wire.feed(b"5\r\nhello\r\n0\r\n\r\n".removeprefix(first) if first != b"5;a=b" else b"\r\nhello\r\n0\r\n\r\n")
    final = wire.responses()[-1]
    assert (final.status, final.body) == (200, b"hello")


def test_h1_32_no_100_after_the_response_began(open_wire: OpenWire) -> None:
    async def early(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"hello", "more_body": True})
        await read_body(receive)
        await send({"type": "http.response.body", "body": b"hello"})

    wire = open_wire(Recorder(early)).feed(post(b"Content-Length: 5", EXPECT))
    assert b"100 Continue" not in wire.out
    wire.feed(b"hello")
    assert wire.response().body == b"hellohello"


@pytest.mark.parametrize("fields", [(), (b"Content-Length: 0",)])
def test_h1_32_no_100_without_a_body(open_wire: OpenWire, fields: tuple[bytes, ...]) -> None:
    recorder = Recorder()
    wire = open_wire(recorder).feed(post(EXPECT, *fields) + NEXT)
    assert [response.status for response in wire.responses()] == [200, 200]
    assert recorder.calls[0].complete


@pytest.mark.parametrize("connection", [(), (b"Connection: keep-alive",)])
def test_h1_32_no_100_for_http_1_0(open_wire: OpenWire, connection: tuple[bytes, ...]) -> None:
    recorder = Recorder()
    head = request(b"Content-Length: 5", EXPECT, *connection, line=b"POST / HTTP/1.0")
    wire = open_wire(recorder).feed(head)
    assert wire.out == b""
    wire.feed(b"hello")
    assert wire.response().status == 200
    assert recorder.call.body == b"hello"


@pytest.mark.parametrize(
    "value", [b"x", b"100-continue, x", b"x, 100-continue", b"100-continue;q=1", b"200-ok", b"100", b"100 continue"]
)
def test_h1_32_unknown_expectation_is_answered_417(value: bytes) -> None:
    check_refused(post(b"Content-Length: 5", b"Expect: " + value, body=b"hello"), 417)


# ---- Lingering close: RFC 9112 section 9.6 --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(request(host=None), id="refused"),
        pytest.param(post(b"Content-Length: 1000000"), id="unread body"),
        pytest.param(post(b"Content-Length: 1000000", b"Connection: close"), id="close with unread body"),
    ],
)
def test_h1_33_writing_ends_first_and_reading_later(open_wire: OpenWire, payload: bytes) -> None:
    wire = open_wire(Recorder(ignore)).feed(payload)
    assert wire.response().closes
    assert wire.connection.finished
    assert not wire.over
    wire.feed(b"x" * 1000)
    assert not wire.over
    assert not wire.connection.reading_paused
    wire.eof()
    assert wire.over
    check_quiet(wire)


def test_h1_33_lingering_ends_after_2_seconds(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder()).feed(request(host=None)).advance(1)
    assert wire.connection.finished
    assert not wire.over
    for _ in range(3):
        wire.feed(b"x").advance(1)
    assert wire.over


def test_h1_33_lingering_ends_after_256_kib(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder()).feed(request(host=None))
    wire.feed(*[b"x" * 4096] * 63)
    assert not wire.over
    wire.feed(*[b"x" * 4096] * 3)
    assert wire.over


def test_h1_33_nothing_lingers_where_nothing_is_unread(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder()).feed(request(b"Connection: close"))
    assert wire.response().closes
    wire.advance(3)
    assert wire.over
    assert not wire.connection.aborted


# ---- Data after Connection: close -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rest",
    [CANARY, CANARY * 3, b"x", b"\r\n", b"\x00\xff" * 100, CANARY[:10]],
    ids=["request", "three", "byte", "CRLF", "noise", "half"],
)
def test_h1_34_data_after_close_is_discarded(rest: bytes) -> None:
    recorder = check_served(request(b"Connection: close") + rest, b"GET / ", closes=True)
    assert recorder.targets == [b"/"]


def test_h1_34_data_after_a_body_and_close_is_discarded() -> None:
    length = post(b"Connection: close", b"Content-Length: 5", body=b"hello")
    recorder = check_served(length + CANARY, b"POST / hello", closes=True)
    assert recorder.targets == [b"/"]
    chunks = chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Connection: close")
    recorder = check_served(chunks + CANARY, b"POST / hello", closes=True)
    assert recorder.targets == [b"/"]


def test_h1_34_response_is_whole_while_data_comes_after_close(open_wire: OpenWire) -> None:
    gate = Gate()

    async def slow(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"hello", "more_body": True})
            await gate.wait()
        await send({"type": "http.response.body"})

    recorder = Recorder(slow)
    wire = open_wire(recorder).feed(request(b"Connection: close"), CANARY)
    for _ in range(3):
        wire.feed(CANARY)
        gate.open(wire)
    assert wire.response().body == b"hello" * 3
    assert wire.response().complete
    assert wire.ended
    assert len(recorder.calls) == 1


def test_h1_34_close_after_earlier_requests(open_wire: OpenWire) -> None:
    recorder = Recorder()
    wire = open_wire(recorder).feed(request() + request(b"Connection: close", line=b"GET /2 HTTP/1.1") + CANARY)
    assert [response.closes for response in wire.responses()] == [False, True]
    assert recorder.targets == [b"/", b"/2"]
    assert wire.ended


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(request(b"Connection: close"), id="close"),
        pytest.param(request(b"Proxy-Connection: close"), id="Proxy-Connection"),
        pytest.param(request(line=b"GET / HTTP/1.0"), id="1.0"),
        pytest.param(post(b"Connection: close", b"Content-Length: 5", body=b"hello"), id="close with a body"),
        pytest.param(post(b"Connection: Upgrade", b"Upgrade: x", b"Content-Length: 5", body=b"hello"), id="upgrade"),
        pytest.param(request(b"Connection: Upgrade", b"Upgrade: x"), id="upgrade without a body"),
        pytest.param(post(b"Content-Length: 5", body=b"he"), id="body cut short"),
        pytest.param(chunked(b"5\r\nhello\r\n"), id="chunked body cut short"),
        pytest.param(chunked(b"x\r\n"), id="fault in a chunk"),
        pytest.param(chunked(b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"), id="fault in a trailer"),
        pytest.param(request(b"X: a\x00b"), id="fault in the head"),
        pytest.param(post(b"Transfer-Encoding: xchunked"), id="fault in the framing"),
    ],
)
def test_h1_34_what_ends_one_connection_touches_no_other(open_wire: OpenWire, payload: bytes) -> None:
    # Whatever the wire keeps for the next connection (a pooled parser) must not remember this one.
    for _ in range(3):
        wire = open_wire(Recorder()).feed(payload)
        wire.hang_up()
        following = open_wire(Recorder()).feed(post(b"Content-Length: 2", body=b"ab") + NEXT)
        assert [response.body for response in following.responses()] == [b"POST / ab", b"GET /next "]


# ---- The peer's end, and the worker's -------------------------------------------------------------------------------


def test_eof_before_a_request_is_a_silent_close(open_wire: OpenWire) -> None:
    for payload in (b"", request(), request() + b"\r\n"):
        wire = open_wire(Recorder()).feed(payload) if payload else open_wire(Recorder())
        before = wire.out
        wire.eof()
        assert wire.out == before
        assert wire.over
        assert not wire.connection.aborted


@pytest.mark.parametrize("payload", [b"G", b"GET / HTTP/1.1\r\n", request()[:-1]])
def test_eof_inside_a_head_calls_no_application(open_wire: OpenWire, payload: bytes) -> None:
    recorder = Recorder()
    wire = open_wire(recorder).feed(payload)
    wire.eof()
    for response in wire.responses():
        check_refusal(response, 400)
    wire.advance(3)
    assert wire.over
    assert recorder.calls == []
    check_quiet(wire)


def test_eof_after_a_request_leaves_its_response_whole(open_wire: OpenWire) -> None:
    gate = Gate()

    async def slow(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, b"hello")

    recorder = Recorder(slow)
    wire = open_wire(recorder).feed(request(), NEXT)
    wire.eof()
    assert not wire.over
    gate.open(wire)
    gate.open(wire)
    assert [response.body for response in wire.responses()] == [b"hello", b"hello"]
    wire.advance(3)
    assert wire.over
    assert not wire.connection.aborted


def test_eof_between_two_pipelined_requests_leaves_both_responses_whole(open_wire: OpenWire) -> None:
    gate = Gate()

    async def slow(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        # The end of the peer's data is the next thing that the loop reports.
        asyncio.get_running_loop().call_soon(wire.protocol.on_eof)
        await respond(send, bytes(scope["raw_path"]))

    wire = open_wire(Recorder(slow)).feed(request() + NEXT)
    gate.open(wire)
    gate.open(wire)
    assert [response.body for response in wire.responses()] == [b"/", b"/next"]


def test_drain_closes_an_idle_connection_after_a_last_chance(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder()).feed(request())
    wire.drain()
    wire.advance(4)
    assert wire.over
    assert not wire.connection.aborted


def test_drain_serves_the_request_already_on_the_wire(open_wire: OpenWire) -> None:
    wire = open_wire(Recorder()).feed(request())
    wire.drain()
    wire.advance(1).feed(NEXT)
    assert [(response.status, response.closes) for response in wire.responses()] == [(200, False), (200, True)]
    wire.advance(3)
    assert wire.over


def test_drain_finishes_what_is_open_and_announces_the_close(open_wire: OpenWire) -> None:
    gate = Gate()

    async def slow(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, b"hello")

    wire = open_wire(Recorder(slow)).feed(request())
    wire.drain()
    wire.advance(20)
    assert not wire.over
    gate.open(wire)
    assert wire.response().closes
    assert wire.response().body == b"hello"
    wire.advance(3)
    assert wire.over

"""ASGI HTTP receive: H10, H11 and H13 of the checklist, how a body is let in and what becomes of half of one."""

import asyncio
from collections.abc import Callable

import pytest

from tests.exchange.live import Live, MakeLoop, each_loop, run, turn_until
from tests.exchange.test_http_receive import DISCONNECT, chunked, post, receives, request
from tests.fakes import Gate, Message, Receive, Recorder, Send, Wire, echo, every_cut, read_body, respond

OpenWire = Callable[..., Wire]


# ---- H10: back-pressure ----------------------------------------------------------------------------------------------


def test_h10_application_starts_at_the_end_of_the_head(open_wire: OpenWire) -> None:
    recorder = Recorder(echo)
    head, _, body = post(b"hello").partition(b"\r\n\r\n")
    wire = open_wire(recorder).feed(head + b"\r\n")
    assert recorder.calls == []
    wire.feed(b"\r\n")
    assert recorder.call.received == []
    for byte in body:
        wire.feed(bytes([byte]))
    assert [message["body"] for message in recorder.call.received] == [b"h", b"e", b"l", b"l", b"o"]
    assert wire.response().body == b"POST / hello"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_h10_reading_pauses_while_the_application_does_not_receive(open_wire: OpenWire, framing: str) -> None:
    gate = Gate()
    size, step = 1 << 20, 16384
    totals: list[int] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        total = 0
        while True:
            await gate.wait()
            message = await receive()
            total += len(message["body"])
            totals.append(len(message["body"]))
            if not message["more_body"]:
                break
        await respond(send, b"%d" % total)

    if framing == "length":
        head, parts = post(b"", size), [b"x" * step] * (size // step)
    else:
        head, parts = chunked(), [b"%x\r\n" % step + b"x" * step + b"\r\n"] * (size // step) + [b"0\r\n\r\n"]
    wire = open_wire(app).feed(head, *parts)
    assert wire.connection.reading_paused
    held = (len(parts) - len(wire.inbox)) * step
    assert held <= 128 * 1024
    for _ in range(size // step + 2):
        if gate.waiting:
            gate.open(wire)
            assert max(totals) <= 128 * 1024
    assert wire.response().body == b"%d" % size
    assert not wire.connection.reading_paused


def test_h10_a_body_nobody_reads_takes_no_memory_and_no_time(open_wire: OpenWire) -> None:
    wire = open_wire(receives(0)).feed(post(b"x" * 1000, 1 << 29))
    assert wire.response().status == 200
    wire.feed(*[b"x" * 65536] * 8)
    wire.advance(10)
    assert wire.over


def test_h10_pausing_does_not_stop_the_response(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        for byte in (b"a", b"b", b"c"):
            await gate.wait()
            await send({"type": "http.response.body", "body": byte, "more_body": byte != b"c"})

    gate = Gate()
    wire = open_wire(app).feed(post(b"", 1 << 20), *[b"x" * 16384] * 32)
    assert wire.connection.reading_paused
    for _ in range(3):
        gate.open(wire)
    assert wire.response().body == b"abc"


@each_loop
def test_h10_upload_waits_for_a_slow_application(make_loop: MakeLoop) -> None:
    """The client's writes stop going out: its transport fills up, and it gets everything across in the end."""
    size = 16 << 20

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await ready.wait()
        body = await read_body(receive)
        assert body is not None
        await respond(send, b"%d" % len(body))

    ready = asyncio.Event()

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            client.send(post(b"", size))
            client.send(b"x" * size)
            await turn_until(lambda: live.host.tasks)
            await turn_until(lambda: client.writer.transport.get_write_buffer_size() < size)
            for _ in range(50):
                await asyncio.sleep(0)
            assert client.writer.transport.get_write_buffer_size() > 0
            ready.set()
            (response,) = await client.read("POST")
            assert response.body == b"%d" % size

    run(make_loop, main())


# ---- H11: 100-continue -----------------------------------------------------------------------------------------------

EXPECT = post(b"", 5, b"Expect: 100-continue")


def test_h11_continue_is_sent_on_the_first_receive(open_wire: OpenWire) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await echo(scope, receive, send)

    wire = open_wire(app).feed(EXPECT)
    assert wire.out == b""
    gate.open(wire)
    assert wire.out == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.feed(b"he", b"llo")
    assert [response.status for response in wire.responses("POST")] == [100, 200]


def test_h11_continue_is_not_sent_before_receive_is_awaited(open_wire: OpenWire) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        waiting = receive()
        await gate.wait()
        assert (await waiting)["body"] == b"hello"
        await respond(send)

    wire = open_wire(app).feed(EXPECT)
    assert wire.out == b""
    gate.open(wire)
    assert wire.out == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.feed(b"hello")


def test_h11_no_continue_where_the_body_is_there(open_wire: OpenWire) -> None:
    wire = open_wire(echo).feed(EXPECT + b"hello")
    assert wire.response().status == 200


def test_h11_no_continue_after_the_final_response_began(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 413})
        await send({"type": "http.response.body", "body": b"no", "more_body": True})
        assert await receive() == request(b"hello", False)
        await send({"type": "http.response.body"})

    wire = open_wire(app).feed(EXPECT, b"hello")
    assert [response.status for response in wire.responses()] == [413]


def test_h11_no_continue_for_an_application_that_does_not_read(open_wire: OpenWire) -> None:
    wire = open_wire(receives(0)).feed(EXPECT)
    response = wire.response()
    assert response.status == 200
    assert response.closes, "the client may send the body or not, so the connection cannot be used again"


def test_h11_no_continue_to_http_1_0(open_wire: OpenWire) -> None:
    wire = open_wire(echo).feed(EXPECT.replace(b"HTTP/1.1", b"HTTP/1.0"), b"hello")
    assert [response.status for response in wire.responses()] == [200]


# ---- H13: a body that does not come whole ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "ends"),
    [
        (post(b"hell", 5), "eof"),
        (post(b"hell", 5), "reset"),
        (post(b"", 5), "eof"),
        (chunked(b"5\r\nhell"), "eof"),
        (chunked(b"5\r\nhello\r\n"), "eof"),
        (chunked(b"5\r\nhello\r\n0\r\n"), "eof"),
        (chunked(b"5\r\nhello\r\n0\r\n"), "reset"),
        (chunked(b"4\r\nhello\r\n0\r\n\r\n"), ""),
        (chunked(b"5\r\nhello\r\nx\r\n"), ""),
        (chunked(b"5\r\nhello\r\n-1\r\n"), ""),
        (chunked(b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n"), ""),
        (chunked(b"5\r\nhello\r\n0\r\nbad\x00: trailer\r\n\r\n"), ""),
    ],
)
def test_h13_truncated_or_malformed_body_is_a_disconnect(payload: bytes, ends: str) -> None:
    for reads in every_cut(payload):
        recorder = Recorder(receives(20))
        wire = Wire(recorder).feed(*reads)
        if ends == "eof":
            wire.eof()
        elif ends == "reset":
            wire.vanish()
        if recorder.calls:  # a fault in the read that brings the head is found before the application starts
            assert recorder.call.received[-1] == DISCONNECT
            assert not recorder.call.complete
        if ends != "reset":
            assert [response.status for response in wire.responses("POST")] == [400]
        wire.hang_up()


def test_h13_body_too_large_is_a_disconnect(open_wire: OpenWire) -> None:
    recorder = Recorder(receives(20))
    wire = open_wire(recorder, request_body=10).feed(chunked(b"5\r\nhello\r\n"), b"6\r\nworlds\r\n")
    assert recorder.call.received[-1] == DISCONNECT
    assert not recorder.call.complete
    assert wire.response("POST").status == 413


def test_h13_body_too_slow_is_a_disconnect(open_wire: OpenWire) -> None:
    recorder = Recorder(receives(20))
    wire = open_wire(recorder, timeout_request_body_idle=5).feed(post(b"hell", 5))
    wire.advance(6)
    assert recorder.call.received == [request(b"hell", True), *[DISCONNECT] * 19]
    assert wire.response("POST").status == 408

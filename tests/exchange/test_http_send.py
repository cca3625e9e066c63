"""ASGI HTTP send: B5 and H14 to H20 of the checklist."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from fastserver._speedups.contract import ClientDisconnected
from fastserver._speedups.events import RawData
from tests.exchange.live import GET, Live, MakeLoop, each_loop, run, turn_until
from tests.fakes import App, Gate, Message, Receive, Recorder, Send, Wire, respond
from tests.responses import Response

OpenWire = Callable[..., Wire]
HEAD = GET.replace(b"GET", b"HEAD")
OLD = b"GET / HTTP/1.0\r\n\r\n"


def start(status: int = 200, headers: Any = (), **more: Any) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers, **more}


def part(body: Any = b"", more_body: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more_body}


def sends(*messages: Message, pauses: bool = False) -> App:
    """An application that sends `messages`, suspended before each where it `pauses`."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for message in messages:
            if pauses:
                await asyncio.sleep(0)
            await send(message)

    return app


def answer_to(payload: bytes, *messages: Message) -> Response:
    """The response to `payload` of an application that sends `messages`; the same however it is cut into steps."""
    method = payload.partition(b" ")[0].decode()
    wires = []
    for pauses in (False, True):
        wire = Wire(sends(*messages, pauses=pauses)).feed(payload)
        wires.append(wire)
    together, apart = (wire.response(method) for wire in wires)
    assert (together.status, together.body, together.complete) == (apart.status, apart.body, apart.complete)
    for wire in wires:
        assert wire.log == []
        wire.hang_up()
    return together


def payload_writes(wire: Wire) -> list[bytes]:
    """What left in one write each."""
    return [event.data for event in wire.connection.events if isinstance(event, RawData)]


# ---- B5 --------------------------------------------------------------------------------------------------------------


def test_b5_events_that_come_when_all_is_over_are_no_error(open_wire: OpenWire) -> None:
    """Body bytes and the end of the client's sending, while the application is still busy after its response."""
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send)
        await gate.wait()
        assert (await receive())["type"] == "http.disconnect"

    wire = open_wire(app).feed(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", b"he", b"llo")
    wire.eof()
    gate.open(wire)
    assert wire.response("POST").status == 200
    assert wire.log == []


def test_b5_sends_into_nothing_do_nothing(open_wire: OpenWire) -> None:
    """No body goes with a HEAD, and no early hint behind the head; neither is an error."""
    wire = open_wire(
        sends(start(), part(b"x", True), {"type": "http.response.early_hint", "links": [b"</a>"]}, part(b"y"))
    ).feed(HEAD)
    response = wire.response("HEAD")
    assert (response.status, response.body) == (200, b"")
    assert wire.log == []


BODYLESS = pytest.mark.parametrize(("payload", "status"), [(HEAD, 200), (GET, 204), (GET, 304)])


@BODYLESS
@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_b5_endless_body_that_is_not_sent_is_stopped(
    open_wire: OpenWire, payload: bytes, status: int, size: int
) -> None:
    """Nothing ever makes its `send` wait, so the loop would never turn again."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/next":
            await respond(send, b"next")
            return
        await send(start(status))
        await send(part(b"x" * size, True))
        assert (await receive())["type"] == "http.disconnect"
        for _ in range(1000):
            await send(part(b"x" * size, True))

    recorder = Recorder(app)
    wire = open_wire(recorder).feed(payload, GET.replace(b" / ", b" /next "))
    first, second = wire.responses(payload.partition(b" ")[0].decode())
    assert (first.status, first.body, second.body) == (status, b"", b"next")
    call = recorder.calls[0]
    assert isinstance(call.error, ClientDisconnected)
    assert len(call.sent) == 2 + (64 if size <= 16384 else (1 << 20) // size)
    assert wire.log == []


@BODYLESS
@pytest.mark.parametrize("trailers", [False, True])
def test_b5_body_that_is_not_sent_may_come_in_parts(
    open_wire: OpenWire, payload: bytes, status: int, trailers: bool
) -> None:
    messages = [*[part(b"x" * 1000, True)] * 60, {"type": "http.response.early_hint", "links": [b"</a>"]}, part(b"x")]
    if trailers:
        messages += [{"type": "http.response.trailers", "headers": [(b"x-a", b"1")], "more_trailers": True}]
        messages += [{"type": "http.response.trailers"}]

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await sends(start(status, trailers=trailers), *messages, pauses=True)(scope, receive, send)
        assert (await receive())["type"] == "http.disconnect"
        with pytest.raises(RuntimeError, match="after the response was complete"):
            await send(part(b"more"))

    recorder = Recorder(app)
    wire = open_wire(recorder).feed(payload)
    assert wire.response(payload.partition(b" ")[0].decode()).complete
    assert recorder.call.returned
    assert wire.log == []


def test_b5_response_without_a_body_is_whole_with_its_head(open_wire: OpenWire) -> None:
    """However long its application takes over the rest."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        await send(part(b"x", True))
        await gate.wait()
        await send(part(b"y"))

    gate = Gate()
    recorder = Recorder(app)
    wire = open_wire(recorder).feed(HEAD, HEAD)
    assert [response.complete for response in wire.responses("HEAD", "HEAD")] == [True, True]
    wire.block()
    for _ in range(2):
        gate.open(wire)
    assert [call.returned for call in recorder.calls] == [True, True]
    assert wire.log == []


@pytest.mark.parametrize("body", ["text", None, 5])
def test_b5_body_that_is_not_sent_must_be_bytes_all_the_same(open_wire: OpenWire, body: Any) -> None:
    recorder = Recorder(sends(start(), part(b"x", True), part(body)))
    wire = open_wire(recorder).feed(HEAD)
    assert isinstance(recorder.call.error, TypeError)
    assert [record.levelname for record in wire.log] == ["ERROR"]


# ---- H14 -------------------------------------------------------------------------------------------------------------


def pairs_by_generator() -> Iterator[tuple[bytes, bytes]]:
    yield b"x-a", b"1"
    yield b"x-b", b"2"


class Pairs:
    """An iterable that is no sequence."""

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return pairs_by_generator()


@pytest.mark.parametrize(
    "make_headers",
    [
        lambda: [(b"x-a", b"1"), (b"x-b", b"2")],
        lambda: [[b"x-a", b"1"], [b"x-b", b"2"]],
        lambda: ((b"x-a", b"1"), [b"x-b", b"2"]),
        pairs_by_generator,
        Pairs,
        lambda: {b"x-a": b"1", b"x-b": b"2"}.items(),
        lambda: map(iter, [(b"x-a", b"1"), (b"x-b", b"2")]),
        lambda: iter([(b"x-a", b"1"), (b"x-b", b"2")]),
    ],
)
def test_h14_headers_are_any_iterable_of_iterables_of_two(
    open_wire: OpenWire, make_headers: Callable[[], Iterable[Any]]
) -> None:
    wire = open_wire(sends(start(200, make_headers()), part(b"x"))).feed(GET)
    assert wire.response().headers[:2] == [(b"x-a", b"1"), (b"x-b", b"2")]


def test_h14_headers_are_optional() -> None:
    response = answer_to(GET, {"type": "http.response.start", "status": 201}, part(b"x"))
    assert (response.status, response.body) == (201, b"x")


def test_h14_headers_are_taken_when_they_are_sent(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        headers = [(b"x-a", b"1")]
        await send(start(200, headers))
        headers[0] = (b"x-b", b"2")
        headers.append((b"x-c", b"3"))
        await asyncio.sleep(0)
        await send(part(b"x"))

    wire = open_wire(app).feed(GET)
    assert wire.response().headers[0] == (b"x-a", b"1")
    assert wire.response().header(b"x-c") == []


@pytest.mark.parametrize("pauses", [False, True])
def test_h14_start_waits_for_the_first_body(open_wire: OpenWire, pauses: bool) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start(200, [(b"x-a", b"1")]))
        await gate.wait()
        await send(part(b"", True) if pauses else part(b"x"))
        await gate.wait()
        if pauses:
            await send(part(b"x"))

    wire = open_wire(app).feed(GET)
    assert wire.out == b""
    gate.open(wire)
    assert wire.responses()[0].header(b"x-a") == [b"1"], (
        "an empty first body sends the head, as server-sent events need"
    )
    gate.open(wire)
    assert wire.response().body == b"x"


def test_h14_held_start_is_replaced_by_a_500(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start(200, [(b"x-a", b"1"), (b"content-length", b"5")]))
        raise LookupError

    wire = open_wire(app).feed(GET)
    response = wire.response()
    assert response.status == 500
    assert response.header(b"x-a") == []
    assert response.body == b"Internal Server Error"


# ---- H15 -------------------------------------------------------------------------------------------------------------


def test_h15_body_and_more_body_have_defaults() -> None:
    response = answer_to(GET, start(), {"type": "http.response.body"})
    assert (response.status, response.body, response.complete) == (200, b"", True)
    response = answer_to(GET, start(), {"type": "http.response.body", "body": b"x"})
    assert (response.body, response.complete) == (b"x", True)


class OwnBytes(bytes):
    pass


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, OwnBytes], ids=lambda make: make.__name__)
@pytest.mark.parametrize("size", [0, 1, 100, 20_000, 100_000])
def test_h15_any_kind_of_bytes(make: Callable[[bytes], Any], size: int) -> None:
    body = b"x" * size
    assert answer_to(GET, start(), part(make(body))).body == body
    assert answer_to(GET, start(), part(make(body), True), part(make(body))).body == body * 2


def test_h15_view_of_other_items_is_sent_as_bytes() -> None:
    view = memoryview(bytearray(range(16)))[2:10:2]
    assert answer_to(GET, start(), part(view)).body == bytes([2, 4, 6, 8])


@pytest.mark.parametrize("size", [1, 100_000])
def test_h15_buffer_may_be_reused_once_send_has_returned(open_wire: OpenWire, size: int) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        buffer = bytearray(size)
        for number in range(1, 4):
            buffer[:] = bytes([number]) * size
            await send(part(buffer, True))
            await send(part(memoryview(buffer), True))
        buffer[:] = b"\0" * size
        await send(part())

    wire = open_wire(app).feed(GET)
    assert wire.response().body == b"".join(bytes([number]) * size * 2 for number in range(1, 4))


def test_h15_what_a_step_sends_leaves_at_its_end(open_wire: OpenWire) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        for number in range(10):
            await send(part(b"%d" % number, True))
        await gate.wait()
        await send(part(b"later", True))
        await gate.wait()
        await send(part())

    wire = open_wire(app).feed(GET)
    assert wire.responses()[0].body == b"0123456789"
    assert len(payload_writes(wire)) == 1
    gate.open(wire)
    assert wire.responses()[0].body == b"0123456789later"
    assert len(payload_writes(wire)) == 2
    gate.open(wire)
    assert wire.response().complete
    assert len(payload_writes(wire)) == 3


def test_h15_what_another_task_sends_leaves_too(open_wire: OpenWire) -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        await asyncio.create_task(send(part(b"child", True)))  # type: ignore[arg-type]
        asyncio.get_running_loop().call_soon(lambda: send(part(b" callback", True)))
        await gate.wait()
        await send(part())

    wire = open_wire(app).feed(GET)
    assert wire.responses()[0].body == b"child callback"
    gate.open(wire)
    assert wire.response().complete


def test_h15_send_is_awaited_in_any_way(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.wait_for(send(start()), 5)
        assert list(await asyncio.gather(send(part(b"a", True)), send(part(b"b", True)))) == [None, None]
        await asyncio.create_task(send(part(b"c", True)))  # type: ignore[arg-type]
        await asyncio.shield(send(part(b"d", True)))
        done, _ = await asyncio.wait({asyncio.ensure_future(send(part(b"e", True)))})
        assert [future.result() for future in done] == [None]
        waiting = send(part(b"f"))
        await waiting
        await waiting

    wire = open_wire(app).feed(GET)
    assert wire.response().body == b"abcdef"


def test_h15_a_long_step_is_not_held_back_without_bound(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        for _ in range(100):
            await send(part(b"x" * 10_000, True))
            sizes.append(len(wire.out))
        await send(part())

    sizes: list[int] = []
    wire = open_wire(app)
    wire.feed(GET)
    assert all((count + 1) * 10_000 - size <= 80_000 for count, size in enumerate(sizes))
    assert len(wire.response().body) == 1_000_000


def test_h15_send_waits_for_the_client_to_read(open_wire: OpenWire) -> None:
    recorder = Recorder(sends(start(), *[part(b"x" * 1000, True)] * 3, part()))
    wire = open_wire(recorder)
    wire.block()
    wire.feed(GET)
    assert len(recorder.call.sent) < 5
    before = len(recorder.call.sent)
    wire.advance(20)
    assert len(recorder.call.sent) == before, "it waits as long as it must"
    wire.unblock()
    assert len(recorder.call.sent) == 5
    assert wire.response().body == b"x" * 3000


def test_h15_send_waits_each_time_anew(open_wire: OpenWire) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        for number in range(3):
            await gate.wait()
            wire.protocol.pause_writing()
            await send(part(b"%d" % number, True))
            sent.append(number)
        await send(part())

    gate = Gate()
    sent: list[int] = []
    wire = open_wire(app)
    wire.feed(GET)
    for number in range(3):
        gate.open(wire)
        assert sent == list(range(number))
        wire.unblock()
        assert sent == list(range(number + 1))
    assert wire.response().body == b"012"


def test_h15_the_last_send_does_not_wait(open_wire: OpenWire) -> None:
    """All has been said; what is left to do is the transport's."""
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start())
        await gate.wait()
        await send(part(b"x"))

    recorder = Recorder(app)
    wire = open_wire(recorder).feed(GET)
    wire.block()
    gate.open(wire)
    assert recorder.call.returned
    assert wire.response().body == b"x"


@each_loop
def test_h15_slow_reader_holds_the_application_back(make_loop: MakeLoop) -> None:
    sent = 0

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        for _ in range(500):
            await send(part(b"x" * 65536, True))
            sent += 1
        await send(part())

    async def main() -> None:
        async with Live(app) as live:
            client = await live.connect()
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.send(GET)
            await turn_until(lambda: live.host.tasks)
            before = -1
            while before != sent:
                before = sent
                for _ in range(20):
                    await asyncio.sleep(0.001)
            assert sent < 500
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            data = bytearray()
            while not data.endswith(b"\r\n0\r\n\r\n"):
                data += await client.reader.read(1 << 20)
            assert data.count(b"x") == 500 * 65536

    run(make_loop, main())
    assert sent == 500


# ---- H16 -------------------------------------------------------------------------------------------------------------

HOP_BY_HOP = [
    (b"Transfer-Encoding", b"chunked"),
    (b"transfer-encoding", b"gzip"),
    (b"Connection", b"keep-alive"),
    (b"connection", b"upgrade"),
    (b"Keep-Alive", b"timeout=5"),
    (b"Proxy-Connection", b"keep-alive"),
    (b"Upgrade", b"h2c"),
]


@pytest.mark.parametrize("field", HOP_BY_HOP, ids=repr)
@pytest.mark.parametrize("length", [[], [(b"content-length", b"1")]], ids=["", "length"])
def test_h16_connection_specific_fields_of_the_application_are_dropped(
    field: tuple[bytes, bytes], length: list[tuple[bytes, bytes]]
) -> None:
    response = answer_to(GET, start(200, [*length, field, (b"x-a", b"1")]), part(b"x"))
    assert response.body == b"x"
    assert response.header(b"x-a") == [b"1"]
    if field[0].lower() != b"upgrade":
        assert response.header(field[0].lower()) == []


@pytest.mark.parametrize("value", [b"close", b"Close", b"x, close"])
def test_h16_connection_close_of_the_application_is_honoured(open_wire: OpenWire, value: bytes) -> None:
    wire = open_wire(sends(start(200, [(b"Connection", value)]), part(b"x"))).feed(GET)
    assert wire.response().closes
    assert wire.response().header(b"connection") == [b"close"]
    assert wire.ended


def test_h16_length_of_a_whole_response_is_announced() -> None:
    response = answer_to(GET, start(), part(b"hello"))
    assert response.header(b"content-length") == [b"5"]
    assert response.header(b"transfer-encoding") == []


def test_h16_body_of_unknown_length_is_chunked() -> None:
    response = answer_to(GET, start(), part(b"he", True), part(b"", True), part(b"llo", True), part())
    assert response.header(b"transfer-encoding") == [b"chunked"]
    assert response.header(b"content-length") == []
    assert response.body == b"hello"


def test_h16_body_of_known_length_is_not_chunked() -> None:
    response = answer_to(GET, start(200, [(b"Content-Length", b"5")]), part(b"he", True), part(b"llo"))
    assert response.header(b"transfer-encoding") == []
    assert response.header(b"content-length") == [b"5"]
    assert response.body == b"hello"


def test_h16_http_1_0_body_ends_with_the_connection(open_wire: OpenWire) -> None:
    wire = open_wire(sends(start(), part(b"he", True), part(b"llo"))).feed(OLD)
    response = wire.response()
    assert response.header(b"transfer-encoding") == response.header(b"content-length") == []
    assert response.body == b"hello"
    assert wire.ended


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"5")]])
@pytest.mark.parametrize("parts", [[part(b"hello")], [part(b"he", True), part(b"llo")], [part(b"", True), part()]])
def test_h16_head_has_no_body(headers: list[tuple[bytes, bytes]], parts: list[Message]) -> None:
    response = answer_to(HEAD, start(200, headers), *parts)
    assert response.body == b""
    if headers:
        assert response.header(b"content-length") == [b"5"]


def test_h16_head_announces_what_get_would() -> None:
    assert answer_to(HEAD, start(), part(b"hello")).header(b"content-length") == [b"5"]
    assert answer_to(HEAD, start(200, [(b"content-length", b"500")]), part()).header(b"content-length") == [b"500"]


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("headers", [[], [(b"content-length", b"0")]])
@pytest.mark.parametrize("parts", [[part()], [part(b"hello")], [part(b"", True), part()]])
def test_h16_no_body_with_204_and_304(
    open_wire: OpenWire, status: int, headers: list[tuple[bytes, bytes]], parts: list[Message]
) -> None:
    if headers and status == 204 and parts[0]["body"]:
        parts = [part()]
    wire = open_wire(sends(start(status, headers), *parts)).feed(GET, GET)
    for response in wire.responses():
        assert (response.status, response.body) == (status, b"")
        assert response.header(b"transfer-encoding") == []
        if status == 204:
            assert response.header(b"content-length") == []
    assert len(wire.responses()) == 2


def test_h16_304_keeps_the_length_of_what_was_not_modified() -> None:
    assert answer_to(GET, start(304, [(b"content-length", b"500")]), part()).header(b"content-length") == [b"500"]


# ---- H17 -------------------------------------------------------------------------------------------------------------


def test_h17_order_and_case_are_kept() -> None:
    headers = [(b"X-B", b"1"), (b"x-a", b"2"), (b"X-b", b"3"), (b"Set-Cookie", b"a"), (b"set-cookie", b"b")]
    assert answer_to(GET, start(200, headers), part(b"x")).headers[: len(headers)] == headers


@pytest.mark.parametrize(
    "field",
    [
        (b"x", b"a\r\nb: c"),
        (b"x", b"a\nb"),
        (b"x", b"a\rb"),
        (b"x", b"a\0b"),
        (b"x\r\ny", b"a"),
        (b"x\0", b"a"),
        (b"x y", b"a"),
        (b"x:", b"a"),
        (b"", b"a"),
        (b":status", b"200"),
        (b":authority", b"h"),
    ],
    ids=repr,
)
def test_h17_bad_header_is_an_error_before_anything_goes_out(open_wire: OpenWire, field: tuple[bytes, bytes]) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        with pytest.raises(ValueError, match="header"):
            await send(start(200, [(b"a", b"b"), field]))
        assert wire.out == b""
        await send(start(203))
        await send(part(b"x"))

    wire = open_wire(app)
    wire.feed(GET)
    response = wire.response()
    assert (response.status, response.body) == (203, b"x")
    assert response.header(b"a") == []

"""One HTTP/3 connection from its handshake to its end."""

import math

import pytest

from fastserver._speedups.contract import ClientDisconnected, H3Limits
from fastserver._speedups.h3.state import H3State
from fastserver._speedups.quic.end import End
from tests.fakes import Gate, Message, Receive, Recorder, Send, echo, ignore, read_body, respond
from tests.h3wire import DATA, HEADERS, H3Wire, frame, read_varint, split_frames


def test_a_request_and_its_answer() -> None:
    recorder = Recorder()
    wire = H3Wire(recorder)
    answer = wire.answer(wire.request(b"/a?b=c", (b"x-y", b"z")))
    assert (answer.status, answer.body, answer.ended) == (200, b"GET /a?b=c ", True)
    assert [name for name, _ in answer.headers] == [b"content-length", b"date", b"server"]
    scope = recorder.call.scope
    assert (scope["http_version"], scope["scheme"], scope["path"]) == ("3", "https", "/a")
    assert scope["headers"] == [(b"host", b"example.org"), (b"x-y", b"z")]
    assert scope["client"] == ("192.0.2.7", 4433)


def test_a_body_in_pieces() -> None:
    recorder = Recorder()
    wire = H3Wire(recorder)
    stream = wire.request(body=b"one ", ends=False)
    assert not wire.answer(stream).ended
    wire.send(stream, frame(DATA, b"two ") + frame(DATA, b"three")[:3])
    wire.send(stream, frame(DATA, b"three")[3:], True)
    assert wire.answer(stream).body == b"POST / one two three"


def test_settings_are_the_first_that_is_said() -> None:
    wire = H3Wire(ignore)
    kind, payload = wire.control[0]
    values = {}
    at = 0
    while at < len(payload):
        name, at = read_varint(payload, at)
        values[name], at = read_varint(payload, at)
    assert kind == 4
    assert values == {1: 0, 7: 0, 6: 32768, 8: 1}


def test_every_byte_is_given_back_once_taken() -> None:
    wire = H3Wire(echo)
    stream = wire.take_id()
    said = wire.head([(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")])
    said += frame(DATA, bytes(5000)) + frame(0x21, b"grease")
    wire.send(stream, said[:2000])
    wire.send(stream, said[2000:], True)
    assert wire.answer(stream).status == 200
    assert wire.engine.credit[stream] == len(said)


def test_a_drain() -> None:
    gate = Gate()

    async def slow(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, b"done")

    wire = H3Wire(slow)
    stream = wire.request()
    wire.drain()
    assert wire.went_away == [(1 << 62) - 4]
    late = wire.request()
    wire.advance(2)
    assert wire.went_away == [(1 << 62) - 4, late + 4]
    refused = wire.request()
    assert wire.answer(refused).reset == 0x10B
    gate.open(wire)
    gate.open(wire)
    assert (wire.answer(stream).body, wire.answer(late).body) == (b"done", b"done")
    assert not wire.over
    wire.acknowledge(stream)
    wire.acknowledge(late)
    wire.advance(1)
    assert wire.engine.closed == (0x100, "")
    assert wire.connection.closed
    assert wire.protocol.state is H3State.CLOSED


def test_a_response_larger_than_the_room() -> None:
    async def endless(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        for _ in range(100):
            await send({"type": "http.response.body", "body": bytes(10_000), "more_body": True})
        await send({"type": "http.response.body"})

    recorder = Recorder(endless)
    wire = H3Wire(recorder)
    wire.engine.room = 0
    stream = wire.request()
    assert wire.engine.unsent < 80_000
    for _ in range(200):
        wire.make_room(10_000)
    assert recorder.call.returned
    assert len(wire.answer(stream).body) == 1_000_000


def test_the_limit_on_streams() -> None:
    gate = Gate()

    async def slow(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send)

    wire = H3Wire(slow, h3=H3Limits(streams=2))
    wire.request()
    wire.request()
    assert wire.answer(wire.request()).reset == 0x10B


def test_an_idle_connection_is_closed() -> None:
    wire = H3Wire(ignore)
    wire.request()
    wire.advance(80)
    assert wire.engine.closed == (0x100, "")
    assert wire.over
    assert wire.connection.farewell == b"farewell"


def test_what_the_client_has_ended_leaves_no_farewell() -> None:
    wire = H3Wire(ignore)
    with wire.loop.running():
        wire.engine.terminate(End.PEER, 0x100)
    wire.settle()
    assert wire.over
    assert wire.connection.farewell is None


def test_an_aborted_connection_says_so() -> None:
    gate = Gate()

    async def slow(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()

    recorder = Recorder(slow)
    wire = H3Wire(recorder)
    wire.request()
    with wire.loop.running():
        wire.protocol.on_abort(wire.host.clock.now)
    assert wire.engine.closed == (0x100, "")
    assert wire.connection.farewell == b"farewell"
    wire.vanish()
    assert wire.engine.is_detached


def test_who_ended_it_and_why() -> None:
    """By the client, by its silence, or since it broke QUIC's rules."""
    ends: list[tuple[End, int, int, dict[str, dict[str, int]]]] = [
        (End.PEER, 0x100, 0, {}),
        (End.PEER, 0x3, 0, {}),
        (End.IDLE, 0x0, 1, {}),
        (End.FAULT, 0x3, 0, {"quic": {"FLOW_CONTROL_ERROR": 1}}),
        (End.FAULT, 0x1FF, 0, {"quic": {"CRYPTO_ERROR": 1}}),
    ]
    for end, code, timeouts, faults in ends:
        wire = H3Wire(ignore)
        wire.terminate(end, code)
        assert wire.over
        snapshot = wire.host.metrics.snapshot()
        assert wire.connection.ended_there is (end is End.PEER)
        assert (snapshot["timeouts"]["idle"], snapshot["protocol_faults"]) == (timeouts, faults)
        assert snapshot["handshakes_failed"] == 0


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 65536, 250_000])
def test_bodies_of_any_size_go_both_ways(size: int) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, await read_body(receive) or b"")

    wire = H3Wire(app)
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    answer = wire.answer(wire.request(body=body))
    assert (answer.body, answer.ended) == (body, True)
    wire.hang_up()


@pytest.mark.parametrize("te", [True, False])
def test_trailers_are_for_those_who_ask(te: bool) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"body"})
        await send({"type": "http.response.trailers", "headers": [(b"X-Sum", b"7")]})

    wire = H3Wire(app)
    answer = wire.answer(wire.request(b"/", *([(b"te", b"trailers")] if te else [])))
    assert (answer.body, answer.ended) == (b"body", True)
    assert answer.trailers == ([(b"x-sum", b"7")] if te else None)
    wire.hang_up()


def test_trailers_of_a_request_are_checked_and_dropped() -> None:
    wire = H3Wire(echo)
    stream = wire.request(body=b"a", ends=False)
    wire.send(stream, wire.head([(b"x-sum", b"7")]), True)
    assert wire.answer(stream).body == b"POST / a"
    wire.hang_up()


def test_early_hints() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
        await respond(send, b"body")

    wire = H3Wire(app)
    answer = wire.answer(wire.request())
    assert answer.interim == [(103, [(b"link", b"</a>; rel=preload")])]
    assert (answer.status, answer.body) == (200, b"body")
    wire.hang_up()


@pytest.mark.parametrize("reads", [True, False])
def test_continue_is_said_to_those_whose_body_is_wanted(reads: bool) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, await read_body(receive) or b"" if reads else b"unread")

    wire = H3Wire(app)
    stream = wire.request(b"/", (b"expect", b"100-continue"), method=b"POST", ends=False)
    answer = wire.answer(stream)
    if reads:
        assert (answer.interim, answer.status) == ([(100, [])], 0)
        wire.send(stream, frame(DATA, b"body"), True)
        answer = wire.answer(stream)
        assert (answer.interim, answer.status, answer.body) == ([(100, [])], 200, b"body")
    else:
        assert (answer.interim, answer.status, answer.body, answer.reset) == ([], 200, b"unread", None)
    wire.hang_up()


@pytest.mark.parametrize("body", [b"body", b""])
def test_no_continue_where_the_body_came_uncalled(body: bytes) -> None:
    gate = Gate()

    async def late(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, await read_body(receive) or b"")

    wire = H3Wire(late)
    stream = wire.request(b"/", (b"expect", b"100-continue"), body=body)
    gate.open(wire)
    answer = wire.answer(stream)
    assert (answer.interim, answer.body) == ([], body)
    wire.hang_up()


@pytest.mark.parametrize(
    ("method", "status", "length"), [(b"HEAD", 200, [b"4"]), (b"GET", 204, []), (b"GET", 304, [b"4"])]
)
def test_responses_without_a_body(method: bytes, status: int, length: list[bytes]) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, b"body", status)

    wire = H3Wire(app)
    stream = wire.request(method=method)
    answer = wire.answer(stream)
    assert (answer.status, answer.body, answer.ended) == (status, b"", True)
    assert answer.header(b"content-length") == length
    assert [kind for kind, _ in split_frames(bytes(wire.engine.said[stream]))] == [HEADERS]
    wire.hang_up()


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_endless_body_that_is_not_sent_is_stopped(method: bytes, status: int) -> None:
    """The client has the whole response with its head; the application is told that it has left."""
    errors: list[BaseException] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status})
        try:
            for _ in range(1000):
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
        except ClientDisconnected as error:
            errors.append(error)
            raise

    wire = H3Wire(app)
    for _ in range(2):
        answer = wire.answer(wire.request(method=method))
        assert (answer.status, answer.body, answer.ended, answer.reset) == (status, b"", True, None)
    assert len(errors) == 2
    assert wire.log == []
    wire.hang_up()


@pytest.mark.parametrize("path", [b"/" + b"a" * 9000, b"/"])
def test_refusals_of_head_have_no_body(path: bytes) -> None:
    wire = H3Wire(echo)
    fields = [] if len(path) > 1 else [(b"expect", b"x")]
    stream = wire.request(path, *fields, method=b"HEAD")
    answer = wire.answer(stream)
    assert answer.status in (414, 417)
    assert (answer.body, answer.ended) == (b"", True)
    assert [kind for kind, _ in split_frames(bytes(wire.engine.said[stream]))] == [HEADERS]
    wire.hang_up()


def test_what_the_engine_tells_goes_on_to_the_transport() -> None:
    wire = H3Wire(echo)
    wire.protocol.on_connection_id(b"01234567", True)
    wire.protocol.on_path(("192.0.2.8", 4434))
    assert wire.connection.handshaken
    assert wire.connection.cids == [(b"01234567", True)]
    assert wire.connection.moves == [("192.0.2.8", 4434)]
    wire.hang_up()


def test_the_timer_is_the_engines() -> None:
    """The end of a turn where something is to be said, else the engine's deadline; a deadline is told, once."""
    wire = H3Wire(echo)
    wire.engine.deadline = wire.host.clock.now + 0.5
    wire.request()
    assert wire.connection.timer == wire.host.clock.now + 0.5
    wire.advance(0.6)
    assert wire.engine.deadline == math.inf
    assert wire.connection.timer == math.inf
    wire.hang_up()

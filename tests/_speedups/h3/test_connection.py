"""One HTTP/3 connection from its handshake to its end."""

from fastserver._speedups.contract import H3Limits
from fastserver._speedups.h3.state import H3State
from tests.fakes import Gate, Message, Receive, Recorder, Send, echo, ignore, respond
from tests.h3wire import DATA, H3Wire, frame, read_varint


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


def test_a_handshake_has_its_time() -> None:
    wire = H3Wire(ignore, shakes=False)
    wire.advance(4)
    assert not wire.over
    wire.advance(2)
    assert wire.over
    assert wire.host.metrics.handshakes_failed == 1
    assert wire.host.metrics.snapshot()["protocol_faults"] == {}


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
    wire.vanish()
    assert wire.engine.is_detached


def test_who_ended_it_and_why() -> None:
    """By the client, by its silence, or since it broke QUIC's rules."""
    ends: list[tuple[int, bool, bool, int, dict[str, dict[str, int]]]] = [
        (0x100, True, True, 0, {}),
        (0x3, True, True, 0, {}),
        (0x0, False, False, 1, {}),
        (0x3, False, False, 0, {"quic": {"FLOW_CONTROL_ERROR": 1}}),
        (0x1FF, False, False, 0, {"quic": {"UNKNOWN": 1}}),
    ]
    for code, by_peer, ended_there, timeouts, faults in ends:
        wire = H3Wire(ignore)
        with wire.loop.running():
            wire.protocol.on_terminated(code, "reason", by_peer)
        wire.settle()
        assert wire.over
        snapshot = wire.host.metrics.snapshot()
        assert wire.connection.ended_there is ended_there
        assert (snapshot["timeouts"]["idle"], snapshot["protocol_faults"]) == (timeouts, faults)
        assert snapshot["handshakes_failed"] == 0

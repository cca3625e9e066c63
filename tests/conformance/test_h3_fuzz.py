"""Any bytes on any streams, in any order, with resets, stops and time in between: the wire holds what it promises.

Nothing is raised, every exchange is told of its end once, no byte is given back twice, and what is over leaves nothing.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastserver._speedups.contract import Application, Exchange, H3Limits, Request, ResponseHead, Sink
from fastserver._speedups.h3.state import H3State
from tests.conformance.cases import check_quiet
from tests.conformance.h3cases import (
    CONTROL,
    DECODER,
    ENCODER,
    GREASE,
    PUSH,
    answer,
    data,
    frame,
    get,
    head,
    post,
    pseudo,
    varint,
)
from tests.conformance.h3cases import settings as settings_frame
from tests.fakes import Message, Receive, Send, respond
from tests.h3wire import H3Wire

SESSION = head([*pseudo(b"CONNECT"), (b":protocol", b"websocket")])
REQUESTS = st.sampled_from([0, 0, 4, 8, 12])
LANES = st.sampled_from([2, 6, 10, 14])
#: What a stream is likely to be made of.
WORDS = st.sampled_from(
    [get(), post(), post(path=b"/wait"), post(path=b"/now"), get(path=b"/stuck"), SESSION, data(b"body"), data(),
     post((b"content-length", b"4")), post((b"expect", b"100-continue")), head([(b"x", b"y")]), get((b"Upper", b"x")),
     head([*pseudo(), (b"x", b"y" * 20_000)]), b"\x01\x80\x10\0\0", frame(GREASE, b"grease"), frame(GREASE),
     settings_frame((6, 1)), frame(7, b"\x04"), frame(13, b"\x04"), frame(3, b"\0"), frame(2), post() + data(b"a"),
     varint(CONTROL) + settings_frame(), varint(ENCODER), varint(DECODER), varint(PUSH), varint(GREASE), b"\x20"]
)  # fmt: skip
OCTETS = st.one_of(WORDS, WORDS, st.tuples(WORDS, st.integers(0, 60)).map(lambda cut: cut[0][: cut[1]]), st.binary())
#: Steps; of a stream, what is said on it and whether it ends.
STEPS = st.one_of(
    st.tuples(st.just("send"), REQUESTS, OCTETS, st.booleans()),
    st.tuples(st.just("send"), REQUESTS, OCTETS, st.just(False)),
    st.tuples(st.just("send"), LANES, OCTETS, st.booleans()),
    st.tuples(st.just("reset"), st.one_of(REQUESTS, LANES)),
    st.tuples(st.just("stop"), st.one_of(REQUESTS, st.just(3))),
    st.tuples(st.just("advance"), st.sampled_from([0.3, 1, 3, 12])),
    st.tuples(st.just("make_room"), st.sampled_from([0, 10, 5000, 1 << 20])),
    st.tuples(st.just("drain")),
    st.tuples(st.just("idle")),
)


class Peer:
    """A client that keeps the promises of QUIC alone: nothing follows the end of a stream, which is acknowledged."""

    def __init__(self, wire: H3Wire) -> None:
        self.wire = wire
        self.gone: set[int] = set()

    def take(self, step: tuple[Any, ...]) -> None:
        wire, engine = self.wire, self.wire.engine
        kind, *arguments = step
        if wire.over or (kind in ("send", "reset") and arguments[0] in engine.finished):
            return
        if kind == "stop" and (arguments[0] in engine.resets or arguments[0] in self.gone):
            return
        if kind == "idle":
            if wire.protocol.count_streams() == 0:
                with wire.loop.running():
                    wire.protocol.on_idle_timeout()
                wire.settle()
        else:
            getattr(wire, kind)(*arguments)
        self.acknowledge()

    def acknowledge(self) -> None:
        """Streams both sides of which have ended and left are over."""
        wire, engine = self.wire, self.wire.engine
        for stream in engine.finished - self.gone:
            has_ended = stream in engine.resets or (stream in engine.ended and not engine.get_unsent(stream))
            if (has_ended or stream & 2) and not wire.over:
                self.gone.add(stream)
                wire.acknowledge(stream)

    def check(self) -> None:
        """Whatever has happened, these hold."""
        wire = self.wire
        assert wire.loop.faults == []
        assert wire.connection.breaches == []
        if wire.over:
            assert wire.protocol.state is H3State.CLOSED
            assert not wire.protocol.streams
        else:
            assert wire.owed == {}
            assert not self.gone & (wire.protocol.streams.keys() | wire.protocol.tails.keys() | wire.protocol.passed)
        check_quiet(wire)


def play(wire: H3Wire, steps: list[tuple[Any, ...]]) -> None:
    peer = Peer(wire)
    for step in steps:
        peer.take(step)
        peer.check()
    wire.hang_up()
    assert not wire.host.tasks


FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LIMITS = H3Limits(streams=3, resets=6, field_section=4000)


@FUZZ
@given(st.lists(STEPS, max_size=25), st.sampled_from([0, 100, 1 << 30]), st.booleans())
def test_whatever_is_said(steps: list[tuple[Any, ...]], room: int, shakes: bool) -> None:
    wire = H3Wire(answer, None, LIMITS, True, request_body=9)
    if not shakes:
        wire = H3Wire(answer, None, LIMITS, False)
        wire.shake()
    wire.engine.room = room
    play(wire, steps)


class Counting(Exchange):
    """An exchange that answers at some time of its life, and counts what it is told."""

    def __init__(self, sink: Sink, answers_at: str) -> None:
        self.sink = sink
        self.answers_at = answers_at
        self.ends = 0
        self.is_whole = False
        self.is_over = False

    def _answer(self, at: str) -> None:
        if at == self.answers_at and not self.is_over:
            self.is_over = True
            response = ResponseHead()
            response.status, response.fields, response.content_length = 200, [], -1
            self.sink.respond(response, b"answer", False)
            self.sink.release()

    def start(self) -> None:
        self._answer("start")

    def on_body(self, data: bytes, more: bool) -> None:
        assert not self.ends, "a body behind the end"
        assert not self.is_whole, "more behind the end of the body"
        self.is_whole = not more
        self.sink.consume(len(data))
        self._answer("body" if more else "end")

    def on_drain(self) -> None:
        self._answer("drain")

    def on_writable(self) -> None:
        pass

    def on_disconnect(self) -> None:
        self.ends += 1
        if not self.is_over:
            self.is_over = True
            self.sink.release()


class CountingApplication(Application):
    """Opens `Counting` exchanges."""

    def __init__(self, answers_at: str) -> None:
        self.answers_at = answers_at
        self.exchanges: list[Counting] = []

    def open(self, sink: Sink, request: Request) -> Exchange:
        self.exchanges.append(Counting(sink, self.answers_at))
        return self.exchanges[-1]


@pytest.mark.parametrize("answers_at", ["start", "body", "end", "drain", "never"])
@settings(FUZZ, max_examples=60)
@given(steps=st.lists(STEPS, max_size=25))
def test_every_exchange_ends_once(answers_at: str, steps: list[tuple[Any, ...]]) -> None:
    wire = H3Wire(answer, None, LIMITS, True)
    application = wire.host.application = CountingApplication(answers_at)
    play(wire, steps)
    for exchange in application.exchanges:
        assert exchange.is_over
        assert exchange.ends <= 1


async def fail(scope: Message, receive: Receive, send: Send) -> None:
    """Reads a part, says a part, and fails where its path says so."""
    if scope["path"] == "/wait":
        raise ValueError("before")
    await receive()
    if scope["path"] == "/now":
        await respond(send, bytes(5000))
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
    await send({"type": "http.response.body", "body": b"short", "more_body": scope["path"] == "/stuck"})
    raise ValueError("behind")


@FUZZ
@given(st.lists(STEPS, max_size=25), st.sampled_from([0, 1 << 30]))
def test_whatever_is_said_to_an_application_that_fails(steps: list[tuple[Any, ...]], room: int) -> None:
    wire = H3Wire(fail, None, LIMITS, True)
    wire.engine.room = room
    peer = Peer(wire)
    for step in steps:
        peer.take(step)
        wire.log.clear()
        peer.check()
    wire.hang_up()

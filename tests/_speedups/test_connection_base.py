"""A transport in plain Python on the compiled base: what QUIC, or anything that is no socket of asyncio's, will be."""

from typing import Any

from fastserver._speedups.connection import abort, drain, has_room, survey, sweep
from fastserver._speedups.contract import Host
from fastserver._speedups.h1.connection import H1Connection
from fastserver._speedups.observers import Observer, Observers
from fastserver.events import Closed, ConnectionState, Direction, RawData
from tests.fakes import echo, make_host
from tests.handloop import HandLoop
from tests.pipe import Pipe

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def make_pipes(count: int, **limits: float) -> tuple[HandLoop, Host, list[Any]]:
    loop = HandLoop()
    host = make_host(echo, loop, **limits)
    return loop, host, [Pipe(host) for _ in range(count)]


def test_it_serves_and_is_counted() -> None:
    loop, host, (pipe,) = make_pipes(1)
    assert (pipe.state, host.arriving) == (ConnectionState.CONNECTING, {pipe})
    with loop.running():
        pipe.open()
        assert survey(host) == {"http/1.1": {"active": 0, "idle": 1, "closing": 0}}
        pipe.take(RawData(REQUEST))
    loop.settle()
    assert pipe.out.startswith(b"HTTP/1.1 200")
    assert (pipe.bytes_in, pipe.bytes_out, pipe.requests) == (len(REQUEST), len(pipe.out), 1)
    assert pipe.state is ConnectionState.IDLE
    with loop.running():
        pipe.take_eof()
    loop.settle()
    assert (pipe.state, host.connections, host.metrics.closed) == (ConnectionState.CLOSED, set(), 1)


def test_the_sweep_the_drain_and_the_abort_take_it() -> None:
    loop, host, (idle, drained, aborted) = make_pipes(3, timeout_keep_alive=5, timeout_keep_alive_min=1)
    with loop.running():
        idle.open()
        host.clock.tick(host.clock.now + 5, host.clock.wall_s + 5)
        drained.open()
        aborted.open()
        sweep(host)
        assert idle.state is ConnectionState.CLOSED
        assert host.metrics.timeouts_idle == 1
        drain(host)
        host.clock.tick(host.clock.now + 1, host.clock.wall_s + 1)
        aborted.take(RawData(REQUEST[:10]))
        sweep(host)
        assert (drained.state, aborted.state) == (ConnectionState.CLOSED, ConnectionState.ACTIVE)
        abort(host)
    assert (aborted.state, host.connections) == (ConnectionState.CLOSED, set())
    assert host.metrics.timeouts_idle == 1  # a server that stops is no timeout


def test_observers_hear_it() -> None:
    loop, host, (pipe,) = make_pipes(1)
    heard: list[tuple[Direction, str]] = []
    hear = lambda connection, direction, event: heard.append((direction, type(event).__name__))  # noqa: E731
    host.observers = Observers([Observer(hear, "a", host.error_log, None)])
    with loop.running():
        pipe.open()
        pipe.take(RawData(REQUEST))
        pipe.abort()
    assert heard == [
        (Direction.OUT, "Updated"),
        (Direction.IN, "RawData"),
        (Direction.OUT, "Updated"),
        (Direction.OUT, "RawData"),
        (Direction.OUT, "Updated"),
        (Direction.OUT, "Closed"),
    ]


def test_another_protocol_takes_over() -> None:
    loop, host, (pipe,) = make_pipes(1)
    heard: list[str] = []
    hear = lambda connection, direction, event: heard.append(type(event).__name__)  # noqa: E731
    host.observers = Observers([Observer(hear, "a", host.error_log, None)])
    with loop.running():
        pipe.open()
        first, second = pipe.wire, H1Connection(pipe, host)
        pipe.switch(second, "another")
        assert (pipe.wire, pipe.protocol, pipe.tally) == (second, "another", host.metrics.get_tally("another"))
        assert survey(host) == {"another": {"active": 0, "idle": 1, "closing": 0}}
        pipe.take(RawData(REQUEST))
    loop.settle()
    assert first.describe_state() == "waiting_request"
    assert pipe.out.startswith(b"HTTP/1.1 200")
    assert (pipe.requests, host.metrics.connections_opened, host.metrics.raw_data_in) == (1, 1, 1)
    assert heard == ["Updated", "RawData", "Updated", "RawData", "Updated"]
    with loop.running():
        pipe.abort()
    assert (host.connections, host.metrics.closed) == (set(), 1)


def test_there_is_room_for_so_many() -> None:
    loop, host, (first, second) = make_pipes(2, connections=1)
    with loop.running():
        assert has_room(host)
        first.open()
        assert not has_room(host)
        second.refuse()
        second.lose()
    assert (second.state, host.arriving, host.metrics.connections_refused) == (ConnectionState.CLOSED, set(), 1)
    assert first.send(Closed()) is None
    assert host.metrics.connections_opened == host.metrics.closed == 1

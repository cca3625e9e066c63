"""The account in both builds: what falls where, what the snapshot looks like, and that no connection goes uncounted."""

import itertools
import json
import math
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bench.micro.rooms import Room, open_rooms
from fastserver._speedups.connection import abort, count_streams, drain, survey, sweep
from fastserver._speedups.histogram import BOUNDS
from fastserver._speedups.observers import Observer, Observers
from fastserver._speedups.tcp import TCPConnection
from fastserver.events import Closed, ConnectionState, Direction, RawData, Updated
from fastserver.server.pipeline import Pipeline
from tests._speedups.ear import name
from tests.fakes import echo, make_host, make_log
from tests.handloop import HandLoop


@pytest.fixture(params=open_rooms(), ids=lambda room: room.name)
def metrics(request: pytest.FixtureRequest) -> Any:
    """The module, in each build."""
    room: Room = request.param
    return room.module("metrics")


# Histogram.


def find_bucket(metrics: Any, seconds: float) -> int:
    histogram = metrics.Histogram()
    histogram.add(seconds)
    snapshot = histogram.snapshot()
    assert snapshot["count"] == 1
    assert snapshot["sum"] == histogram.sum_s == seconds
    assert len(snapshot["buckets"]) == len(BOUNDS) + 1
    index: int = snapshot["buckets"].index(1)
    assert sum(snapshot["buckets"]) == 1
    return index


@pytest.mark.parametrize("index", range(len(BOUNDS)))
def test_a_bound_belongs_to_its_bucket(metrics: Any, index: int) -> None:
    assert find_bucket(metrics, BOUNDS[index]) == index
    assert find_bucket(metrics, math.nextafter(BOUNDS[index], math.inf)) == index + 1
    assert find_bucket(metrics, math.nextafter(BOUNDS[index], 0)) == index


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (-1.0, 0), (1e-300, 0), (1e300, len(BOUNDS)), (math.inf, len(BOUNDS))]
)
def test_extremes(metrics: Any, seconds: float, bucket: int) -> None:
    assert find_bucket(metrics, seconds) == bucket


def test_a_histogram_adds_up(metrics: Any) -> None:
    histogram = metrics.Histogram()
    assert histogram.snapshot() == {"count": 0, "sum": 0.0, "buckets": [0] * (len(BOUNDS) + 1)}
    before = histogram.snapshot()
    for seconds in (0.00005, 0.00005, 3.0, 20.0):
        histogram.add(seconds)
    assert before["count"] == 0
    assert histogram.snapshot() == {
        "count": 4,
        "sum": pytest.approx(23.0001),
        "buckets": [2, *[0] * 13, 1, 0, 1],
    }


# Tally and Metrics.


@pytest.mark.parametrize(
    ("status", "place"),
    [
        *[(100, "1xx"), (199, "1xx"), (200, "2xx"), (304, "3xx"), (499, "4xx"), (500, "5xx"), (599, "5xx")],
        *[(status, "aborted") for status in (0, 1, 99, 600, 999, -1)],
    ],
)
def test_a_request_is_counted_by_its_status(metrics: Any, status: int, place: str) -> None:
    tally = metrics.Tally("http/1.1")
    nothing = dict.fromkeys(["aborted", "1xx", "2xx", "3xx", "4xx", "5xx"], 0)
    assert tally.snapshot_requests() == nothing
    tally.count_request(status)
    assert tally.snapshot_requests() == {**nothing, place: 1}
    assert tally.name == "http/1.1"


def test_a_name_has_one_tally(metrics: Any) -> None:
    account = metrics.Metrics()
    tally = account.get_tally("http/1.1")
    assert account.get_tally("http/1.1") is tally
    assert account.get_tally("echo") is not tally
    account.get_tally("http/1.1").count_request(200)
    snapshot = account.snapshot()
    assert (snapshot["requests"]["http/1.1"]["2xx"], snapshot["requests"]["echo"]["2xx"]) == (1, 0)


def test_a_sum_of_several(metrics: Any) -> None:
    histogram = metrics.Histogram()
    histogram.add(0.002, 7)
    histogram.add(0.002)
    snapshot = histogram.snapshot()
    assert (snapshot["count"], max(snapshot["buckets"])) == (8, 8)
    assert math.isclose(snapshot["sum"], 0.016)


def test_a_busy_worker_times_a_sample(metrics: Any) -> None:
    """All requests of a calm tick, one of seven beyond: what they stand for adds up to what there was."""
    account = metrics.Metrics()
    assert [account.weigh_request() for _ in range(256)] == [1] * 256
    weights = [account.weigh_request() for _ in range(7000)]
    assert set(weights) == {0, 7}
    assert sum(weights) == 7000
    assert weights.count(7) == 1000
    account.tick()
    assert account.weigh_request() == 1


def test_refused_requests(metrics: Any) -> None:
    account = metrics.Metrics()
    for status in (400, 408, 400):
        account.get_tally("http/1.1").refuse_request(status)
    account.get_tally("h2").refuse_request(400)
    assert account.snapshot()["refused_requests"] == {"http/1.1": {"400": 2, "408": 1}, "h2": {"400": 1}}


def test_faults_of_peers(metrics: Any) -> None:
    account = metrics.Metrics()
    for protocol, code in (("h2", "PROTOCOL_ERROR"), ("websocket", "1002"), ("h2", "PROTOCOL_ERROR"), ("h2", "CANCEL")):
        account.count_fault(protocol, code)
    faults = account.snapshot()["protocol_faults"]
    assert faults == {"h2": {"PROTOCOL_ERROR": 2, "CANCEL": 1}, "websocket": {"1002": 1}}
    account.count_fault("h2", "CANCEL")
    assert faults["h2"]["CANCEL"] == 1  # the snapshot is of its moment


def test_shape(metrics: Any) -> None:
    account = metrics.Metrics()
    account.get_tally("http/1.1").count_request(200)
    account.get_tally("http/1.1").refuse_request(431)
    account.count_fault("websocket", "1009")
    account.sessions_opened += 2
    account.messages_out += 4
    account.datagrams_dropped += 5
    account.retries += 6
    account.latency.add(0.002)
    account.raw_data_in += 2
    account.timeouts_write += 3
    empty = {"count": 0, "sum": 0.0, "buckets": [0] * 17}
    snapshot = account.snapshot()
    assert snapshot == {
        "events": {"raw_data_in": 2, "raw_data_out": 0, "updated_idle": 0, "updated_active": 0, "closed": 0},
        "bytes_in": 0,
        "bytes_out": 0,
        "connections_opened": 0,
        "connections_refused": 0,
        "handshakes_failed": 0,
        "timeouts": {"idle": 0, "write": 3},
        "requests": {"http/1.1": {"aborted": 0, "1xx": 0, "2xx": 1, "3xx": 0, "4xx": 0, "5xx": 0}},
        "refused_requests": {"http/1.1": {"431": 1}},
        "protocol_faults": {"websocket": {"1009": 1}},
        "websocket": {"opened": 2, "closed": 0, "messages_in": 0, "messages_out": 4},
        "datagrams": {"in": 0, "out": 0, "dropped": 5, "forwarded": 0},
        "quic_replies": {"retry": 6, "reset": 0, "version": 0, "refusal": 0, "farewell": 0},
        "latency": {"count": 1, "sum": 0.002, "buckets": [*[0] * 4, 1, *[0] * 12]},
        "loop_lag": empty,
    }
    assert json.loads(json.dumps(snapshot)) == snapshot
    account.raw_data_in += 1
    account.get_tally("http/1.1").count_request(200)
    assert snapshot["events"]["raw_data_in"] == 2
    assert snapshot["requests"]["http/1.1"]["2xx"] == 1


# Gauges, under any order of what can happen to connections.


class Transport:
    """The loop's side of a connection: plain, with no socket; ends come at the loop's next turn, as asyncio's do."""

    def __init__(self, loop: HandLoop, connection: Any) -> None:
        self._loop = loop
        self._connection = connection
        self._is_closing = False
        self.is_lost = False
        self.written = b""
        self.unsent = 0

    def get_extra_info(self, name: str) -> Any:
        return None

    def set_write_buffer_limits(self, high: int) -> None:
        assert high > 0

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: bytes) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def pause_reading(self) -> None:
        assert not self._is_closing

    def resume_reading(self) -> None:
        assert not self._is_closing

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(self.lose)

    def abort(self) -> None:
        self.unsent = 0
        self.close()

    def lose(self) -> None:
        if not self.is_lost:
            self.is_lost = self._is_closing = True
            self._connection.connection_lost(None)

    @property
    def is_open(self) -> bool:
        return not self._is_closing


READS = [
    b"GET / HTTP/1.1\r\nhost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: h\r\n\r\n" * 3,
    b"GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n",
    b"GET / HT",
    b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\n",
    b"body",
    b"\r\n",
    b"\x00",
]


class Connections(RuleBasedStateMachine):
    """A worker's connections on transports that do as they are told; sockets are other tests' business."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = HandLoop()
        self.host = make_host(echo, self.loop, connections=4, timeout_keep_alive=10, timeout_write=5)
        self.heard: dict[Any, list[str]] = {}
        self.sizes = {Direction.IN: 0, Direction.OUT: 0}
        self.host.observers = Observers([Observer(self.hear, "m:a", make_log()[0], None)])
        self.connections: list[tuple[Any, Transport]] = []
        self.arrived = 0
        self.failed = 0

    def hear(self, connection: Any, direction: Direction, event: RawData | Closed | Updated) -> None:
        self.heard.setdefault(connection, []).append(name(direction, event))
        if isinstance(event, RawData):
            self.sizes[direction] += len(event.data)

    def pick(self, data: st.DataObject) -> tuple[Any, Transport]:
        connection, transport = data.draw(st.sampled_from(self.connections))
        return connection, transport

    @rule()
    def arrive(self) -> None:
        connection: Any = TCPConnection(self.host, Pipeline())
        assert connection.state is ConnectionState.CONNECTING
        transport = Transport(self.loop, connection)
        self.arrived += 1
        with self.loop.running():
            connection.connection_made(transport)
        self.connections.append((connection, transport))

    @rule()
    def fail_to_arrive(self) -> None:
        connection: Any = TCPConnection(self.host, Pipeline())
        self.arrived += 1
        self.failed += 1
        with self.loop.running():
            connection.close()
            connection.abort()
            connection.connection_lost(OSError())
        assert connection.state is ConnectionState.CLOSED

    @precondition(lambda self: self.connections)
    @rule(data=st.data(), read=st.sampled_from(READS))
    def read(self, data: st.DataObject, read: bytes) -> None:
        connection, transport = self.pick(data)
        if transport.is_open:
            with self.loop.running():
                connection.data_received(read)

    @precondition(lambda self: self.connections)
    @rule(data=st.data(), call=st.sampled_from(["close", "abort", "drain", "finish_writing", "eof_received"]))
    def end(self, data: st.DataObject, call: str) -> None:
        connection, transport = self.pick(data)
        if call == "close" or transport.is_open:
            with self.loop.running():
                getattr(connection, call)()

    @precondition(lambda self: self.connections)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        _, transport = self.pick(data)
        with self.loop.running():
            transport.lose()

    @precondition(lambda self: self.connections)
    @rule(data=st.data(), blocks=st.booleans())
    def block(self, data: st.DataObject, blocks: bool) -> None:
        connection, transport = self.pick(data)
        if transport.is_open:
            transport.unsent = 100_000 if blocks else 0
            with self.loop.running():
                connection.pause_writing() if blocks else connection.resume_writing()

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0]))
    def tick(self, seconds: float) -> None:
        self.loop.advance(seconds)
        self.host.clock.tick(self.loop.now, self.host.clock.wall_s + seconds)
        with self.loop.running():
            sweep(self.host)

    @rule(stop=st.sampled_from([drain, abort]))
    def stop(self, stop: Any) -> None:
        with self.loop.running():
            stop(self.host)

    @rule()
    def turn(self) -> None:
        self.loop.settle()

    @invariant()
    def gauges_are_what_is_there(self) -> None:
        states = [connection.state for connection in self.host.connections]
        open_states = (ConnectionState.ACTIVE, ConnectionState.IDLE, ConnectionState.CLOSING)
        counts = {state.value: states.count(state) for state in open_states}
        assert survey(self.host) == ({"http/1.1": counts} if states else {})
        assert count_streams(self.host) == ({"http/1.1": counts["active"]} if states else {})

    @invariant()
    def counters_are_what_was_heard(self) -> None:
        metrics = self.host.metrics
        names = [heard for each in self.heard.values() for heard in each]
        assert metrics.snapshot()["events"] == {
            "raw_data_in": names.count("in data"),
            "raw_data_out": names.count("out data"),
            "updated_idle": names.count("out idle"),
            "updated_active": names.count("out active"),
            "closed": names.count("in closed") + names.count("out closed"),
        }
        assert (metrics.bytes_in, metrics.bytes_out) == (self.sizes[Direction.IN], self.sizes[Direction.OUT])
        assert metrics.connections_opened == len(self.heard) == metrics.closed + len(self.host.connections)
        assert self.arrived == metrics.connections_opened + metrics.connections_refused + metrics.handshakes_failed
        assert metrics.handshakes_failed == self.failed
        assert not self.host.arriving
        assert max(metrics.timeouts_idle, metrics.timeouts_write) <= len(self.heard)

    @invariant()
    def each_is_told_from_its_opening_to_its_end(self) -> None:
        for connection, names in self.heard.items():
            assert names[0] == "out idle"
            assert not [each for each in names[:-1] if each.endswith("closed")]
            assert names[-1].endswith("closed") == (connection.state is ConnectionState.CLOSED)
            updates = [each for each in names if each in ("out idle", "out active")]
            assert all(before != after for before, after in itertools.pairwise(updates))

    def teardown(self) -> None:
        with self.loop.running():
            abort(self.host)
        self.loop.settle()
        for _, transport in self.connections:
            transport.lose()
        for connection, _ in self.connections:
            connection.connection_lost(None)  # again, as where it was cancelled while it arrived
        self.gauges_are_what_is_there()
        self.counters_are_what_was_heard()
        self.each_is_told_from_its_opening_to_its_end()
        assert not self.host.connections
        assert self.loop.faults == []


TestConnections = Connections.TestCase
TestConnections.settings = settings(max_examples=60, stateful_step_count=25)

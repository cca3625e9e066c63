"""What an operator sees of HTTP/2: faults by their codes, refusals by their statuses, and open streams."""

from typing import Any

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, HeadersFrame, SettingsFrame

from fastserver._speedups.connection import count_streams, survey
from fastserver._speedups.events import RawData, Updated
from fastserver._speedups.h2.bounds import SETTINGS_S
from fastserver._speedups.h2.errors import NAMES
from fastserver._speedups.observers import Observer, Observers
from fastserver.events import Direction
from fastserver.protocol.h2 import open_h2
from tests.fakes import Gate, Message, Receive, Send, ignore, make_host, respond
from tests.h2wire import PREFACE, REQUEST, H2Wire
from tests.handloop import HandLoop
from tests.pipe import Pipe

#: Of an indexed field that no table has (RFC 7541 section 2.3.3).
NO_FIELD = b"\xff\xff\x7f"


def test_codes_have_the_names_of_the_rfc() -> None:
    assert {code: ErrorCodes(code).name for code in NAMES} == NAMES


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (DataFrame(7, b"a").serialize(), "PROTOCOL_ERROR"),
        (bytes([0, 0, 7, 6, 0, 0, 0, 0, 0, *bytes(7)]), "FRAME_SIZE_ERROR"),
        (HeadersFrame(1, NO_FIELD, flags=["END_HEADERS", "END_STREAM"]).serialize(), "COMPRESSION_ERROR"),
        (SettingsFrame(0).serialize() * 1000, "ENHANCE_YOUR_CALM"),
    ],
)
def test_a_fault_is_counted_once_by_its_code(octets: bytes, code: str) -> None:
    wire = H2Wire(ignore).greet()
    wire.feed(octets, octets)
    wire.hang_up()
    snapshot = wire.host.metrics.snapshot()
    assert snapshot["protocol_faults"] == {"h2": {code: 1}}
    assert not any(snapshot["refused_requests"].values())


def test_settings_that_do_not_come_are_a_fault() -> None:
    wire = H2Wire(ignore)
    wire.advance(SETTINGS_S + 1)
    assert wire.host.metrics.snapshot()["protocol_faults"] == {"h2": {"SETTINGS_TIMEOUT": 1}}
    wire.hang_up()


def test_an_ended_connection_is_no_fault() -> None:
    wire = H2Wire(ignore).greet()
    wire.hang_up()
    assert wire.host.metrics.snapshot()["protocol_faults"] == {}


async def respond_to_all(scope: Message, receive: Receive, send: Send) -> None:
    await respond(send)


class Bench:
    """A connection that is counted as a live one is."""

    def __init__(self, app: Any) -> None:
        self.loop = HandLoop()
        self.host = make_host(app, self.loop)
        self.pipe: Any = Pipe(self.host)
        self.client = H2Wire(ignore)  # whose frames are used, and no more
        with self.loop.running():
            self.pipe.open(open_h2, "h2")
        self.take(PREFACE + SettingsFrame(0).serialize() + SettingsFrame(0, flags=["ACK"]).serialize())

    def take(self, octets: bytes) -> None:
        with self.loop.running():
            self.pipe.take(RawData(octets))
        self.settle()

    def settle(self) -> None:
        self.loop.settle()

    def ask(self, **pseudo: bytes) -> bytes:
        names = {f":{name}".encode(): value for name, value in pseudo.items()}
        return self.client.head({**REQUEST, **names}.items(), self.client.take_id()).serialize()


def test_refusals_are_counted_under_the_protocol() -> None:
    bench = Bench(ignore)
    bench.take(bench.ask(method=b"BREW") + bench.ask(method=b"BREW") + bench.ask(path=b""))
    assert bench.host.metrics.snapshot()["refused_requests"] == {"h2": {"501": 2, "400": 1}}
    assert bench.host.metrics.snapshot()["protocol_faults"] == {}


def test_streams_are_counted_and_the_connection_is_one() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send)

    bench = Bench(app)
    assert (count_streams(bench.host), bench.pipe.protocol_state) == ({"h2": 0}, "open")
    bench.take(b"".join(bench.ask() for _ in range(5)))
    for streams in range(5, 0, -1):
        assert count_streams(bench.host) == {"h2": streams}
        assert survey(bench.host) == {"h2": {"active": 1, "idle": 0, "closing": 0}}
        gate.open(bench)  # type: ignore[arg-type]
    assert count_streams(bench.host) == {"h2": 0}
    assert survey(bench.host) == {"h2": {"active": 0, "idle": 1, "closing": 0}}
    metrics = bench.host.metrics
    assert (metrics.updated_active, metrics.updated_idle, bench.pipe.requests) == (1, 2, 5)
    assert metrics.snapshot()["requests"]["h2"]["2xx"] == 5


def test_observers_hear_one_event_for_each_read_and_each_write() -> None:
    """And of idle and active where the connection is: its first stream opens, its last one is over."""
    bench = Bench(respond_to_all)
    heard: list[tuple[Direction, str, str]] = []

    def hear(connection: Any, direction: Direction, event: Any) -> None:
        kind = str(event) if isinstance(event, Updated) else type(event).__name__
        heard.append((direction, kind, connection.protocol_state))

    bench.host.observers = Observers([Observer(hear, "a", bench.host.error_log, None)])
    bench.take(b"".join(bench.ask() for _ in range(3)))
    assert heard == [
        (Direction.IN, "RawData", "open"),
        (Direction.OUT, "Updated(idle=False)", "open"),
        (Direction.OUT, "RawData", "open"),
        (Direction.OUT, "Updated(idle=True)", "open"),
    ]

"""What an operator sees of HTTP/3: faults by their codes, refusals by their statuses, access lines, open streams."""

from collections.abc import Callable
from typing import Any

import pytest
from aioquic.h3.connection import ErrorCode

from fastserver._speedups.contract import H3Limits
from fastserver._speedups.h3 import errors
from fastserver._speedups.h3.errors import NAMES
from fastserver._speedups.quic.end import End
from tests.fakes import Gate, Message, Receive, Send, echo, ignore, respond
from tests.h3wire import DATA, H3Wire, frame, settings, varint


def test_codes_have_the_names_of_the_rfc() -> None:
    assert {code.value: code.name for code in ErrorCode if code is not ErrorCode.H3_DATAGRAM_ERROR} == NAMES


@pytest.mark.parametrize(
    ("lane", "octets", "code"),
    [
        (None, frame(0x2), "H3_FRAME_UNEXPECTED"),
        (None, frame(1, b"\x00\x00\xff\xff\x7f"), "QPACK_DECOMPRESSION_FAILED"),
        (0, b"", "H3_STREAM_CREATION_ERROR"),
        (2, b"\x3f", "QPACK_ENCODER_STREAM_ERROR"),
        (3, b"\x80", "QPACK_DECODER_STREAM_ERROR"),
        (0x21, bytes(70_000), "H3_EXCESSIVE_LOAD"),
    ],
)
def test_a_fault_is_counted_once_by_its_code(lane: int | None, octets: bytes, code: str) -> None:
    wire = H3Wire(ignore)
    if lane is None:
        wire.send(0, octets)
        wire.send(4, octets)
    else:
        wire.open_lane(lane, octets)
        wire.open_lane(lane, octets)
    wire.hang_up()
    snapshot = wire.host.metrics.snapshot()
    assert snapshot["protocol_faults"] == {"h3": {code: 1}}
    assert not any(snapshot["refused_requests"].values())


@pytest.mark.parametrize("ends", ["hang_up", "terminate"])
def test_an_ended_connection_is_no_fault(ends: str) -> None:
    wire = H3Wire(ignore)
    getattr(wire, ends)()
    assert wire.host.metrics.snapshot()["protocol_faults"] == {}
    assert wire.host.metrics.handshakes_failed == 0


#: How a connection ends before its handshake is done.
EARLY_ENDS: dict[str, Callable[[H3Wire], None]] = {
    "given up": lambda wire: wire.terminate(End.HANDSHAKE, 0),
    "closed there": H3Wire.terminate,
    "lost": H3Wire.vanish,
    "too much for its payload": lambda wire: flood(wire, 16 << 20),
}


@pytest.mark.parametrize("end", EARLY_ENDS.values(), ids=list(EARLY_ENDS))
def test_a_handshake_that_does_not_end_has_failed_once(end: Callable[[H3Wire], None]) -> None:
    wire = H3Wire(ignore, shakes=False)
    end(wire)
    wire.hang_up()
    snapshot = wire.host.metrics.snapshot()
    assert snapshot["handshakes_failed"] == 1
    assert snapshot["timeouts"]["idle"] == 0


def test_a_handshake_that_ends_has_not_failed() -> None:
    wire = H3Wire(ignore, shakes=False)
    wire.advance(60)
    wire.shake()
    assert wire.answer(wire.request()).status == 200
    wire.hang_up()
    assert wire.host.metrics.handshakes_failed == 0


def flood(wire: H3Wire, size: int) -> None:
    """So many bytes of datagrams that carry nothing."""
    with wire.loop.running():
        for _ in range(size // 2000):
            wire.take_datagram(bytes(2000))
    wire.settle()


def test_refusals_and_requests_are_counted_under_the_protocol() -> None:
    wire = H3Wire(echo, request_body=10)
    wire.request(method=b"BREW")
    wire.request(method=b"BREW")
    wire.request(path=b"")
    wire.request(body=bytes(11))
    wire.request(body=bytes(9))
    wire.reset(wire.request(body=b"", ends=False))
    snapshot = wire.host.metrics.snapshot()
    assert snapshot["refused_requests"]["h3"] == {"501": 2, "400": 1, "413": 1}
    assert snapshot["protocol_faults"] == {}
    assert snapshot["requests"]["h3"]["2xx"] == 1
    assert wire.connection.requests == 3
    wire.hang_up()


def test_streams_are_counted() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send)

    wire = H3Wire(app)
    assert (wire.protocol.count_streams(), wire.protocol.describe_state()) == (0, "open")
    for _ in range(5):
        wire.request()
    for streams in range(5, 0, -1):
        assert wire.protocol.count_streams() == streams
        gate.open(wire)
    assert wire.protocol.count_streams() == 0
    wire.hang_up()


def test_a_line_in_the_access_log() -> None:
    lines: list[tuple[Any, ...]] = []
    wire = H3Wire(echo)
    wire.host.access_log = lambda *record: lines.append(record)
    wire.request(b"/a", body=b"xyz")
    wire.reset(wire.request(b"/b", body=b"xyz", ends=False))
    seen = [(request.method, request.path, request.http_version, status, sent) for request, status, sent, *_ in lines]
    assert seen == [("POST", "/a", "3", 200, 11), ("POST", "/b", "3", 0, 0)]
    assert lines[0][4].alpn == "h3"
    wire.hang_up()


def test_a_peers_faults_are_nobodys_traceback() -> None:
    wire = H3Wire(ignore, h3=H3Limits(resets=5))
    wire.request(path=b"")
    wire.send(0, frame(DATA))
    wire.send(4, frame(DATA))
    assert wire.over
    assert {record.levelname for record in wire.log} == {"DEBUG"}
    assert not any(record.exc_info for record in wire.log)
    wire.hang_up()


@pytest.mark.parametrize("size", [200, 2000])
def test_datagrams_without_payload_are_a_flood(size: int) -> None:
    wire = H3Wire(ignore)
    with wire.loop.running():
        for _ in range((8 << 20) // size - 100):
            wire.take_datagram(bytes(size))
        assert wire.engine.closed is None
        for _ in range(300):
            wire.take_datagram(bytes(size))
    wire.settle()
    assert wire.engine.closed == (errors.H3_EXCESSIVE_LOAD, "too many bytes for their payload")
    assert wire.over
    wire.hang_up()


def test_a_setting_that_a_client_gives_changes_nothing() -> None:
    wire = H3Wire(ignore, shakes=False)
    wire.shake()
    wire.open_lane(
        0, settings((1, 4096), (7, 100), (6, 1 << 20), (0x33, 1), (0x1F * 7 + 0x21, 5)) + varint(0x21) + b"\0"
    )
    assert wire.answer(wire.request()).status == 200
    wire.hang_up()

"""H1-40, H1-43: requests that come faster than they are answered."""

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from tests.conformance.cases import CANARY, check_quiet, check_refusal, check_served, post, request
from tests.fakes import App, Gate, Message, Receive, Recorder, Send, Wire, respond

OpenWire = Callable[..., Wire]


def get(number: int, *fields: bytes) -> bytes:
    return request(*fields, line=b"GET /%d HTTP/1.1" % number)


def targets(count: int) -> list[bytes]:
    return [b"/%d" % number for number in range(count)]


def gated(gate: Gate) -> App:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await respond(send, bytes(scope["raw_path"]))

    return app


# ---- Order ----------------------------------------------------------------------------------------------------------


def test_h1_40_pipelined_requests_are_answered_in_order() -> None:
    payload = get(0) + post(b"Content-Length: 3", body=b"abc", target=b"/1") + get(2)
    check_served(payload, b"GET /0 ", b"POST /1 abc", b"GET /2 ")


@pytest.mark.parametrize("together", [True, False])
def test_h1_40_one_request_runs_at_a_time(open_wire: OpenWire, together: bool) -> None:
    gate = Gate()
    recorder = Recorder(gated(gate))
    wire = open_wire(recorder)
    requests = [get(number) for number in range(20)]
    wire.feed(*([b"".join(requests)] if together else requests))
    for number in range(20):
        assert recorder.targets == targets(number + 1)
        assert gate.waiting == 1
        assert [response.body for response in wire.responses()] == targets(number)
        gate.open(wire)
    assert [response.body for response in wire.responses()] == targets(20)
    assert not wire.connection.reading_paused


def test_h1_40_error_waits_for_the_response_before_it(open_wire: OpenWire) -> None:
    gate = Gate()
    recorder = Recorder(gated(gate))
    wire = open_wire(recorder).feed(get(0) + get(1) + b"GET\r\n\r\n" + CANARY)
    assert wire.out == b""
    gate.open(wire)
    gate.open(wire)
    first, second, third = wire.responses()
    assert [first.body, second.body] == targets(2)
    check_refusal(third, 400)
    assert recorder.targets == targets(2)
    assert wire.ended
    check_quiet(wire)


def test_h1_40_response_is_not_begun_before_the_one_ahead_has_ended(open_wire: OpenWire) -> None:
    gate = Gate()

    async def stream(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(scope["raw_path"]), "more_body": True})
        await gate.wait()
        await send({"type": "http.response.body", "body": bytes(scope["raw_path"])})

    wire = open_wire(Recorder(stream)).feed(get(0) + get(1))
    assert wire.response().body == b"/0"
    gate.open(wire)
    assert [response.body for response in wire.responses()] == [b"/0/0", b"/1"]
    gate.open(wire)
    assert [response.body for response in wire.responses()] == [b"/0/0", b"/1/1"]


def test_h1_40_application_at_work_after_its_response_does_not_stop_the_next(open_wire: OpenWire) -> None:
    gate = Gate()

    async def linger(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, bytes(scope["raw_path"]))
        await gate.wait()

    recorder = Recorder(linger)
    wire = open_wire(recorder).feed(get(0) + get(1))
    # Either is an order; what may not happen is a response out of order or none at all.
    while gate.waiting:
        gate.open(wire)
    assert [response.body for response in wire.responses()] == targets(2)


# ---- Bounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [200, 4096, 16384])
def test_h1_40_unparsed_bytes_are_bounded_at_64_kib(open_wire: OpenWire, read: int) -> None:
    gate = Gate()
    recorder = Recorder(gated(gate))
    wire = open_wire(recorder)
    count = 3000
    payload = b"".join(get(number, b"X: " + b"a" * 60) for number in range(count))
    wire.feed(*[payload[index : index + read] for index in range(0, len(payload), read)])
    assert wire.connection.reading_paused
    taken = len(payload) - sum(len(data) for data in wire.inbox if data is not None)
    assert 65536 - read <= taken <= 65536 + 2 * read
    assert recorder.targets == targets(1)
    while gate.waiting:
        gate.open(wire)
    assert recorder.targets == targets(count)
    assert [response.body for response in wire.responses()] == targets(count)
    assert not wire.connection.reading_paused


def test_h1_40_flood_in_one_read_is_served_in_order(open_wire: OpenWire) -> None:
    recorder = Recorder()
    count = 3000
    wire = open_wire(recorder).feed(b"".join(get(number) for number in range(count)))
    assert recorder.targets == targets(count)
    assert len(wire.responses()) == count


def test_h1_40_flood_stops_when_the_client_leaves(open_wire: OpenWire) -> None:
    gate = Gate()
    recorder = Recorder(gated(gate))
    wire = open_wire(recorder).feed(b"".join(get(number) for number in range(1000)))
    wire.vanish()
    while gate.waiting:
        gate.open(wire)
    assert recorder.targets == targets(1)
    assert wire.out == b""


# ---- Re-entrancy ----------------------------------------------------------------------------------------------------


def count_frames(frame: FrameType | None, name: str) -> int:
    count = 0
    while frame is not None:
        count += frame.f_code.co_name == name
        frame = frame.f_back
    return count


def test_h1_43_next_request_starts_from_no_application_and_no_deeper_stack(open_wire: OpenWire) -> None:
    depths = []

    async def measured(scope: Message, receive: Receive, send: Send) -> None:
        frame: FrameType | None = sys._getframe()
        assert count_frames(frame, "measured") == 1
        depth = 0
        while frame is not None:
            depth += 1
            frame = frame.f_back
        depths.append(depth)
        await respond(send)

    wire = open_wire(Recorder(measured)).feed(b"".join(get(number) for number in range(2000)))
    assert len(wire.responses()) == 2000
    assert len(set(depths)) == 1


def test_h1_43_next_request_starts_from_no_application_after_a_wait(open_wire: OpenWire) -> None:
    gate = Gate()

    async def measured(scope: Message, receive: Receive, send: Send) -> None:
        assert count_frames(sys._getframe(), "measured") == 1
        if scope["path"] == "/0":
            await gate.wait()
        await respond(send)

    wire = open_wire(Recorder(measured)).feed(b"".join(get(number) for number in range(2000)))
    gate.open(wire)
    assert [response.status for response in wire.responses()] == [200] * 2000


def test_h1_43_read_during_a_write_is_not_parsed_inside_it(open_wire: OpenWire) -> None:
    # A transport that delivers a read while the protocol writes: the bytes must come out in order all the same.
    recorder = Recorder()
    wire = open_wire(recorder)
    send = wire.connection.send
    pending = [get(number) for number in range(1, 50)]

    async def nested(scope: Message, receive: Receive, send_message: Send) -> None:
        assert count_frames(sys._getframe(), "nested") == 1
        if pending:
            wire.inbox.append(pending.pop(0))
            wire.loop.call_soon(wire._deliver)
        await respond(send_message, bytes(scope["raw_path"]))

    recorder.app = nested
    wire.feed(get(0))
    assert wire.connection.send == send
    assert [response.body for response in wire.responses()] == targets(50)

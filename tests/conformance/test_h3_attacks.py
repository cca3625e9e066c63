"""Rules Q-9 to Q-14 of the threat list: what costs a client nothing and a server much.

`test_q_<number>_...` names the rule.
"""

import tracemalloc
from collections.abc import Callable

import pytest

from fastserver._speedups.contract import H3Limits
from fastserver._speedups.h3.errors import (
    H3_EXCESSIVE_LOAD,
    H3_NO_ERROR,
    H3_REQUEST_REJECTED,
)
from fastserver._speedups.h3.state import H3State
from fastserver._speedups.qpack.errors import QPACK_DECOMPRESSION_FAILED, QPACK_ENCODER_STREAM_ERROR
from tests.conformance.h3cases import (
    ENCODER,
    GREASE,
    HEADERS,
    answer,
    data,
    frame,
    get,
    head,
    post,
    pseudo,
    section,
    settings,
    varint,
)
from tests.fakes import Gate, Message, Receive, Recorder, Send, respond
from tests.h3wire import H3Wire

#: More than any budget, so that a test of one that does not work ends.
MOST = 1000
Attack = Callable[[H3Wire, int], object]


def open_wire(app: Callable[..., object] = answer, h3: H3Limits | None = None, **limits: float) -> H3Wire:
    return H3Wire(app, None, h3, True, **limits)  # type: ignore[arg-type]


def count_until_cut(wire: H3Wire, attack: Attack) -> int:
    """How many attacks are taken before the fatal one."""
    for number in range(MOST):
        attack(wire, number)
        if wire.engine.closed is not None:
            return number
    raise AssertionError("never cut")


def check_cut(wire: H3Wire, code: int = H3_EXCESSIVE_LOAD) -> None:
    """The connection is over at once, and every application has heard of it."""
    assert wire.engine.closed is not None
    assert wire.engine.closed[0] == code
    assert wire.over
    assert wire.connection.breaches == []
    wire.hang_up()


async def outlast(gate: Gate, send: Send) -> None:
    """An application that takes no notice of the disconnect."""
    await gate.wait()
    await respond(send)


# ---- streams that come and go -----------------------------------------------------------------------------------


def reset_at_once(wire: H3Wire, number: int) -> None:
    wire.send(4 * number, get(path=b"/wait"))
    wire.reset(4 * number)


def stop_at_once(wire: H3Wire, number: int) -> None:
    wire.send(4 * number, get(path=b"/wait"), True)
    wire.stop(4 * number)


#: Each makes a stream end before its response is whole.
PROVOCATIONS: dict[str, Attack] = {
    "RESET_STREAM": reset_at_once,
    "STOP_SENDING": stop_at_once,
    "RESET_STREAM of nothing": lambda wire, n: wire.reset(4 * n),
    "STOP_SENDING of nothing": lambda wire, n: wire.stop(4 * n),
    "no head": lambda wire, n: wire.send(4 * n, b"", True),
    "a malformed head": lambda wire, n: wire.send(4 * n, head([*pseudo(), (b"A", b"b")])),
    "malformed trailers": lambda wire, n: wire.send(4 * n, post(path=b"/wait") + head([(b"A", b"b")])),
    "large trailers": lambda wire, n: wire.send(4 * n, post(path=b"/wait") + b"\x01\x80\x10\0\0"),
    "a body that is too long": lambda wire, n: wire.send(4 * n, post((b"content-length", b"1")) + data(b"xx")),
    "a body that is too short": lambda wire, n: wire.send(4 * n, post((b"content-length", b"9")) + data(b"x"), True),
}


@pytest.mark.parametrize("attack", PROVOCATIONS.values(), ids=list(PROVOCATIONS))
def test_q_9_resets_have_a_budget(attack: Attack) -> None:
    recorder = Recorder(answer)
    wire = open_wire(recorder, H3Limits(resets=7))
    assert count_until_cut(wire, attack) == 7
    assert not any(call.complete and not call.returned for call in recorder.calls if not call.disconnected)
    check_cut(wire)


@pytest.mark.parametrize(("streams", "taken"), [(200, False), (201, True)])
def test_q_9_rapid_reset_in_one_turn(streams: int, taken: bool) -> None:
    wire = open_wire()
    with wire.loop.running():
        for number in range(streams):
            wire.tell(4 * number, get(path=b"/wait"))
            wire.protocol.on_stream_reset(4 * number)
    wire.settle()
    assert (wire.engine.closed is not None) == taken
    wire.hang_up()


def test_q_9_resets_over_time_are_allowed() -> None:
    wire = open_wire(h3=H3Limits(resets=10))
    for number in range(60):
        reset_at_once(wire, number)
        wire.advance(4)
    assert wire.engine.closed is None
    wire.hang_up()


def test_q_9_resets_of_answered_requests_cost_nothing() -> None:
    wire = open_wire(h3=H3Limits(resets=3))
    for number in range(50):
        wire.send(4 * number, get(), True)
        wire.stop(4 * number)
    assert wire.engine.closed is None
    wire.hang_up()


def test_q_9_applications_that_outlive_their_streams_count() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await outlast(gate, send)

    recorder = Recorder(app)
    wire = open_wire(recorder, H3Limits(streams=5, resets=100))
    for number in range(5):
        reset_at_once(wire, number)
    wire.send(400, get(), True)
    assert wire.engine.resets[400] == H3_REQUEST_REJECTED
    assert len(recorder.calls) == 5
    gate.open(wire)
    wire.send(404, get(), True)
    assert len(recorder.calls) == 6
    while gate.waiting:
        gate.open(wire)
    assert wire.answer(404).ended
    wire.hang_up()


@pytest.mark.parametrize(("streams", "refused"), [(2, 0), (3, 0), (4, 1)])
def test_q_9_streams_at_the_limit(streams: int, refused: int) -> None:
    wire = open_wire(h3=H3Limits(streams=3))
    for number in range(streams):
        wire.send(4 * number, get(path=b"/wait"), True)
    assert list(wire.engine.resets.values()) == [H3_REQUEST_REJECTED] * refused
    wire.hang_up()


def test_q_9_streams_above_the_limit_count() -> None:
    wire = open_wire(h3=H3Limits(streams=1, resets=7))
    wire.send(0, get(path=b"/wait"), True)
    assert count_until_cut(wire, lambda wire, n: wire.send(4 * n + 4, get(), True)) == 7
    check_cut(wire)


def test_q_9_a_refused_stream_counts_once_however_it_comes() -> None:
    wire = open_wire(h3=H3Limits(streams=1, resets=2))
    wire.send(0, get(path=b"/wait"), True)
    for octet in get():
        wire.send(4, bytes([octet]))
    assert wire.engine.closed is None
    wire.hang_up()


FLOODS: dict[str, tuple[Attack, int]] = {
    "lanes that mean nothing": (lambda wire, n: wire.send(6 + 4 * n, varint(GREASE)), 16),
    "lanes that end": (lambda wire, n: wire.send(6 + 4 * n, b"", True), 16),
    "lanes that are reset": (lambda wire, n: wire.reset(6 + 4 * n), 16),
    "bytes on a lane that means nothing": (lambda wire, n: wire.send(6, varint(GREASE) + bytes(1022)), 73),
    "unknown frames": (lambda wire, n: wire.send(0, frame(GREASE, bytes(1020))), 73),
    "empty unknown frames": (lambda wire, n: wire.send(0, frame(GREASE) * 100), 249),
    "unknown frames on the control stream": (lambda wire, n: wire.send(2, frame(GREASE, bytes(1020))), 73),
    "unknown frames of many streams": (lambda wire, n: wire.send(4 * n, frame(GREASE, bytes(1020)) + get(), True), 74),
    "GOAWAY": (lambda wire, n: wire.send(2, frame(7, b"\0") * 1024), 102),
    "MAX_PUSH_ID": (lambda wire, n: wire.send(2, frame(13, b"\0") * 1024), 102),
    "empty DATA": (lambda wire, n: wire.send(0, (b"" if n else post(path=b"/wait")) + data()), 10),
}  # fmt: skip


@pytest.mark.parametrize(("attack", "budget"), FLOODS.values(), ids=list(FLOODS))
def test_q_9_floods(attack: Attack, budget: int) -> None:
    wire = open_wire()
    assert count_until_cut(wire, attack) == budget
    check_cut(wire)


# ---- field sections --------------------------------------------------------------------------------------------


def test_q_10_no_table_and_no_blocked_streams() -> None:
    wire = open_wire()
    assert wire.control[0] == (4, settings((1, 0), (7, 0), (6, 32768), (8, 1))[2:])
    wire.open_lane(ENCODER, b"\x3f\xe1\x1f")
    check_cut(wire, QPACK_ENCODER_STREAM_ERROR)


@pytest.mark.parametrize("octets", [b"\x80", b"\x10", b"\x40\x01a", b"\x00\x01a"])
def test_q_10_nothing_refers_to_a_table(octets: bytes) -> None:
    wire = open_wire()
    wire.send(0, head(pseudo(), octets), True)
    check_cut(wire, QPACK_DECOMPRESSION_FAILED)


@pytest.mark.parametrize(("size", "status"), [(32767, 400), (32768, 400), (32769, 431)])
def test_q_10_a_large_section_is_refused_by_its_announced_size(size: int, status: int) -> None:
    """By the size alone: what is below the limit is read, and then it is no request."""
    wire = open_wire()
    wire.send(0, varint(HEADERS) + varint(size))
    assert wire.answer(0).status == (status if status == 431 else 0)
    wire.send(0, (b"\0\0" + b"\xd1" * size)[:size], True)
    assert wire.answer(0).status == 431
    wire.hang_up()


@pytest.mark.parametrize(("room", "status"), [(-1, 431), (0, 200), (1, 200)])
def test_q_10_the_decoded_list_has_a_limit(room: int, status: int) -> None:
    limit = 2000
    taken = sum(len(name) + len(value) + 32 for name, value in pseudo()) + 33
    wire = open_wire(h3=H3Limits(field_section=limit))
    wire.send(0, get((b"x", b"y" * (limit - taken - room))), True)
    assert wire.answer(0).status == status
    wire.hang_up()


def test_q_10_a_bomb_takes_no_memory() -> None:
    """The longest entry of the static table, named by two bytes each time: 32 KiB would be 1.5 MB of fields."""
    wire = open_wire()
    bomb = frame(HEADERS, section(pseudo()) + b"\xff\x16" * 16_000)
    tracemalloc.start()
    try:
        wire.send(0, bomb, True)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 200_000
    assert wire.answer(0).status == 431
    wire.hang_up()


def test_q_10_a_section_in_tiny_pieces_is_copied_little() -> None:
    """`HEADERS` of 32 KiB, byte by byte: what is held stays one buffer."""
    wire = open_wire()
    head_bytes = get((b"x", b"y" * 16_000), (b"z", b"y" * 15_000))
    tracemalloc.start()
    try:
        with wire.loop.running():
            for octet in head_bytes[:-1]:
                wire.tell(0, bytes([octet]))
            held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4 * len(head_bytes)
    wire.send(0, head_bytes[-1:], True)
    assert wire.answer(0).status == 200
    wire.hang_up()


# ---- the shared validator -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets",
    [
        head([field for field in pseudo() if field[0] not in (b":scheme", b":path")]),
        get((b"", b"x")),
        get((b"host", b"other")),
        post((b"content-length", b"+5")),
        post((b"content-length", b"1_0")),
        post((b"content-length", b"1"), (b"content-length", b"1")),
        head(pseudo(path=b"/a b")),
        head(pseudo(b"GET / X")),
        get((b"a(b)", b"x")),
        get((b"x", b"\x01")),
    ],
)
def test_q_11_what_stock_libraries_let_through(octets: bytes) -> None:
    """And one bad request ends its stream, not the connection."""
    recorder = Recorder(answer)
    wire = open_wire(recorder)
    wire.send(0, octets)
    assert recorder.calls == []
    assert wire.engine.resets == {0: 0x10E}
    wire.send(4, get(), True)
    assert wire.answer(4).status == 200
    wire.hang_up()


def test_q_11_host_may_stand_for_authority() -> None:
    recorder = Recorder(answer)
    wire = open_wire(recorder)
    wire.send(0, head([*(field for field in pseudo() if field[0] != b":authority"), (b"host", b"h")]), True)
    assert recorder.call.scope["headers"] == [(b"host", b"h")]
    wire.hang_up()


@pytest.mark.parametrize(
    "field", [(b"a b", b"c"), (b"x", b"a\r\nb: c"), (b"x", b"a\0"), (b"", b"x"), (b":status", b"200")]
)
def test_q_12_no_field_of_a_response_that_is_none(field: tuple[bytes, bytes]) -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, b"body", headers=[field])

    wire = open_wire(app)
    wire.send(0, get(), True)
    assert wire.answer(0).status == 500
    assert field not in wire.answer(0).headers
    wire.hang_up()


def test_q_12_fields_of_a_response_are_lowered_and_those_of_connections_left_out() -> None:
    given = [(b"X-Upper", b"Value"), (b"Connection", b"close"), (b"Keep-Alive", b"5"), (b"Upgrade", b"h2c"),
             (b"Transfer-Encoding", b"chunked"), (b"Proxy-Connection", b"close")]  # fmt: skip

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await respond(send, b"body", headers=given)

    wire = open_wire(app)
    wire.send(0, get(), True)
    names = [name for name, _ in wire.answer(0).headers]
    assert names == [b"x-upper", b"content-length", b"date", b"server"]
    wire.hang_up()


# ---- the end ---------------------------------------------------------------------------------------------------


def test_q_14_a_shutdown_says_goaway_twice_and_then_closes() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await outlast(gate, send)

    wire = open_wire(app)
    wire.send(0, get(), True)
    wire.drain()
    assert wire.went_away == [(1 << 62) - 4]
    wire.send(4, get(), True)
    wire.advance(1)
    assert wire.went_away == [(1 << 62) - 4, 8]
    assert wire.protocol.state is H3State.LEAVING
    gate.open(wire)
    gate.open(wire)
    assert wire.answer(0).ended
    assert wire.answer(4).ended
    assert wire.engine.closed is None
    wire.acknowledge(0)
    wire.acknowledge(4)
    wire.advance(1)
    assert wire.engine.closed == (H3_NO_ERROR, "")
    assert wire.over
    wire.hang_up()

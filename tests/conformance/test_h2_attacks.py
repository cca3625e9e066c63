"""Rules H2-1 to H2-6 and H2-20 of the threat list: an attacker is cut at the frame that is one too many.

`test_h2_<number>_...` names the rule.  Sizes are counted, not measured: octets that an application could say, octets
that are held, frames that were taken.
"""

import pytest

from fastserver._speedups.contract import H2Limits
from fastserver._speedups.h2.codes import LARGEST_STREAM
from tests.conformance.h2attack import Attack, check_cut, count_until_cut, odd, open_wire, resets
from tests.conformance.h2cases import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE_ERROR,
    HEADERS,
    PADDED,
    PING,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    WINDOW,
    answer,
    block,
    data,
    frame,
    get,
    head,
    post,
    priority,
    pseudo,
    rst,
    settings,
    string,
    trailers,
    window,
)
from tests.fakes import Gate, Message, Receive, Recorder, Send, respond


async def outlast(gate: Gate, scope: Message, receive: Receive, send: Send) -> None:
    """An application that takes no notice of the disconnect."""
    await gate.wait()
    await respond(send)


# ---- H2-1 and H2-2: resets -------------------------------------------------------------------------------------------


def test_h2_01_rapid_reset() -> None:
    recorder = Recorder(answer)
    wire = open_wire(recorder)
    assert count_until_cut(wire, lambda n: get(stream=odd(n), path=b"/wait") + rst(odd(n))) == 200
    assert len(recorder.calls) == 201
    assert all(call.disconnected for call in recorder.calls)
    check_cut(wire)


def test_h2_01_rapid_reset_in_one_read() -> None:
    recorder = Recorder(answer)
    wire = open_wire(recorder, h2=H2Limits(resets=20))
    wire.feed(b"".join(get(stream=odd(n), path=b"/wait") + rst(odd(n)) for n in range(100)))
    assert len(recorder.calls) == 21
    check_cut(wire)


def test_h2_01_resets_of_answered_requests_cost_nothing() -> None:
    wire = open_wire(h2=H2Limits(resets=3))
    for number in range(50):
        wire.feed(get(stream=odd(number)) + rst(odd(number)))
    assert all(wire.answer(odd(number)).ended for number in range(50))
    assert wire.went_away == []
    wire.hang_up()


def test_h2_01_resets_over_time_are_allowed() -> None:
    wire = open_wire(h2=H2Limits(resets=10))
    for number in range(60):
        wire.feed(get(stream=odd(number), path=b"/wait") + rst(odd(number)))
        wire.advance(4)
    assert wire.went_away == []
    wire.hang_up()


def test_h2_01_applications_that_outlive_their_streams_count() -> None:
    gate = Gate()
    recorder = Recorder(lambda scope, receive, send: outlast(gate, scope, receive, send))
    wire = open_wire(recorder, h2=H2Limits(streams=5, resets=100))
    for number in range(5):
        wire.feed(get(stream=odd(number)) + rst(odd(number)))
    wire.feed(get(stream=501))
    assert resets(wire) == [(501, REFUSED_STREAM)]
    assert len(recorder.calls) == 5
    gate.open(wire)
    wire.feed(get(stream=503))
    assert len(recorder.calls) == 6
    while gate.waiting:
        gate.open(wire)
    assert wire.answer(503).ended
    wire.hang_up()


PROVOCATIONS: dict[str, Attack] = {
    "WINDOW_UPDATE by 0": lambda n: get(stream=odd(n), path=b"/wait") + window(odd(n), 0),
    "WINDOW_UPDATE over the limit": lambda n: get(stream=odd(n), path=b"/wait") + window(odd(n), LARGEST_STREAM),
    "DATA, half-closed": lambda n: get(stream=odd(n), path=b"/wait") + data(b"x", stream=odd(n)),
    "HEADERS, half-closed": lambda n: get(stream=odd(n), path=b"/wait") + trailers((b"a", b"b"), stream=odd(n)),
    "PRIORITY of a wrong size": lambda n: get(stream=odd(n), path=b"/wait") + frame(2, 0, odd(n), b"x"),
    "PRIORITY on itself": lambda n: get(stream=odd(n), path=b"/wait") + priority(odd(n), odd(n)),
    "trailers that end nothing": lambda n: post(stream=odd(n), path=b"/wait") + trailers(stream=odd(n), ends=False),
    "malformed trailers": lambda n: post(stream=odd(n), path=b"/wait") + trailers((b"A", b""), stream=odd(n)),
    "a body that is too long": lambda n: post((b"content-length", b"1"), stream=odd(n)) + data(b"xx", stream=odd(n)),
    "a body that is too short": lambda n: post((b"content-length", b"9"), stream=odd(n)) + data(b"", True, odd(n)),
    "a malformed head": lambda n: head([*pseudo(), (b"A", b"b")], odd(n)),
    "DATA behind its own end": lambda n: (get(stream=1) if n == 0 else b"") + data(b"x"),
    "HEADERS behind its own reset": lambda n: (
        (post(path=b"/now") if n == 0 else b"") + post(stream=odd(n), path=b"/wait") + rst(odd(n))
    ),
}


@pytest.mark.parametrize("attack", PROVOCATIONS.values(), ids=list(PROVOCATIONS))
def test_h2_02_resets_that_the_client_provokes(attack: Attack) -> None:
    recorder = Recorder(answer)
    wire = open_wire(recorder, h2=H2Limits(resets=7))
    assert count_until_cut(wire, attack) == 7
    assert not any(call.complete and not call.returned for call in recorder.calls if not call.disconnected)
    check_cut(wire)


def test_h2_02_streams_above_the_limit_count() -> None:
    wire = open_wire(h2=H2Limits(streams=1, resets=7))
    wire.feed(get(path=b"/wait"))
    assert count_until_cut(wire, lambda n: get(stream=odd(n))) == 7
    check_cut(wire)


# ---- H2-3 and H2-4: field blocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [b"", b"\x00\x01a\x01b"])
def test_h2_03_continuations(piece: bytes) -> None:
    wire = open_wire()
    wire.feed(frame(HEADERS, END_STREAM, 1, block(pseudo())))
    assert count_until_cut(wire, lambda n: frame(CONTINUATION, 0, 1, piece)) == 8
    check_cut(wire)


def test_h2_03_eight_continuations_are_served() -> None:
    wire = open_wire()
    wire.feed(frame(HEADERS, END_STREAM, 1, block(pseudo())))
    wire.feed(*[frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b")] * 7)
    wire.feed(frame(CONTINUATION, END_HEADERS, 1, b"\x00\x01a\x01b"))
    assert wire.answer(1).status == 200
    wire.hang_up()


def test_h2_03_block_too_large_is_cut_at_the_header() -> None:
    wire = open_wire()
    wire.feed(frame(HEADERS, END_STREAM, 1, bytes(16384)) + frame(CONTINUATION, 0, 1, bytes(16000)))
    assert wire.went_away == []
    wire.feed(frame(CONTINUATION, 0, 1, bytes(385))[:9])
    check_cut(wire)


@pytest.mark.parametrize("drip", [b"", b"\x00\x01a\x01b"])
def test_h2_03_unfinished_block(drip: bytes) -> None:
    """The time of a request's head is absolute: a frame now and then buys none."""
    wire = open_wire()
    wire.feed(frame(HEADERS, END_STREAM, 1, block(pseudo())))
    for second in range(9):
        wire.advance(1)
        if drip and second % 2:
            wire.feed(frame(CONTINUATION, 0, 1, drip))
    assert wire.went_away == []
    wire.advance(2)
    check_cut(wire, PROTOCOL_ERROR)


def test_h2_04_hpack_bomb() -> None:
    """4 KB in the table, named by one octet each time."""
    wire = open_wire()
    wire.feed(frame(HEADERS, 5, 1, block(pseudo()) + b"\x40" + string(b"x") + string(b"v" * 4000)))
    assert wire.answer(1).status == 200
    wire.feed(frame(HEADERS, 5, 3, block(pseudo()) + b"\xbe" * 7))
    assert wire.answer(3).status == 200
    wire.feed(frame(HEADERS, 5, 5, block(pseudo()) + b"\xbe" * 9))
    check_cut(wire)


@pytest.mark.parametrize(("fields", "status"), [(100, 200), (101, 431), (196, 431)])
def test_h2_04_many_crumbs(fields: int, status: int) -> None:
    """Each crumb of a cookie is a field and counts."""
    wire = open_wire()
    wire.feed(frame(HEADERS, 5, 1, block(pseudo()) + b"\x00\x06cookie\x00" * fields))
    assert wire.answer(1).status == status
    wire.hang_up()


def test_h2_04_too_many_fields_to_answer() -> None:
    wire = open_wire()
    wire.feed(frame(HEADERS, 5, 1, block(pseudo()) + b"\x00\x06cookie\x00" * 1000))
    check_cut(wire)


# ---- H2-5: frames that cost the client nothing -----------------------------------------------------------------------

FLOODS: dict[str, tuple[Attack, int]] = {
    "PING": (lambda n: frame(PING, 0, 0, bytes(8)), 100),
    "answers to no PING": (lambda n: frame(PING, ACK, 0, bytes(8)), 100),
    "SETTINGS": (lambda n: settings((1, 4096)), 98),
    "empty SETTINGS": (lambda n: settings(), 98),
    "acknowledgements": (lambda n: settings(flags=ACK), 98),
    "INITIAL_WINDOW_SIZE": (lambda n: settings((4, 1000 + n)), 10),
    "PRIORITY": (lambda n: priority(odd(n)), 100),
    "unknown": (lambda n: frame(0x77, 0, 0), 100),
    "PRIORITY_UPDATE": (lambda n: frame(0x10, 0, 0, bytes(4) + b"u=1"), 100),
    "empty HEADERS": (lambda n: head([], odd(n)), 10),
    "WINDOW_UPDATE": (lambda n: window(0, 1), 1000),
}


@pytest.mark.parametrize(("attack", "budget"), FLOODS.values(), ids=list(FLOODS))
def test_h2_05_floods(attack: Attack, budget: int) -> None:
    wire = open_wire()
    assert count_until_cut(wire, attack) == budget
    check_cut(wire)


def test_h2_05_empty_data() -> None:
    wire = open_wire()
    wire.feed(post(path=b"/wait"))
    assert count_until_cut(wire, lambda n: data()) == 10
    check_cut(wire)


def test_h2_05_data_that_is_all_padding() -> None:
    wire = open_wire()
    wire.feed(post(path=b"/wait"))
    assert count_until_cut(wire, lambda n: frame(DATA, PADDED, 1, b"\xff" + bytes(255))) == 10
    check_cut(wire)


def test_h2_05_dribble() -> None:
    """One octet of body for 266 on the wire: after 1 MiB for nothing the ratio tells."""
    wire = open_wire()
    wire.feed(post(path=b"/wait"))
    dribble = frame(DATA, PADDED, 1, b"\xff" + bytes(256)) * 60
    taken = count_until_cut(wire, lambda n: dribble)
    assert (8 << 20) < taken * len(dribble) < (9 << 20)
    check_cut(wire)


def test_h2_05_budgets_come_back() -> None:
    wire = open_wire()
    for _ in range(30):
        wire.feed(*[frame(PING, 0, 0, bytes(8))] * 10)
        wire.advance(1)
    assert len(wire.pongs) == 300
    assert wire.went_away == []
    wire.hang_up()


def test_h2_05_a_client_that_does_not_read_is_not_read() -> None:
    """Or its PINGs would be answered into our memory."""
    wire = open_wire()
    wire.block()
    assert wire.connection.reading_paused
    written = len(wire.out)
    wire.feed(*[frame(PING, 0, 0, bytes(8))] * 50)
    assert len(wire.out) == written
    wire.unblock()
    assert len(wire.pongs) == 50
    wire.hang_up()


# ---- H2-6 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [0, 1, 4, 6, 7, 0x42])
def test_h2_06_oversized_frames_are_cut_at_the_header(kind: int) -> None:
    wire = open_wire()
    wire.feed(post())
    stream = 1 if kind < 2 else 0
    wire.feed(frame(kind, 0, stream, bytes(16385))[:8])
    assert wire.went_away == []
    wire.feed(frame(kind, 0, stream, bytes(16385))[8:9])
    check_cut(wire, FRAME_SIZE_ERROR)


# ---- H2-20 -----------------------------------------------------------------------------------------------------------


def test_h2_20_small_frames_in_one_slice() -> None:
    """RST_STREAM of closed streams changes nothing and answers nothing; 500 of them in a slice are enough."""
    wire = open_wire()
    wire.feed(get(), rst() * 500)
    assert wire.went_away == []
    wire.feed(rst() * 501)
    check_cut(wire)


@pytest.mark.parametrize(
    "small", [frame(4, 0, 0), frame(DATA, 0, 1), frame(0x33, 0, 0), frame(WINDOW, 0, 0, b"\0\0\0\1")]
)
def test_h2_20_a_whole_read_of_small_frames(small: bytes) -> None:
    wire = open_wire()
    wire.feed(post(path=b"/wait"))
    wire.feed(small * (256_000 // len(small)))
    check_cut(wire)

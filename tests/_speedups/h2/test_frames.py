"""The rules of RFC 9113 sections 3.4 to 6 that a frame alone can break: each reason that the code gives is a case."""

from typing import NamedTuple

import pytest
from h2.errors import ErrorCodes

from fastserver._speedups.h2.bounds import BLOCK_BYTES, CONTINUATIONS
from fastserver._speedups.h2.codes import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    WITH_PRIORITY,
)
from fastserver._speedups.h2.errors import ConnectionFault
from tests._speedups.h2 import wire
from tests._speedups.h2.wire import OPENING, Reader, cut, frame, u32

BLOCK = b"\x82\x87\x84\x81"
UNKNOWN = 0xBE


class Case(NamedTuple):
    """``good`` is read first; at the end of ``bad``, or of its first ``seen`` bytes, the fault is there."""

    reason: str
    code: str
    bad: bytes
    good: bytes = OPENING
    seen: int | None = 9


def opened(*more: bytes) -> bytes:
    return OPENING + wire.headers(1) + b"".join(more)


_SIZE = "FRAME_SIZE_ERROR"
_PROTOCOL = "PROTOCOL_ERROR"
_IDLE = "frame on an idle stream"
_ON_ZERO = "a frame of a stream on stream 0"
_ON_STREAM = "a frame of the connection on a stream"
_SHORT = "frame too short for its fields"
_FOUR = "RST_STREAM or WINDOW_UPDATE of a wrong size"
_WITHIN = "another frame within a field block"
_PADDING = "padding exceeds the frame"

CASES = {
    # Section 3.4.
    "preface of another protocol": Case("not the preface of HTTP/2", _PROTOCOL, b"G", b"", 1),
    "preface with one byte wrong": Case("not the preface of HTTP/2", _PROTOCOL, b"\r", PREFACE[:-1], 1),
    "first frame is HEADERS": Case("the first frame is not SETTINGS", _PROTOCOL, wire.headers(1), PREFACE),
    "first frame is of unknown type": Case("the first frame is not SETTINGS", _PROTOCOL, frame(UNKNOWN), PREFACE),
    "first frame is an ACK": Case("the first frame is not SETTINGS", _PROTOCOL, wire.SETTINGS_ACK, PREFACE),
    # Section 4.2.
    **{
        f"{kind} one byte too large": Case("frame too large", _SIZE, frame(kind, 0, stream, size=16385), opened())
        for kind, stream in ((DATA, 1), (HEADERS, 3), (UNKNOWN, 0), (PRIORITY, 1))
    },
    "GOAWAY one byte too large": Case("frame too large", _SIZE, frame(GOAWAY, size=16385)),
    "largest size there is": Case("frame too large", _SIZE, frame(DATA, 0, 1, size=(1 << 24) - 1), opened()),
    # Section 4.3 and 6.10.
    "CONTINUATION of nothing": Case("CONTINUATION without a field block", _PROTOCOL, wire.continuation(1)),
    "CONTINUATION of a block that has ended": Case(
        "CONTINUATION without a field block", _PROTOCOL, wire.continuation(1), opened()
    ),
    **{
        f"{name} in a field block": Case(_WITHIN, _PROTOCOL, bad, OPENING + wire.headers(1, flags=0))
        for name, bad in {
            "DATA": wire.data(1),
            "HEADERS of the same stream": wire.headers(1),
            "HEADERS of another stream": wire.headers(3),
            "PRIORITY": wire.priority(1),
            "RST_STREAM": wire.rst_stream(1),
            "SETTINGS": wire.settings(),
            "PUSH_PROMISE": frame(PUSH_PROMISE, 0, 1, u32(2)),
            "PING": wire.ping(),
            "GOAWAY": wire.goaway(),
            "WINDOW_UPDATE": wire.window_update(0, 1),
            "an unknown type": frame(UNKNOWN, 0, 1),
            "CONTINUATION of another stream": wire.continuation(3),
            "CONTINUATION on stream 0": wire.continuation(0),
        }.items()
    },
    "a ninth CONTINUATION": Case(
        "too many CONTINUATION frames",
        "ENHANCE_YOUR_CALM",
        wire.continuation(1, flags=END_HEADERS),
        OPENING + wire.headers(1, flags=0) + wire.continuation(1) * CONTINUATIONS,
    ),
    "a field block that grows too large": Case(
        "field block too large",
        "ENHANCE_YOUR_CALM",
        wire.continuation(1, b"x"),
        OPENING + wire.headers(1, b"x" * 16384, 0) + wire.continuation(1, b"x" * (BLOCK_BYTES - 16384)),
    ),
    # Sections 5.1, 5.1.1 and 6: which stream.
    **{
        f"{kind} on stream 0": Case(_ON_ZERO, _PROTOCOL, frame(kind, 0, 0, b"x" * size))
        for kind, size in ((DATA, 1), (HEADERS, 1), (PRIORITY, 5), (RST_STREAM, 4))
    },
    **{
        f"{kind} on a stream": Case(_ON_STREAM, _PROTOCOL, frame(kind, 0, 1, b"x" * size), opened())
        for kind, size in ((SETTINGS, 0), (PING, 8), (GOAWAY, 8))
    },
    **{
        f"{name} on idle stream {stream}": Case(_IDLE, _PROTOCOL, frame(kind, 0, stream, b"xxxx"), opened())
        for name, kind in (("DATA", DATA), ("RST_STREAM", RST_STREAM), ("WINDOW_UPDATE", WINDOW_UPDATE))
        for stream in (2, 3)
    },
    "HEADERS on an even stream": Case("even stream identifier from a client", _PROTOCOL, wire.headers(2)),
    "PUSH_PROMISE": Case("PUSH_PROMISE from a client", _PROTOCOL, frame(PUSH_PROMISE, 0, 1, u32(2)), opened()),
    # Section 6: sizes.
    "padded DATA without a pad length": Case(_SHORT, _SIZE, frame(DATA, PADDED, 1), opened()),
    "padded HEADERS without a pad length": Case(_SHORT, _SIZE, frame(HEADERS, PADDED, 1)),
    "HEADERS too short for a priority": Case(_SHORT, _SIZE, frame(HEADERS, WITH_PRIORITY, 1, b"xxxx")),
    "HEADERS too short for both": Case(_SHORT, _SIZE, frame(HEADERS, WITH_PRIORITY | PADDED, 1, b"xxxxx")),
    **{
        f"SETTINGS of {size}": Case("SETTINGS of a wrong size", _SIZE, frame(SETTINGS, payload=b"x" * size))
        for size in (1, 5, 7)
    },
    "SETTINGS ACK with a payload": Case("SETTINGS of a wrong size", _SIZE, frame(SETTINGS, ACK, payload=b"x" * 6)),
    **{f"PING of {size}": Case("PING of a wrong size", _SIZE, frame(PING, payload=b"x" * size)) for size in (0, 7, 9)},
    **{f"GOAWAY of {size}": Case("GOAWAY of a wrong size", _SIZE, frame(GOAWAY, size=size)) for size in (0, 7)},
    **{
        f"{name} of {size}": Case(_FOUR, _SIZE, frame(kind, 0, 1, b"x" * size), opened())
        for name, kind in (("RST_STREAM", RST_STREAM), ("WINDOW_UPDATE", WINDOW_UPDATE))
        for size in (0, 3, 5)
    },
    # Section 6: contents.
    "DATA all padding and one more": Case(_PADDING, _PROTOCOL, frame(DATA, PADDED, 1, b"\x03xx"), opened(), None),
    "HEADERS all padding and one more": Case(_PADDING, _PROTOCOL, frame(HEADERS, PADDED, 1, b"\x03xx"), seen=None),
    "HEADERS padding into the priority": Case(
        _PADDING, _PROTOCOL, frame(HEADERS, PADDED | WITH_PRIORITY, 1, b"\x01xxxxx"), seen=None
    ),
    "ENABLE_PUSH 2": Case("ENABLE_PUSH is neither 0 nor 1", _PROTOCOL, wire.settings((2, 2)), seen=None),
    "INITIAL_WINDOW_SIZE 2^31": Case(
        "INITIAL_WINDOW_SIZE too large", "FLOW_CONTROL_ERROR", wire.settings((4, 1 << 31)), seen=None
    ),
    **{
        f"MAX_FRAME_SIZE {value}": Case(
            "MAX_FRAME_SIZE out of range", _PROTOCOL, wire.settings((1, 0), (5, value)), seen=None
        )
        for value in (16383, 1 << 24)
    },
    "ENABLE_CONNECT_PROTOCOL 2": Case(
        "ENABLE_CONNECT_PROTOCOL is neither 0 nor 1", _PROTOCOL, wire.settings((8, 2)), seen=None
    ),
    "PRIORITY of a wrong size on an idle stream": Case(
        "malformed PRIORITY", _SIZE, frame(PRIORITY, 0, 1, b"xxxx"), seen=None
    ),
    "PRIORITY on itself on an idle stream": Case("malformed PRIORITY", _PROTOCOL, wire.priority(1, 1), seen=None),
    "WINDOW_UPDATE by 0": Case("WINDOW_UPDATE by 0", _PROTOCOL, wire.window_update(0, 0), seen=None),
    "WINDOW_UPDATE by 0 and the reserved bit": Case(
        "WINDOW_UPDATE by 0", _PROTOCOL, wire.window_update(0, 1 << 31), seen=None
    ),
}


def test_every_rule_has_a_case() -> None:
    assert {case.reason for case in CASES.values()} == wire.list_reasons("frames")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("split", [lambda text: [text], cut], ids=["whole", "cut"])
def test_a_broken_rule_ends_the_connection(case: Case, split: wire.Split) -> None:
    reader = Reader(b"")
    reader.feed(*split(case.good))
    seen = len(case.bad) if case.seen is None else case.seen
    reader.feed(case.bad[: seen - 1])
    reader.scanner.add_data(case.bad[seen - 1 : seen])
    assert reader.scanner.has_frame()
    with pytest.raises(ConnectionFault) as caught:
        next(reader.scanner)
    assert (caught.value.reason, caught.value.code) == (case.reason, ErrorCodes[case.code])
    assert reader.faults == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_came_before_a_fault_is_read_first_and_nothing_after(case: Case) -> None:
    whole = Reader(b"")
    whole.feed(case.good)
    reader = Reader(b"")
    with pytest.raises(ConnectionFault):
        reader.feed(case.good + case.bad + wire.ping())
    assert reader.list_facts() == whole.list_facts()
    reader.feed(wire.ping())
    assert (reader.scanner.has_frame(), list(reader.scanner), reader.scanner.held) == (False, [], 0)
    assert not reader.scanner.in_block


STREAM_FAULTS = {
    "PRIORITY too short": (frame(PRIORITY, 0, 1, b"xxxx"), "FRAME_SIZE_ERROR"),
    "PRIORITY too long": (frame(PRIORITY, 0, 1, b"xxxxxx"), "FRAME_SIZE_ERROR"),
    "PRIORITY on itself": (wire.priority(1, 1), "PROTOCOL_ERROR"),
    "PRIORITY on itself, exclusive": (wire.priority(1, 1 | 1 << 31), "PROTOCOL_ERROR"),
    "WINDOW_UPDATE by 0": (wire.window_update(1, 0), "PROTOCOL_ERROR"),
}


@pytest.mark.parametrize(("bad", "code"), STREAM_FAULTS.values(), ids=STREAM_FAULTS)
@pytest.mark.parametrize("split", [lambda text: [text], cut], ids=["whole", "cut"])
def test_a_stream_suffers_alone(bad: bytes, code: str, split: wire.Split) -> None:
    reader = Reader()
    reader.feed(*split(wire.headers(1) + bad + wire.ping()))
    assert reader.faults == [(1, ErrorCodes[code])]
    assert [fact["class"] for fact in reader.list_facts()] == ["HeadersFrame", "PingFrame"]


def test_a_step_ends_at_a_fault_so_that_it_can_be_answered_first() -> None:
    reader = Reader()
    reader.feed(wire.headers(1))
    reader.scanner.add_data(wire.window_update(1, 0) + wire.data(1, b"x"))
    assert list(reader.scanner) == []
    assert reader.scanner.faults == [(1, ErrorCodes.PROTOCOL_ERROR)]
    assert reader.scanner.has_frame()


@pytest.mark.parametrize("ends", [True, False])
def test_headers_that_depend_on_themselves_are_still_decoded(ends: bool) -> None:
    flags = WITH_PRIORITY | (END_HEADERS if ends else 0)
    reader = Reader()
    reader.feed(frame(HEADERS, flags, 1, u32(1) + b"\x10" + BLOCK))
    if not ends:
        assert reader.faults == []  # nothing may stand between the frames of a block, not even an answer's end
        reader.feed(wire.continuation(1, b"", END_HEADERS))
    assert reader.faults == [(1, ErrorCodes.PROTOCOL_ERROR)]
    [read] = reader.frames
    assert (read.data, set(read.flags)) == (BLOCK, {"END_HEADERS"})


GOOD = {
    "empty frames at their least": (frame(HEADERS, END_HEADERS | PADDED, 1, b"\x00"), "HeadersFrame"),
    "HEADERS all padding": (frame(HEADERS, END_HEADERS | PADDED, 1, b"\x02xx"), "HeadersFrame"),
    "HEADERS with only a priority": (frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, b"xxxxx"), "HeadersFrame"),
    "largest frame": (frame(HEADERS, END_HEADERS, 1, b"x" * 16384), "HeadersFrame"),
    "reserved bit of a stream": (frame(HEADERS, END_HEADERS, 1 | 1 << 31, BLOCK), "HeadersFrame"),
    "undefined flags": (frame(PING, 0xFE, 0, b"12345678"), "PingFrame"),
    "SETTINGS with every value at its edge": (
        wire.settings((2, 1), (4, (1 << 31) - 1), (5, 16384), (5, (1 << 24) - 1), (8, 1), (3, (1 << 32) - 1)),
        "SettingsFrame",
    ),
    "PRIORITY on an idle stream": (wire.priority(99), "PriorityFrame"),
    "PRIORITY on an even stream": (wire.priority(4), "PriorityFrame"),
    "reserved bit of an increment": (wire.window_update(0, 5 | 1 << 31), "WindowUpdateFrame"),
    "SETTINGS ACK": (wire.SETTINGS_ACK, "SettingsFrame"),
}


@pytest.mark.parametrize(("text", "name"), GOOD.values(), ids=GOOD)
def test_what_is_allowed_is_read(text: bytes, name: str) -> None:
    reader = Reader()
    reader.feed(text)
    assert [fact["class"] for fact in reader.list_facts()] == [name]
    assert reader.faults == []


def test_unknown_frames_are_skipped_wherever_they_stand() -> None:
    reader = Reader()
    for kind in (0x0A, 0x0C, 0x10, UNKNOWN, 0xFF):
        reader.feed(*cut(frame(kind, 0xFF, 7, b"whatever")))
    reader.feed(wire.ping())
    assert [fact["class"] for fact in reader.list_facts()] == ["PingFrame"]


def test_unknown_settings_are_left_out() -> None:
    reader = Reader()
    reader.feed(wire.settings((1, 10), (7, 70), (9, 90), (0, 1), (0xFFFF, 2), (1, 11), (8, 0)))
    assert reader.frames[0].settings == {1: 11, 8: 0}


def test_a_frame_ends_a_step() -> None:
    reader = Reader()
    reader.scanner.add_data(wire.ping() * 3)
    assert [len(list(reader.scanner)) for _ in range(4)] == [1, 1, 1, 0]
    assert not reader.scanner.has_frame()


def test_next_alone_also_steps() -> None:
    reader = Reader()
    reader.scanner.add_data(wire.ping() * 2)
    assert [len([read for read in (next(reader.scanner, None),) if read]) for _ in range(4)] == [1, 0, 1, 0]


def test_the_frame_size_is_judged_by_the_step_not_by_the_look() -> None:
    """``h2`` raises the size when the client acknowledges it, and the client may use it in the same read."""
    reader = Reader()
    large = frame(HEADERS, END_HEADERS, 1, b"x" * 20000)
    reader.scanner.add_data(wire.SETTINGS_ACK + large)
    assert len(list(reader.scanner)) == 1
    assert reader.scanner.has_frame()
    reader.scanner.max_frame_size = 32768
    [read] = reader.scanner
    assert len(read.data) == 20000


def test_the_header_list_may_ask_for_a_larger_block() -> None:
    reader = Reader(header_list=BLOCK_BYTES + 1)
    reader.feed(wire.headers(1, b"x" * 16384, 0), wire.continuation(1, b"x" * 16384), wire.continuation(1, b"x"))
    with pytest.raises(ConnectionFault, match="field block too large"):
        reader.feed(wire.continuation(1, b"x"))


def test_headers_larger_than_a_block_are_refused_at_once() -> None:
    reader = Reader()
    reader.scanner.max_frame_size = 1 << 20
    reader.feed(frame(HEADERS, 0, 1, b"x" * BLOCK_BYTES))
    reader = Reader()
    reader.scanner.max_frame_size = 1 << 20
    with pytest.raises(ConnectionFault, match="field block too large"):
        reader.feed(frame(HEADERS, 0, 1, size=BLOCK_BYTES + 1))


@pytest.mark.parametrize("more", range(CONTINUATIONS + 1))
def test_a_block_is_joined(more: int) -> None:
    reader = Reader()
    pieces = [bytes([65 + index]) * 3 for index in range(more + 1)]
    reader.feed(wire.headers(1, pieces[0], END_STREAM | (0 if more else END_HEADERS)))
    for index, piece in enumerate(pieces[1:], 1):
        assert reader.scanner.in_block
        assert reader.scanner.held == 3 * index
        reader.feed(wire.continuation(1, piece, END_HEADERS if index == more else 0))
    assert not reader.scanner.in_block
    assert reader.scanner.held == 0
    [read] = reader.frames
    assert (read.data, set(read.flags)) == (b"".join(pieces), {"END_HEADERS", "END_STREAM"})


def test_a_frame_costs_no_repr() -> None:
    reader = Reader()
    reader.feed(wire.headers(1), wire.data(1, b"secret"), wire.ping(), wire.settings())
    reader.feed(wire.priority(1), wire.rst_stream(1), wire.window_update(0, 1))
    names = "HEADERS DATA PING SETTINGS PRIORITY RST_STREAM WINDOW_UPDATE".split()
    assert [repr(read) for read in reader.frames] == names
    assert {type(read).__module__ for read in reader.frames} == {"fastserver._speedups.h2.lightframes"}


def test_held_counts_what_waits() -> None:
    reader = Reader()
    reader.feed(wire.headers(1), wire.data(1, b"x" * 10)[:-1])
    assert reader.scanner.held == 18
    reader.feed(b"x")
    assert reader.scanner.held == 0
    assert reader.frames[-1].data == b"x" * 10


def test_bytes_one_by_one_are_copied_a_bounded_number_of_times() -> None:
    reader = Reader()
    text = wire.headers(1, b"x" * 16000) + wire.data(1, b"x" * 16384) * 3
    before = reader.scanner.copied
    for piece in cut(text):
        reader.scanner.add_data(piece)
        reader.scanner.has_frame()
        reader.feed(b"")
    assert len(reader.frames) == 4
    assert reader.scanner.copied - before <= 3 * len(text)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
def test_any_cut_copies_little(size: int) -> None:
    reader = Reader()
    text = wire.headers(1) + wire.data(1, b"x" * 50) * 100
    before = reader.scanner.copied
    reader.feed(*(text[at : at + size] for at in range(0, len(text), size)))
    assert len(reader.frames) == 101
    assert reader.scanner.copied - before <= 3 * len(text)


def test_many_small_frames_in_one_piece_are_copied_once() -> None:
    reader = Reader()
    text = wire.headers(1) + wire.data(1, b"x") * 10000
    half = wire.data(1, b"y")[:5]
    before = reader.scanner.copied
    reader.feed(half[:0])
    reader.scanner.add_data(text + half)
    steps = 0
    while reader.scanner.has_frame():
        if steps % 400 == 0:
            reader.budget.begin_slice()
        reader.frames += reader.scanner
        steps += 1
    assert steps == 10001
    assert reader.scanner.copied == before
    assert reader.scanner.held == len(half)


def test_goaway_is_noted_and_not_given_to_h2() -> None:
    reader = Reader()
    reader.feed(wire.goaway(b"bye"), wire.ping())
    assert reader.scanner.went_away
    assert [repr(read) for read in reader.frames] == ["PING"]

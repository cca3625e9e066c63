"""Flood budgets: each at one below its limit, at it and one above, and what gives it back."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
from h2.errors import ErrorCodes

from fastserver._speedups.bounds import FLOOD_BYTES, FLOOD_RATIO
from fastserver._speedups.h2.bounds import (
    EMPTY_FRAMES,
    PRIORITIES,
    PRIORITIES_PER_STREAM,
    SLICE_FRAMES,
    SLICE_PAYLOAD_BYTES,
    WINDOW_UPDATE_BURST,
    WINDOW_UPDATE_CREDIT,
    WINDOW_UPDATES_PER_FRAME,
)
from fastserver._speedups.h2.codes import ACK, END_HEADERS, END_STREAM, PADDED, WITH_PRIORITY
from fastserver._speedups.h2.errors import ConnectionFault
from tests._speedups.h2 import wire
from tests._speedups.h2.wire import START_S, Reader, frame, u32

RESETS = 200


def send(text: bytes) -> Callable[[Reader], None]:
    """Feeds one frame in a slice of its own."""

    def spend(reader: Reader) -> None:
        reader.budget.begin_slice()
        reader.feed(text)

    return spend


def change_window(reader: Reader) -> None:
    reader.budget.begin_slice()
    reader.feed(wire.settings((4, 65536 + len(reader.frames))))


def reset(reader: Reader) -> None:
    reader.budget.count_reset()


class Flood(NamedTuple):
    """``limit`` times ``spend`` is allowed, once more is not, and after ``pause_s`` it is again."""

    reason: str
    limit: int
    spend: Callable[[Reader], None]
    pause_s: float | None = None


_PRIORITY = "too many PRIORITY or unknown frames"
_EMPTY = "too many empty frames"

FLOODS = {
    "resets": Flood("too many streams reset", RESETS, reset, 60.0),
    "PING": Flood("too many PING frames", 100, send(wire.ping()), 0.11),
    "PING ACK": Flood("too many PING frames", 100, send(wire.ping(ACK)), 0.11),
    # The opening has spent one.
    "SETTINGS": Flood("too many SETTINGS frames", 99, send(wire.settings()), 0.11),
    "SETTINGS ACK": Flood("too many SETTINGS frames", 99, send(wire.SETTINGS_ACK), 0.11),
    "INITIAL_WINDOW_SIZE": Flood("too many changes of the initial window", 10, change_window, 6.1),
    "WINDOW_UPDATE": Flood(
        "too many WINDOW_UPDATE frames", int(WINDOW_UPDATE_BURST), send(wire.window_update(0, 1)), 0.011
    ),
    "WINDOW_UPDATE by 0": Flood(
        "too many WINDOW_UPDATE frames", int(WINDOW_UPDATE_BURST), send(wire.window_update(1, 0)), 0.011
    ),
    "PRIORITY": Flood(_PRIORITY, PRIORITIES, send(wire.priority(3))),
    "PRIORITY_UPDATE": Flood(_PRIORITY, PRIORITIES, send(frame(0x10, 0, 0, b"\0\0\0\1u=1"))),
    "unknown type": Flood(_PRIORITY, PRIORITIES, send(frame(0xBE))),
    "empty DATA": Flood(_EMPTY, EMPTY_FRAMES, send(wire.data(1))),
    "DATA of padding only": Flood(_EMPTY, EMPTY_FRAMES, send(wire.data(1, b"\x02xx", PADDED))),
    "empty HEADERS": Flood(_EMPTY, EMPTY_FRAMES, send(wire.headers(3, b""))),
    "HEADERS of priority only": Flood(
        _EMPTY, EMPTY_FRAMES, send(wire.headers(3, u32(1) + b"\0", END_HEADERS | WITH_PRIORITY))
    ),
    "small frames in a slice": Flood(
        "too many small frames at once", SLICE_FRAMES, lambda reader: reader.feed(wire.rst_stream(1))
    ),
    "bytes for no payload": Flood(
        "too many bytes for their payload",
        # What was sent before the flood is payload, or too little to matter.
        (FLOOD_RATIO * (FLOOD_BYTES + 2)) // (9 + 16000),
        send(wire.goaway(b"x" * (16000 - 8))),
    ),
}


def test_every_budget_has_a_flood() -> None:
    assert {flood.reason for flood in FLOODS.values()} == wire.list_reasons("budget")


def make_reader() -> Reader:
    reader = Reader(resets=RESETS)
    reader.feed(wire.headers(1, b"x" * 2))
    reader.budget.begin_slice()
    return reader


def expect_fault(reader: Reader, flood: Flood) -> None:
    with pytest.raises(ConnectionFault) as caught:
        flood.spend(reader)
    assert (caught.value.reason, caught.value.code) == (flood.reason, ErrorCodes.ENHANCE_YOUR_CALM)


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_flood_ends_the_connection_one_above_the_limit(flood: Flood) -> None:
    reader = make_reader()
    for _ in range(flood.limit):
        flood.spend(reader)
    expect_fault(reader, flood)


@pytest.mark.parametrize("flood", [flood for flood in FLOODS.values() if flood.pause_s], ids=lambda flood: flood.reason)
def test_time_gives_back(flood: Flood) -> None:
    reader = make_reader()
    for _ in range(flood.limit):
        flood.spend(reader)
    assert flood.pause_s is not None
    reader.budget.tick(START_S + flood.pause_s)
    flood.spend(reader)


def test_resets_slide() -> None:
    """Half of the limit in each half of the period: the sum of any 30 seconds counts, not that of a fixed period."""
    reader = make_reader()
    reset(reader)
    reader.budget.tick(START_S + 29.0)
    for _ in range(RESETS - 1):
        reset(reader)
    reader.budget.tick(START_S + 31.0)
    # 29/30 of the period before still count.
    for _ in range(RESETS // 30):
        reset(reader)
    with pytest.raises(ConnectionFault, match="too many streams reset"):
        reset(reader)


def test_a_steady_rate_of_resets_below_the_limit_goes_on_for_ever() -> None:
    reader = make_reader()
    for step in range(10 * RESETS):
        reader.budget.tick(START_S + step * 30.0 / (RESETS - 2))
        reset(reader)


@pytest.mark.parametrize("streams", [1, 3])
def test_a_stream_opened_allows_more_priorities(streams: int) -> None:
    reader = make_reader()
    for _ in range(streams):
        reader.budget.open_stream()
    for _ in range(PRIORITIES + streams * PRIORITIES_PER_STREAM):
        send(wire.priority(3))(reader)
    expect_fault(reader, FLOODS["PRIORITY"])


def test_the_same_initial_window_is_no_change() -> None:
    reader = make_reader()
    for _ in range(50):
        send(wire.settings((4, 70000)))(reader)


def test_frames_that_were_sent_may_be_answered() -> None:
    reader = make_reader()
    for _ in range(10):
        reader.budget.count_sent(1000)
    for _ in range(int(WINDOW_UPDATE_BURST) + 10 * WINDOW_UPDATES_PER_FRAME):
        send(wire.window_update(0, 1))(reader)
    expect_fault(reader, FLOODS["WINDOW_UPDATE"])


def test_credit_is_not_saved_without_end() -> None:
    reader = make_reader()
    for _ in range(WINDOW_UPDATE_CREDIT):
        reader.budget.count_sent(1000)
    for _ in range(int(WINDOW_UPDATE_BURST) + WINDOW_UPDATE_CREDIT):
        send(wire.window_update(0, 1))(reader)
    expect_fault(reader, FLOODS["WINDOW_UPDATE"])


@pytest.mark.parametrize(
    "text", [wire.data(1, b"x"), wire.data(1, flags=END_STREAM), wire.headers(3)], ids=["byte", "end", "headers"]
)
def test_empty_frames_count_only_in_a_row(text: bytes) -> None:
    reader = make_reader()
    for _ in range(3):
        for _ in range(EMPTY_FRAMES):
            send(wire.data(1))(reader)
        send(text)(reader)


@pytest.mark.parametrize("flags", [0, END_HEADERS])
def test_empty_fragments_count(flags: int) -> None:
    """A field block may have eight more frames, so it takes two blocks."""
    reader = make_reader()
    for _ in range(EMPTY_FRAMES // 2):
        send(wire.headers(3, b"", 0) + wire.continuation(3, b"", END_HEADERS))(reader)
    with pytest.raises(ConnectionFault, match=_EMPTY):
        reader.feed(wire.headers(3, b"", flags))


def test_payload_pays_for_frames_in_a_slice() -> None:
    reader = make_reader()
    reader.feed(wire.data(1, b"x" * SLICE_PAYLOAD_BYTES))
    for _ in range(2 * SLICE_FRAMES):
        reader.feed(wire.rst_stream(1))


def test_payload_one_byte_short_does_not_pay() -> None:
    reader = make_reader()
    reader.feed(wire.data(1, b"x" * (SLICE_PAYLOAD_BYTES - 1)))
    for _ in range(SLICE_FRAMES - 1):
        reader.feed(wire.rst_stream(1))
    expect_fault(reader, FLOODS["small frames in a slice"])


@pytest.mark.parametrize("sent", [False, True], ids=["received", "sent"])
def test_payload_pays_for_bytes(sent: bool) -> None:
    """A byte of payload for seven of anything else, in whichever direction, is no flood."""
    reader = make_reader()
    rubbish = wire.goaway(b"x" * 14000)
    for _ in range(2 * FLOOD_RATIO * FLOOD_BYTES // len(rubbish)):
        if sent:
            reader.budget.count_sent(len(rubbish) // 7)
        else:
            send(wire.data(1, b"x" * (len(rubbish) // 7 + 10)))(reader)
        send(rubbish)(reader)
        reader.frames.clear()

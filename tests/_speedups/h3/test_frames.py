"""The frames of a stream, whole and cut at each byte: what is given, what is passed over, what is refused."""

import tracemalloc

import pytest

from fastserver._speedups.h3.codes import (
    CANCEL_PUSH,
    CONTROL,
    DATA,
    GOAWAY,
    HEADERS,
    HTTP2_FRAMES,
    MAX_PUSH_ID,
    NOTHING,
    PUSH_PROMISE,
    REQUEST,
    SETTINGS,
)
from fastserver._speedups.h3.errors import H3_FRAME_UNEXPECTED, H3_MISSING_SETTINGS, ConnectionFault, FrameTooLarge
from fastserver._speedups.h3.payloads import render_settings
from tests._speedups.h3.wire import LIMIT, Piece, cut, frame, make_reader, read_all, read_pieces

GREASE = 0x1F * 5 + 0x21
PRIORITY_UPDATE = 0xF0700
HEAD = frame(HEADERS, b"head")

REQUESTS: list[tuple[bytes, list[Piece]]] = [
    (HEAD, [(HEADERS, b"head")]),
    (frame(HEADERS), [(HEADERS, b"")]),
    (HEAD + frame(DATA, b"body"), [(HEADERS, b"head"), (DATA, b"body")]),
    (HEAD + frame(DATA, b"bo") + frame(DATA) + frame(DATA, b"dy"), [(HEADERS, b"head"), (DATA, b"body")]),
    (
        HEAD + frame(DATA, b"b" * 70) + frame(HEADERS, b"end"),
        [(HEADERS, b"head"), (DATA, b"b" * 70), (HEADERS, b"end")],
    ),
    (HEAD + frame(DATA) + frame(HEADERS), [(HEADERS, b"head"), (HEADERS, b"")]),
    (frame(GREASE, b"x" * 99) + HEAD + frame(GREASE) + frame(DATA, b"b"), [(HEADERS, b"head"), (DATA, b"b")]),
    (HEAD + frame(HEADERS, b"end") + frame(2**62 - 1, b"?"), [(HEADERS, b"head"), (HEADERS, b"end")]),
    # Lengths and types in more bytes than they need.
    (b"\x40\x01\x80\x00\x00\x04head" + b"\xc0" + bytes(7) + b"\x40\x01b", [(HEADERS, b"head"), (DATA, b"b")]),
]


@pytest.mark.parametrize(("data", "pieces"), REQUESTS)
def test_request_streams(data: bytes, pieces: list[Piece]) -> None:
    for parts in cut(data):
        reader = make_reader()
        assert reader.is_between
        assert read_pieces(reader, parts) == pieces
        assert reader.is_between


def test_a_control_stream() -> None:
    data = (
        render_settings({6: 4000, GREASE: 1}) + frame(MAX_PUSH_ID, b"\x05") + frame(PRIORITY_UPDATE, b"\0u=1")
        + frame(CANCEL_PUSH, b"\x01") + frame(GREASE) + frame(GOAWAY, b"\x00") + frame(GOAWAY)
    )  # fmt: skip
    for parts in cut(data):
        reader = make_reader(CONTROL)
        pieces = read_pieces(reader, parts)
        assert [kind for kind, _ in pieces] == [SETTINGS, MAX_PUSH_ID, CANCEL_PUSH, GOAWAY, GOAWAY]
        assert pieces[1:] == [(MAX_PUSH_ID, b"\x05"), (CANCEL_PUSH, b"\x01"), (GOAWAY, b"\x00"), (GOAWAY, b"")]
        assert reader.is_between


def test_empty_settings_are_settings() -> None:
    assert read_pieces(make_reader(CONTROL), [render_settings({})]) == [(SETTINGS, b"")]


@pytest.mark.parametrize("data", [HEAD + frame(DATA, b"body"), HEAD + frame(GREASE, b"?" * 80), HEAD])
def test_a_stream_may_end_only_between_frames(data: bytes) -> None:
    for end in range(1, len(data)):
        reader = make_reader()
        read_pieces(reader, [data[:end]])
        assert reader.is_between == (end == len(HEAD))


def test_it_is_between_frames_only_once_all_has_been_read() -> None:
    reader = make_reader()
    reader.feed(HEAD + frame(GREASE, b"x"))
    assert reader.read() == HEADERS
    assert not reader.is_between
    assert reader.read() == NOTHING
    assert reader.is_between


def test_data_is_given_as_it_comes_and_a_whole_read_is_not_copied() -> None:
    reader = make_reader()
    reader.feed(HEAD + frame(DATA, b"begin", size=105))
    assert list(read_all(reader)) == [(HEADERS, b"head"), (DATA, b"begin")]
    for part in (b"x" * 60, b"y" * 40):
        reader.feed(part)
        assert reader.read() == DATA
        assert reader.payload is part
        assert reader.read() == NOTHING
    assert reader.is_between


def test_what_is_fed_twice_before_it_is_read() -> None:
    reader = make_reader()
    data = HEAD + frame(DATA, b"body") + frame(GREASE, b"???") + frame(DATA, b"end")
    for part in (data[:3], b"", data[3:11], data[11:]):
        reader.feed(part)
    assert list(read_all(reader)) == [(HEADERS, b"head"), (DATA, b"body"), (DATA, b"end")]


def test_what_gives_nothing_is_counted() -> None:
    unknown = frame(GREASE, b"x" * 100) + frame(GREASE)
    reader = make_reader()
    assert read_pieces(reader, [HEAD + frame(DATA) * 7 + unknown + frame(DATA, b"b")]) == [
        (HEADERS, b"head"),
        (DATA, b"b"),
    ]
    assert reader.empty_frames == 7
    assert reader.skipped_bytes == len(unknown)


# ---- What is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [
    *(frame(kind, b"x") for kind in (DATA, CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID, *HTTP2_FRAMES)),
    frame(DATA), frame(GREASE) + frame(DATA, b"b"),
    *(HEAD + frame(kind) for kind in (CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID, *HTTP2_FRAMES)),
    HEAD + frame(HEADERS) + frame(DATA, b"b"), HEAD + frame(HEADERS) + frame(DATA), HEAD + frame(HEADERS) + HEAD,
    HEAD + frame(DATA, b"b") + frame(SETTINGS),
])  # fmt: skip
def test_frames_that_may_not_be_on_a_request_stream(data: bytes) -> None:
    for parts in cut(data):
        reader = make_reader()
        with pytest.raises(ConnectionFault) as raised:
            read_pieces(reader, parts)
        assert raised.value.code == H3_FRAME_UNEXPECTED
        reader.feed(HEAD)
        assert reader.read() == NOTHING
        assert not reader.is_between


@pytest.mark.parametrize("kind", [DATA, HEADERS, CANCEL_PUSH, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID, GREASE, *HTTP2_FRAMES])
def test_settings_are_the_first_frame_of_a_control_stream(kind: int) -> None:
    for parts in cut(frame(kind, b"x")):
        with pytest.raises(ConnectionFault) as raised:
            read_pieces(make_reader(CONTROL), parts)
        assert raised.value.code == H3_MISSING_SETTINGS


@pytest.mark.parametrize("kind", [DATA, HEADERS, SETTINGS, PUSH_PROMISE, *HTTP2_FRAMES])
def test_frames_that_may_not_be_on_a_control_stream(kind: int) -> None:
    for parts in cut(render_settings({6: 1}) + frame(kind)):
        with pytest.raises(ConnectionFault) as raised:
            read_pieces(make_reader(CONTROL), parts)
        assert raised.value.code == H3_FRAME_UNEXPECTED


@pytest.mark.parametrize(("kind", "start", "what"), [
    (REQUEST, b"", HEADERS), (REQUEST, HEAD, HEADERS), (CONTROL, b"", SETTINGS), (CONTROL, b"\x04\x00", GOAWAY),
])  # fmt: skip
def test_the_limit_is_checked_from_the_head(kind: int, start: bytes, what: int) -> None:
    for size in (LIMIT - 1, LIMIT):
        reader = make_reader(kind)
        assert read_pieces(reader, [start + frame(what, b"x" * size)])[-1] == (what, b"x" * size)
    for size in (LIMIT + 1, 2**62 - 1):
        reader = make_reader(kind)
        with pytest.raises(FrameTooLarge) as raised:
            read_pieces(reader, [start + frame(what, size=size)])
        assert (raised.value.kind, raised.value.size) == (what, size)
        reader.feed(b"x" * 100)
        assert reader.read() == NOTHING
        assert not reader.is_between


def test_neither_data_nor_what_is_unknown_has_a_limit() -> None:
    reader = make_reader(limit_bytes=4)
    block = bytes(65536)
    sizes = []
    for kind in (GREASE, DATA):
        reader.feed(HEAD * (kind == GREASE) + frame(kind, size=64 * len(block)))
        for _ in range(64):
            reader.feed(block)
            sizes += [len(payload) for found, payload in read_all(reader) if found == DATA]
    assert sizes == [len(block)] * 64
    assert reader.is_between


def test_a_frame_in_many_pieces_costs_no_more_memory_than_itself() -> None:
    reader = make_reader(limit_bytes=1 << 20)
    reader.feed(frame(HEADERS, size=1 << 20))
    tracemalloc.start()
    try:
        for _ in range(1 << 14):
            reader.feed(b"x" * 64)
            kind = reader.read()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert kind == HEADERS
    assert reader.payload == b"x" * (1 << 20)
    assert peak < 5 << 20


def test_unknown_frames_are_not_held() -> None:
    reader = make_reader()
    reader.feed(frame(GREASE, size=1 << 30))
    assert reader.read() == NOTHING
    block = bytes(65536)
    tracemalloc.start()
    try:
        for _ in range(1 << 10):
            reader.feed(block)
            assert reader.read() == NOTHING
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    assert reader.skipped_bytes == (1 << 26) + 10

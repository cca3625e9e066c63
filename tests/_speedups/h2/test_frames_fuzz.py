"""Whatever comes: no exception but ``ConnectionFault``, bounded memory, and the same however it is cut."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastserver._speedups.h2.bounds import BLOCK_BYTES
from fastserver._speedups.h2.codes import PREFACE
from fastserver._speedups.h2.errors import ConnectionFault
from tests._speedups.h2 import wire
from tests._speedups.h2.wire import Reader, cut, frame, u32

HELD_BYTES = 9 + 16384 + BLOCK_BYTES

kinds = st.integers(0, 11) | st.integers(0, 255)
flags = st.sampled_from([0, 1, 4, 5, 8, 0x20, 0x2D]) | st.integers(0, 255)
streams = st.sampled_from([0, 1, 1, 1, 3, 5]) | st.integers(0, (1 << 32) - 1)
payloads = st.binary(max_size=40) | st.sampled_from([0, 4, 5, 6, 8, 12]).flatmap(lambda size: st.binary(max_size=size))
wild = st.builds(frame, kinds, flags, streams, payloads)
lying = st.builds(frame, kinds, flags, streams, payloads, st.integers(0, 20000))
large = st.builds(lambda kind, size: frame(kind, 0, 1, bytes(size)), st.integers(0, 10), st.integers(0, 16384))
tame = st.sampled_from(
    [
        wire.headers(1),
        wire.headers(3, flags=0),
        wire.continuation(3),
        wire.continuation(3, flags=4),
        wire.data(1, b"body"),
        wire.data(1),
        wire.ping(),
        wire.settings((4, 1), (1, 0)),
        wire.priority(1, 3),
        wire.window_update(1, 0),
        wire.window_update(0, 5),
        wire.rst_stream(1),
        wire.goaway(b"x"),
        frame(0xBE, 1, 1, b"?" * 30),
        frame(2, 0, 1, u32(1)),
    ]
)
texts = st.lists(tame | tame | wild | lying | large, max_size=30).map(b"".join) | st.binary(max_size=200)
Outcome = tuple[list[Any], list[Any], str]


def read(pieces: list[bytes]) -> Outcome:
    """What the frames say, the streams that were at fault, and how it ended."""
    reader = Reader()
    try:
        for piece in pieces:
            reader.feed(piece)
            assert reader.scanner.held <= HELD_BYTES
    except ConnectionFault as fault:
        assert reader.scanner.held == 0
        return reader.list_facts(), reader.faults, fault.reason
    return reader.list_facts(), reader.faults, ""


@given(texts, st.lists(st.integers(1, 60), min_size=1, max_size=10))
@settings(max_examples=200, deadline=None)
def test_any_frames_however_cut(text: bytes, sizes: list[int]) -> None:
    pieces = []
    at = step = 0
    while at < len(text):
        size = sizes[step % len(sizes)] * (1 if len(text) < 4000 else 100)
        pieces.append(text[at : at + size])
        at += size
        step += 1
    assert read(pieces) == read([text])


@given(st.integers(0, len(PREFACE)), st.binary(max_size=3))
def test_a_preface_is_wrong_at_its_first_wrong_byte(good: int, tail: bytes) -> None:
    text = (PREFACE[:good] + tail)[: len(PREFACE)]
    if PREFACE.startswith(text):
        Reader(b"").feed(*cut(text))
        return
    with pytest.raises(ConnectionFault):
        Reader(b"").feed(text)

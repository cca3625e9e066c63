"""Whatever comes: no exception but the two, and the same pieces and the same end however it is cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastserver._speedups.h3.codes import CONTROL, DATA, HEADERS, REQUEST, SETTINGS
from fastserver._speedups.h3.errors import ConnectionFault, FrameTooLarge
from tests._speedups.h3.wire import Piece, frame, make_reader, read_all

kinds = st.integers(0, 13) | st.sampled_from([DATA, HEADERS, DATA, 0x21, 0xF0700]) | st.integers(0, 2**62 - 1)
payloads = st.binary(max_size=80)
wild = st.builds(frame, kinds, payloads)
lying = st.builds(frame, kinds, payloads, st.integers(0, 300) | st.integers(0, 2**62 - 1))
tame = st.builds(frame, st.sampled_from([DATA, DATA, 0x21]), payloads)
heads = st.sampled_from([b"", frame(HEADERS, b"head"), frame(SETTINGS, b"\x06\x01")])
streams = st.builds(
    lambda head, frames: head + b"".join(frames), heads, st.lists(tame | tame | wild | lying, max_size=8)
) | st.binary(max_size=60)

LIMIT = 64


def run(data: bytes, kind: int, sizes: list[int], is_read: list[bool]) -> tuple[list[Piece], object]:
    """The pieces, with DATA put together, and how it ended; cut by sizes in turn, read after a part or not."""
    reader = make_reader(kind, LIMIT)
    found: list[Piece] = []
    at = turn = 0
    try:
        while at < len(data):
            size = sizes[turn % len(sizes)]
            reader.feed(data[at : at + size])
            at += size
            if at < len(data) and not is_read[turn % len(is_read)]:
                turn += 1
                continue
            turn += 1
            for piece, payload in read_all(reader):
                if piece == DATA:
                    assert payload
                    if found and found[-1][0] == DATA:
                        payload = found.pop()[1] + payload
                found.append((piece, payload))
    except ConnectionFault as fault:
        return found, fault.code
    except FrameTooLarge as fault:
        return found, (fault.kind, fault.size)
    return found, (reader.is_between, reader.empty_frames, reader.skipped_bytes)


@pytest.mark.parametrize("kind", [REQUEST, CONTROL])
@settings(deadline=None, max_examples=200)
@given(
    data=streams,
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=6),
    is_read=st.lists(st.booleans(), min_size=1, max_size=4),
)
def test_any_stream_however_it_is_cut(kind: int, data: bytes, sizes: list[int], is_read: list[bool]) -> None:
    whole = run(data, kind, [len(data) or 1], [True])
    assert run(data, kind, [1], [True]) == whole
    assert run(data, kind, sizes, is_read) == whole

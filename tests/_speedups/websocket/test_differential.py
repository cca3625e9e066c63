"""The reader held against wsproto's own connection: the same items, however the bytes are cut and whatever they are.

What differs, each by intent: a header is judged when it is whole (wsproto: from its second byte on, so it may fail with
the last bytes of the input where the reader still waits); a length beyond the limit is refused (wsproto has no limits);
and what `test_deflate` names.
"""

from hypothesis import example, given
from hypothesis import strategies as st
from wsproto.extensions import PerMessageDeflate

from fastserver._speedups.websocket.deflate import Deflate
from fastserver._speedups.websocket.reader import MessageReader
from tests._speedups.websocket.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    RSV1,
    TEXT,
    Item,
    cut,
    deflate,
    drain,
    frame,
    read,
    read_by_wsproto,
)

keys = st.binary(min_size=4, max_size=4)
payloads = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=20).map(str.encode),
    st.sampled_from([b"x" * 125, b"x" * 126, b"x" * 400, b"\xc3", b"\xa9", b"\xed\xa0\x80", b"\x03\xe8bye", b"\x03"]),
)
opcodes = st.sampled_from(
    [FIN | TEXT, FIN | BINARY, TEXT, BINARY, CONTINUATION, FIN | CONTINUATION, FIN | PING, FIN | PONG]
)
valid_frames = st.builds(lambda first, payload, key: frame(first, payload, key=key), opcodes, payloads, keys)
any_frames = st.builds(
    lambda first, payload, key, form: frame(first, payload, key=key, form=form if len(payload) < 126 else 8),
    st.one_of(opcodes, st.integers(0, 255), st.just(FIN | CLOSE)), payloads, keys, st.sampled_from([None, None, 2, 8]),
)  # fmt: skip
sizes = st.sampled_from([1, 2, 3, 5, 17, 1000])


@st.composite
def messages(draw: st.DrawFn) -> list[bytes]:
    """A message as its frames, plain or compressed, in fragments or not."""
    text = draw(st.text(max_size=80)).encode()
    opcode = draw(st.sampled_from([TEXT, BINARY]))
    compressed = draw(st.booleans())
    payload = deflate(text) if compressed else text
    parts = cut(payload, draw(st.integers(1, 40))) if draw(st.booleans()) and payload else [payload]
    codes = [opcode | (RSV1 if compressed else 0), *[CONTINUATION] * (len(parts) - 1)]
    codes[-1] |= FIN
    return [frame(code, part, key=draw(keys)) for code, part in zip(codes, parts, strict=True)]


def compare(data: bytes, size: int) -> None:
    ours = MessageReader(1 << 62)
    items: list[Item] = []
    for piece in cut(data, size):
        ours.feed(piece)
        items += drain(ours)
    theirs = read_by_wsproto(cut(data, size))
    if items[-1:] == [("fault", 1009)]:
        assert theirs[: len(items) - 1] == items[:-1]
        assert len(theirs) <= len(items)
    elif len(theirs) < len(items):
        # That a mask is missing is seen before the rest of the length has come, for which wsproto waits.
        assert items[-1] == ("fault", 1002)
        assert read_by_wsproto([*cut(data, size), bytes(8)]) == items
    elif theirs != items:
        assert theirs == [*items, ("fault", 1002)]
        assert len(data) - ours.consumed < 14
    assert read([data], max_bytes=1 << 62) == items


@given(st.lists(valid_frames, max_size=6), sizes)
def test_frames(frames: list[bytes], size: int) -> None:
    compare(b"".join(frames), size)


@given(st.lists(any_frames, max_size=5), sizes)
def test_any_frames(frames: list[bytes], size: int) -> None:
    compare(b"".join(frames), size)


@given(st.lists(valid_frames, min_size=1, max_size=4), st.data(), sizes)
def test_mutated_frames(frames: list[bytes], draws: st.DataObject, size: int) -> None:
    data = bytearray(b"".join(frames))
    for _ in range(draws.draw(st.integers(1, 3))):
        data[draws.draw(st.integers(0, len(data) - 1))] = draws.draw(st.integers(0, 255))
    compare(bytes(data), size)


@given(st.binary(max_size=60), sizes)
@example(b"\x00~", 1)
def test_noise(data: bytes, size: int) -> None:
    compare(data, size)


@given(st.lists(messages(), max_size=4), sizes)
def test_messages_with_deflate(frames: list[list[bytes]], size: int) -> None:
    data = b"".join(map(b"".join, frames))
    theirs = PerMessageDeflate(True, 12, True, 12)
    theirs.accept("permessage-deflate")
    items = read(cut(data, size), Deflate())
    assert len(items) == len(frames)
    assert items == read_by_wsproto(cut(data, size), [theirs])


@given(st.lists(messages(), min_size=1, max_size=3), st.data(), sizes)
def test_mutated_messages_with_deflate(frames: list[list[bytes]], draws: st.DataObject, size: int) -> None:
    """However they are cut the items are the same, and nothing but a fault is raised.

    A message that is both too large and no UTF-8 ends by whichever is found first, and pieces show the text sooner.
    """
    data = bytearray(b"".join(map(b"".join, frames)))
    for _ in range(draws.draw(st.integers(1, 3))):
        data[draws.draw(st.integers(0, len(data) - 1))] = draws.draw(st.integers(0, 255))
    whole = read([bytes(data)], Deflate(), 200)
    pieces = read(cut(bytes(data), size), Deflate(), 200)
    if whole[-1:] == [("fault", 1009)] and pieces[-1:] == [("fault", 1007)]:
        pieces[-1] = whole[-1]
    assert pieces == whole

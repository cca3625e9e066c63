"""A stream's halves by themselves."""

import random

import pytest

from fastserver._speedups.quic.bounds import STREAM_GAPS
from fastserver._speedups.quic.errors import TransportFault
from fastserver._speedups.quic.streams import Stream

WINDOW = 1 << 16


def make_stream() -> Stream:
    return Stream(0, True, True, WINDOW, WINDOW)


@pytest.mark.parametrize("seed", range(20))
def test_pieces_in_any_order_make_the_whole(seed: int) -> None:
    rng = random.Random(seed)
    whole = rng.randbytes(2000)
    stream = make_stream()
    got = b""
    pieces = [(at, whole[at : at + rng.randint(1, 90)]) for at in range(0, 2000, 40)]
    pieces += [(at, whole[at : at + 40]) for at in range(0, 2000, 40)]
    rng.shuffle(pieces)
    for offset, data in pieces:
        if offset + len(data) > stream.received:
            stream.keep(offset, data)
            got += stream.take_run()
        assert stream.received == len(got)
    assert got == whole


def test_gaps_are_bounded() -> None:
    stream = make_stream()
    for number in range(STREAM_GAPS):
        stream.keep(2 * number + 1, b"x")
    stream.keep(2, b"y")
    stream.keep(2 * STREAM_GAPS - 1, b"x")
    stream.keep(2 * STREAM_GAPS + 1, b"x")
    with pytest.raises(TransportFault):
        stream.keep(2 * STREAM_GAPS + 3, b"x")


def copy(stream: Stream, start: int, stop: int) -> bytes:
    out = bytearray()
    stream.copy_to(out, start, stop)
    return bytes(out)


def test_what_is_sent_is_read_across_parts() -> None:
    stream = make_stream()
    whole = bytes(range(100))
    for at in range(0, 100, 7):
        stream.queue(whole[at : at + 7], at + 7 >= 100)
    for start in range(0, 99, 3):
        for stop in range(start + 1, 101, 5):
            assert copy(stream, start, stop) == whole[start:stop]


@pytest.mark.parametrize("seed", range(10))
def test_acknowledgements_in_any_order_let_the_parts_go(seed: int) -> None:
    rng = random.Random(seed)
    stream = make_stream()
    for number in range(20):
        stream.queue(bytes([number]) * 10, number == 19)
    stream.sent = 200
    stream.end_is_acked = True
    pieces = [(at, at + 8) for at in range(0, 200, 8)]
    rng.shuffle(pieces)
    for index, (start, stop) in enumerate(pieces):
        assert not stream.has_arrived()
        stream.note_acked(start, stop)
        missing = [low for low, _ in pieces[index + 1 :]]
        if missing:
            first = min(missing)
            assert copy(stream, first, 200) == bytes(number for number in range(20) for _ in range(10))[first:]
    assert stream.has_arrived()


def test_lost_bytes_are_given_first_and_in_order() -> None:
    stream = make_stream()
    stream.queue(bytes(100), False)
    stream.sent = 100
    assert not stream.may_send()
    stream.note_lost(60, 80)
    stream.note_lost(10, 30)
    assert stream.may_send()
    assert stream.take_lost(15) == (10, 25)
    assert stream.take_lost(15) == (25, 30)
    assert stream.take_lost(100) == (60, 80)
    assert not stream.has_lost()


def test_a_stream_that_is_given_up_sends_nothing() -> None:
    stream = make_stream()
    stream.queue(bytes(100), True)
    stream.sent = 40
    assert stream.give_up(7) == 60
    assert not stream.may_send()
    assert (stream.queued, stream.reset_code, stream.wants_reset) == (40, 7, True)

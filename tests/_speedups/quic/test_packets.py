"""Integers, ranges, packet number spaces and drafts."""

import random

import pytest

from fastserver._speedups.quic.bounds import ACK_RANGES
from fastserver._speedups.quic.errors import FRAME_ENCODING_ERROR, TransportFault
from fastserver._speedups.quic.packets import Draft, Ranges, Reader, Space, size_varint

EDGES = (0, 63, 64, 16383, 16384, (1 << 30) - 1, 1 << 30, (1 << 62) - 1)


def make_draft(limit: int = 1000) -> Draft:
    draft = Draft()
    draft.begin(limit, 7)
    return draft


def read(data: bytes) -> Reader:
    reader = Reader()
    reader.begin(data)
    return reader


@pytest.mark.parametrize("value", EDGES)
def test_integers_come_back(value: int) -> None:
    draft = make_draft()
    draft.push(value)
    assert len(draft.out) == size_varint(value)
    reader = read(bytes(draft.out))
    assert reader.read() == value
    assert reader.at == reader.end


@pytest.mark.parametrize("value", EDGES)
def test_a_truncated_integer_is_a_fault(value: int) -> None:
    draft = make_draft()
    draft.push(value)
    with pytest.raises(TransportFault) as raised:
        read(bytes(draft.out[:-1])).read()
    assert raised.value.code == FRAME_ENCODING_ERROR


def test_padding_is_skipped() -> None:
    reader = read(b"\0\0\0\x01\0")
    reader.skip_padding()
    assert reader.read() == 1
    reader.skip_padding()
    assert reader.at == reader.end


def list_model(model: set[int]) -> list[tuple[int, int]]:
    """The set as ranges."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(model):
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
    return ranges


@pytest.mark.parametrize("seed", range(20))
def test_ranges_are_a_set(seed: int) -> None:
    rng = random.Random(seed)
    ranges = Ranges()
    model: set[int] = set()
    for _ in range(300):
        start = rng.randrange(100)
        stop = start + rng.randint(1, 6)
        action = rng.random()
        if action < 0.8:
            ranges.add(start, stop)
            model |= set(range(start, stop))
        elif action < 0.85:
            ranges.add(start)
            model.add(start)
        elif action < 0.9:
            ranges.cut(start // 4)
            model -= set(range(start // 4))
        elif model:
            low, high = ranges.shift()
            assert set(range(low, high)) <= model
            model -= set(range(low, high))
            if high - low > 1 and rng.random() < 0.5:
                ranges.put_back(low + 1, high)
                model |= set(range(low + 1, high))
        assert ranges.list_ranges() == list_model(model)
        assert len(ranges) == len(list_model(model))
        assert all(ranges.has(number) == (number in model) for number in range(0, 110, 7))


def test_a_space_knows_what_has_come() -> None:
    space = Space(True)
    for number in range(0, 6 * ACK_RANGES, 2):
        assert number not in space.received_packets
        space.received_packets.add(number)
        assert number in space.received_packets
    assert 6 * ACK_RANGES - 3 not in space.received_packets
    # What is below the ranges that are kept counts as received.
    assert 1 in space.received_packets


def test_an_acknowledgement_lists_the_newest_ranges() -> None:
    space = Space(True)
    for number in (0, 1, 2, 5, 9, 10):
        space.ack_queue.add(number)
    space.largest_received_packet = 10
    draft = make_draft()
    assert draft.push_ack(space, 3) == 3
    assert bytes(draft.out) == bytes([0x02, 10, 3, 2, 1, 2, 0, 1, 2])
    assert draft.packet.acknowledges == 10
    tight = make_draft(48)
    assert tight.push_ack(space, 3) == 2
    assert bytes(tight.out) == bytes([0x02, 10, 3, 1, 1, 2, 0])

"""Whose turn it is in a rolling reload."""

import pytest

from fastserver import Config
from fastserver.processes.generation import Generation
from fastserver.processes.rollover import ABREAST, Rollover
from fastserver.processes.workers import Slot


def make_generation(workers: int) -> Generation:
    return Generation("no:app", Config(workers=workers), [], None)


def make_roll(before: int, after: int) -> tuple[Rollover, list[Slot]]:
    former = make_generation(before)
    slots = [Slot(former) for _ in range(before)]
    return Rollover(make_generation(after), slots, 0.0), slots


def drain(roll: Rollover) -> list[Slot]:
    """The slots in the order of their turns, each ready before the next begins."""
    order = []
    while (slot := roll.pick()) is not None:
        assert roll.has_started(slot)
        assert not roll.is_over
        order.append(slot)
        assert roll.note_ready(slot)
    assert roll.is_over
    return order


def test_each_slot_has_its_turn_and_only_one_at_a_time() -> None:
    roll, slots = make_roll(3, 3)
    assert roll.pick() is slots[0]
    assert roll.pick() is None
    assert roll.note_ready(slots[0])
    assert drain(roll) == slots[1:]
    assert roll.done == slots
    assert not roll.note_ready(slots[0])


def test_more_workers_are_new_slots_and_fewer_are_surplus() -> None:
    roll, slots = make_roll(1, 3)
    assert drain(roll) == [*slots, *roll.added]
    assert len(roll.added) == 2
    assert all(slot.generation is roll.target for slot in roll.added)
    roll, slots = make_roll(3, 1)
    assert roll.surplus == slots[1:]
    assert drain(roll) == slots[:1]


def test_of_many_several_start_together_once_the_first_has_shown_that_they_can() -> None:
    count = 3 * ABREAST
    roll, slots = make_roll(count, count)
    assert [roll.pick(), roll.pick()] == [slots[0], None]
    roll.note_ready(slots[0])
    assert [roll.pick() for _ in range(4)] == [*slots[1:4], None]
    roll.note_ready(slots[2])
    assert [roll.pick(), roll.pick()] == [slots[4], None]


def test_a_slot_that_cannot_be_relieved_now_is_the_next() -> None:
    roll, slots = make_roll(2, 2)
    slot = roll.pick()
    assert slot is not None
    roll.put_back(slot)
    assert not roll.has_started(slot)
    assert drain(roll) == slots


@pytest.mark.parametrize("picked", [False, True])
def test_a_slot_that_is_removed_is_not_waited_for(picked: bool) -> None:
    roll, slots = make_roll(2, 2)
    if picked:
        assert roll.pick() is slots[0]
    roll.forget(slots[0])
    assert drain(roll) == slots[1:]

"""Worker numbers: who has which, and what the kernel is told of it."""

from collections.abc import Collection
from typing import cast

import pytest

from fastserver.config.errors import ConfigError
from fastserver.server.numbers import WorkerNumbers, count_numbers
from fastserver.transport.udpgroup import QUICPlace, UDPGroup


class FakeGroup:
    """Keeps what it is told."""

    def __init__(self, numbers: int) -> None:
        self.numbers = numbers
        self.orders: list[tuple[set[int], set[int]]] = []

    def steer(self, accepting: Collection[int], living: Collection[int]) -> bool:
        self.orders.append((set(accepting), set(living)))
        return True


@pytest.fixture
def group() -> FakeGroup:
    return FakeGroup(4)


@pytest.fixture
def numbers(group: FakeGroup) -> WorkerNumbers:
    return WorkerNumbers(cast(UDPGroup, group))


def claim(numbers: WorkerNumbers) -> QUICPlace:
    place = numbers.claim()
    assert place is not None
    return place


@pytest.mark.parametrize(("workers", "count"), [(0, 1), (1, 4), (2, 6), (64, 130), (126, 254), (127, 256), (254, 256)])
def test_there_are_more_numbers_than_workers(workers: int, count: int) -> None:
    assert count_numbers(workers) == count
    assert workers == 1 or count > workers


def test_too_many_workers_are_refused() -> None:
    with pytest.raises(ConfigError, match="at most 254 workers"):
        count_numbers(255)


def test_a_number_is_of_one_living_worker(numbers: WorkerNumbers, group: FakeGroup) -> None:
    places = [claim(numbers) for _ in range(4)]
    assert [place.number for place in places] == [0, 1, 2, 3]
    assert all(place.group is numbers.group for place in places)
    assert numbers.claim() is None
    numbers.release(places[2])
    assert claim(numbers).number == 2
    assert numbers.claim() is None


def test_the_longest_free_is_next(numbers: WorkerNumbers) -> None:
    first, second = claim(numbers), claim(numbers)
    numbers.release(second)
    numbers.release(first)
    assert [claim(numbers).number for _ in range(4)] == [2, 3, 1, 0]


def test_the_kernel_hears_of_each_step_of_a_life(numbers: WorkerNumbers, group: FakeGroup) -> None:
    old, other, new = claim(numbers), claim(numbers), claim(numbers)
    assert group.orders == []  # one that starts gets nothing
    numbers.accept(old)
    numbers.accept(other)
    numbers.retire(old)
    numbers.accept(new)
    numbers.release(old)
    assert group.orders == [({0}, {0}), ({0, 1}, {0, 1}), ({1}, {0, 1}), ({1, 2}, {0, 1, 2}), ({1, 2}, {1, 2})]


def test_a_crash_leaves_neither(numbers: WorkerNumbers, group: FakeGroup) -> None:
    places = [claim(numbers), claim(numbers)]
    for place in places:
        numbers.accept(place)
    numbers.release(places[0])
    assert group.orders[-1] == ({1}, {1})


def test_a_stop_is_one_order(numbers: WorkerNumbers, group: FakeGroup) -> None:
    places = [claim(numbers), claim(numbers)]
    for place in places:
        numbers.accept(place)
    numbers.retire(*places)
    for place in places:
        numbers.retire(place)
    assert group.orders[2:] == [(set(), {0, 1})]


def test_one_that_never_was_ready_changes_nothing(numbers: WorkerNumbers, group: FakeGroup) -> None:
    place = claim(numbers)
    numbers.retire(place)
    numbers.release(place)
    assert group.orders == []

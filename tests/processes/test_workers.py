"""The table of a worker's states, and how long its place stays empty."""

import pytest

from fastserver.processes.workers import MOVES, WorkerState, get_backoff_s


def test_the_first_death_is_made_good_at_once_and_later_ones_ever_later() -> None:
    delays = [get_backoff_s(deaths) for deaths in range(10)]
    assert delays == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
    assert get_backoff_s(10**6) == 10


def test_every_state_leads_to_the_end_and_none_leads_back() -> None:
    assert set(MOVES) == set(WorkerState)
    order = list(WorkerState)
    for state, targets in MOVES.items():
        assert all(order.index(target) > order.index(state) for target in targets)
        assert (WorkerState.GONE in targets) is (state is not WorkerState.GONE)

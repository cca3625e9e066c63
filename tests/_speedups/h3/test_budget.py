"""What a peer may spend that costs it nothing: each budget below, at and above its limit."""

from collections.abc import Callable

import pytest

from fastserver._speedups.bounds import FLOOD_BYTES, FLOOD_RATIO
from fastserver._speedups.contract import H3Limits, Limits
from fastserver._speedups.h3.bounds import SKIPPED_BYTES, STRAY_LANES
from fastserver._speedups.h3.budget import Budget
from fastserver._speedups.h3.errors import H3_EXCESSIVE_LOAD, ConnectionFault
from tests.fakes import DEFAULT_LIMITS


def make_budget(resets: int = 200) -> Budget:
    return Budget(Limits(**DEFAULT_LIMITS, h3=H3Limits(resets=resets)))


#: What spends a budget, and how often it can be done.
SPENDERS: list[tuple[Callable[[Budget], object], int]] = [
    (lambda budget: budget.count_skipped(1024), SKIPPED_BYTES // 1024),
    (lambda budget: budget.count_lane(), STRAY_LANES),
    (lambda budget: budget.count_reset(1000.0), 200),
    (lambda budget: budget.count_datagram(4096), FLOOD_RATIO * FLOOD_BYTES // 4096),
]


@pytest.mark.parametrize(("spend", "most"), SPENDERS)
def test_a_budget_has_its_limit(spend: Callable[[Budget], object], most: int) -> None:
    budget = make_budget()
    for _ in range(most):
        spend(budget)
    with pytest.raises(ConnectionFault) as caught:
        spend(budget)
    assert caught.value.code == H3_EXCESSIVE_LOAD


def test_payload_pays_for_datagrams() -> None:
    budget = make_budget()
    for _ in range(100_000):
        budget.count_datagram(1200)
        budget.count_payload(1000)


def test_a_little_grease_with_each_request_is_no_flood() -> None:
    budget = make_budget()
    for _ in range(100_000):
        budget.count_payload(160)
        budget.count_skipped(20)

"""How much one worker may do."""

import math
import random

import pytest

from fastserver import Config
from fastserver.processes.heartbeat import Vitals
from fastserver.processes.recycling import Allowance

CONFIG = Config(
    max_requests=1000,
    max_requests_jitter=100,
    worker_lifetime=3600,
    worker_lifetime_jitter=60,
    worker_max_rss="256m",
    worker_max_rss_jitter="16m",
)


def test_without_limits_a_worker_goes_on() -> None:
    allowance = Allowance.draw(Config(max_requests_jitter=50, worker_lifetime_jitter=50), random.Random(1))
    assert allowance == Allowance(math.inf, math.inf, math.inf)
    assert allowance.find_excess(Vitals(9, 10**12, 10**12), 10**9) is None


def test_jitter_is_added_and_differs_from_worker_to_worker() -> None:
    drawn = [Allowance.draw(CONFIG, random.Random(seed)) for seed in range(200)]
    for values, limit, jitter in (
        ([each.requests for each in drawn], 1000, 100),
        ([each.lifetime_s for each in drawn], 3600, 60),
        ([each.rss_bytes for each in drawn], 256 << 20, 16 << 20),
    ):
        assert limit <= min(values) < limit + jitter / 10
        assert limit + jitter * 0.9 < max(values) <= limit + jitter
        assert len(set(values)) > 100


@pytest.mark.parametrize(
    ("vitals", "age_s", "excess"),
    [
        (Vitals(1, 999, 255 << 20), 59.0, None),
        (Vitals(1, 1000, 0), 0.0, "after 1000 requests"),
        (Vitals(1, 0, 0), 60.0, "after 60 s"),
        (Vitals(1, 0, 256 << 20), 0.0, "with 256 MiB of memory"),
    ],
)
def test_what_is_enough(vitals: Vitals, age_s: float, excess: str | None) -> None:
    assert Allowance(1000, 60.0, 256 << 20).find_excess(vitals, age_s) == excess

"""The token bucket: its capacity, what comes back, and that it never holds more."""

import pytest

from fastserver._speedups.bucket import TokenBucket

START_S = 1000.0


def count_taken(bucket: TokenBucket, now: float, most: int = 1000) -> int:
    """How many can be taken at one moment."""
    return next((count for count in range(most) if not bucket.take(now)), most)


@pytest.fixture(name="bucket")
def make_bucket() -> TokenBucket:
    return TokenBucket(5.0, 2.0)


def test_its_capacity_may_come_at_once(bucket: TokenBucket) -> None:
    assert count_taken(bucket, START_S) == 5


@pytest.mark.parametrize(("pause_s", "count"), [(0.4, 0), (0.5, 1), (1.4, 2), (2.4, 4), (2.5, 5), (3600.0, 5)])
def test_the_rate_comes_back(bucket: TokenBucket, pause_s: float, count: int) -> None:
    count_taken(bucket, START_S)
    assert count_taken(bucket, START_S + pause_s) == count


def test_asking_in_vain_costs_nothing(bucket: TokenBucket) -> None:
    count_taken(bucket, START_S)
    assert [bucket.take(START_S + step / 8) for step in range(1, 5)] == [False, False, False, True]

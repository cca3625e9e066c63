"""Adding up and reading counters."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserver._speedups.histogram import BOUNDS
from fastserver.metrics.snapshot import merge, quantile, select
from tests.metrics.samples import make_histogram, make_snapshot

#: Trees of one shape (what a name means does not change), from which any part may be missing.
COUNTS = st.integers(0, 1 << 60)
TREES = st.fixed_dictionaries(
    {},
    optional={
        "bytes_in": COUNTS,
        "timeouts": st.dictionaries(st.sampled_from(["idle", "write"]), COUNTS),
        "requests": st.dictionaries(st.sampled_from(["http/1.1", "é"]), st.dictionaries(st.just("2xx"), COUNTS)),
        "latency": st.fixed_dictionaries({"buckets": st.lists(COUNTS, max_size=4)}),
    },
)
BUCKETS = st.lists(st.integers(0, 1000), min_size=len(BOUNDS) + 1, max_size=len(BOUNDS) + 1)


def test_merge_adds_everything_and_keeps_no_fact_of_one_process() -> None:
    one, other = make_snapshot(1), make_snapshot(2, requests={"http/1.1": {"5xx": 1}, "h2": {"2xx": 2}})
    total = merge([one, other])
    assert total["bytes_out"] == 8000
    assert total["requests"] == {
        "http/1.1": {"2xx": 12, "4xx": 1, "aborted": 2, "5xx": 1},
        "redis": {"2xx": 3},
        "h2": {"2xx": 2},
    }
    assert total["latency"] == {"count": 28, "sum": 0.5, "buckets": make_histogram(b0=6, b2=20, b16=2)["buckets"]}
    assert total["gauges"] == {
        "connections": {"http/1.1": {"active": 4, "idle": 80}, "redis": {"active": 2, "idle": 0}},
        "streams": {"http/1.1": 4, "h2": 60},
        "websocket_sessions": 10,
        "quic_handshakes": 12,
        "tasks": 6,
        "resident_bytes": 62000000,
        "cpu_s": 2.5,
    }


def test_merge_of_nothing() -> None:
    assert merge([]) == {}


@given(st.lists(TREES, max_size=4))
def test_merge_is_the_same_in_any_grouping_and_leaves_its_arguments_alone(trees: list[dict[str, Any]]) -> None:
    before = copy.deepcopy(trees)
    total = merge(trees)
    assert total == merge(reversed(trees))
    stepwise: dict[str, Any] = {}
    for tree in trees:
        stepwise = merge([stepwise, tree])
    assert total == stepwise
    merge([total, total])["timeouts"] = {}
    for part in total.values():
        if isinstance(part, dict):
            part.clear()
    assert trees == before


def test_quantile_is_linear_within_a_bucket() -> None:
    histogram = make_histogram(b3=10)  # between 0.0005 and 0.001
    assert quantile(histogram, 0.0) == pytest.approx(0.0005)
    assert quantile(histogram, 0.5) == pytest.approx(0.00075)
    assert quantile(histogram, 1.0) == pytest.approx(0.001)


def test_quantile_finds_the_bucket() -> None:
    histogram = make_histogram(b0=50, b9=45, b16=5)
    assert quantile(histogram, 0.25) == pytest.approx(0.00005)
    assert quantile(histogram, 0.95) == pytest.approx(0.1)
    assert quantile(histogram, 0.99) == 10.0


def test_quantile_of_what_is_longer_than_all_bounds_is_the_last_bound() -> None:
    assert [quantile(make_histogram(b16=1), q) for q in (0.0, 0.5, 1.0)] == [10.0, 10.0, 10.0]


def test_quantile_of_nothing() -> None:
    assert quantile({}, 0.5) == quantile(make_histogram(), 0.99) == 0.0


@pytest.mark.parametrize("q", [-0.01, 1.01, float("nan")])
def test_quantile_refuses(q: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        quantile(make_histogram(b0=1), q)


@given(BUCKETS, st.floats(0, 1), st.floats(0, 1))
def test_quantile_lies_in_its_bucket_and_never_goes_down(buckets: list[int], q: float, other: float) -> None:
    histogram = {"buckets": buckets}
    low, high = sorted((q, other))
    assert quantile(histogram, low) <= quantile(histogram, high)
    found = quantile(histogram, q)
    # At most q of all lie in the buckets wholly below the value, and at least q in those up to its own.
    wholly_below = sum(count for count, bound in zip(buckets, BOUNDS, strict=False) if bound < found)
    up_to_it = sum(count for count, lower in zip(buckets, (0.0, *BOUNDS), strict=True) if lower <= found)
    assert wholly_below <= q * sum(buckets) <= up_to_it


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("bytes_in", {(): 500}),
        ("requests {protocol} {status}", {("http/1.1", "2xx"): 12, ("http/1.1", "4xx"): 1, ("http/1.1", "aborted"): 2,
                                          ("redis", "2xx"): 3}),
        ("requests * {status}", {("2xx",): 15, ("4xx",): 1, ("aborted",): 2}),
        ("requests * *", {(): 18}),
        ("observers {observer} dropped", {("app.seen:hear",): 6}),
        ("absent", {(): 0}),
        ("absent * *", {(): 0}),
        ("absent {label}", {}),
        ("observers {observer} absent", {("app.seen:hear",): 0}),
        ("refused_requests absent {status}", {}),
        ("refused_requests * {status}", {("400",): 1, ("431",): 2}),
        ("websocket messages_{direction}", {("in",): 70, ("out",): 80}),
    ],
)  # fmt: skip
def test_select(path: str, values: dict[tuple[str, ...], int]) -> None:
    assert select(make_snapshot(), tuple(path.split())) == values

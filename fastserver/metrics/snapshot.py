"""A worker's counters at one moment: adding them up, and reading them.

A snapshot is a tree of dictionaries, lists and numbers that JSON can hold.  Everything in it counts up from 0, but what
is under ``gauges``, which holds of a living worker only.  What is absent is 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any, Final, TypeAlias

from fastserver._speedups.histogram import BOUNDS

Snapshot: TypeAlias = dict[str, Any]

#: ``count``, ``sum`` in seconds, and ``buckets``: how many fell into each (not cumulative), one more than ``BOUNDS``.
Histogram: TypeAlias = Mapping[str, Any]

#: Gauges that are facts of one process; the others are amounts, which add up.
_OF_ONE_PROCESS: Final = ("pid", "started")


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """All of ``snapshots`` in one, which shares nothing with them.  Of the gauges it has those that are amounts."""
    total: Snapshot = {}
    for snapshot in snapshots:
        _add(total, snapshot)
    if "gauges" in total:
        for name in _OF_ONE_PROCESS:
            total["gauges"].pop(name, None)
    return total


def _add(total: dict[str, Any], counters: Mapping[str, Any]) -> None:
    for name, value in counters.items():
        if isinstance(value, Mapping):
            _add(total.setdefault(name, {}), value)
        elif isinstance(value, list):
            total[name] = [a + b for a, b in zip_longest(total.get(name, ()), value, fillvalue=0)]
        else:
            total[name] = total.get(name, 0) + value


def quantile(histogram: Histogram, q: float) -> float:
    """Seconds below which the part ``q`` (0 to 1) of what was measured lies, taken as evenly spread in its bucket.

    What is longer than the last bound counts as that bound.  0.0 when nothing was measured.
    """
    if not 0.0 <= q <= 1.0:
        raise ValueError(f"a quantile is from 0 to 1, not {q!r}")
    buckets = histogram.get("buckets", ())
    rank = q * sum(buckets)
    below = 0
    lower = 0.0
    for upper, count in zip(BOUNDS, buckets):  # noqa: B905  (the last bucket has no bound)
        if count and below + count >= rank:
            return float(lower + (upper - lower) * (rank - below) / count)
        below += count
        lower = upper
    return BOUNDS[-1] if any(buckets) else 0.0


def select(tree: Mapping[str, Any], path: tuple[str, ...]) -> dict[tuple[str, ...], Any]:
    """The values at ``path``, each under the keys that its labels stand for.

    A step is a key; ``{label}``, any key, which goes into the result's; ``beginning_{label}``, any key that begins so,
    whose rest does; or ``*``, any key, all of which are summed.
    ``select({"a": {"x": 1, "y": 2}}, ("a", "{name}"))`` is ``{("x",): 1, ("y",): 2}``; with ``*`` it is ``{(): 3}``.
    What is absent is 0, where its labels are known.
    """
    found: dict[tuple[str, ...], Any] = {}
    _collect(tree, path, (), found)
    return found


def _collect(value: Any, path: tuple[str, ...], labels: tuple[str, ...], found: dict[tuple[str, ...], Any]) -> None:
    if not path:
        found[labels] = found[labels] + value if labels in found else value
        return
    step, rest = path[0], path[1:]
    beginning, has_label, _ = step.partition("{")
    if has_label:
        for key, child in value.items():
            if key.startswith(beginning):
                _collect(child, rest, (*labels, key[len(beginning) :]), found)
    elif step == "*" and value:
        for child in value.values():
            _collect(child, rest, labels, found)
    elif step in value:
        _collect(value[step], rest, labels, found)
    elif not any("{" in later for later in rest):
        found.setdefault(labels, 0)

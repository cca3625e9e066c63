"""When memory is given back: after a flood, once, and never in the middle of one."""

import pytest

from fastserver._speedups.kernels import trim_memory
from fastserver.server import ebb
from fastserver.server.ebb import FLOOD, Ebb


def test_memory_is_trimmed_when_a_flood_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    trims: list[int] = []
    monkeypatch.setattr(ebb, "trim_memory", lambda: trims.append(len(seen)))
    watcher = Ebb()
    counts = [0, FLOOD - 1, 0, FLOOD, FLOOD // 2, FLOOD // 4, FLOOD // 4 - 1, 0, 0, 8 * FLOOD, 2 * FLOOD, 0, 0]
    for count in counts:
        watcher.watch(count)
        seen.append(count)
    assert trims == [6, 11]


def test_trimming_may_be_repeated() -> None:
    assert {trim_memory(), trim_memory()} <= {True, False}

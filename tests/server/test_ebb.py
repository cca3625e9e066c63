"""When memory is given back: after a flood, once, and never in the middle of one."""

import pytest

from fastserver._speedups.kernels import keep_memory, trim_memory
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


def test_free_memory_is_kept_unless_the_operator_says_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def keep(kept: int, mapped: int) -> bool:
        asked.append((kept, mapped))
        return True

    monkeypatch.setattr(ebb, "keep_memory", keep)
    for name in ebb.DECIDED:
        monkeypatch.delenv(name, raising=False)
    assert ebb.keep_tide()
    assert asked == [(ebb.KEPT, ebb.MAPPED)]
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not ebb.keep_tide()
    assert len(asked) == 1


def test_keeping_may_be_asked_of_any_build() -> None:
    assert keep_memory(128 * 1024, 128 * 1024) in (True, False)

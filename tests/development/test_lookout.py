"""What has changed, told by a process of its own, with and without the package ``watchfiles``."""

import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastserver.development import lookout
from fastserver.development.lookout import LOOKS, start_lookout, watch_by_polling
from fastserver.development.selection import Selection
from fastserver.development.watcher import Watcher

PATIENCE_S = 20.0


class Process:
    """A lookout over ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process = start_lookout(Selection((str(root),)), 0.05, time.time())

    def read(self) -> list[str]:
        """The names of what has changed."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], PATIENCE_S)[0]
        return [os.path.relpath(path, self.root) for path in json.loads(self.process.stdout.readline())]


@pytest.fixture(params=["watchfiles", "polling"])
def process(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    if request.param == "watchfiles":
        pytest.importorskip("watchfiles")
    else:
        hidden = tmp_path / "hidden"
        hidden.mkdir()
        (hidden / "watchfiles.py").write_text("raise ImportError")
        monkeypatch.setattr(sys, "path", [str(hidden), *sys.path])
    root = tmp_path / "root"
    root.mkdir()
    (root / "json.py").write_text("raise SystemExit('this is the application's')")
    monkeypatch.chdir(root)
    (root / "old.py").touch()
    time.sleep(0.05)
    opened = Process(root)
    yield opened
    if opened.process.stdin is not None:
        opened.process.stdin.close()
    assert opened.process.wait(PATIENCE_S) == 0
    assert opened.process.stdout is not None
    opened.process.stdout.close()


def test_changes_are_told(process: Process) -> None:
    """Those too that are made before the process has begun to look; it takes its time to start."""
    (process.root / "other.txt").write_text("x")
    (process.root / "a.py").write_text("x")
    assert process.read() == ["a.py"]
    (process.root / "a.py").unlink()
    assert process.read() == ["a.py"]


def test_it_ends_with_who_asked_for_it(process: Process) -> None:
    assert process.process.stdin is not None
    process.process.stdin.close()
    process.process.stdin = None
    assert process.process.wait(PATIENCE_S) == 0


def test_what_is_written_at_once_is_told_at_once(tmp_path: Path) -> None:
    """A change of branches is one change, and one that never ends is told of all the same."""
    waits: list[Callable[[], object]] = [
        lambda: None,
        lambda: (tmp_path / "a.py").touch(),
        lambda: (tmp_path / "b.py").touch(),
        lambda: None,
    ]
    written = [0]

    def write_more() -> None:
        written[0] += 1
        (tmp_path / "c.py").write_text("x" * written[0])

    waits += [write_more] * (LOOKS + 1)

    def wait(seconds: float) -> bool:
        if not waits:
            return True
        waits.pop(0)()
        return False

    changes = watch_by_polling(Watcher(Selection((str(tmp_path),))), 1, wait)
    told = [[os.path.basename(path) for path in paths] for paths in changes]
    assert told == [["a.py", "b.py"], ["c.py"]]


def test_where_the_system_cannot_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many directories, for instance: then the files are looked at."""
    watchfiles = pytest.importorskip("watchfiles")

    def fail(*paths: str, **settings: object) -> Iterator[set[tuple[int, str]]]:
        raise OSError("no space left on device")
        yield set()

    monkeypatch.setattr(watchfiles, "watch", fail)
    monkeypatch.setattr(lookout, "watch_by_polling", lambda *given: iter([["polled"]]))
    reading, writing = os.pipe()
    with open(reading, "rb") as stdin:
        assert list(lookout.watch(Selection((str(tmp_path),)), 0.1, time.time(), stdin)) == [["polled"]]
        os.close(writing)

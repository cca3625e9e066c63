"""Files that change, appear, vanish and are replaced, under links and loops, by looking at them."""

import os
from pathlib import Path

import pytest

from fastserver.development.selection import Selection
from fastserver.development.watcher import Watcher


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    (path / "package" / "__pycache__").mkdir(parents=True)
    for name in ("app.py", "package/a.py", "package/__pycache__/a.py", "notes.txt"):
        (path / name).write_text(name)
    return path


def watch(root: Path, **facts: tuple[str, ...]) -> Watcher:
    return Watcher(Selection((str(root),), **facts))


def below(root: Path, watcher: Watcher) -> list[str]:
    return [os.path.relpath(path, root) for path in watcher.poll()]


def test_what_changes(root: Path) -> None:
    watcher = watch(root)
    assert (len(watcher), below(root, watcher)) == (2, [])
    (root / "app.py").write_text("longer")
    assert below(root, watcher) == ["app.py"]
    (root / "package" / "b.py").touch()
    (root / "package" / "a.py").unlink()
    (root / "notes.txt").write_text("more")
    (root / "package" / "__pycache__" / "a.py").write_text("more")
    assert below(root, watcher) == ["package/a.py", "package/b.py"]
    assert below(root, watcher) == []


def test_what_was_changed_before(root: Path) -> None:
    os.utime(root / "app.py", (200, 200))
    os.utime(root / "package" / "a.py", (100, 100))
    watcher = watch(root)
    assert [os.path.basename(path) for path in watcher.list_newer(150)] == ["app.py"]
    assert watcher.list_newer(200) == []


def test_the_same_size_and_another_time(root: Path) -> None:
    watcher = watch(root)
    os.utime(root / "app.py", ns=(1, 1))
    assert below(root, watcher) == ["app.py"]


def test_a_file_that_is_replaced_by_one_that_looks_the_same(root: Path) -> None:
    """As editors save: write another, rename it."""
    facts = os.stat(root / "app.py")
    watcher = watch(root)
    (root / "new").write_text("ppa.py")
    os.utime(root / "new", ns=(facts.st_mtime_ns, facts.st_mtime_ns))
    os.replace(root / "new", root / "app.py")
    assert below(root, watcher) == ["app.py"]


def test_a_new_directory(root: Path) -> None:
    watcher = watch(root)
    (root / "other").mkdir()
    (root / "other" / "c.py").touch()
    assert below(root, watcher) == ["other/c.py"]


def test_links(root: Path, tmp_path: Path) -> None:
    """Loops end, what a link leads to is watched, and one that leads nowhere is none."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "o.py").touch()
    (root / "link").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "package" / "up").symlink_to(root)
    (root / "dead.py").symlink_to("nowhere")
    watcher = watch(root)
    assert len(watcher) == 3
    (outside / "o.py").write_text("x")
    assert below(root, watcher) == ["link/o.py"]


def test_a_file_elsewhere(root: Path, tmp_path: Path) -> None:
    extra = tmp_path / "extra.txt"
    watcher = watch(root, files=(str(extra),))
    extra.write_text("x")
    assert watcher.poll() == [str(extra)]
    extra.unlink()
    assert watcher.poll() == [str(extra)]


def test_a_directory_that_is_gone(root: Path) -> None:
    watcher = watch(root / "package")
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    root.rmdir()
    assert below(root, watcher) == ["package/a.py"]
    assert below(root, watcher) == []

"""What a worker of an older generation starts in."""

import os
from pathlib import Path

import pytest

from fastserver.processes.surroundings import Surroundings, take_surroundings


@pytest.fixture(autouse=True)
def _restore(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FIRST", "SECOND", "THIRD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_they_are_taken_and_entered(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    os.environ.update(FIRST="1", SECOND="2")
    taken = take_surroundings()
    os.chdir("new")
    del os.environ["FIRST"]
    os.environ.update(SECOND="changed", THIRD="3")
    taken.enter()
    assert os.getcwd() == str(tmp_path)
    assert (os.environ["FIRST"], os.environ["SECOND"], os.environ.get("THIRD")) == ("1", "2", None)


def test_a_directory_that_is_gone_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    os.chdir("old")
    taken = take_surroundings()
    (tmp_path / "old").rmdir()
    gone = take_surroundings()
    assert gone.directory is None
    os.chdir(tmp_path)
    for surroundings in (taken, gone, Surroundings(None, dict(os.environ))):
        surroundings.enter()
        assert os.getcwd() == str(tmp_path)

"""SIGUSR1: all log files of a process, those of a logging configuration included, are opened again by their paths."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastserver.logs.errorlog import configure_error_log
from fastserver.logs.logfile import LogFile
from fastserver.logs.reopen import reopen_logs


@pytest.fixture
def handler(tmp_path: Path) -> Iterator[logging.FileHandler]:
    """What an application's logging configuration has opened."""
    handler = logging.FileHandler(tmp_path / "app.log", mode="w", encoding="utf-8")
    log = logging.getLogger("tests.reopen")
    log.propagate = False
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)
    handler.close()


def test_every_file_is_reopened(tmp_path: Path, handler: logging.FileHandler) -> None:
    access = LogFile(str(tmp_path / "access.log"))
    error = configure_error_log(str(tmp_path / "error.log"))
    names = ("access", "error", "app")
    for number in (1, 2):
        access.write(b"line\n")
        error.error("line")
        logging.getLogger("tests.reopen").error("line")
        if number == 1:
            for name in names:
                (tmp_path / f"{name}.log").rename(tmp_path / f"{name}.1")
            assert reopen_logs()
    for name in names:
        for path in (tmp_path / f"{name}.log", tmp_path / f"{name}.1"):
            assert len(path.read_text().splitlines()) == 1, path
    access.close()


def test_an_open_file_is_never_emptied(tmp_path: Path, handler: logging.FileHandler) -> None:
    logging.getLogger("tests.reopen").error("before")
    assert reopen_logs()
    logging.getLogger("tests.reopen").error("after")
    assert (tmp_path / "app.log").read_text().split() == ["before", "after"]


def test_what_cannot_be_reopened_is_told_and_written_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    access = LogFile(str(folder / "access.log"))
    configure_error_log()
    shutil.rmtree(folder)
    assert not reopen_logs()
    access.write(b"line\n")
    assert access.dropped == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"ERROR cannot reopen {str(folder / 'access.log')!r}, No such file or directory: "
                         "it is written on as it was")  # fmt: skip
    access.close()

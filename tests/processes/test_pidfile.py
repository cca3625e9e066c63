"""The pid file: who may have it, when it is replaced, and what is left of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastserver.config.errors import ConfigError
from fastserver.config.setting import quote
from fastserver.processes.pidfile import PidFile, claim_pidfile
from fastserver.transport.sockets import UNIX_PATH_LIMIT_BYTES

HOLD = r"""
import os, sys, time
from fastserver.processes.pidfile import claim_pidfile
file = claim_pidfile(sys.argv[1])
if "fork" in sys.argv and not os.fork():
    os.write(1, b"child %d\n" % os.getpid())
    time.sleep(600)
os.write(1, b"held\n")
time.sleep(600)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.pid"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the file."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def list_files(path: Path) -> list[str]:
    return [each.name for each in path.parent.iterdir()]


def test_it_holds_the_number_and_is_removed(path: Path) -> None:
    file = claim_pidfile(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    assert list_files(path) == ["server.pid"]
    file.remove()
    file.remove()
    assert list_files(path) == []


def test_a_living_server_keeps_it(path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        claim_pidfile(str(path))
    assert str(caught.value) == f"pid: {quote(str(path))} is held by a server that runs, process {holder.pid}"
    assert path.read_text() == f"{holder.pid}\n"
    assert list_files(path) == ["server.pid"]


def test_what_a_killed_server_has_left_is_replaced(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    assert path.read_text() == f"{holder.pid}\n"
    claim_pidfile(str(path)).remove()
    assert list_files(path) == []


def test_the_number_of_another_process_that_lives_is_stale(path: Path) -> None:
    path.write_text(f"{os.getppid()}\n")
    file = claim_pidfile(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    file.remove()


def test_a_child_that_outlives_its_parent_does_not_hold_it(path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", HOLD, str(path), "fork"], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    lines = sorted((parent.stdout.readline(), parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert [line.split()[0] for line in lines] == ["child", "held"]
    child = int(lines[0].split()[1])
    try:
        os.kill(child, 0)
        claim_pidfile(str(path)).remove()
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_child_removes_nothing(path: Path) -> None:
    file = claim_pidfile(str(path))
    child = os.fork()
    if not child:
        file.remove()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert path.exists()
    file.remove()


def test_what_others_have_put_there_stays(path: Path) -> None:
    file = claim_pidfile(str(path))
    path.unlink()
    path.write_text("1\n")
    file.remove()
    assert path.read_text() == "1\n"


def test_where_it_cannot_be_removed_it_is_emptied(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = claim_pidfile(str(path))

    def refuse(path: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        file.remove()
    assert path.read_text() == ""
    claim_pidfile(str(path)).remove()


def test_a_relative_path_is_meant_from_where_it_was_given(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    file = claim_pidfile("server.pid")
    monkeypatch.chdir("/")
    assert file.path == str(path)
    file.remove()
    assert list_files(path) == []


def test_a_file_system_without_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    file = claim_pidfile(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    assert list_files(path) == ["server.pid"]
    file.remove()


def make_symlink(path: Path) -> None:
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_text("important\n"), "it exists and holds something else"),
        (lambda path: os.mkfifo(path), "it exists and is not a file"),
        (make_symlink, "Too many levels of symbolic links"),
    ],
    ids=["directory", "file", "fifo", "symlink"],
)
def test_what_is_no_pid_file_is_left_alone(path: Path, make: object, reason: str) -> None:
    make(path)  # type: ignore[operator]
    with pytest.raises(ConfigError) as caught:
        claim_pidfile(str(path))
    assert str(caught.value) == f"pid: {quote(str(path))} cannot be written: {reason}"
    assert list_files(path) == ["server.pid"]
    assert not path.is_file() or path.read_text() == "important\n"


@pytest.mark.parametrize(
    ("name", "reason"), [("no/such/file", "No such file or directory"), ("x" * 300, "File name too long")]
)
def test_paths_that_cannot_be(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot be written: {reason}$"):
        claim_pidfile(str(tmp_path / name))
    assert list(tmp_path.iterdir()) == []


def test_the_limit_of_socket_paths_is_not_its_own(tmp_path: Path) -> None:
    long = tmp_path / ("x" * (UNIX_PATH_LIMIT_BYTES + 1))
    file = claim_pidfile(str(long))
    assert isinstance(file, PidFile)
    file.remove()

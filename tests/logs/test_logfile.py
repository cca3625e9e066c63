"""Where lines go: full disks, pipes that nobody reads, files that were moved. Nobody waits, what is lost is counted."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fastserver.logs.logfile import CHUNK_BYTES, OPEN_FILES, LogFile


def test_a_full_disk_drops_and_counts() -> None:
    file = LogFile("/dev/full")
    file.write(b"line\n")
    file.write(b"line\n")
    assert file.dropped == 2
    file.close()


def open_fifo(path: Path) -> tuple[LogFile, int]:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    return LogFile(str(path)), reader


def test_a_pipe_that_nobody_reads_never_blocks(tmp_path: Path) -> None:
    file, reader = open_fifo(tmp_path / "pipe")
    line = b"x" * 1023 + b"\n"
    for _ in range(3000):  # three times what pipe and buffer hold together
        file.write(line)
    assert file.dropped > 0
    read = b""
    while True:
        try:
            read += os.read(reader, 1 << 20)
        except BlockingIOError:
            break
        file.flush()
    assert len(read) == (3000 - file.dropped) * len(line)
    assert set(read.split(b"\n")) == {b"x" * 1023, b""}  # whole lines only
    file.close()
    os.close(reader)


def test_a_pipe_without_reader_drops(tmp_path: Path) -> None:
    file, reader = open_fifo(tmp_path / "pipe")
    os.close(reader)
    file.write(b"line\n")
    assert file.dropped == 1
    file.close()


def test_a_closed_file_drops(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path / "access.log"))
    file.close()
    file.write(b"line\n")
    assert file.dropped == 1


def test_a_dash_is_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    file = LogFile("-")
    file.write(b"line\n")
    file.close()
    assert capfd.readouterr().out == "line\n"


def test_a_process_without_standard_output_writes_into_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.__stdout__", None)
    file = LogFile("-")
    file.write(b"line\n")
    assert file.dropped == 1
    file.close()


def test_a_named_pipe_without_reader_is_told_at_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device or address"):
        LogFile(str(tmp_path / "pipe"))


def test_lines_that_were_lost_are_counted_until_they_are_told(tmp_path: Path) -> None:
    file, reader = open_fifo(tmp_path / "pipe")
    os.close(reader)
    file.write(b"one\ntwo\n")
    assert (file.dropped, file.fault, file.take_loss()) == (2, "Broken pipe", 0)
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    file.write(b"three\n")
    assert os.read(reader, 100) == b"three\n"
    assert (file.take_loss(), file.take_loss(), file.dropped) == (2, 0, 2)
    file.close()
    os.close(reader)


def test_a_disk_that_is_full_in_the_midst_of_a_line_cuts_that_line_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system takes what still fits, and the rest of a line is never glued to the next one."""
    path = tmp_path / "log"
    file = LogFile(str(path))
    room = 6
    write = os.write

    def write_little(fd: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(fd, data[:room])
        room -= written
        return written

    monkeypatch.setattr("fastserver.logs.logfile.os.write", write_little)
    file.write(b"one\ntwo\nthree\n")
    assert (file.dropped, file.fault) == (2, "No space left on device")
    room = 100
    file.write(b"four\n")
    assert path.read_bytes() == b"one\ntw\nfour\n"
    assert file.take_loss() == 2
    file.close()


def test_many_writers_of_one_pipe_never_mix_their_lines(tmp_path: Path) -> None:
    """What is more than a pipe takes whole is written in whole lines."""
    file, reader = open_fifo(tmp_path / "pipe")
    other = LogFile(str(tmp_path / "pipe"))
    for _ in range(20):
        file.write(b"".join(b"a" * 99 + b"\n" for _ in range(3 * CHUNK_BYTES // 100)))
        other.write(b"b" * 49 + b"\n")
        read = os.read(reader, 1 << 20)
        assert set(read.split(b"\n")) <= {b"a" * 99, b"b" * 49, b""}
    assert (file.dropped, other.dropped) == (0, 0)
    for each in (file, other):
        each.close()
    os.close(reader)


def test_a_line_that_a_pipe_takes_in_parts_begins_no_other(tmp_path: Path) -> None:
    """Another process may write between the parts, so the rest is marked."""
    file, reader = open_fifo(tmp_path / "pipe")
    other = LogFile(str(tmp_path / "pipe"))
    long = b"a" * (3 * CHUNK_BYTES) + b"\n"
    file.write(long)
    assert os.read(reader, 1 << 20) == long  # there was room
    line = b"b" * (CHUNK_BYTES - 1) + b"\n"
    for _ in range(2000):
        other.write(line)
        if other._pending:
            break
    other.forget()
    os.read(reader, 2 * CHUNK_BYTES)
    file.write(long)
    read = b""
    while chunk := _read(reader):
        read += chunk
        file.flush()
    lines = read.split(b"\n")
    assert b"".join(each.removeprefix(b"  ") for each in lines if each != line[:-1]) == long[:-1]
    for each in (file, other):
        each.close()
    os.close(reader)


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 1 << 20)
    except BlockingIOError:
        return b""


TWO = """
import os, sys
from fastserver.logs.logfile import LogFile

file = LogFile("-")
for _ in range(3000):
    file.write(b"x" * 999 + b"\\n")
print(file.dropped, os.get_blocking(1), file=sys.stderr, flush=True)
"""


@pytest.mark.parametrize("kind", ["pipe", "socket", "terminal"])
def test_standard_output_that_nobody_reads_holds_up_nobody(kind: str) -> None:
    """And it stays blocking for those that it is shared with."""
    if kind == "pipe":
        reader, writer = os.pipe()
    elif kind == "socket":
        one, other = socket.socketpair()
        reader, writer = one.detach(), other.detach()
    else:
        reader, writer = os.openpty()
    result = subprocess.run(
        [sys.executable, "-c", TWO], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=True
    )
    dropped, blocking = result.stderr.split()
    assert int(dropped) > 1000
    assert blocking == "True"
    os.close(reader)
    os.close(writer)


def test_standard_output_that_cannot_be_opened_again_is_asked_before_each_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another user's terminal, or a system without /proc."""
    reader, writer = os.pipe()
    old = os.dup(1)
    os.dup2(writer, 1)
    try:
        monkeypatch.setattr("sys.__stdout__", object())
        with monkeypatch.context() as patch:
            patch.setattr("fastserver.logs.logfile.os.open", _refuse)
            file = LogFile("-")
        for _ in range(3000):
            file.write(b"x" * 999 + b"\n")
        assert file.dropped > 1000
        read = os.read(reader, 1 << 20)
        file.drain(0.1)
        assert read[:1000] == b"x" * 999 + b"\n"
        file.close()
        os.write(1, b"")  # it is open still
    finally:
        os.dup2(old, 1)
        for fd in (old, reader, writer):
            os.close(fd)


def _refuse(*_: object) -> int:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_a_file_that_was_moved_is_reopened(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = LogFile(str(path))
    file.write(b"one\n")
    path.rename(tmp_path / "log.1")
    file.write(b"two\n")
    file.reopen()
    file.write(b"three\n")
    assert (tmp_path / "log.1").read_bytes() == b"one\ntwo\n"
    assert path.read_bytes() == b"three\n"
    file.close()
    assert file not in OPEN_FILES


def test_a_file_that_cannot_be_reopened_is_written_on(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = LogFile(str(folder / "log"))
    kept = os.open(folder / "log", os.O_RDONLY)
    (folder / "log").unlink()
    folder.rmdir()
    with pytest.raises(FileNotFoundError):
        file.reopen()
    file.write(b"one\n")
    assert (os.read(kept, 100), file.dropped) == (b"one\n", 0)
    folder.mkdir()
    file.reopen()
    file.write(b"two\n")
    assert (folder / "log").read_bytes() == b"two\n"
    file.close()
    os.close(kept)

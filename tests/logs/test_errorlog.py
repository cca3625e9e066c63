"""The error log beside an application that has a logging configuration of its own."""

import io
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastserver.config.errors import ConfigError
from fastserver.logs import errorlog
from fastserver.logs.errorlog import NAME, ErrorLogHandler, configure_error_log, find_handlers, get_error_log


class Stderr:
    """What the test has written to standard error so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Stderr:
    return Stderr(capsys)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_has_time_process_level_and_message(stderr: Stderr) -> None:
    configure_error_log().info("listening on %s", "http://[::1]:80")
    line = rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3}} [+-]\d{{4}} \[{os.getpid()}\] INFO listening on http://\[::1\]:80\n"
    assert re.fullmatch(line, stderr.getvalue())


def test_a_traceback_follows_its_line(stderr: Stderr) -> None:
    try:
        raise ValueError("bad")
    except ValueError:
        configure_error_log().exception("failed")
    lines = stderr.getvalue().splitlines()
    assert lines[0].endswith("ERROR failed")
    assert (lines[1], lines[-1]) == ("  Traceback (most recent call last):", "  ValueError: bad")


def test_colours_are_for_terminals_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure_error_log().error("red")
    assert "\x1b[31mERROR\x1b[0m red" in terminal.getvalue()
    get_error_log().handlers.clear()
    monkeypatch.setenv("NO_COLOR", "1")
    configure_error_log().error("plain")
    assert terminal.getvalue().endswith("ERROR plain\n")


def test_levels(stderr: Stderr) -> None:
    log = configure_error_log(level="warning")
    log.info("no")
    log.warning("yes")
    assert stderr.getvalue().endswith("WARNING yes\n")
    assert "no" not in stderr.getvalue()


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    path.write_text("before\n")
    configure_error_log(str(path)).error("ü \udc80 after")
    assert path.read_text(encoding="utf-8").startswith("before\n")
    assert path.read_text(encoding="utf-8").endswith("ERROR ü \\udc80 after\n")


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^error_logfile: .* cannot be opened: No such file or directory$"):
        configure_error_log(str(tmp_path / "none" / "error.log"))


def test_it_is_configured_once(stderr: Stderr, tmp_path: Path) -> None:
    configure_error_log()
    configure_error_log().error("once")
    assert stderr.getvalue().count("once") == 1
    configure_error_log(str(tmp_path / "error.log")).error("elsewhere")
    assert "elsewhere" not in stderr.getvalue()


def test_nothing_reaches_the_root_logger(stderr: Stderr, caplog: pytest.LogCaptureFixture) -> None:
    configure_error_log().error("ours")
    assert caplog.text == ""
    assert logging.getLogger().handlers != []  # pytest's, which would have seen it


@pytest.mark.parametrize("embedded", [True, False])
def test_an_embedding_program_keeps_its_own_logging(
    stderr: Stderr, caplog: pytest.LogCaptureFixture, embedded: bool
) -> None:
    configure_error_log(embedded=embedded).error("where")
    assert (("where" in caplog.text), ("where" in stderr.getvalue())) == (embedded, not embedded)


APPLICATION = """
import logging.config, sys
from fastserver.logs.errorlog import configure_error_log, revive

log = configure_error_log(sys.argv[1])
log.error("one")
logging.config.dictConfig({"version": 1, "root": {"level": "ERROR", "handlers": []}})
assert log.disabled
revive(log)
log.error("two")
"""


@pytest.mark.parametrize("to_file", [True, False])
def test_an_application_that_configures_logging_does_not_silence_it(tmp_path: Path, to_file: bool) -> None:
    """In a process of its own: ``dictConfig`` switches off every logger that there is and closes every handler."""
    path = tmp_path / "error.log"
    command = [sys.executable, "-c", APPLICATION, str(path) if to_file else "-"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    text = path.read_text() if to_file else result.stderr
    assert [line.split()[-1] for line in text.splitlines()] == ["one", "two"]


@pytest.mark.parametrize("broken", ["full", "closed", "none"])
def test_a_log_that_cannot_be_written_raises_nothing(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if broken == "full":
        log = configure_error_log("/dev/full")
    else:
        stream = io.StringIO()
        stream.close()
        monkeypatch.setattr(sys, "stderr", stream if broken == "closed" else None)
        log = configure_error_log()
    log.error("lost")
    (handler,) = log.handlers
    assert isinstance(handler, ErrorLogHandler)
    assert handler.dropped == 1


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A path and the end that nobody reads."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield str(path), reader
    os.close(reader)


def test_a_pipe_that_nobody_reads_holds_up_nobody(fifo: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errorlog, "FLUSH_S", 0.05)
    log = configure_error_log(fifo[0])
    (handler,) = find_handlers(log)
    for _ in range(1500):
        log.error("x" * 1000)
    assert 0 < handler.dropped < 1500
    started = time.monotonic()
    logging.shutdown()
    assert time.monotonic() - started < 5
    handler.close_file()


def test_lines_that_found_no_room_are_written_at_the_end(
    fifo: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errorlog, "FLUSH_S", 20.0)
    path, reader = fifo
    log = configure_error_log(path)
    for _ in range(500):
        log.error("x" * 1000)
    os.set_blocking(reader, True)
    read: list[bytes] = []

    def read_all() -> None:
        while chunk := os.read(reader, 65536):
            read.append(chunk)

    thread = threading.Thread(target=read_all)
    thread.start()
    (handler,) = find_handlers(log)
    handler.close_file()
    thread.join()
    lines = b"".join(read).decode().splitlines()
    assert len(lines) == 500
    assert all(line.endswith("x" * 1000) for line in lines)
    assert handler.dropped == 0


def test_a_child_leaves_to_its_parent_what_is_not_written(
    fifo: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errorlog, "FLUSH_S", 0.0)
    path, reader = fifo
    log = configure_error_log(path)
    for _ in range(200):
        log.error("x" * 1000)
    (handler,) = find_handlers(log)
    handler.forget_pending()
    while True:
        try:
            os.read(reader, 65536)
        except BlockingIOError:
            break
    log.error("last")
    assert os.read(reader, 65536).endswith(b"ERROR last\n")


STDERR = """
import sys
from fastserver.logs.errorlog import configure_error_log

log = configure_error_log()
for number in range(int(sys.argv[1])):
    log.error("%d %s", number, "x" * 1000)
print("done", flush=True)
"""


def test_standard_error_that_nobody_reads_holds_up_nobody() -> None:
    command = [sys.executable, "-c", STDERR, "1500"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        assert process.wait(20) == 0


def test_standard_error_that_is_read_gets_every_line() -> None:
    command = [sys.executable, "-c", STDERR, "500"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert [line.split()[-2] for line in result.stderr.splitlines()] == [str(number) for number in range(500)]


def test_its_name_is_public() -> None:
    assert NAME == "fastserver.error"

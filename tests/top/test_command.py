"""The command line: exit codes, one line for an error, one picture."""

import json
import os
import re
import sys
from http.server import BaseHTTPRequestHandler

import pytest

from fastserver import cli
from fastserver.errors import ExitCode
from fastserver.top import main, screen
from tests.top.samples import compose_snapshot, compose_stats
from tests.top.source import Source, count_up, say


def test_once_prints_one_picture(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    with Source(count_up()) as source:
        assert cli.main(["top", "--once", "--interval", "0.1", f"http://127.0.0.1:{source.port}"]) == ExitCode.OK
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80
    (rate,) = re.findall(r"^requests/s ([\d.]+) ", out, re.MULTILINE)
    assert 0 < float(rate) <= 500


def test_lines_go_on_until_interrupted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        say(json.dumps(compose_stats(compose_snapshot())).encode())(handler)

    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(screen, "sleep", sleep)
    with Source(answer) as source:
        assert main(["--plain", f":{source.port}"]) == ExitCode.OK
    assert capsys.readouterr().out.count("fastserver 1.2.3 at") == 3


def test_lines_end_with_their_reader(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out, Source(count_up()) as source:
        monkeypatch.setattr(sys, "stdout", out)
        assert main([f":{source.port}"]) == ExitCode.FAULT
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--interval 0", "--interval: '0': want seconds from 0.1 to a day"),
        ("--interval nan", "--interval: 'nan': want seconds"),
        ("--interval 2d", "--interval: '2d': want seconds"),
        ("https://box", "URL: 'https://box': only http:// URLs are read"),
        ("a b", "unrecognized arguments: b"),
        ("--onc", "unrecognized arguments: --onc"),
    ],
)
def test_usage_is_exit_2_and_one_line(line: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["top", *line.split()]) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fastserver top: error: {reason}")
    assert err.count("\n") == 1


def test_help_is_exit_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["top", "--help"]) == ExitCode.OK
    assert "127.0.0.1:9090" in capsys.readouterr().out


def test_without_rich_there_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tuple(sys.modules):
        if name.startswith("rich.") or name in {"fastserver.top.screen", "fastserver.top.picture"}:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("fastserver.top.screen")
    monkeypatch.setitem(sys.modules, "rich", None)
    assert main([]) == ExitCode.USAGE
    line = "fastserver top: error: it draws with rich, which is not installed: pip install 'fastserver[top]'\n"
    assert capsys.readouterr() == ("", line)

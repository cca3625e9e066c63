"""The command line: what is asked, where, and what is printed and returned."""

import json
from pathlib import Path
from typing import Any

import pytest

from fastserver import cli
from fastserver.ctl import command, main
from fastserver.ctl.client import Result
from fastserver.errors import ExitCode
from tests.ctl.source import Source
from tests.ctl.test_table import STATS


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTSERVER_CONTROL_SOCKET", raising=False)
    return tmp_path / "control.sock"


def compose(ok: bool = True, error: str = "", progress: str = "", **data: Any) -> bytes:
    line = {"version": 1, "type": "result", "ok": ok, **({"data": data} if ok else {"error": error})}
    told = json.dumps({"type": "progress", "text": progress}).encode() + b"\n" if progress else b""
    return told + json.dumps(line).encode() + b"\n"


@pytest.mark.parametrize(
    ("arguments", "request_", "answer", "printed"),
    [
        ("reload", {"command": "reload"}, compose(text="2 workers", took=0.52), "reloaded in 0.5 s: 2 workers\n"),
        ("drain", {"command": "drain"}, compose(code=0), "the server has stopped\n"),
        ("scale 5", {"command": "scale", "count": 5}, compose(before=2, workers=5), "workers: 5, there were 2\n"),
        ("dump", {"command": "dump"}, compose(text="a\nb"), "a\nb\n"),
        ("dump 17", {"command": "dump", "pid": 17}, compose(text="a"), "a\n"),
    ],
)
def test_orders(
    path: Path,
    arguments: str,
    request_: dict[str, Any],
    answer: bytes,
    printed: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Source(path, answer) as source:
        assert cli.main(["ctl", "--socket", source.path, *arguments.split()]) == ExitCode.OK
    assert [json.loads(request) for request in source.requests] == [{"version": 1, **request_}]
    assert capsys.readouterr() == (printed, "")


def test_status(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Source(path, compose(**STATS)) as source:
        assert main(["status", "--socket", source.path]) == ExitCode.OK
    assert "serving, 1 of 2 workers are ready" in capsys.readouterr().out


def test_progress_goes_beside_the_result(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Source(path, compose(progress="1 starting", text="1 worker", took=1)) as source:
        assert main(["--socket", source.path, "reload"]) == ExitCode.OK
    assert capsys.readouterr() == ("reloaded in 1.0 s: 1 worker\n", "1 starting\n")


def test_a_failure_is_one_line_and_exit_code_1(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Source(path, compose(ok=False, error="no module named 'x'")) as source:
        assert main(["--socket", source.path, "reload"]) == ExitCode.FAULT
    assert capsys.readouterr() == ("", "fastserver ctl: error: reload: no module named 'x'\n")


@pytest.mark.parametrize("ok", [True, False])
def test_json_is_the_result_as_it_came(path: Path, ok: bool, capsys: pytest.CaptureFixture[str]) -> None:
    answer = compose(ok=ok, error="" if ok else "no", progress="x")
    with Source(path, answer) as source:
        assert main(["reload", "--socket", source.path, "--json"]) == (ExitCode.OK if ok else ExitCode.FAULT)
    assert capsys.readouterr() == (answer.split(b"\n")[1].decode() + "\n", "")


def test_the_socket_is_found_as_the_server_finds_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Source(path, compose(code=0)) as source:
        monkeypatch.setenv("FASTSERVER_CONTROL_SOCKET", source.path)
        assert main(["drain"]) == ExitCode.OK
        monkeypatch.delenv("FASTSERVER_CONTROL_SOCKET")
        (path.parent / "fastserver.toml").write_text('control_socket = "control.sock"\n')
        assert main(["drain"]) == ExitCode.OK
        (path.parent / "fastserver.toml").rename(path.parent / "other.toml")
        assert main(["drain", "-c", "other.toml"]) == ExitCode.OK
    assert len(source.requests) == 3
    assert main(["drain"]) == ExitCode.USAGE
    assert "want --socket PATH, FASTSERVER_CONTROL_SOCKET, or control_socket" in capsys.readouterr().err


def test_nobody_there_is_exit_code_1(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--socket", str(path), "status"]) == ExitCode.FAULT
    assert capsys.readouterr() == ("", f"fastserver ctl: error: {path}: no server has a control socket there\n")


def test_only_who_waits_for_workers_is_patient(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []

    def ask(path: str, request: object, tell: object, timeout_s: float | None) -> Result:
        waits.append(timeout_s)
        return Result(True, {}, "", "")

    monkeypatch.setattr(command, "ask", ask)
    for line in ("status", "reload", "drain", "scale 1", "dump", "reload --timeout 2m"):
        assert main(["--socket", "x", *line.split()]) == ExitCode.OK
    assert waits == [10.0, None, None, 10.0, 10.0, 120.0]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("stop", "invalid choice: 'stop'"),
        ("scale", "the following arguments are required: N"),
        ("scale 0", "'0': want a whole number, at least 1"),
        ("scale x", "'x': want a whole number, at least 1"),
        ("dump -3", "-3"),
        ("status --timeout 0", "'0': want seconds, such as 30 or 2m"),
        ("status more", "unrecognized arguments: more"),
        ("status -c none.toml", "none.toml"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    path: Path, line: str, error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fastserver ctl: error: ")
    assert error in err
    assert err.count("\n") == 1


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == ExitCode.OK
    assert main(["scale", "--help"]) == ExitCode.OK
    assert "--socket PATH" in capsys.readouterr().out

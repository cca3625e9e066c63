"""Asking a control socket, and every way in which an answer fails to come."""

import contextlib
import json
import socket
from pathlib import Path

import pytest

from fastserver.ctl import client
from fastserver.ctl.client import Result, Unreachable, ask
from fastserver.processes import control
from tests.ctl.source import Source

DONE = b'{"version": 1, "type": "result", "ok": true, "data": {"a": 1}}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


def test_both_ends_speak_one_version() -> None:
    assert client.VERSION == control.VERSION


def test_a_result(path: Path) -> None:
    with Source(path, DONE) as source:
        assert ask(source.path, {"command": "x", "n": 1}) == Result(True, {"a": 1}, "", DONE.decode().rstrip())
    (request,) = source.requests
    assert json.loads(request) == {"version": 1, "command": "x", "n": 1}


def test_progress_is_told_in_order(path: Path) -> None:
    lines = b"".join(b'{"type": "progress", "text": "%d"}\n' % number for number in range(3))
    told: list[str] = []
    with Source(path, lines + b'{"type": "result", "ok": false, "error": "no"}\n') as source:
        result = ask(source.path, {}, told.append, timeout_s=10)
        assert (result.ok, result.error, result.data) == (False, "no", {})
        assert ask(source.path, {}).error == "no"
    assert told == ["0", "1", "2"]


def wait_for_end(sock: socket.socket) -> None:
    while sock.recv(4096):
        pass


def drip(sock: socket.socket) -> None:
    sock.settimeout(0.01)
    with contextlib.suppress(ConnectionError):
        while True:
            sock.sendall(b" ")
            with contextlib.suppress(TimeoutError):
                if not sock.recv(1):
                    return


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "the server has ended the connection without a result"),
        (b'{"type": "progress"}\n', "the server has ended the connection without a result"),
        (DONE[:-1], "the server has ended the connection without a result"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers there is no control socket of fastserver"),
        (b"[]\n", "what answers there is no control socket of fastserver"),
        (b'{"type": "other"}\n', "what answers there is no control socket of fastserver"),
        (b"[" * 100000 + b"\n", "what answers there is no control socket of fastserver"),
    ],
)
def test_no_result(path: Path, answer: bytes, reason: str) -> None:
    with Source(path, answer) as source, pytest.raises(Unreachable) as caught:
        ask(source.path, {}, timeout_s=10)
    assert str(caught.value) == reason


@pytest.mark.parametrize("answer", [wait_for_end, drip])
def test_an_answer_has_a_time(path: Path, answer: object) -> None:
    with Source(path, answer) as source, pytest.raises(Unreachable, match=r"^no result within 0\.1 s$"):  # type: ignore[arg-type]
        ask(source.path, {}, timeout_s=0.1)


def test_an_answer_has_a_size(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LIMIT_BYTES", 1 << 20)

    def flood(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(b"x" * 65536)

    with Source(path, flood) as source, pytest.raises(Unreachable, match="longer than 1 MiB"):
        ask(source.path, {}, timeout_s=10)


def test_nobody_there(tmp_path: Path, path: Path) -> None:
    dead = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(dead))
    file = tmp_path / "file"
    file.touch()
    for place, reason in (
        (path, "no server has a control socket there"),
        (file / "x", "no server has a control socket there"),
        (dead, "the socket is there, and no server behind it"),
        (file, "the socket is there, and no server behind it"),
        (tmp_path / ("x" * 200), "AF_UNIX path too long"),
    ):
        with pytest.raises(Unreachable) as caught:
            ask(str(place), {})
        assert str(caught.value) == reason


def test_permission_denied(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    class Denied(socket.socket):
        connect = refuse

    monkeypatch.setattr(client.socket, "socket", Denied)  # type: ignore[attr-defined]
    with pytest.raises(Unreachable, match="permission denied: be root, or the user that the server runs as"):
        ask(str(path), {})

"""The control socket in a loop that the test turns: requests, bounds, and clients that mean no good."""

import contextlib
import errno
import json
import logging
import os
import select
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fastserver.processes import control as module
from fastserver.processes.control import (
    ANSWER_LIMIT_BYTES,
    ANSWER_S,
    CLIENTS_MAX,
    PAUSE_S,
    REQUEST_LIMIT_BYTES,
    REQUEST_S,
    ControlSocket,
    Refused,
    Reply,
)
from fastserver.transport.sockets import UNIX_PATH_LIMIT_BYTES, BindError

LOG = logging.getLogger("test.control")
PATIENCE_S = 20.0


class Loop:
    """Has the control socket act for as long as a test waits for something."""

    def __init__(self, path: Path) -> None:
        self.control = ControlSocket(str(path), LOG)
        self.path = str(path)
        self.replies: list[Reply] = []
        self.clients: list[socket.socket] = []
        self.control.attach(
            self, {"echo": self.echo, "wait": self.wait, "refuse": refuse, "break": fail}, quiet=("refuse",)
        )

    def watch(self, readable: Any, act: Callable[[], None]) -> None:
        self.poll = select.poll()
        self.poll.register(readable, select.POLLIN)
        self.act = act

    def echo(self, request: Mapping[str, Any], reply: Reply) -> None:
        reply.finish(text=request.get("text"))

    def wait(self, request: Mapping[str, Any], reply: Reply) -> None:
        self.replies.append(reply)

    def turn(self) -> None:
        """What a supervisor does in a turn, without waiting."""
        if self.poll.poll(0):
            self.act()

    def until(self, is_so: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline
            self.turn()

    def connect(self, data: bytes = b"") -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.path)
        client.sendall(data)
        client.setblocking(False)
        self.clients.append(client)
        return client

    def receive(self, client: socket.socket) -> list[dict[str, Any]]:
        """All lines that come, to the end."""
        data = bytearray()

        def is_over() -> bool:
            try:
                chunk = client.recv(1 << 20)
            except BlockingIOError:
                return False
            except ConnectionError:
                return True
            data.extend(chunk)
            return not chunk

        self.until(is_over)
        return [json.loads(line) for line in data.splitlines()]

    def ask(self, request: object) -> list[dict[str, Any]]:
        return self.receive(self.connect(json.dumps(request).encode() + b"\n"))


def refuse(request: Mapping[str, Any], reply: Reply) -> None:
    raise Refused("not now")


def fail(request: Mapping[str, Any], reply: Reply) -> None:
    raise ZeroDivisionError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
def loop(path: Path) -> Iterator[Loop]:
    made = Loop(path)
    yield made
    for client in made.clients:
        client.close()
    made.control.close()
    assert not path.exists()


def done(**data: object) -> dict[str, object]:
    return {"version": 1, "type": "result", "ok": True, "data": data}


def refused(error: str) -> dict[str, object]:
    return {"version": 1, "type": "result", "ok": False, "error": error}


# Requests.


def test_one_request_has_one_answer(loop: Loop) -> None:
    assert loop.ask({"version": 1, "command": "echo", "text": "ä\n"}) == [done(text="ä\n")]
    assert loop.ask({"command": "echo"}) == [done(text=None)]


def test_progress_comes_as_it_is_told(loop: Loop) -> None:
    client = loop.connect(b'{"command": "wait"}\n')
    loop.until(lambda: loop.replies)
    (reply,) = loop.replies
    for number in range(3):
        reply.tell(f"step {number}")
        assert json.loads(client.recv(4096))["text"] == f"step {number}"
    assert loop.control.tick(1e12) == float("inf")  # however long it takes
    reply.finish()
    reply.finish(again=True)
    reply.tell("more")
    assert loop.receive(client) == [done()]


def test_a_request_may_end_with_its_connection(loop: Loop) -> None:
    client = loop.connect(b'{"command": "wait"}')
    client.shutdown(socket.SHUT_WR)
    loop.until(lambda: loop.replies)
    for _ in range(10):
        loop.turn()
    assert not loop.poll.poll(0)  # the end of its side does not keep the loop awake
    loop.replies[0].finish()
    assert loop.receive(client) == [done()]


def test_a_request_may_come_in_pieces(loop: Loop) -> None:
    client = loop.connect()
    for byte in b'{"command": "echo", "text": 1}\n':
        loop.turn()
        client.setblocking(True)
        client.sendall(bytes([byte]))
        client.setblocking(False)
    assert loop.receive(client) == [done(text=1)]


def test_who_is_gone_does_not_stop_the_work(loop: Loop) -> None:
    client = loop.connect(b'{"command": "wait"}\n')
    loop.until(lambda: loop.replies)
    client.close()
    loop.turn()
    loop.replies[0].tell("on")
    loop.replies[0].tell("and on")
    loop.replies[0].finish()
    assert loop.ask({"command": "echo"}) == [done(text=None)]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\n", 'the request is no JSON object with a "command"'),
        (b"GET / HTTP/1.1\r\n\r\n", 'the request is no JSON object with a "command"'),
        (b"[1]\n", 'the request is no JSON object with a "command"'),
        (b'{"command": 1}\n', 'the request is no JSON object with a "command"'),
        (b"\xff\n", 'the request is no JSON object with a "command"'),
        (b"[" * 4000 + b"\n", 'the request is no JSON object with a "command"'),
        (b'{"command": "echo", "version": 2}\n', "version 2 is not spoken here: want 1"),
        (b'{"command": "eco"}\n', "there is no command 'eco': want one of break, echo, refuse, wait"),
        (b'{"command": "refuse"}\n', "not now"),
        (b'{"command": "break"}\n', "it failed; the log of the server says why"),
    ],
)
def test_what_cannot_be_is_answered(loop: Loop, data: bytes, error: str) -> None:
    assert loop.receive(loop.connect(data)) == [refused(error)]


def test_the_log_has_who_has_ordered_what(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOG.name)
    for command in ("echo", "refuse", "none\n"):
        loop.ask({"command": command})
    assert [record.getMessage() for record in caplog.records] == [f"control socket: echo, by user {os.geteuid()}"]


# Bounds.


@pytest.mark.parametrize("excess", [-1, 0, 1])
def test_the_length_of_a_request(loop: Loop, excess: int) -> None:
    frame = b'{"command": "echo", "text": "%s"}'
    text = b"x" * (REQUEST_LIMIT_BYTES + excess - len(frame % b""))
    answer = loop.receive(loop.connect(frame % text + b"\n"))
    if excess > 0:
        assert answer == [refused(f"the request is longer than {REQUEST_LIMIT_BYTES} bytes")]
    else:
        assert answer == [done(text=text.decode())]


def test_a_request_without_end_is_cut(loop: Loop) -> None:
    client = loop.connect(b"x" * REQUEST_LIMIT_BYTES)
    client.setblocking(True)
    with contextlib.suppress(BrokenPipeError):
        client.sendall(b"x" * 100)
    client.setblocking(False)
    assert loop.receive(client) in ([refused(f"the request is longer than {REQUEST_LIMIT_BYTES} bytes")], [])


def test_the_number_of_clients(loop: Loop) -> None:
    for number in range(CLIENTS_MAX):
        loop.connect(b'{"command": "wait"}\n')
        loop.until(lambda number=number: len(loop.replies) == number + 1)  # type: ignore[misc]
    assert loop.ask({"command": "echo"}) == [refused(f"{CLIENTS_MAX} clients are served already")]
    loop.replies[0].finish()
    assert loop.ask({"command": "echo"}) == [done(text=None)]


def test_a_request_has_to_come_in_time(loop: Loop) -> None:
    client = loop.connect(b"{")
    loop.until(lambda: loop.control.tick(0.0) < float("inf"))
    due = loop.control.tick(0.0)
    assert abs(due - time.monotonic() - REQUEST_S) < REQUEST_S
    assert loop.control.tick(due - 0.001) == due
    assert loop.control.tick(due) == float("inf")
    assert loop.receive(client) == [refused("the request was not whole within 5 s")]


def fill(loop: Loop, client: socket.socket) -> None:
    """Say so much that the kernel takes no more."""
    loop.until(lambda: loop.replies)
    while loop.control.tick(0.0) == float("inf"):
        loop.replies[0].tell("x" * 10000)


def test_who_does_not_read_is_cut_in_time(loop: Loop) -> None:
    client = loop.connect(b'{"command": "wait"}\n')
    fill(loop, client)
    due = loop.control.tick(0.0)
    assert due <= time.monotonic() + ANSWER_S
    client.recv(1 << 20)  # it does read, and gets more, and more time
    loop.until(lambda: loop.control.tick(0.0) > due)
    fill(loop, client)
    loop.control.tick(loop.control.tick(0.0))
    assert loop.control.tick(0.0) == float("inf")
    data = b""
    with contextlib.suppress(ConnectionError):
        while chunk := client.recv(1 << 20):
            data += chunk
    assert b'"result"' not in data


def test_what_waits_to_be_read_is_bounded(loop: Loop) -> None:
    client = loop.connect(b'{"command": "wait"}\n')
    fill(loop, client)
    for _ in range(ANSWER_LIMIT_BYTES // 10000 + 2):
        loop.replies[0].tell("x" * 10000)
    assert loop.control.tick(0.0) == float("inf")  # it is gone
    assert loop.ask({"command": "echo"}) == [done(text=None)]


def test_a_long_answer_arrives_whole(loop: Loop) -> None:
    client = loop.connect(b'{"command": "wait"}\n')
    loop.until(lambda: loop.replies)
    loop.replies[0].finish(text="x" * 3_000_000)
    assert loop.receive(client) == [done(text="x" * 3_000_000)]


def test_without_descriptors_the_loop_rests(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    class Starved:
        def accept(self) -> object:
            raise OSError(errno.EMFILE, "Too many open files")

        def __getattr__(self, name: str) -> Any:
            return getattr(sock, name)

    sock = loop.control._sock
    client = loop.connect(b'{"command": "echo"}\n')
    with monkeypatch.context() as patched:
        patched.setattr(loop.control, "_sock", Starved())
        loop.until(lambda: loop.control.tick(0.0) < float("inf"))
    assert not loop.poll.poll(0)
    assert loop.control.tick(0.0) <= time.monotonic() + PAUSE_S
    loop.control.tick(time.monotonic() + PAUSE_S)
    assert loop.receive(client) == [done(text=None)]


# Who may.


def test_others_are_turned_away(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(module, "get_peer_uid", lambda sock: 54321)
        answer = loop.ask({"command": "echo"})
    assert answer == [refused(f"user 54321 is not allowed: want root, or user {os.geteuid()}")]


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="needs root")
def test_the_kernel_says_who_it_is() -> None:
    code = (
        "import os, socket, sys; os.setgid(54321); os.setuid(54321); client = socket.socket(socket.AF_UNIX);"
        "client.connect(sys.argv[1]); client.sendall(b'{}'); print(client.recv(4096).decode())"
    )
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        loop = Loop(Path(directory) / "control.sock")
        os.chmod(loop.path, 0o666)  # a mistake of somebody's
        child = subprocess.Popen([sys.executable, "-c", code, loop.path], stdout=subprocess.PIPE, text=True)
        loop.until(lambda: child.poll() is not None)
        assert child.stdout is not None
        answer = child.stdout.read()
        child.stdout.close()
        loop.control.close()
    assert json.loads(answer) == refused(f"user 54321 is not allowed: want root, or user {os.geteuid()}")


# The file.


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    mask = os.umask(0)
    try:
        control = ControlSocket(str(path), LOG)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert os.umask(0) == 0
    finally:
        os.umask(mask)
    control.close()
    control.close()
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_file_is_given_to_its_owner(path: Path) -> None:
    control = ControlSocket(str(path), LOG, owner=(54321, 12345))
    assert (os.stat(path).st_uid, os.stat(path).st_gid) == (54321, 12345)
    control.close()


def test_a_stale_file_is_replaced_and_a_live_one_is_not(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    control = ControlSocket(str(path), LOG)
    with pytest.raises(BindError) as caught:
        ControlSocket(str(path), LOG)
    assert str(caught.value) == f"cannot bind control_socket {path}: a server is listening on it"
    assert path.exists()
    control.close()


@pytest.mark.parametrize("excess", [0, 1])
def test_the_length_of_its_path(tmp_path: Path, excess: int, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ("x" * (UNIX_PATH_LIMIT_BYTES + excess - len(os.fsencode(tmp_path)) - 1))
    if not excess:
        ControlSocket(str(path), LOG).close()
        return
    with pytest.raises(BindError) as caught:
        ControlSocket(str(path), LOG)
    assert str(caught.value) == (
        f"cannot bind control_socket {path}: a socket path has at most {UNIX_PATH_LIMIT_BYTES} bytes"
    )


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "the path exists and is not a socket"),
        (lambda path: path.write_text("important"), "the path exists and is not a socket"),
        (lambda path: path.parent.rmdir(), "its directory does not exist"),
    ],
    ids=["directory", "file", "missing directory"],
)
def test_paths_that_cannot_be(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    path = tmp_path / "inner" / "control.sock"
    path.parent.mkdir()
    make(path)
    with pytest.raises(BindError) as caught:
        ControlSocket(str(path), LOG)
    assert str(caught.value) == f"cannot bind control_socket {path}: {reason}"


def test_a_relative_path_is_meant_from_where_it_was_given(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    control = ControlSocket(path.name, LOG)
    monkeypatch.chdir("/")
    control.close()
    assert not path.exists()


def test_a_child_takes_nothing_away(loop: Loop) -> None:
    client = loop.connect(b'{"command": "wait"}\n')
    loop.until(lambda: loop.replies)
    child = os.fork()
    if not child:
        loop.control.forget()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    loop.replies[0].finish()
    assert loop.receive(client) == [done()]
    assert loop.ask({"command": "echo"}) == [done(text=None)]


def test_the_end_waits_for_the_last_lines(path: Path) -> None:
    loop = Loop(path)
    client = loop.connect(b'{"command": "wait"}\n')
    loop.until(lambda: loop.replies)
    loop.replies[0].finish(text="x" * 100_000)
    loop.control.close()
    client.setblocking(True)
    data = b""
    while chunk := client.recv(65536):
        data += chunk
    client.close()
    assert json.loads(data) == done(text="x" * 100_000)

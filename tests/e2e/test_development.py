"""Development: a real server that starts anew when a file changes, with and without the package ``watchfiles``."""

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.e2e.processes import PATIENCE_S, ServerProcess
from tests.e2e.test_processes import send_request

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

#: Answers with its number, sends events without an end, and takes its time where the path says so.
SOURCE = """
import asyncio

NUMBER = {number}

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}})
    if scope["path"] == "/events":
        while True:
            await send({{"type": "http.response.body", "body": b"event", "more_body": True}})
            await asyncio.sleep(0.05)
    await send({{"type": "http.response.body", "body": b"%d" % NUMBER}})
"""


class Application:
    """A directory with ``fs_reloaded.py``; each version is longer than the one before, whatever the clock says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "fs_reloaded.py"
        self.number = 0
        self.write()

    def write(self, extra: str = "") -> bytes:
        """A new version: what it answers."""
        self.number += 1
        text = SOURCE.format(number=self.number) + "#" * self.number + extra
        draft = self.folder / "draft"
        draft.write_text(text)
        os.replace(draft, self.path)
        return str(self.number).encode()


@pytest.fixture
def application(tmp_path: Path) -> Application:
    folder = tmp_path / "app"
    folder.mkdir()
    return Application(folder)


@pytest.fixture(params=["watchfiles", "polling"])
def hidden(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is there, or is not."""
    if request.param == "watchfiles":
        pytest.importorskip("watchfiles")
    else:
        path = tmp_path / "hidden"
        path.mkdir()
        (path / "watchfiles.py").write_text("raise ImportError")
        monkeypatch.setenv("PYTHONPATH", str(path))
    return


def start(application: Application, *arguments: str) -> ServerProcess:
    folder = str(application.folder)
    return ServerProcess("fs_reloaded:app", "--app-dir", folder, "--reload", "--reload-delay", "0.1", *arguments)


def read_body(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.usefixtures("hidden")
def test_a_change_a_fault_and_its_mending(application: Application) -> None:
    with start(application) as server:
        server.wait_listening()
        assert read_body(server.port) == b"1"
        wanted = application.write()
        server.wait_log(r"reload: .*fs_reloaded\.py changed$")
        server.wait_log(r"worker \[\d+\] is ready")
        assert read_body(server.port) == wanted
        application.write("\nx = (")
        server.wait_log(r"SyntaxError: '\(' was never closed$")
        server.wait_log(r"startup failed: cannot import fs_reloaded: SyntaxError")
        server.wait_log(r"reload: waiting for a change$")
        # Who comes meanwhile waits until it is mended.
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            wanted = application.write()
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.partition(b"\r\n\r\n")[2] == wanted
        application.write("\nimport fs_not_there")
        server.wait_log(r"startup failed: .*fs_not_there")
        server.wait_log(r"reload: waiting for a change$")
        wanted = application.write()
        server.wait_log(r"worker \[\d+\] is ready")
        assert read_body(server.port) == wanted
        server.send(signal.SIGINT)
        assert server.wait_exit() == 0
        # Each traceback once.
        assert sum("was never closed" in line for line in server.log) == 2
        assert "GET / HTTP/1.0" in server.output  # the access log is on


def test_an_application_that_is_broken_from_the_start(application: Application) -> None:
    application.write("\nraise RuntimeError('not yet')")
    with start(application) as server:
        server.wait_log(r"startup failed: cannot import fs_reloaded: RuntimeError: not yet")
        server.wait_log(r"reload: waiting for a change$")
        wanted = application.write()  # what watches the files may still be starting
        server.wait_listening()
        assert read_body(server.port) == wanted


def test_what_is_open_delays_nothing(application: Application) -> None:
    """An event stream, and an application that blocks the loop for good."""
    with start(application) as server:
        server.wait_listening()
        with send_request(server.port, "/events") as client:
            assert client.recv(65536)
            begin = time.monotonic()
            application.write()
            server.wait_log(r"worker \[\d+\] is ready")
            assert time.monotonic() - begin < PATIENCE_S / 2
            with contextlib.suppress(ConnectionResetError):
                while client.recv(65536):
                    pass
        application.write("\nimport time\ntime.sleep(1000)")
        server.wait_log(r"reload: .* changed$")
        time.sleep(0.3)
        wanted = application.write()
        server.wait_log(r"worker \[\d+\] is ready")
        assert read_body(server.port) == wanted


def test_what_is_watched(application: Application, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    include = ("--reload-include", "*.html", "--reload-exclude", "test_*", "--reload-dir", str(application.folder))
    with start(application, *include, "--reload-dir", str(elsewhere)) as server:
        server.wait_listening()
        (application.folder / "test_it.py").touch()
        (application.folder / "notes.txt").touch()
        (elsewhere / "page.html").touch()
        assert server.wait_log(r"reload: (.*) changed$")[1].endswith("elsewhere/page.html")
        server.wait_log(r"worker \[\d+\] is ready")
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
        assert sum("changed" in line for line in server.log) == 1


def test_a_directory_that_there_is_not(application: Application) -> None:
    with start(application, "--reload-dir", "/nowhere/at/all") as server:
        assert server.wait_exit() == 3
        assert server.log[-1].endswith("startup failed: reload_dirs: '/nowhere/at/all' is no directory")


def test_nothing_is_left_when_the_supervisor_is_killed(application: Application) -> None:
    with start(application) as server:
        server.wait_listening()
        children = list_children(server.process.pid)
        assert len(children) == 2  # the worker, and what watches the files
        server.send(signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_S
        while any(is_alive(pid) for pid in children):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def list_children(pid: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="ascii") as file:
                    if int(file.read().rpartition(")")[2].split()[1]) == pid:
                        found.append(int(name))
            except OSError:
                continue
    return found


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_debug(loop: str, tmp_path: Path) -> None:
    """asyncio's debug mode: what blocks the loop is told, and the log has all that it can have."""
    (tmp_path / "fs_slow.py").write_text(
        "import asyncio, time\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http':\n"
        "        return\n"
        "    body = b'%d' % asyncio.get_running_loop().get_debug()\n"
        "    await asyncio.sleep(0)\n"
        "    time.sleep(0.3)\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': body})\n"
    )
    with ServerProcess("fs_slow:app", "--app-dir", str(tmp_path), "--debug", "--loop", loop) as server:
        server.wait_listening()
        assert read_body(server.port) == b"1"
        server.wait_log(r"WARNING Executing .* took 0\.\d+ seconds")

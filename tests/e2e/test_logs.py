"""The logs of real processes: what they say, and that nothing that happens to them stops a request (FI-16)."""

import asyncio
import base64
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from tests.e2e.processes import PATIENCE_S, ROOT, ServerProcess

APP = "tests.e2e.logged_application:app"
WSGI = "tests.e2e.logged_application:wsgi"
HEAD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [+-]\d{4} \[\d+\] [A-Z]+ ")


def ask(port: int, path: str = "/", **headers: str) -> tuple[int, bytes, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def wait_for(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def read_lines(path: Path, count: int) -> list[str]:
    """The lines of a file, once there are so many."""
    return wait_for(lambda: lines if len(lines := path.read_text().splitlines()) >= count else None)  # type: ignore[no-any-return]


def read_json(path: Path, count: int) -> list[Any]:
    return [json.loads(line) for line in read_lines(path, count)]


def test_every_kind_of_exchange_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    flags = ("--log-format", "json", "--access-logfile", str(path), "--access-log-exclude", "/health*")
    with ServerProcess(APP, *flags) as server:
        server.wait_log('"message":"listening on http://127.0.0.1:')
        server.port = int(re.search(r"http://127\.0\.0\.1:(\d+)", server.log[-1])[1])  # type: ignore[index]
        assert ask(server.port, "/?q=1")[0] == 200
        assert ask(server.port, "/healthz")[0] == 200
        with socket.create_connection(("127.0.0.1", server.port)) as gone:
            gone.sendall(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
            time.sleep(0.2)
        read_lines(path, 2)
        asyncio.run(hold_session(server.port, 0.3))
        read_lines(path, 3)
        asyncio.run(be_denied(server.port))
        assert ask(server.port, "/fail")[0] == 500
        found = read_json(path, 5)
        server.wait_log("exception in the application")
        failure = json.loads(server.log[-1])
    assert [(each["path"], each["status"]) for each in found] == [
        ("/", 200), ("/wait", 499), ("/session", 101), ("/denied", 403), ("/fail", 500),
    ]  # fmt: skip
    assert found[2]["duration_s"] >= 0.3
    assert (found[0]["query"], found[0]["bytes"], found[0]["client"]) == ("q=1", 0, "127.0.0.1")
    assert failure["level"] == "ERROR"
    assert failure["exception"].endswith("forged \x1b[2J\u202e")  # the encoder has escaped it


async def hold_session(port: int, seconds: float) -> None:
    async with websockets.connect(f"ws://127.0.0.1:{port}/session"):
        await asyncio.sleep(seconds)


async def be_denied(port: int) -> None:
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(f"ws://127.0.0.1:{port}/denied")


def test_a_request_has_one_id_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    form = "%(id)s %(trace_id)s"
    with ServerProcess(APP, "--request-id", "--access-logfile", str(path), "--access-logformat", form) as server:
        server.wait_listening()
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        _, body, headers = ask(server.port, "/", **{"x-request-id": "mine-1", "traceparent": trace})
        assert (body, headers["x-request-id"]) == (b"mine-1", "mine-1")
        _, body, headers = ask(server.port, "/", **{"x-request-id": "not fit"})
        assert re.fullmatch(rb"[0-9a-f]{32}", body)
        assert headers.get_all("x-request-id") == [body.decode()]
        _, _, headers = ask(server.port, "/fail")
        failed = headers["x-request-id"]
        assert read_lines(path, 3) == ["mine-1 4bf92f3577b34da6a3ce929d0e0e4736", f"{body.decode()} -", f"{failed} -"]
        server.wait_log(rf"ERROR exception in the application: GET /fail \(request {failed}\)$")


@pytest.mark.parametrize("threads", ["0", "2"])
def test_a_wsgi_application_has_the_id_too(threads: str, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    flags = ("--request-id", "--threads", threads, "--access-logfile", str(path), "--access-logformat", "%(s)s %(id)s")
    with ServerProcess(WSGI, *flags) as server:
        server.wait_listening()
        _, body, headers = ask(server.port, "/", **{"x-request-id": "mine-1"})
        assert (body, headers.get_all("x-request-id")) == (b"mine-1", ["mine-1"])
        assert ask(server.port, "/fail", **{"x-request-id": "mine-2"})[0] == 500
        assert read_lines(path, 2) == ["200 mine-1", "500 mine-2"]
        server.wait_log(r"ERROR exception in the application: GET /fail \(request mine-2\)$")


def test_over_http2_too(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    flags = ("--h2c", "--request-id", "--access-logfile", str(path), "--access-logformat", "%(H)s %(s)s %(id)s")
    with ServerProcess(APP, *flags) as server:
        server.wait_listening()
        with httpx.Client(http1=False, http2=True, base_url=f"http://127.0.0.1:{server.port}") as client:
            for given in ("mine-1", "mine-2"):
                response = client.get("/", headers={"x-request-id": given})
                assert (response.text, response.headers["x-request-id"]) == (given, given)
            assert len(client.get("/").text) == 32
        assert [line[:13] for line in read_lines(path, 3)[:2]] == ["HTTP/2 200 mi"] * 2


@pytest.mark.parametrize("app", [APP, WSGI])
def test_what_an_application_raises_forges_no_line(app: str) -> None:
    with ServerProcess(app) as server:
        server.wait_listening()
        ask(server.port, "/fail")
        server.wait_log("forged")
        server.send(signal.SIGTERM)
        server.wait_exit()
        heads = [line for line in server.log if HEAD.match(line)]
        assert all(line.startswith("  ") for line in server.log if line not in heads)
        assert all(" ERROR 2026-01-01 forged" in head for head in heads if "forged" in head)  # wsgi.errors, by lines
        assert re.search(r"forged ?\\x1b\[2J", server.text)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", server.text)


def test_debug_tells_no_secrets() -> None:
    secrets = "sesame"
    token = base64.b64encode(f"user:{secrets}".encode()).decode()
    with ServerProcess(APP, "--log-level", "trace") as server:
        server.wait_listening()
        headers = {"authorization": f"Basic {token}", "cookie": f"session={secrets}", "x-api-key": secrets}
        ask(server.port, f"/?token={secrets}", **headers)
        ask(server.port, f"/fail?token={secrets}", **headers)
        with socket.create_connection(("127.0.0.1", server.port)) as wrong:
            wrong.sendall(f"GET / HTTP/1.1\r\ncookie: {secrets}\r\nbad header: {secrets}\r\n\r\n".encode())
            assert wrong.recv(1000).startswith(b"HTTP/1.1 400")
        server.send(signal.SIGTERM)
        server.wait_exit()
        assert "DEBUG" in server.text
        assert secrets not in server.text
        assert token not in server.text


@pytest.mark.parametrize("workers", ["0", "2"])
def test_files_that_were_moved_are_reopened(workers: str, tmp_path: Path) -> None:
    access, error = tmp_path / "access.log", tmp_path / "error.log"
    flags = ("--workers", workers, "--access-logfile", str(access), "--access-logformat", "%(s)s")
    with ServerProcess(APP, *flags, "--error-logfile", str(error)) as server:
        text = wait_for(lambda: re.search(r"listening on \S+:(\d+)", error.read_text() if error.exists() else ""))
        port = int(text[1])
        wait_for(lambda: error.read_text().count("is ready") == int(workers))
        ask(port)
        read_lines(access, 1)
        for path in (access, error):
            path.rename(path.with_suffix(".1"))
        server.send(signal.SIGUSR1)
        wait_for(lambda: access.exists() and error.exists())
        wait_for(lambda: len(list_users(server.process.pid, access)) >= max(int(workers), 1))
        for _ in range(10):
            assert ask(port, "/fail")[0] == 500
        assert read_lines(access, 10) == ["500"] * 10
        wait_for(lambda: error.read_text().count("ERROR exception") == 10)
        assert access.with_suffix(".1").read_text() == "200\n"
        server.send(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0


def list_users(group: int, path: Path) -> list[int]:
    """The processes of a group that have ``path`` open; all of them, where the system does not tell."""
    if not Path("/proc/self/fd").exists():
        time.sleep(1)
        return [group] * 9
    users = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getpgid(int(entry.name)) == group and any(
                    os.readlink(each) == str(path) for each in (entry / "fd").iterdir()
                ):
                    users.append(int(entry.name))
            except OSError:
                continue
    return users


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_stops_nothing() -> None:
    port = free_port()
    flags = ["--access-logfile", "/dev/full", "--error-logfile", "/dev/full", "--metrics-bind", f"127.0.0.1:{port}"]
    with ServerProcess(APP, *flags, bind=f"127.0.0.1:{(own := free_port())}"):
        wait_for(lambda: is_open(own))
        for _ in range(20):
            assert ask(own)[0] == 200
            assert ask(own, "/fail")[0] == 500
        text = wait_for(
            lambda: page if b'dropped_total{log="access"} 40' in (page := ask(port, "/metrics")[1]) else None
        )
        (dropped,) = re.findall(rb'fastserver_log_lines_dropped_total\{log="error"\} (\d+)', text)
        assert int(dropped) >= 20


@pytest.mark.parametrize("workers", ["0", "2"])
def test_pipes_that_nobody_reads_stop_nothing(workers: str) -> None:
    """Both logs at once; then they are read again, and say what is missing."""
    own = free_port()
    command = [
        sys.executable,
        "-m",
        "fastserver",
        APP,
        "--access-log",
        "--workers",
        workers,
        "--bind",
        f"127.0.0.1:{own}",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, start_new_session=True
    ) as process:
        try:
            wait_for(lambda: is_open(own))
            for _ in range(2):  # connections, each with more than pipe and memory of one worker hold
                connection = http.client.HTTPConnection("127.0.0.1", own, timeout=PATIENCE_S)
                for _ in range(500):
                    connection.request("GET", f"/{'a' * 3000}")
                    response = connection.getresponse()
                    response.read()
                    assert response.status == 200
                connection.close()
            assert ask(own, "/fail")[0] == 500
            assert process.stdout is not None
            assert process.stderr is not None
            read = drain(
                process.stdout.fileno(), process.stderr.fileno(), b"lines of the access log were lost: nobody reads it"
            )
            assert b"exception in the application" in read
            for line in read.splitlines():  # of many processes, and yet each line is whole
                if line.startswith(b"127.0.0.1"):
                    assert re.match(rb'127\.0\.0\.1 - - \[[^]]+\] "GET /\S+ HTTP/1\.1" [25]00 \d*', line), line[:300]
            assert ask(own)[0] == 200
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def drain(stdout: int, stderr: int, until: bytes) -> bytes:
    """What both say until ``until`` stands in it, each by itself."""
    read = {stdout: b"", stderr: b""}
    deadline = time.monotonic() + PATIENCE_S
    while until not in read[stderr]:
        assert time.monotonic() < deadline, read[stderr][-2000:]
        for fd in select.select(list(read), [], [], 0.1)[0]:
            read[fd] += os.read(fd, 65536)
    return b"\n".join(read.values())


def test_closed_standard_streams_stop_nothing() -> None:
    own = free_port()
    command = f"exec {sys.executable} -m fastserver {APP} --access-log --bind 127.0.0.1:{own} >&- 2>&-"
    with subprocess.Popen(command, shell=True, cwd=ROOT, start_new_session=True) as process:
        try:
            wait_for(lambda: is_open(own))
            for _ in range(20):
                assert ask(own)[0] == 200
                assert ask(own, "/fail")[0] == 500
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
        finally:
            if process.poll() is None:
                process.kill()


def test_a_terminal_gets_short_coloured_lines() -> None:
    own = free_port()
    reader, terminal = os.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    command = [sys.executable, "-m", "fastserver", APP, "--access-log", "--bind", f"127.0.0.1:{own}"]
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, cwd=ROOT, env={**environment, "TERM": "xterm"},
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            wait_for(lambda: is_open(own))
            assert ask(own, "/items?q=2")[0] == 200
            read = b""
            while b"/items?q=2" not in read or not read.endswith(b"\n"):
                assert select.select([reader], [], [], PATIENCE_S)[0]
                read += os.read(reader, 65536)
            assert re.search(
                rb"\d\d:\d\d:\d\d 127\.0\.0\.1 GET /items\?q=2 \x1b\[32m200\x1b\[0m [\d.]+ ms \d+\r\n", read
            )
            assert b"\x1b[32mINFO\x1b[0m listening on" in read
        finally:
            process.kill()
    os.close(reader)
    os.close(terminal)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S).close()
    except OSError:
        return False
    return True

"""What a supervisor does for its workers while they run: FI-2, FI-8, FI-9, FI-18 and FI-25 at small size."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.processes import PATIENCE_S, Load, ServerProcess
from tests.e2e.test_processes import ask, is_alive, read_answer, run_load, send_request, start, wait_gone

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

STUCK = "tests.e2e.stuck:app"
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="as Linux has it")
both_loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
HASTY = ("--timeout-worker-healthcheck", "2")


def get_answers(server: ServerProcess, count: int) -> Counter[int]:
    return Counter(int(ask(server.port).split()[0]) for _ in range(count))


def wait_worker(server: ServerProcess, but: set[int]) -> int:
    """The process of a worker that answers and is none of those."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        new = set(get_answers(server, 1)) - but
        if new:
            return new.pop()
        assert time.monotonic() < deadline


# Hung workers.


@pytest.mark.parametrize(
    ("path", "where", "with_tasks"), [("/sleep_in_python", "sleep_in_python", True), ("/count_in_c", "stuck.py", False)]
)
@both_loops
def test_a_worker_that_hangs_says_where_and_is_replaced(path: str, where: str, with_tasks: bool, loop: str) -> None:
    with start(*HASTY, app=STUCK, workers=2, loop=loop) as server:
        pids = server.wait_ready(2)
        waiting = send_request(server.port, "/wait")
        with send_request(server.port, path) as stuck:
            hung = int(server.wait_log(r"worker \[(\d+)\] has shown no sign of life for \d s")[1])
            assert hung in pids
            server.wait_log(rf"worker \[{hung}\] is doing this")
            server.wait_log(rf"worker \[{hung}\] hangs; starting another")
            assert where in server.text
            assert ("Tasks of asyncio" in server.text) is with_tasks
            server.wait_log("is ready")
            (other,) = set(pids) - {hung}
            assert wait_worker(server, {other}) != hung
            server.wait_log(rf"worker \[{hung}\] was killed by SIGKILL")
            assert read_answer(stuck) == b""
        waiting.close()
        assert is_alive(other)


def test_waiting_is_not_hanging_and_neither_is_a_slow_start() -> None:
    with start(*HASTY, app="tests.e2e.stuck:load_slowly()", workers=1) as server:
        (pid,) = server.wait_ready(1)
        with send_request(server.port, "/wait"):
            time.sleep(4)
            assert set(get_answers(server, 3)) == {pid}
    assert "sign of life" not in server.text


@on_linux
def test_a_server_that_is_stopped_and_continued_kills_nobody() -> None:
    with start(*HASTY, "--timeout-graceful-shutdown", "1", app=STUCK, workers=2) as server:
        pids = server.wait_ready(2)
        with send_request(server.port, "/wait"):
            os.killpg(server.process.pid, signal.SIGSTOP)
            time.sleep(5)
            os.killpg(server.process.pid, signal.SIGCONT)
            time.sleep(2.5)
            assert set(get_answers(server, 20)) <= set(pids)
            # The supervisor alone: its workers go on without it.
            os.kill(server.process.pid, signal.SIGSTOP)
            time.sleep(4)
            assert set(get_answers(server, 5)) <= set(pids)
            os.kill(server.process.pid, signal.SIGCONT)
            time.sleep(2.5)
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert "ERROR" not in server.text


def test_a_startup_that_blocks_the_loop_is_ended_from_outside() -> None:
    with start(
        "--timeout-lifespan-startup", "0.1", app="tests.e2e.stuck:block_startup()", workers=1, loop="asyncio"
    ) as server:
        server.wait_log("blocking")
        server.wait_log("does not start in time: killing it")


# Crashes.


def test_a_crash_leaves_its_trace_in_the_error_log(tmp_path: Path) -> None:
    path = tmp_path / "error.log"
    bind = f"unix:{tmp_path}/app.sock"
    with start("--error-logfile", str(path), app=STUCK, bind=bind) as server:
        deadline = time.monotonic() + PATIENCE_S
        while not path.exists() or "listening" not in path.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with send_request(bind.removeprefix("unix:"), "/crash") as client:
            assert read_answer(client) == b""
        assert ask(bind.removeprefix("unix:"))
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    text = path.read_text()
    assert "Segmentation fault" in text
    assert "tests/e2e/stuck.py" in text
    assert text.index("Segmentation fault") < text.index("was killed by SIGSEGV")


# Recycling.


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_are_replaced_after_so_many_requests_and_nothing_is_lost(workers: int) -> None:
    with start("--max-requests", "200", "--max-requests-jitter", "100", workers=workers) as server:
        first = server.wait_ready(workers)

        async def scenario(load: Load) -> None:
            while len(set(load.pids) - {0, *first}) < 2:
                await load.wait_answers(20)

        load = run_load(server.port, scenario)
        assert load.failures == {}
        assert load.outcomes["REFUSED"] == 0
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert re.search(r"retires after \d{3,} requests: \[\d+\] serves in its place", server.text)
    assert "ERROR" not in server.text


def test_websocket_sessions_count_as_requests() -> None:
    with start("--max-requests", "2", app=STUCK) as server:
        server.wait_ready(1)
        sessions = []
        for _ in range(2):
            client = socket.create_connection(("127.0.0.1", server.port), PATIENCE_S)
            client.sendall(
                b"GET / HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                b"sec-websocket-version: 13\r\nsec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
            )
            assert client.recv(4096).startswith(b"HTTP/1.1 101")
            sessions.append(client)
        server.wait_log("retires after 2 requests")
        for client in sessions:
            client.close()


def test_workers_are_replaced_after_their_time_one_by_one() -> None:
    with start("--worker-lifetime", "1", app=STUCK, workers=2) as server:
        first = server.wait_ready(2)
        for _ in range(2):
            server.wait_log(r"retires after \d s")
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    starting = [line for line in server.log if "is ready" in line or "retires" in line]
    # Whoever retires has a successor that was ready before, and nobody else was starting then.
    assert [("retires" in line) for line in starting[:6]] == [False, False, False, True, False, True]
    assert any(str(pid) in starting[3] for pid in first)
    assert "ERROR" not in server.text


@on_linux
def test_a_worker_with_too_much_memory_is_replaced() -> None:
    with start("--worker-max-rss", "150m", app=STUCK) as server:
        (first,) = server.wait_ready(1)
        for _ in range(3):
            ask(server.port, "/hoard")
        server.wait_log(r"retires with \d+ MiB of memory")
        assert wait_worker(server, {first}) != first
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0


def test_a_successor_that_does_not_start_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (tmp_path / "once.py").write_text("from tests.e2e.stuck import app\n")
    with start("--worker-lifetime", "1", "--app-dir", str(tmp_path), app="once:app") as server:
        (pid,) = server.wait_ready(1)
        (tmp_path / "once.py").write_text("raise RuntimeError('not twice')\n")
        server.wait_log(r"exited with code 3 before it could serve")
        assert "not twice" in server.text
        time.sleep(1)
        assert set(get_answers(server, 3)) == {pid}
    assert server.text.count("before it could serve") == 1  # and it is not tried again and again


# Signals.


def test_ttin_and_ttou_change_the_number_of_workers() -> None:
    with start(app=STUCK, workers=1) as server:
        (first,) = server.wait_ready(1)
        server.send(signal.SIGTTIN)
        second = int(server.wait_log(r"worker \[(\d+)\] is ready")[1])
        assert {first, second} >= set(get_answers(server, 10))
        server.send(signal.SIGTTOU)
        server.wait_log(rf"worker \[{second}\] retires: it is one too many")
        wait_gone(second)
        server.send(signal.SIGTTOU)  # the last one stays
        assert set(get_answers(server, 3)) == {first}
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_usr1_reopens_the_logs(workers: int, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with start("--access-logfile", str(path), workers=workers, app=STUCK) as server:
        server.wait_listening()
        ask(server.port)
        os.rename(path, tmp_path / "old.log")
        server.send(signal.SIGUSR1)
        deadline = time.monotonic() + PATIENCE_S
        while not (path.exists() and path.read_text()):
            ask(server.port)
            assert time.monotonic() < deadline


def test_a_hangup_of_a_lone_process_says_what_it_cannot_do() -> None:
    with start(workers=0, app=STUCK) as server:
        server.wait_listening()
        server.send(signal.SIGHUP)
        server.wait_log("for new code and settings start with --workers")
        assert ask(server.port)
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0


@on_linux
def test_a_server_ends_with_its_terminal() -> None:
    """SIGHUP then does not mean a reload."""
    for workers in ("0", "1"):
        pid, terminal = os.forkpty()
        if pid == 0:
            command = [sys.executable, "-m", "fastserver", STUCK, "--workers", workers, "--bind", "127.0.0.1:0"]
            os.execv(sys.executable, command)
        seen = b""
        while b"listening" not in seen:
            seen += os.read(terminal, 4096)
        os.close(terminal)
        deadline = time.monotonic() + PATIENCE_S
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


# The end of the supervisor.


@on_linux
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["", "preload"])
def test_nothing_outlives_a_killed_supervisor(options: tuple[str, ...]) -> None:
    with start(*options, app=STUCK, workers=3) as server:
        pids = server.wait_ready(3)
        port = server.port
        session = list_session(server.process.pid)
        assert session >= {*pids, server.process.pid}
        waiting = send_request(port, "/wait")
        blocked = [send_request(port, path) for path in ("/sleep_in_python", "/count_in_c")]
        time.sleep(0.5)
        server.send(signal.SIGKILL)
        started = time.monotonic()
        for pid in session - {server.process.pid}:
            wait_gone(pid)
        assert time.monotonic() - started < PATIENCE_S
        assert server.wait_exit() == -signal.SIGKILL
        waiting.close()
        for client in blocked:
            client.close()
        with start(app=STUCK, bind=f"127.0.0.1:{port}") as successor:
            successor.wait_listening()
            assert ask(port)


def list_session(leader: int) -> set[int]:
    """The processes of a session."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.getsid(int(name)) == leader:
                found.add(int(name))
    return found


@on_linux
def test_a_restart_binds_while_the_orphans_drain() -> None:
    with start(app=STUCK, workers=2) as server:
        pids = server.wait_ready(2)
        with send_request(server.port, "/wait"):
            server.send(signal.SIGKILL)
            server.process.wait(PATIENCE_S)
            deadline = time.monotonic() + PATIENCE_S
            while True:
                with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", server.port)):
                    break
                assert time.monotonic() < deadline
            assert any(is_alive(pid) for pid in pids)  # one still has its request


# Preloading.


@on_linux
def test_the_application_is_imported_once_and_workers_are_the_supervisors(tmp_path: Path) -> None:
    (tmp_path / "counted.py").write_text(
        "import os\nos.write(2, b'imported\\n')\nfrom tests.e2e.stuck import app\n"
        "import atexit\natexit.register(os.write, 2, b'exit handler\\n')\n"
    )
    with start("--preload", "--app-dir", str(tmp_path), app="counted:app", workers=3) as server:
        pids = server.wait_ready(3)
        parents = {int(ask(server.port).split()[1]) for _ in range(10)}
        assert parents == {server.process.pid}
        os.kill(pids[0], signal.SIGKILL)
        server.wait_log("is ready")
        assert server.text.count("imported") == 1
        template = int(server.text.partition("template [")[2].partition("]")[0])
        os.kill(template, signal.SIGKILL)
        server.wait_log(rf"template \[{template}\]: the template process \[{template}\] has died; starting another now")
        server.wait_log("has loaded the application")
        os.kill(pids[1], signal.SIGKILL)
        server.wait_log("is ready")
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert server.text.count("imported") == 2
    assert server.text.count("exit handler") == 3


@on_linux
def test_a_preload_that_fails_is_a_failed_start() -> None:
    with start("--preload", app="tests.e2e.applications:fail_while_loading()") as server:
        assert server.wait_exit() == 3
    (line,) = [line for line in server.log if "startup failed" in line]
    assert "RuntimeError: bad setting" in line
    assert server.text.count("Traceback") == 1


@on_linux
def test_what_needs_a_supervisor_has_one() -> None:
    with start("--preload", workers=0, app=STUCK) as server:
        (pid,) = server.wait_ready(1)
        assert pid != server.process.pid
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0


def test_a_drain_delay_is_served_through() -> None:
    with start("--drain-delay", "1", "--health-check-path", "/health", workers=2) as server:
        server.wait_ready(2)

        async def scenario(load: Load) -> None:
            started = time.monotonic()
            server.send(signal.SIGTERM)
            await asyncio.sleep(0.5)
            with send_request(server.port, "/health") as client:
                client.settimeout(PATIENCE_S)
                assert client.recv(4096).startswith(b"HTTP/1.1 503")
            await load.wait_answers(5)
            await load.wait_refused()
            assert time.monotonic() - started > 0.9

        load = run_load(server.port, scenario)
        assert server.wait_exit() == 0
    assert load.failures == {}

"""Real processes from the command line: killed, drained under load, started wrongly (FI-1, 3 to 6, 9, 17, 32)."""

import asyncio
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.e2e.processes import PATIENCE_S, ROOT, Load, ServerProcess

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

APP = "tests.e2e.applications:app"
both_loops = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
one_or_two = pytest.mark.parametrize("workers", [1, 2])


def start(*arguments: str, workers: int = 1, loop: str = "auto", app: str = APP, **options: object) -> ServerProcess:
    return ServerProcess(app, "--workers", str(workers), "--loop", loop, *arguments, **options)  # type: ignore[arg-type]


def ask(address: int | str, path: str = "/", timeout_s: float = PATIENCE_S) -> bytes:
    """The body of one answer; empty where the connection ended without one."""
    with send_request(address, path, timeout_s) as client:
        return read_answer(client)


def send_request(address: int | str, path: str, timeout_s: float = PATIENCE_S) -> socket.socket:
    client = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    client.settimeout(timeout_s)
    client.connect(address if isinstance(address, str) else ("127.0.0.1", address))
    client.sendall(f"GET {path} HTTP/1.1\r\nhost: test\r\n\r\n".encode())
    return client


def read_answer(client: socket.socket) -> bytes:
    data = b""
    while True:
        head, end, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if end and length is not None and len(body) >= int(length[1]):
            return body
        try:
            chunk = client.recv(65536)
        except ConnectionError:
            chunk = b""
        if not chunk:
            return b""
        data += chunk


def run_load(port: int, scenario: Callable[[Load], Awaitable[None]]) -> Load:
    """Run ``scenario`` beside a load; gives what became of every request."""

    async def main() -> Load:
        load = Load(port)
        await load.wait_answers(50)
        await asyncio.wait_for(scenario(load), PATIENCE_S)
        await load.stop()
        return load

    return asyncio.run(main())


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
    except OSError:
        return True


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        os.sched_yield()


# Up.


@one_or_two
@both_loops
def test_it_serves_and_stops(workers: int, loop: str) -> None:
    with start(workers=workers, loop=loop) as server:
        if workers > 1:
            server.wait_ready(workers)
        else:
            server.wait_listening()
        assert server.port > 0
        assert ask(server.port, "/?hello").split()[1] == b"hello"
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
        output = server.output.splitlines()
    assert sorted(line.split()[1] for line in output) == ["shutdown"] * workers + ["startup"] * workers
    assert "Traceback" not in server.text
    with pytest.raises(ConnectionRefusedError):
        ask(server.port)


def test_the_parent_serves_nothing_itself() -> None:
    with start(workers=2) as server:
        pids = server.wait_ready(2)
        assert len({*pids, server.process.pid}) == 3
        assert {int(ask(server.port).split()[0]) for _ in range(5)} <= set(pids)


@one_or_two
def test_a_unix_socket_is_there_and_gone(workers: int, tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    with start("--uds-permissions", "600", workers=workers, bind=f"unix:{path}") as server:
        server.wait_listening()
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert ask(path, "/?unix").split()[1] == b"unix"
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert not os.path.exists(path)


@one_or_two
def test_an_inherited_socket_is_served_and_outlives_the_server(workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as parent:
        port = parent.getsockname()[1]
        fd = parent.fileno()
        with start(workers=workers, bind=f"fd://{fd}", pass_fds=[fd]) as server:
            server.wait_listening()
            assert ask(port, "/?fd").split()[1] == b"fd"
            server.send(signal.SIGTERM)
            assert server.wait_exit() == 0
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            parent.accept()[0].close()


# Down.


@one_or_two
@both_loops
def test_sigterm_under_load_loses_nothing(workers: int, loop: str) -> None:
    with start(workers=workers, loop=loop) as server:
        server.wait_listening()

        async def scenario(load: Load) -> None:
            await load.wait_answers(100)
            server.send(signal.SIGTERM)
            await load.wait_refused()

        load = run_load(server.port, scenario)
        assert server.wait_exit() == 0
    assert load.failures == {}
    assert load.outcomes["REFUSED"] == 20  # each client went on until it was refused
    assert "ERROR" not in server.text


@pytest.mark.parametrize("whole_group", [signal.SIGTERM, signal.SIGINT], ids=["systemd", "terminal"])
def test_a_signal_to_the_whole_process_group_loses_nothing(whole_group: signal.Signals) -> None:
    """systemd stops every process of a unit; a terminal's Ctrl-C reaches every process in the foreground."""
    with start(workers=2) as server:
        server.wait_ready(2)

        async def scenario(load: Load) -> None:
            os.killpg(server.process.pid, whole_group)
            await load.wait_refused()

        load = run_load(server.port, scenario)
        assert server.wait_exit() == 0
    assert load.failures == {}
    assert "ERROR" not in server.text


@one_or_two
def test_at_the_deadline_an_open_request_is_cut(workers: int) -> None:
    with start("--timeout-graceful-shutdown", "0.2", workers=workers) as server:
        server.wait_listening()
        with send_request(server.port, "/sleep?600") as client:
            assert ask(server.port) != b""
            started = time.monotonic()
            server.send(signal.SIGTERM)
            assert not read_answer(client).startswith(b"2")
        assert server.wait_exit() == 0
        assert time.monotonic() - started < 5


@one_or_two
@both_loops
@pytest.mark.parametrize("path", ["/sleep?600", "/block?600"])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_within_a_second(workers: int, loop: str, path: str, signum: signal.Signals) -> None:
    """Even where the application blocks the loop, so that no callback runs any more."""
    with start(workers=workers, loop=loop) as server:
        server.wait_listening()
        with send_request(server.port, path):
            server.send(signum)
            server.wait_log("open requests get")
            started = time.monotonic()
            server.send(signum)
            assert server.wait_exit() == 128 + signum
            assert time.monotonic() - started < 5  # of 600; the bound itself is FORCED_EXIT_S
    assert "stopping at once" in server.text


def test_sigquit_ends_it_at_once() -> None:
    with start(workers=2) as server:
        server.wait_listening()
        with send_request(server.port, "/sleep?600"):
            server.send(signal.SIGQUIT)
            assert server.wait_exit() == 128 + signal.SIGQUIT


@one_or_two
@pytest.mark.parametrize(
    ("app", "line"),
    [
        ("tests.e2e.applications:never_start", "^starting$"),
        ("tests.e2e.applications:block_while_loading()", "^loading$"),
    ],
)
def test_a_signal_during_the_start_ends_it(workers: int, app: str, line: str) -> None:
    with start(workers=workers, app=app) as server:
        server.wait_log(line, count=workers)
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert "listening" not in server.text
    assert "ERROR" not in server.text


# Workers that die.


def test_a_killed_worker_costs_only_what_it_was_doing() -> None:
    with start(workers=2) as server:
        victim, other = server.wait_ready(2)

        async def scenario(load: Load) -> None:
            while not (load.pids[victim] and load.pids[other]):
                await asyncio.sleep(0.005)
            os.kill(victim, signal.SIGKILL)
            while not set(load.pids) - {victim, other}:
                await asyncio.sleep(0.005)
            await load.wait_answers(100)

        load = run_load(server.port, scenario)
        server.wait_log(rf"worker \[{victim}\] was killed by SIGKILL; starting another now")
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert load.outcomes["REFUSED"] == 0
    assert load.outcomes["WRONG"] == load.outcomes["TIMEOUT"] == 0
    assert set(load.broken) <= {victim, 0}
    assert len(load.broken) <= 20


def test_connections_wait_while_no_worker_is_there() -> None:
    with start(workers=2) as server:
        for pid in server.wait_ready(2):
            os.kill(pid, signal.SIGKILL)
        assert ask(server.port, "/?patience").split()[1] == b"patience"


def test_a_worker_that_keeps_dying_is_replaced_ever_later() -> None:
    with start(workers=2) as server:
        server.wait_ready(2)
        delays = []
        for _ in range(6):
            with send_request(server.port, f"/die?{signal.SIGSEGV:d}") as client:
                assert read_answer(client) == b""
            match = server.wait_log(r"was killed by SIGSEGV; starting another (now|in ([0-9.]+) s)")
            delays.append(float(match[2] or 0))
        # Two places for workers, each with a count of its own.
        assert delays.count(0) == 2
        assert set(delays) <= {0, 0.1, 0.2, 0.4, 0.8, 1.6}
        assert max(delays) >= 0.2
        assert ask(server.port, "/?still").split()[1] == b"still"


def test_a_worker_that_is_told_to_stop_is_replaced_and_loses_nothing() -> None:
    with start(workers=2) as server:
        first, second = server.wait_ready(2)

        async def scenario(load: Load) -> None:
            os.kill(first, signal.SIGTERM)
            while not set(load.pids) - {first, second}:
                await asyncio.sleep(0.005)
            while is_alive(first):
                await asyncio.sleep(0.005)
            await load.wait_answers(100)

        load = run_load(server.port, scenario)
        assert load.outcomes["REFUSED"] == 0
        assert load.failures == {}
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0


@both_loops
def test_workers_do_not_outlive_their_supervisor(loop: str) -> None:
    with start(workers=2, loop=loop) as server:
        pids = server.wait_ready(2)
        with send_request(server.port, "/sleep?0.3") as client:
            assert ask(server.port) != b""
            server.send(signal.SIGKILL)
            assert read_answer(client).endswith(b" 0.3")  # what is open is finished
        for pid in pids:
            wait_gone(pid)
        assert server.wait_exit() == -signal.SIGKILL
    assert server.text.count("the supervisor is gone: stopping") == 2
    with pytest.raises(ConnectionRefusedError):
        ask(server.port)


def test_a_foreign_child_is_reaped_without_a_word() -> None:
    """As process 1 of a container the supervisor inherits orphans."""
    script = (
        f"sleep 0.01 & echo foreign $! >&2; exec {sys.executable} -m fastserver {APP} --workers 2 --bind 127.0.0.1:0"
    )
    with ServerProcess(command=("-c", f"import os; os.execv('/bin/sh', ['sh', '-c', {script!r}])"), bind="") as server:
        foreign = int(server.wait_log(r"^foreign (\d+)$")[1])
        server.wait_ready(2)
        deadline = time.monotonic() + PATIENCE_S
        while os.path.exists(f"/proc/{foreign}"):
            assert time.monotonic() < deadline
            os.sched_yield()
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert "ERROR" not in server.text


# Starts that fail.


@one_or_two
@pytest.mark.parametrize(
    ("app", "reason", "with_traceback"),
    [
        ("tests.e2e.applications:refuse", "the application refused to start: no database", False),
        ("tests.e2e.applications:missing", "tests.e2e.applications has no attribute 'missing'; it has 'app'", False),
        ("no_such_module:app", "no module named 'no_such_module' in ", False),
        ("tests.e2e.applications:fail_while_loading()", "failed: RuntimeError: bad setting", True),
    ],
)
def test_a_failed_start_is_exit_code_3_and_one_clear_line(
    workers: int, app: str, reason: str, with_traceback: bool
) -> None:
    with start(workers=workers, app=app) as server:
        assert server.wait_exit() == 3
    (line,) = [line for line in server.log if "startup failed" in line]
    assert reason in line
    assert server.text.count("Traceback") == with_traceback
    assert "fastserver/server" not in server.text
    assert "listening" not in server.text


def test_workers_that_die_before_they_are_ready_end_it() -> None:
    with start(workers=2, app="tests.e2e.applications:die_while_loading()") as server:
        assert server.wait_exit() == 3
    assert "startup failed: worker [" in server.text
    assert "was killed by SIGKILL" in server.text.splitlines()[-1]


@one_or_two
def test_a_taken_port_is_exit_code_3_and_one_line(workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start(workers=workers, bind=f"127.0.0.1:{port}") as server:
            assert server.wait_exit() == 3
    assert len(server.log) == 1
    assert server.log[0].endswith(f"startup failed: cannot bind 127.0.0.1:{port}: the address is in use")


# run().

SCRIPT = """
import atexit, os, sys
import fastserver
from tests.e2e.applications import app

atexit.register(print, "exit handler of", os.getpid(), flush=True)
try:
    code = fastserver.run(app, bind="127.0.0.1:0", workers={workers})
finally:
    print("after run", os.getpid(), flush=True)
sys.exit(code)
"""


@one_or_two
def test_run_serves_an_object_and_comes_back_once(workers: int) -> None:
    """Forked workers end without running what follows ``run`` in the parent's program."""
    with ServerProcess(command=("-c", SCRIPT.format(workers=workers)), bind="") as server:
        server.wait_listening()
        assert ask(server.port, "/?object").split()[1] == b"object"
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
        lines = [line for line in server.output.splitlines() if not line.startswith("lifespan")]
    assert lines == [f"after run {server.process.pid}", f"exit handler of {server.process.pid}"]


WORKER_EXIT_SCRIPT = """
import atexit, os, threading
import tests.e2e.applications as applications

def make():
    atexit.register(print, "worker's exit handler", flush=True)
    threading.Thread(target=threading.Event().wait).start()  # never ends
    return applications.app

import fastserver
raise SystemExit(fastserver.run(make, factory=True, bind="127.0.0.1:0", workers=2))
"""


def test_a_thread_that_never_ends_does_not_hold_a_worker() -> None:
    with ServerProcess(command=("-c", WORKER_EXIT_SCRIPT), bind="") as server:
        server.wait_ready(2)
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert str(ROOT) not in server.text

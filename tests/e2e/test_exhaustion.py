"""A system that has nothing left to accept with (FI-10), and system calls that fail (FI-11)."""

import os
import resource
import shutil
import signal
import time

import pytest

from tests.e2e.peers import Client, connect, fetch, wait_for
from tests.e2e.processes import ServerProcess

APP = "tests.e2e.applications:app"
needs_procfs = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")


def read_cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def limit_descriptors(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


@needs_procfs
def test_the_own_limit_comes_before_the_systems() -> None:
    """Of 256 descriptors 128 are left to the application: what comes beyond gets a 503, and who is served goes on."""
    with ServerProcess(APP, preexec_fn=lambda: limit_descriptors(256)) as server:
        server.wait_listening()
        with Client(server.port) as first:
            first.request("/")
            crowd = [connect(server.port) for _ in range(400)]
            for sock in crowd[-20:]:
                sock.sendall(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
                assert sock.recv(4096).startswith(b"HTTP/1.1 503 ")
            assert first.request("/")[0] == 200
            for sock in crowd:
                sock.close()
            wait_for(lambda: fetch(server.port)[0] == 200, "service for all")
            assert first.request("/")[0] == 200
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert "Traceback" not in server.text
    assert server.text.count("connections are open, the limit") == 1


@needs_procfs
def test_without_descriptors_it_waits_and_does_not_spin() -> None:
    arguments = ["--limit-connections", "1000"]
    with ServerProcess(APP, *arguments, preexec_fn=lambda: limit_descriptors(64)) as server:
        server.wait_listening()
        with Client(server.port) as first:
            first.request("/")
            crowd = [connect(server.port) for _ in range(100)]
            server.wait_log("cannot accept for 0.5 s: Too many open files")
            used_s, since = read_cpu_s(server.process.pid), time.monotonic()
            server.wait_log("cannot accept for 0.5 s", count=2)
            assert first.request("/")[0] == 200
            assert read_cpu_s(server.process.pid) - used_s < 0.5 * (time.monotonic() - since)
            for sock in crowd:
                sock.close()
            assert fetch(server.port)[0] == 200
        lines = server.text.count("cannot accept")
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert server.text.count("cannot accept") <= lines + 2
    assert "Traceback" not in server.text


def can_trace() -> bool:
    """Whether strace is there and may trace its child."""
    program = shutil.which("strace")
    return program is not None and os.spawnv(os.P_WAIT, program, [program, "-o", "/dev/null", "true"]) == 0


@pytest.mark.skipif(not can_trace(), reason="needs strace, and the permission to trace")
@pytest.mark.parametrize(("error", "workers"), [("ENFILE", 0), ("ENOMEM", 2), ("ECONNABORTED", 0), ("EINTR", 2)])
def test_an_accept_that_fails_loses_nobody_else(error: str, workers: int) -> None:
    """Every third call fails, of a client who is in the queue before and after."""
    inject = f"inject=accept4,accept:error={error}:when=1+3"
    # With -D the server is the process that is started, and the tracer a child of it.
    tracer = ["strace", "-D", "-f", "-q", "-o", "/dev/null", "-e", "trace=accept4,accept", "-e", inject]
    script = f"import os, sys; os.execvp('strace', [*{tracer}, sys.executable, '-m', 'fastserver', *sys.argv[1:]])"
    with ServerProcess(APP, "--workers", str(workers), command=("-c", script)) as server:
        server.wait_listening()
        for number in range(5):
            assert fetch(server.port, f"/?{number}")[1].split()[1] == b"%d" % number
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert "Traceback" not in server.text
    if error in ("ENFILE", "ENOMEM"):
        assert "cannot accept for 0.5 s" in server.text

"""Real servers and what they are to the system: systemd's sockets and notifications, pid file, users, orders."""

import contextlib
import functools
import http.client
import json
import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastserver import ctl
from fastserver.config.setting import quote
from fastserver.transport.sockets import UNIX_PATH_LIMIT_BYTES
from tests.e2e.processes import PATIENCE_S, ROOT, Load, ServerProcess
from tests.e2e.test_processes import run_load

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

APP = "tests.e2e.service_application:app"
#: For another Python: this server, and what it needs.
PATHS = os.pathsep.join([str(ROOT), sysconfig.get_path("platlib")])
NOBODY = pwd.getpwnam("nobody")
one_or_two = pytest.mark.parametrize("workers", [0, 2])

#: Becomes the server with the descriptors of its arguments as 3, 4 and so on.
ACTIVATE = """
import os, sys
count = int(sys.argv[1])
for number, fd in enumerate(map(int, sys.argv[2 : 2 + count])):
    os.dup2(fd, 100 + number)
for number in range(count):
    os.dup2(100 + number, 3 + number)
    os.close(100 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=sys.argv[2 + count])
os.execv(sys.executable, [sys.executable, "-m", "fastserver", *sys.argv[3 + count :]])
"""


class Connection(http.client.HTTPConnection):
    """Over TCP on the loopback, or over a Unix socket."""

    def __init__(self, address: int | str) -> None:
        super().__init__("127.0.0.1", address if isinstance(address, int) else 80, timeout=PATIENCE_S)
        self._address = address

    def connect(self) -> None:
        if isinstance(self._address, int):
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(self._address)


def ask(address: int | str) -> dict[str, Any]:
    """What the process that answers is to the system."""
    with contextlib.closing(Connection(address)) as connection:
        connection.request("GET", "/")
        facts: dict[str, Any] = json.loads(connection.getresponse().read())
        return facts


def wait_until(is_so: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Sockets that are handed over.


def activate(names: str, *socks: socket.socket, arguments: tuple[str, ...], bind: str = "") -> ServerProcess:
    fds = [str(sock.fileno()) for sock in socks]
    return ServerProcess(
        str(len(fds)),
        *fds,
        names,
        APP,
        *arguments,
        command=("-c", ACTIVATE),
        bind=bind,
        pass_fds=[sock.fileno() for sock in socks],
    )


@one_or_two
def test_sockets_are_taken_in_place_of_bind(workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = [sock.getsockname()[1] for sock in (one, two)]
        with activate("web:web", one, two, arguments=("--workers", str(workers))) as server:
            server.wait_listening()
            for port in ports:
                facts = ask(port)
                assert not [name for name in facts["environ"] if name.startswith("LISTEN_")]
            server.send(signal.SIGTERM)
            assert server.wait_exit() == 0
        with socket.create_connection(("127.0.0.1", ports[0]), timeout=PATIENCE_S):
            pass  # the next server gets what comes in the meantime


def test_a_named_socket_outlives_a_reload() -> None:
    arguments = ("--workers", "1")
    with (
        socket.create_server(("127.0.0.1", 0)) as web,
        socket.create_server(("127.0.0.1", 0)) as other,
        activate("web:other", web, other, arguments=arguments, bind="fd://web") as server,
    ):
        server.wait_log(r"not used, since bind is given: fd://4 \(other\)")
        server.wait_listening()
        before = ask(web.getsockname()[1])["pid"]
        server.send(signal.SIGHUP)
        server.wait_log("reloaded in")
        assert ask(web.getsockname()[1])["pid"] != before


def test_a_datagram_socket_is_refused() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as web,
        socket.socket(type=socket.SOCK_DGRAM) as datagrams,
        activate("web:quic", web, datagrams, arguments=()) as server,
    ):
        assert server.wait_exit() == 3
    (line,) = server.log
    assert line.endswith("startup failed: cannot use fd://4: a datagram socket; QUIC binds its own, at quic_bind")


# Notifications.


class Manager:
    """A service manager that has started a server and hears it."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(path))
        self.sock.settimeout(PATIENCE_S)

    def wait(self, key: str) -> dict[str, str]:
        """The next message that says ``key``; the watchdog's are for those who ask for them."""
        while True:
            said = dict(line.split("=", 1) for line in self.sock.recv(4096).decode().split("\n"))
            if key in said or "WATCHDOG" not in said:
                assert key in said, said
                return said


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    yield made
    made.sock.close()


@one_or_two
def test_a_life_is_told(workers: int, manager: Manager) -> None:
    with ServerProcess(APP, "--workers", str(workers)) as server:
        said = manager.wait("READY")
        assert said == {
            "READY": "1",
            "MAINPID": str(server.process.pid),
            "STATUS": "2 workers" if workers else "serves",
        }
        manager.wait("WATCHDOG")
        manager.wait("WATCHDOG")
        server.wait_listening()
        facts = ask(server.port)
        assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & facts["environ"].keys()
        server.send(signal.SIGHUP)
        assert int(manager.wait("RELOADING")["MONOTONIC_USEC"]) > 0
        assert manager.wait("READY")["STATUS"] == said["STATUS"]
        server.send(signal.SIGTERM)
        assert manager.wait("STOPPING")["STOPPING"] == "1"
        assert server.wait_exit() == 0


def test_a_reload_that_fails_is_told(manager: Manager, tmp_path: Path) -> None:
    module = tmp_path / "moody.py"
    module.write_text("from tests.e2e.service_application import app\n")
    with ServerProcess("moody:app", "--app-dir", str(tmp_path), "--workers", "1") as server:
        manager.wait("READY")
        module.write_text("raise RuntimeError('broken')\n")
        server.send(signal.SIGHUP)
        manager.wait("RELOADING")
        assert "the last reload has failed: " in manager.wait("READY")["STATUS"]


# The pid file.


@one_or_two
def test_a_pid_file_is_there_for_as_long_as_the_server(workers: int, tmp_path: Path) -> None:
    path = tmp_path / "server.pid"
    arguments = (APP, "--workers", str(workers), "--pid", str(path))
    with ServerProcess(*arguments) as server:
        server.wait_listening()
        assert path.read_text() == f"{server.process.pid}\n"
        with ServerProcess(*arguments) as second:
            assert second.wait_exit() == 3
        (line,) = second.log
        assert line.endswith(
            f"startup failed: pid: {quote(str(path))} is held by a server that runs, process {server.process.pid}"
        )
        server.process.kill()
        server.process.wait()
        with ServerProcess(*arguments) as third:  # at once, though old workers may still be there
            third.wait_listening()
            assert path.read_text() == f"{third.process.pid}\n"
            third.send(signal.SIGTERM)
            assert third.wait_exit() == 0
        assert not path.exists()


LONG = "x" * (UNIX_PATH_LIMIT_BYTES + 1)


@one_or_two
@pytest.mark.parametrize(
    ("flag", "name", "reason"),
    [
        ("--pid", "none/file", "pid: {quoted} cannot be written: No such file or directory"),
        ("--pid", "directory", "pid: {quoted} cannot be written: Is a directory"),
        ("--control-socket", "none/file", "cannot bind control_socket {path}: its directory does not exist"),
        ("--control-socket", "directory", "cannot bind control_socket {path}: the path exists and is not a socket"),
        (
            "--control-socket",
            LONG,
            f"cannot bind control_socket {{path}}: a socket path has at most {UNIX_PATH_LIMIT_BYTES} bytes",
        ),
    ],
)
def test_paths_that_cannot_be(workers: int, flag: str, name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    path = tmp_path / name
    with ServerProcess(APP, "--workers", str(workers), flag, str(path), bind=f"unix:{tmp_path}/app") as server:
        assert server.wait_exit() == 3
    (line,) = server.log
    assert line.endswith(f"startup failed: {reason.format(path=path, quoted=quote(str(path)))}")
    assert os.listdir(tmp_path) == ["directory"]


# Titles.


def read_title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0")


@pytest.mark.parametrize("arguments", [(), ("--workers", "1"), ("--preload",)])
def test_processes_have_titles(arguments: tuple[str, ...]) -> None:
    with ServerProcess(APP, "--name", "shop", *arguments) as server:
        server.wait_listening()
        facts = ask(server.port)
        assert facts["title"] == ("shop: worker" if arguments else "shop")
        assert read_title(server.process.pid) == ("shop: supervisor" if arguments else "shop")
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        titles = {read_title(int(child)) for child in children}
        assert titles == ({"shop: worker"} if arguments else set()) | (
            {"shop: template"} if "--preload" in arguments else set()
        )


# Orders.


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    path = str(tmp_path / "control.sock")
    monkeypatch.setenv("FASTSERVER_CONTROL_SOCKET", path)
    return path


def order(*arguments: str) -> int:
    return ctl.main(arguments)


def test_orders_are_carried_out(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = tmp_path / "moody.py"
    module.write_text("from tests.e2e.service_application import app\n")
    with ServerProcess("moody:app", "--app-dir", str(tmp_path), "--workers", "1") as server:
        (pid,) = server.wait_ready(1)
        assert stat.S_IMODE(os.stat(place).st_mode) == 0o600
        assert order("status", "--json") == 0
        (worker,) = json.loads(capsys.readouterr().out)["data"]["workers"]
        assert (worker["pid"], worker["state"]) == (pid, "ready")
        assert order("scale", "2") == 0
        server.wait_ready(1)
        assert order("dump", str(pid)) == 0
        dump = capsys.readouterr().out
        assert f"worker [{pid}]" in dump
        assert "Tasks of asyncio" in dump
        server.wait_log(rf"worker \[{pid}\] is doing this")
        assert order("reload") == 0
        assert ask(server.port)["pid"] != pid
        module.write_text("raise RuntimeError('broken')\n")
        capsys.readouterr()
        assert order("reload") == 1
        assert "reload: " in capsys.readouterr().err
        assert ask(server.port)["pid"] != pid
        assert order("status") == 0
        status = capsys.readouterr().out
        assert "1 of 1 workers are ready" in status  # as the configuration has it
        assert "last reload" in status
        assert order("drain") == 0
        assert server.wait_exit() == 0
    assert not os.path.exists(place)
    assert order("status") == 1


def test_a_drain_lets_open_requests_finish(place: str) -> None:
    with ServerProcess("tests.e2e.applications:app") as server:  # a control socket alone makes a supervisor
        server.wait_listening()
        with contextlib.closing(Connection(server.port)) as connection:
            connection.request("GET", "/sleep?1")
            time.sleep(0.3)
            assert order("drain") == 0
            assert connection.getresponse().read().endswith(b" 1")
        assert server.wait_exit() == 0


def test_clients_without_end_do_not_hold_up_the_server(place: str) -> None:
    with ServerProcess(APP, "--workers", "1") as server:
        server.wait_listening()
        idle = [socket.socket(socket.AF_UNIX) for _ in range(30)]
        for client in idle:
            client.connect(place)
        assert ask(server.port)["pid"]
        server.send(signal.SIGHUP)
        server.wait_log("reloaded in")
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
        for client in idle:
            client.close()


def test_a_worker_that_is_left_alone_does_not_answer_for_the_supervisor(place: str) -> None:
    with ServerProcess(APP, "--workers", "1") as server:
        server.wait_listening()
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            client.connect(place)
            server.process.kill()
            server.process.wait()
            with contextlib.suppress(ConnectionError):
                assert client.recv(1) == b""  # nobody else has the socket open
        with ServerProcess(APP, "--workers", "1") as second:
            second.wait_listening()
            assert order("status") == 0


# Users.


@functools.cache
def find_python() -> str | None:
    """A Python that another user can run this server with: ours may be below /root."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        with contextlib.suppress(OSError):
            if run_as_nobody(python, "-c", "import fastserver.processes.run, tests.e2e.processes").returncode == 0:
                return python
    return None


def run_as_nobody(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        user=NOBODY.pw_uid,
        group=NOBODY.pw_gid,
        extra_groups=[],
        env={**os.environ, "PYTHONPATH": PATHS},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 3,
    )


@pytest.fixture
def python(monkeypatch: pytest.MonkeyPatch) -> str:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    found = find_python()
    if found is None:
        pytest.skip("there is no Python that nobody can run")
    monkeypatch.setenv("PYTHONPATH", PATHS)
    return found


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that everybody can reach, as pytest's own is not."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def rotate(path: Path) -> None:
    """As logrotate does it, with ``create 0640 nobody``."""
    path.rename(path.with_suffix(".1"))
    path.touch()
    os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)


@one_or_two
def test_a_server_becomes_its_user(workers: int, python: str, open_directory: Path) -> None:
    logs, path = open_directory / "error.log", open_directory / "app.sock"
    arguments = [
        "--user",
        "nobody",
        "--name",
        "shop",
        "--umask",
        "027",
        "--error-logfile",
        str(logs),
        "--uds-permissions",
        "660",
    ]
    if workers:
        arguments += ["--workers", str(workers), "--control-socket", str(open_directory / "control")]
    arguments += ["--pid", str(open_directory / "pid"), "--access-logfile", str(open_directory / "access.log")]
    with ServerProcess(APP, *arguments, bind=f"unix:{path}", python=python) as server:
        wait_until(lambda: logs.exists() and "listening on" in logs.read_text())
        facts = ask(str(path))
        assert (facts["uids"], facts["gids"]) == ([NOBODY.pw_uid] * 3, [NOBODY.pw_gid] * 3)
        assert facts["groups"] == os.getgrouplist("nobody", NOBODY.pw_gid)
        assert facts["umask"] == 0o27
        assert facts["title"] == ("shop: worker" if workers else "shop")
        assert [facts["environ"][key] for key in ("HOME", "USER", "LOGNAME")] == [NOBODY.pw_dir, "nobody", "nobody"]
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        assert f"\nUid:\t{NOBODY.pw_uid}\t{NOBODY.pw_uid}\t{NOBODY.pw_uid}\t{NOBODY.pw_uid}\n" in status
        assert "\nCapEff:\t0000000000000000\n" in status
        for name in ("error.log", "access.log", "app.sock", *(["control"] if workers else [])):
            found = os.stat(open_directory / name)
            assert (found.st_uid, found.st_gid) == (NOBODY.pw_uid, NOBODY.pw_gid), name
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        assert os.stat(open_directory / "pid").st_uid == 0
        rotate(logs)
        server.send(signal.SIGUSR1)
        server.send(signal.SIGHUP)
        wait_until(lambda: re.search("reloaded in|read anew|reopened", logs.read_text()) is not None)
        if workers:
            assert order("reload", "--socket", str(open_directory / "control")) == 0
            assert ask(str(path))["pid"] != facts["pid"]
            assert order("drain", "--socket", str(open_directory / "control")) == 0
        else:
            server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert "ERROR" not in logs.read_text()
    assert "GET / HTTP/1.1" in (open_directory / "access.log").read_text()
    assert (open_directory / "pid").read_text() == ""  # its directory is root's


def test_a_stop_without_privilege_loses_nothing(python: str) -> None:
    """A socket is sealed though the kernel may want a privilege for a filter on it."""
    arguments = ("--user", "nobody", "--workers", "2")
    with ServerProcess("tests.e2e.applications:app", *arguments, python=python) as server:
        server.wait_ready(2)

        async def stop(load: Load) -> None:
            server.send(signal.SIGHUP)
            await load.wait_answers(500)
            server.send(signal.SIGTERM)
            await load.wait_refused()

        load = run_load(server.port, stop)
        assert server.wait_exit() == 0
    assert load.failures == {}
    assert "Traceback" not in server.text


def test_certificates_are_read_and_datagrams_steered_without_privilege(python: str, certificate: str) -> None:
    pytest.importorskip("aioquic")
    arguments = ("--user", "nobody", "--workers", "2", "--http3", "--certfile", certificate)
    with ServerProcess("tests.e2e.applications:app", *arguments, python=python) as server:
        server.wait_ready(2)
        server.send(signal.SIGHUP)
        # It is root's alone, and has been read: what else has changed is no reason to refuse the reload.
        server.wait_log(
            "certfile: .* cannot be read: Permission denied: the certificates that were read at the start go on"
        )
        server.wait_log("reloaded in")
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert "HTTP/3, UDP" in server.text
    assert "the kernel does not steer UDP" not in server.text


def test_only_root_can_become_another(python: str) -> None:
    done = run_as_nobody(python, "-m", "fastserver", APP, "--user", "root", "--bind", "127.0.0.1:0")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.endswith("startup failed: user: only root can become 'root': start as root, or leave it out")


def test_a_user_that_is_unknown_is_one_line() -> None:
    with ServerProcess(APP, "--user", "no_such_user") as server:
        assert server.wait_exit() == 3
    (line,) = server.log
    assert line.endswith("startup failed: user: there is no user 'no_such_user'")

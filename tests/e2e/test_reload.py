"""Reloads of a running server (FI-7): new code, settings and addresses while every request is answered."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.certificates import AUTHORITY
from tests.e2e.processes import PATIENCE_S, Load, ServerProcess
from tests.e2e.test_processes import ask, is_alive, run_load, start

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

RELOADED = r"reloaded in|reload failed"
with_preload = pytest.mark.parametrize(
    "preload",
    [
        (),
        pytest.param(("--preload",), marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux alone preloads")),
    ],
    ids=["", "preload"],
)

APP = """
import os
VERSION = {version!r}
{extra}
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        {startup}
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    body = f"{{os.getpid()}} {{VERSION}}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": body}})
"""

#: A server whose configuration is read from a file of Python, with what ``reread`` gives each time.
SCRIPT = """
import sys
from fastserver import Config
from fastserver.processes.run import run

def reread():
    settings = {{}}
    exec(open({path!r}).read(), settings)
    settings.pop("__builtins__")
    return settings.pop("app", "tests.e2e.applications:app"), Config(**settings)

sys.exit(run(*reread(), reread=reread))
"""


class Site:
    """An application in a file, to be changed under a running server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "changing.py"

    def write(self, version: str, extra: str = "", startup: str = "pass") -> None:
        self.path.write_text(APP.format(version=version, extra=extra, startup=startup))

    def start(self, *arguments: str, workers: int = 2) -> ServerProcess:
        return start("--app-dir", str(self.directory), *arguments, app="changing:app", workers=workers)


@pytest.fixture
def changing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    # It changes within a second: what was compiled of the old source would be taken for that of the new one.
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    site = Site(tmp_path)
    site.write("one")
    return site


def read_version(server: ServerProcess) -> str:
    return ask(server.port).decode().split()[1]


def wait_version(server: ServerProcess, version: str) -> None:
    """Until all workers have it: the last one that was told to retire may accept for a moment."""
    deadline = time.monotonic() + PATIENCE_S
    while {read_version(server) for _ in range(8)} != {version}:
        assert time.monotonic() < deadline


def reload(server: ServerProcess) -> str:
    """The line that says how it went."""
    server.send(signal.SIGHUP)
    return server.wait_log(RELOADED).string


@pytest.mark.parametrize("workers", [1, 2])
@with_preload
def test_reloads_under_load_lose_nothing(workers: int, preload: tuple[str, ...]) -> None:
    with start(*preload, workers=workers) as server:
        first = server.wait_ready(workers)

        async def scenario(load: Load) -> None:
            for _ in range(3):
                answer = await asyncio.get_running_loop().run_in_executor(None, reload, server)
                assert "reloaded" in answer
                await load.wait_answers(50)

        load = run_load(server.port, scenario)
        assert load.failures == {}
        assert load.outcomes["REFUSED"] == 0
        assert len(set(load.pids) - set(first)) >= 3
        for pid in first:
            assert not is_alive(pid)
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert "ERROR" not in server.text


def test_there_are_never_fewer_ready_workers(changing: Site) -> None:
    changing.write("one", startup="import asyncio; await asyncio.sleep(0.2)")
    with changing.start(workers=2) as server:
        server.wait_ready(2)
        assert "reloaded" in reload(server)
        ready = 2
        for line in server.text.partition("INFO reloading")[2].splitlines():
            ready += line.endswith("is ready")
            ready -= "retires" in line
            assert ready in (2, 3)
    assert server.text.count("retires") == 2


@with_preload
def test_new_code_is_served_and_broken_code_is_not(changing: Site, preload: tuple[str, ...]) -> None:
    with changing.start(*preload) as server:
        server.wait_ready(2)
        assert read_version(server) == "one"
        changing.write("two")
        assert "reloaded" in reload(server)
        wait_version(server, "two")
        for extra, startup, reason in (
            ("this is no python", "pass", "SyntaxError"),
            ("raise RuntimeError('no luck')", "pass", "no luck"),
            ("", "return await send({'type': 'lifespan.startup.failed', 'message': 'no database'})", "no database"),
            ("import os; os._exit(1)", "pass", "has died" if preload else "exited with code 1"),
        ):
            changing.write("three", extra, startup)
            server.send(signal.SIGHUP)
            line = server.wait_log(RELOADED).string
            assert "reload failed, and what served goes on" in line
            assert reason in line
            assert {read_version(server) for _ in range(8)} == {"two"}
        changing.write("four")
        assert "reloaded" in reload(server)
        wait_version(server, "four")
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0


def test_a_hangup_during_a_reload_is_one_more_reload(changing: Site) -> None:
    changing.write("one", startup="import asyncio; await asyncio.sleep(0.3)")
    with changing.start() as server:
        server.wait_ready(2)
        server.send(signal.SIGHUP)
        server.wait_log("reloading")
        for _ in range(3):
            server.send(signal.SIGHUP)
        server.wait_log("reloaded in")
        server.wait_log("reloaded in")
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert server.text.count("reloaded in") == 2


def test_two_hangups_in_a_row_are_two(changing: Site) -> None:
    """What has changed between them counts: the first may have been read before."""
    with changing.start() as server:
        server.wait_ready(2)
        server.send(signal.SIGHUP)
        server.wait_log("INFO reloading")
        changing.write("two")
        server.send(signal.SIGHUP)
        server.wait_log("reloaded in")
        server.wait_log("reloaded in")
        wait_version(server, "two")


def test_a_hangup_during_the_start_reloads_when_it_is_over(changing: Site) -> None:
    changing.write("one", startup="import asyncio; await asyncio.sleep(0.5)")
    with changing.start() as server:
        server.wait_log("starts 2 workers")
        server.send(signal.SIGHUP)
        server.wait_log("begins when the start is over")
        changing.write("two")
        server.wait_log("reloaded in")
    assert server.text.index("is ready") < server.text.index("reloading")


def test_a_stop_during_a_reload_ends_it(changing: Site) -> None:
    with changing.start() as server:
        server.wait_ready(2)
        changing.write("two", startup="import asyncio; await asyncio.sleep(60)")
        server.send(signal.SIGHUP)
        server.wait_log("reloading")
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert "reload failed, and what served goes on: the server was told to stop" in server.text


@pytest.mark.parametrize("workers", [1, 2])
def test_http3_and_open_connections_go_on(workers: int, certificate: str, authority: str) -> None:
    """New connections reach new workers, requests that are under way are answered by the old ones."""
    peers = pytest.importorskip("tests.e2e.h3peer")
    with start("--http3", "--certfile", certificate, workers=workers) as server:
        first = server.wait_ready(workers)
        with peers.H3Peer(server.port, authority) as old:
            assert int(old.fetch("/").body.split()[0]) in first
            slow = old.request("/sleep?2")
            seen: set[int] = set()
            for _ in range(3):
                assert "reloaded" in reload(server)
                with peers.H3Peer(server.port, authority) as new:
                    answer = new.fetch("/")
                    assert answer.status == 200
                    seen.add(int(answer.body.split()[0]))
            assert not seen & set(first)
            assert int(old.wait_answer(slow).body.split()[0]) in first
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert "ERROR" not in server.text


# Settings.


@pytest.fixture
def settled(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts a server, or changes its settings where it runs."""
    path = tmp_path / "settings.py"
    servers: list[ServerProcess] = []

    def set_up(**settings: object) -> ServerProcess:
        path.write_text("".join(f"{key} = {value!r}\n" for key, value in settings.items()))
        if not servers:
            servers.append(ServerProcess(command=("-c", SCRIPT.format(path=str(path))), bind=""))
        return servers[0]

    yield set_up
    for server in servers:
        server.__exit__()


def find_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def is_refused(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(PATIENCE_S)
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_addresses_change_and_the_rest_goes_on(settled: Callable[..., ServerProcess]) -> None:
    kept, old, new = (f"127.0.0.1:{port}" for port in find_ports(3))
    kept_port, old_port, new_port = (int(bind.rpartition(":")[2]) for bind in (kept, old, new))
    server = settled(bind=[kept, old], workers=2)
    server.wait_ready(2)
    assert ask(old_port)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settled(bind=[kept, f"127.0.0.1:{taken.getsockname()[1]}"], workers=2)
        assert "reload failed, and what served goes on: cannot bind" in reload(server)
        assert ask(old_port)

    settled(bind=[kept, new], workers=2)

    async def scenario(load: Load) -> None:
        await asyncio.get_running_loop().run_in_executor(None, reload, server)
        await load.wait_answers(50)

    load = run_load(kept_port, scenario)
    assert load.failures == {}
    assert load.outcomes["REFUSED"] == 0
    assert f"listening on http://{new}" in server.text
    assert ask(new_port)
    deadline = time.monotonic() + PATIENCE_S
    while not is_refused(old_port):
        assert time.monotonic() < deadline
    server.send(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert is_refused(kept_port)
    assert is_refused(new_port)


def test_connections_to_an_address_that_goes_are_answered(settled: Callable[..., ServerProcess]) -> None:
    """Those that are queued too: with a worker that is busy while the reload takes place."""
    kept, old = (f"127.0.0.1:{port}" for port in find_ports(2))
    old_port = int(old.rpartition(":")[2])
    server = settled(bind=[kept, old], workers=1)
    server.wait_ready(1)
    clients = [socket.create_connection(("127.0.0.1", old_port), PATIENCE_S) for _ in range(2)]
    clients[0].sendall(b"GET /block?1 HTTP/1.1\r\nhost: test\r\n\r\n")
    time.sleep(0.1)
    clients.append(socket.create_connection(("127.0.0.1", old_port), PATIENCE_S))  # stays in the queue
    clients[2].sendall(b"GET /?queued HTTP/1.1\r\nhost: test\r\n\r\n")
    settled(bind=[kept], workers=1)
    assert "reloaded" in reload(server)
    clients[1].sendall(b"GET /?open HTTP/1.1\r\nhost: test\r\n\r\n")
    for client in clients:
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
        client.close()


def test_the_number_of_workers_changes(settled: Callable[..., ServerProcess]) -> None:
    server = settled(bind="127.0.0.1:0", workers=2)
    server.wait_ready(2)
    settled(bind="127.0.0.1:0", workers=4)
    assert "reloaded" in (line := reload(server))
    assert line.endswith("4 workers")
    settled(bind="127.0.0.1:0", workers=1)
    assert reload(server).endswith("1 worker")
    assert server.text.count("one too many") == 3
    assert ask(server.port)


def test_an_expired_certificate_does_not_take_the_place_of_a_good_one(
    settled: Callable[..., ServerProcess], certificate: str, tmp_path: Path
) -> None:
    expired = tmp_path / "expired.pem"
    old = AUTHORITY.issue_cert("localhost", not_after=datetime(2020, 1, 2, 3, 4, tzinfo=timezone.utc))
    expired.write_bytes(old.private_key_and_cert_chain_pem.bytes())
    server = settled(bind="127.0.0.1:0", workers=1, certfile=certificate)
    server.wait_ready(1)
    settled(bind="127.0.0.1:0", workers=1, certfile=str(expired))
    assert "has expired on 2020-01-02 03:04 UTC" in reload(server)
    settled(bind="127.0.0.1:0", workers=1, certfile=certificate)
    assert "reloaded" in reload(server)


def test_what_cannot_change_is_said_and_what_is_wrong_is_refused(settled: Callable[..., ServerProcess]) -> None:
    server = settled(bind="127.0.0.1:0", workers=1)
    server.wait_ready(1)
    settled(bind="127.0.0.1:0", workers=1, umask="077")
    assert "reloaded" in reload(server)
    assert "umask cannot change while the server runs" in server.text
    settled(bind="127.0.0.1:0", workers=1, certfile="/no/such/file")
    assert "reload failed, and what served goes on: certfile" in reload(server)
    settled(bind="127.0.0.1:0", workers=1, no_such_setting=1)
    assert "reload failed, and what served goes on" in reload(server)
    assert ask(server.port)

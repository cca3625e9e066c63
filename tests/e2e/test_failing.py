"""An application that raises at each point and in each way (FI-17): what its clients get, and that the worker lives."""

import os
import re
import signal

import pytest

from fastserver._speedups.h2.errors import INTERNAL_ERROR
from tests.e2e.conftest import Serve, Served
from tests.e2e.h2peer import H2Peer
from tests.e2e.peers import Client, fetch
from tests.e2e.processes import ServerProcess
from tests.responses import split_responses

APP = "tests.e2e.failing:app"
ARGUMENTS = ("--h2c",)

KINDS = ["Exception", "BaseException", "SystemExit", "KeyboardInterrupt", "RecursionError", "MemoryError"]
each_kind = pytest.mark.parametrize("kind", [*KINDS, "CancelledError"])
#: Before anything has left, the client gets a whole answer.
before_the_head = pytest.mark.parametrize("where", ["before", "later", "start"])
behind_the_head = pytest.mark.parametrize("where", ["body", "announced", "generator"])


def get_pid(site: Served) -> bytes:
    return fetch(site.port, "/pid")[1]


def read_cut(site: Served, path: str) -> bytes:
    """What the client gets of a response that is cut: the connection is reset, so that nobody takes it for whole."""
    data = b""
    with Client(site.port) as client:
        client.send(f"GET {path} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
        while True:
            try:
                part = client.sock.recv(65536)
            except ConnectionResetError:
                return data
            assert part, f"a clean end behind {data!r}"
            data += part


@each_kind
@before_the_head
def test_before_the_head_it_is_a_500_and_the_connection_goes_on(plain: Served, where: str, kind: str) -> None:
    pid = get_pid(plain)
    with Client(plain.port) as client:
        assert client.request(f"/{where}/{kind}") == (500, b"Internal Server Error")
        assert client.request("/pid") == (200, pid)
    with H2Peer(plain.port) as peer:
        answer = peer.fetch(f"/{where}/{kind}")
        assert (answer.status, answer.body, answer.ended) == (500, b"Internal Server Error", True)
        assert peer.fetch("/pid").body == pid


@each_kind
@behind_the_head
def test_behind_the_head_the_response_is_cut(plain: Served, where: str, kind: str) -> None:
    pid = get_pid(plain)
    data = read_cut(plain, f"/{where}/{kind}")
    if data:  # a reset may overtake what is not read yet
        (response,) = split_responses(data, ["GET"])
        assert (response.body, response.complete) == (b"half", False)
    with H2Peer(plain.port) as peer:
        answer = peer.fetch(f"/{where}/{kind}")
        assert answer.reset == INTERNAL_ERROR
        assert not answer.ended
        assert peer.fetch("/pid").body == pid


@each_kind
def test_behind_the_response_nothing_is_changed(plain: Served, kind: str) -> None:
    pid = get_pid(plain)
    with Client(plain.port) as client:
        assert client.request(f"/behind/{kind}") == (200, b"whole")
        assert client.request("/pid") == (200, pid)
    with H2Peer(plain.port) as peer:
        answer = peer.fetch(f"/behind/{kind}")
        assert (answer.status, answer.body, answer.ended, answer.reset) == (200, b"whole", True, None)
        assert peer.fetch("/pid").body == pid


def test_each_failure_is_logged_once(serve: Serve) -> None:
    site = serve(APP)
    for kind in KINDS:
        assert fetch(site.port, f"/later/{kind}")[0] == 500
    site.server.send(signal.SIGTERM)
    assert site.server.wait_exit() == 0
    lines = re.findall(r"ERROR.* exception in the application: GET /later/(\w+)", site.server.text)
    assert lines == KINDS
    assert "never retrieved" not in site.server.text


# The whole application.


def start(mode: str, *arguments: str, workers: int) -> ServerProcess:
    environment = {**os.environ, "FAIL": mode}
    return ServerProcess(APP, *arguments, "--workers", str(workers), environment=environment)


#: Under a supervisor the same code runs; two of them show that what it finds is told.
each_whole = pytest.mark.parametrize(
    ("kind", "workers"), [*((kind, 0) for kind in KINDS), ("Exception", 2), ("KeyboardInterrupt", 2)]
)


@each_whole
@pytest.mark.parametrize("step", ["import", "startup"])
def test_an_application_that_does_not_start_is_exit_code_3(step: str, kind: str, workers: int) -> None:
    with start(f"{step}-{kind}", "--lifespan", "on", workers=workers) as server:
        assert server.wait_exit() == 3
        assert server.output == ""
    assert len([line for line in server.log if "startup failed" in line]) == 1
    assert "listening" not in server.text


@each_whole
def test_a_shutdown_that_fails_is_logged_and_the_server_has_stopped_as_asked(kind: str, workers: int) -> None:
    with start(f"shutdown-{kind}", workers=workers) as server:
        server.wait_listening()
        assert fetch(server.port, "/pid")[0] == 200
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert re.search("ERROR.*the application's shutdown", server.text)
    assert "never retrieved" not in server.text

"""Observers and protocol handlers in real server processes, whatever they do, with one worker and with two."""

import contextlib
import os
import signal
import socket
import ssl
from collections import defaultdict
from pathlib import Path

import pytest
import trustme

from tests.e2e import extensions
from tests.e2e.peers import Client, connect, fetch, is_closed, wait_for, wait_up
from tests.e2e.processes import ServerProcess

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

APP = "tests.e2e.applications:app"
HERE = "tests.e2e.extensions"
AUTHORITY = trustme.CA()
one_or_two = pytest.mark.parametrize("workers", [1, 2])


def start(*arguments: str, workers: int = 1, **options: str) -> ServerProcess:
    return ServerProcess(APP, "--workers", str(workers), *arguments, **options)  # type: ignore[arg-type]


def stop(server: ServerProcess) -> None:
    server.send(signal.SIGTERM)
    assert server.wait_exit() == 0


@pytest.fixture
def certificate(tmp_path: Path) -> str:
    path = tmp_path / "server.pem"
    path.write_bytes(AUTHORITY.issue_cert("localhost").private_key_and_cert_chain_pem.bytes())
    return str(path)


def make_context(*alpn: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


# Observers.


@one_or_two
def test_observers_hear_all_that_clients_see(workers: int, tmp_path: Path) -> None:
    """Over TCP and a Unix socket, from a class and from a coroutine function; ended by either side."""
    path = str(tmp_path / "app.sock")
    observers = ("--observer", f"{HERE}:Witness", "--observer", f"{HERE}:witness")
    with start(*observers, "--bind", f"unix:{path}", workers=workers) as server:
        pids, found = wait_up(server, workers, 2)
        clients = []
        for number in range(8):
            with Client(path if number % 2 else found["http"]) as client:
                clients.append(client)
                for _ in range(3):
                    assert client.request("/echo?" + "x" * number)[0] == 200
                if number % 4 < 2:
                    assert client.request("/", "GET", "connection: close")[0] == 200
                    assert is_closed(client.sock)
        stop(server)
        lines = server.output.splitlines()
    assert sorted(line for line in lines if line.startswith("made")) == sorted(f"made {pid}" for pid in pids)
    told = [line for line in lines if line.startswith("heard")]
    assert sorted(line.removeprefix("async ") for line in lines if line.startswith("async")) == sorted(told)
    heard: dict[str, list[list[str]]] = defaultdict(list)
    for line in told:
        _, pid, connection, *rest = line.split()
        heard[f"{pid} {connection}"].append(rest)
    assert len(heard) == 8
    directions = []
    for events in heard.values():
        assert events[0] == ["out", "idle", "0"]
        assert events[-1][1] == "Closed"
        directions.append(events[-1][0])
        changes = [kind for _, kind, _ in events if kind in ("idle", "active")]
        assert changes == (["idle", "active"] * len(changes))[: len(changes)]
        assert sum(kind == "Closed" for _, kind, _ in events) == 1
    assert sorted(directions) == ["in"] * 4 + ["out"] * 4
    sizes = {"in": 0, "out": 0}
    for direction, _, size in (event for events in heard.values() for event in events):
        sizes[direction] += int(size)
    assert sizes == {"in": sum(client.sent for client in clients), "out": sum(client.received for client in clients)}
    assert "ERROR" not in server.text


@one_or_two
def test_whatever_observers_do_every_request_is_answered(workers: int) -> None:
    observers = [argument for each in extensions.MISDEEDS for argument in ("--observer", f"{HERE}:{each.__name__}")]
    with start(*observers, workers=workers) as server:
        _, found = wait_up(server, workers)
        for number in range(10):
            with Client(found["http"]) as client:
                for _ in range(3):
                    status, body = client.request(f"/?{number}")
                    assert (status, body.split()[1]) == (200, b"%d" % number)
        with Client(found["http"]) as client:
            client.send(b"rubbish\r\n\r\n")
            assert client.read_response()[0] == 400
        stop(server)
    for name in ("fail", "fail_later", "mutate", "leave", "leave_later", "interrupt", "interrupt_later"):
        told = [line for line in server.log if f"observer {HERE}:{name} failed" in line]
        assert 1 <= len(told) <= workers, name  # once in each worker that has served
        assert len({line.split()[3] for line in told}) == len(told)
    # A traceback leads to the observer.
    assert server.text.count("ValueError: an observer's own fault") == 2 * len(
        [line for line in server.log if f"observer {HERE}:fail failed" in line]
    )


@one_or_two
@pytest.mark.parametrize(
    ("flag", "value", "code", "reason"),
    [
        ("--observer", "no_such_module:hear", 3, "observer no_such_module:hear: no module named 'no_such_module'"),
        ("--observer", f"{HERE}:missing", 3, f"observer {HERE}:missing: {HERE} has no attribute 'missing'"),
        ("--observer", f"{HERE}:NOT_CALLABLE", 3, f"observer {HERE}:NOT_CALLABLE is a str, which is not callable"),
        ("--observer", f"{HERE}:hear_two", 3, "cannot be called with three arguments"),
        ("--observer", f"{HERE}:Broken", 3, f"observer {HERE}:Broken cannot be made: RuntimeError: no licence"),
        ("--observer", "no colon", 2, "observer"),
        ("--protocol", "127.0.0.1:0=no_such_module:A", 3, "protocol handler no_such_module:A: no module named"),
        ("--protocol", f"127.0.0.1:0={HERE}:Deaf", 3, "has neither a method handle(event)"),
        ("--protocol", f"127.0.0.1:0={HERE}:NOT_CALLABLE", 3, "is no class of protocol handlers"),
        ("--protocol", "127.0.0.1:0", 2, "protocol"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(workers: int, flag: str, value: str, code: int, reason: str) -> None:
    with start(flag, value, workers=workers) as server:
        assert server.wait_exit() == code
    lines = [line for line in server.log if "] starts " not in line]
    (line,) = lines[-1:] if "cannot be made" in reason else lines  # that one comes with the user's own traceback
    assert reason in line
    assert ("startup failed: " if code == 3 else "fastserver: error: ") in line
    assert "fastserver/server" not in server.text


# Protocol handlers.


@one_or_two
def test_two_handlers_serve_beside_http(workers: int, tmp_path: Path) -> None:
    path = str(tmp_path / "lines.sock")
    protocols = ("--protocol", f"unix:{path}={HERE}:Lines", "--protocol", f"127.0.0.1:0={HERE}:Sleeper")
    with start(*protocols, workers=workers) as server:
        pids, found = wait_up(server, workers, 3)
        assert found[f"{HERE}:Lines"] == path
        with Client(path) as lines, Client(found[f"{HERE}:Sleeper"]) as sleeper, Client(found["http"]) as http:
            for _ in range(3):
                assert int(lines.say("pid")) in pids
                assert sleeper.say("0.001") == "sleeping"
                assert sleeper.read_until(b"\n") == b"slept\n"
                assert http.request("/")[0] == 200
        stop(server)
    assert not os.path.exists(path)
    assert "ERROR" not in server.text


@one_or_two
def test_handlers_serve_under_tls_by_address_and_by_name(workers: int, certificate: str) -> None:
    protocols = ("--protocol", f"127.0.0.1:0={HERE}:Sleeper", "--protocol", f"alpn:lines={HERE}:Lines")
    with start("--certfile", certificate, *protocols, workers=workers) as server:
        _, found = wait_up(server, workers, 2)
        with Client(found[f"{HERE}:Sleeper"], make_context()) as sleeper:
            assert sleeper.say("0") == "sleeping"
        for names in (("lines",), ("lines", "http/1.1"), ("http/1.1", "lines")):
            with Client(found["https"], make_context(*names)) as lines:
                assert lines.say("alpn") == "https lines"
        for context in (make_context("http/1.1"), make_context()):
            with Client(found["https"], context) as http:
                assert http.request("/")[0] == 200
        stop(server)
    assert "ERROR" not in server.text


@one_or_two
def test_rubbish_costs_a_handler_that_connection_only(workers: int) -> None:
    with start("--protocol", f"127.0.0.1:0={HERE}:Lines", workers=workers) as server:
        _, found = wait_up(server, workers, 2)
        address = found[f"{HERE}:Lines"]
        with contextlib.ExitStack() as stack:
            others = [stack.enter_context(Client(address)) for _ in range(4)]
            pids = [client.say("pid") for client in others]
            for _ in range(3):
                with Client(address) as bad:
                    bad.send(b"\x00rubbish\n")
                    assert is_closed(bad.sock)
            assert [client.say("pid") for client in others] == pids
            assert fetch(found["http"])[0] == 200
        stop(server)
    assert server.text.count(f"protocol handler {HERE}:Lines failed on RawData") == 3


def test_an_idle_connection_of_a_handler_is_closed_and_a_held_one_is_not() -> None:
    settings = ("--timeout-keep-alive", "0.2", "--timeout-keep-alive-min", "0.1")
    with start("--protocol", f"127.0.0.1:0={HERE}:Lines", *settings) as server:
        _, found = wait_up(server, 1, 2)
        with Client(found[f"{HERE}:Lines"]) as held, Client(found[f"{HERE}:Lines"]) as idle:
            assert held.say("hold") == "holding"
            assert int(idle.say("pid"))
            assert is_closed(idle.sock)
            with Client(found[f"{HERE}:Lines"]) as silent:
                assert is_closed(silent.sock)
            assert held.say("go") == "gone"
            assert is_closed(held.sock)


@one_or_two
def test_a_stop_lets_a_busy_handler_finish_and_closes_idle_ones(workers: int) -> None:
    protocols = ("--protocol", f"127.0.0.1:0={HERE}:Lines", "--protocol", f"127.0.0.1:0={HERE}:Sleeper")
    with start(*protocols, "--timeout-keep-alive-min", "0.1", workers=workers) as server:
        _, found = wait_up(server, workers, 3)
        lines, sleeper = found[f"{HERE}:Lines"], found[f"{HERE}:Sleeper"]
        with Client(lines) as held, Client(lines) as idle, Client(sleeper) as asleep:
            assert held.say("hold") == "holding"
            assert int(idle.say("pid"))
            assert asleep.say("0.5") == "sleeping"
            server.send(signal.SIGTERM)
            assert is_closed(idle.sock)
            assert asleep.read_until(b"\n") == b"slept\n"
            assert is_closed(asleep.sock)
            assert held.say("go") == "gone"
            assert is_closed(held.sock)
        assert server.wait_exit() == 0
        assert "sleeper closed" in server.output
    assert "ERROR" not in server.text
    assert "WARNING" not in server.text


def test_a_handler_counts_to_the_limit_of_connections() -> None:
    with start("--protocol", f"127.0.0.1:0={HERE}:Lines", "--limit-connections", "2") as server:
        _, found = wait_up(server, 1, 2)
        with Client(found[f"{HERE}:Lines"]) as one, Client(found["http"]) as other:
            assert one.say("hold") == "holding"
            assert other.request("/")[0] == 200
            with Client(found[f"{HERE}:Lines"]) as third:
                assert is_closed(third.sock)
            with Client(found["http"]) as third:
                assert third.read_response()[0] == 503
            assert one.say("go") == "gone"


def test_a_killed_worker_costs_a_handler_only_its_own_connections() -> None:
    with start("--protocol", f"127.0.0.1:0={HERE}:Lines", workers=2) as server:
        (victim, other), found = wait_up(server, 2, 2)
        address = found[f"{HERE}:Lines"]
        with contextlib.ExitStack() as stack:
            clients: dict[int, list[Client]] = {victim: [], other: []}
            while not all(clients.values()):
                client = stack.enter_context(Client(address))
                clients[int(client.say("pid"))].append(client)
            os.kill(victim, signal.SIGKILL)
            assert all(is_closed(client.sock) for client in clients[victim])
            assert {client.say("pid") for client in clients[other]} == {str(other)}
            seen: set[int] = set()

            def is_replaced() -> bool:
                with Client(address) as client:
                    seen.add(int(client.say("pid")))
                return bool(seen - {victim, other})

            wait_for(is_replaced, "the worker was not replaced")
        stop(server)


def test_a_handshake_that_never_ends_holds_nothing(certificate: str) -> None:
    settings = ("--certfile", certificate, "--timeout-handshake", "0.2", "--protocol", f"127.0.0.1:0={HERE}:Lines")
    with start(*settings) as server:
        _, found = wait_up(server, 1, 2)
        with connect(found[f"{HERE}:Lines"]) as mute, Client(found["https"], make_context()) as http:
            assert http.request("/")[0] == 200
            assert is_closed(mute)
        with connect(found["https"]) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(4096):
                pass  # an alert
        stop(server)
    assert "ERROR" not in server.text

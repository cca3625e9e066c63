"""Stops of real processes, over every protocol: who is served to the end, who is told, who is cut (FI-3 to FI-6)."""

import os
import signal
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_session

from tests.e2e.conftest import Serve
from tests.e2e.h2peer import H2Peer
from tests.e2e.h3peer import H3Peer
from tests.e2e.peers import Client, connect, fetch, wait_for, wait_up
from tests.e2e.processes import PATIENCE_S, ServerProcess
from tests.e2e.traffic import Traffic, ask, ask_by_streams, talk, upload

APP = "tests.e2e.stopping:app"
one_or_more = pytest.mark.parametrize("workers", [0, 2])


def is_refused(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False


def read_to_end(sock: socket.socket) -> bytes:
    """What comes, to a clean end or a reset."""
    data = b""
    try:
        while part := sock.recv(65536):
            data += part
    except ConnectionError:
        pass
    return data


# Nothing is lost (FI-3).


@one_or_more
@pytest.mark.parametrize("delay", ["0", "0.3"])
def test_sigterm_under_mixed_load_fails_nobody(
    serve: Serve, trust: ssl.SSLContext, h2_trust: ssl.SSLContext, workers: int, delay: str
) -> None:
    arguments = ["--timeout-stream-shutdown", "0.3", "--timeout-keep-alive-min", "10", "--drain-delay", delay]
    site = serve(APP, *arguments, tls=True, workers=workers)
    turns = [(ask, trust), (upload, trust), (ask_by_streams, h2_trust), (talk, trust)]
    with Traffic(site.port, *turns) as traffic:
        wait_for(lambda: len(traffic.answered) == len(turns), "answers of every kind")
        site.server.send(signal.SIGTERM)
        wait_for(lambda: traffic.is_over, "the refusal of everybody")
    assert traffic.failures == []
    assert site.server.wait_exit() == 0
    assert site.server.text.count("shutdown is complete") == max(1, workers)
    assert "ERROR" not in site.server.text
    assert "never retrieved" not in site.server.text


@one_or_more
def test_sigterm_under_mixed_load_without_tls_fails_nobody(serve: Serve, workers: int) -> None:
    site = serve(APP, "--h2c", "--timeout-stream-shutdown", "0.3", "--timeout-keep-alive-min", "10", workers=workers)
    turns = [(ask, None), (upload, None), (ask_by_streams, None), (talk, None)]
    with Traffic(site.port, *turns) as traffic:
        wait_for(lambda: len(traffic.answered) == len(turns), "answers of every kind")
        site.server.send(signal.SIGTERM)
        wait_for(lambda: traffic.is_over, "the refusal of everybody")
    assert traffic.failures == []
    assert site.server.wait_exit() == 0
    assert "ERROR" not in site.server.text


# Who has connected may still ask (FI-4).

#: Takes a connection that was made before the stop, and asks on it.
Late = Callable[[Any, int, ssl.SSLContext, ssl.SSLContext], None]


def ask_plainly(sock: socket.socket, port: int, trust: ssl.SSLContext, h2_trust: ssl.SSLContext) -> None:
    with Client(port, None, sock) as client:
        client.send(b"GET /?late HTTP/1.1\r\nhost: h\r\n\r\n")
        assert b"connection: close\r\n" in client.read_until(b"\r\n\r\n")
        assert client.read_exactly(4) == b"late"
        assert client.sock.recv(1) == b""


def ask_over_tls(sock: socket.socket, port: int, trust: ssl.SSLContext, h2_trust: ssl.SSLContext) -> None:
    ask_plainly(trust.wrap_socket(sock, server_hostname="localhost"), port, trust, h2_trust)


def ask_over_h2(sock: socket.socket, port: int, trust: ssl.SSLContext, h2_trust: ssl.SSLContext) -> None:
    with H2Peer(port, h2_trust, greet=False, sock=sock) as peer:
        peer.greet()
        answer = peer.fetch("/?late")
        assert (answer.status, answer.body, answer.ended) == (200, b"late", True)
        peer.wait(lambda: peer.over, "the end")
        assert [code for code, _ in peer.went_away] == [0, 0]
        assert peer.went_away[0][1] > peer.went_away[1][1] == 1


def ask_for_a_session(sock: socket.socket, port: int, trust: ssl.SSLContext, h2_trust: ssl.SSLContext) -> None:
    with connect_session(f"wss://localhost:{port}/", sock=sock, ssl=trust) as session:
        session.send("late")
        assert session.recv(PATIENCE_S) == "late"
        with pytest.raises(ConnectionClosed) as end:
            session.recv(PATIENCE_S)
    assert end.value.rcvd is not None
    assert end.value.rcvd.code == 1012


@one_or_more
def test_who_has_connected_is_served_within_the_last_moment(
    serve: Serve, trust: ssl.SSLContext, h2_trust: ssl.SSLContext, workers: int
) -> None:
    """Connect, SIGTERM, wait 200 ms, and only then begin TLS."""
    site = serve(APP, "--timeout-stream-shutdown", "1.5", tls=True, workers=workers)
    ways: list[Late] = [ask_over_tls, ask_over_h2, ask_for_a_session]
    socks = [connect(site.port) for _ in ways]
    site.server.send(signal.SIGTERM)
    time.sleep(0.2)
    for sock, way in zip(socks, ways, strict=True):
        way(sock, site.port, trust, h2_trust)
    assert site.server.wait_exit() == 0
    assert "ERROR" not in site.server.text


@one_or_more
def test_who_has_connected_without_tls_is_served_within_the_last_moment(
    serve: Serve, trust: ssl.SSLContext, workers: int
) -> None:
    site = serve(APP, workers=workers)
    sock = connect(site.port)
    site.server.send(signal.SIGTERM)
    time.sleep(0.2)
    ask_plainly(sock, site.port, trust, trust)
    assert site.server.wait_exit() == 0


# What does not end by itself (FI-5).


def test_at_the_end_of_the_grace_requests_are_cancelled_and_the_application_is_shut_down_last(
    serve: Serve, trust: ssl.SSLContext, h2_trust: ssl.SSLContext
) -> None:
    site = serve(APP, "--timeout-graceful-shutdown", "0.5", "--access-log", tls=True)
    server = site.server
    with (
        Client(site.port, trust) as client,
        H2Peer(site.port, h2_trust) as peer,
        Client(site.port, trust) as deaf,
        connect_session(f"wss://localhost:{site.port}/deaf", ssl=trust) as session,
    ):
        client.send(b"GET /hang HTTP/1.1\r\nhost: h\r\n\r\n")
        stream = peer.request("/hang")
        server.wait_log("^hanging$", count=3)
        deaf.send(b"GET /deaf HTTP/1.1\r\nhost: h\r\n\r\n")
        deaf.read_until(b"data: 1\n\n")
        started = time.monotonic()
        server.send(signal.SIGTERM)
        # Of what has not begun its client is told that it failed; events end, for each of them is whole.
        assert client.read_response() == (500, b"Internal Server Error")
        assert read_to_end(deaf.sock).endswith(b"0\r\n\r\n")
        assert peer.wait_answer(stream).status == 500
        with pytest.raises(ConnectionClosed) as end:
            session.recv(PATIENCE_S)
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == 1012
    assert server.wait_exit() == 0
    assert time.monotonic() - started < 10  # of 600
    assert "cancelled 4 requests that were not finished in time" in server.text
    told = [line for line in server.log if line in ("finally", "cancelled", "shutdown is complete")]
    assert sorted(told[:-1]) == ["cancelled", "finally", "finally", "finally"]
    assert told[-1] == "shutdown is complete"
    assert "never retrieved" not in server.text
    lines = [line.split('"')[1:3] for line in server.output.splitlines()]
    assert sorted(request.split()[1] + status[:4] for request, status in lines) == [
        "/deaf 101",
        "/deaf 200",
        "/hang 500",
        "/hang 500",
    ]


# Streams are told.


@one_or_more
def test_streams_are_told_at_their_deadline_and_end_cleanly(
    serve: Serve, trust: ssl.SSLContext, h2_trust: ssl.SSLContext, workers: int
) -> None:
    site = serve(APP, "--timeout-stream-shutdown", "0.3", tls=True, workers=workers)
    with Client(site.port, trust) as client, H2Peer(site.port, h2_trust) as peer, Client(site.port, trust) as poll:
        client.send(b"GET /events HTTP/1.1\r\nhost: h\r\n\r\n")
        client.read_until(b"data: 1\n\n\r\n")
        stream = peer.request("/events")
        peer.wait(lambda: bool(peer.answer(stream).body), "the first event")
        poll.send(b"GET /late?1 HTTP/1.1\r\nhost: h\r\n\r\n")
        site.server.send(signal.SIGTERM)
        assert client.read_until(b"0\r\n\r\n") == b"b\r\ndata: bye\n\n\r\n0\r\n\r\n"
        answer = peer.wait_answer(stream)
        assert (answer.body, answer.ended, answer.reset) == (b"data: 1\n\ndata: bye\n\n", True, None)
        assert poll.read_response() == (200, b"1")  # it was not told, and has the whole grace
    assert site.server.wait_exit() == 0
    assert site.server.text.count("told") == 2
    assert "ERROR" not in site.server.text
    assert "WARNING" not in site.server.text


def test_streams_of_http3_are_told_too(serve: Serve, authority: str) -> None:
    site = serve(APP, "--http3", "--timeout-stream-shutdown", "0.3", tls=True)
    with H3Peer(site.port, authority) as peer:
        stream = peer.request("/events")
        peer.wait(lambda: bytes(peer.answers[stream].body) == b"data: 1\n\n", "the first event")
        site.server.send(signal.SIGTERM)
        answer = peer.wait_answer(stream)
        assert bytes(answer.body) == b"data: 1\n\ndata: bye\n\n"
        assert (answer.ended, answer.reset) == (True, None)
    assert site.server.wait_exit() == 0
    assert "ERROR" not in site.server.text


@pytest.mark.parametrize("threads", ["2", "0"])
def test_event_streams_of_wsgi_end_and_all_else_has_the_grace(serve: Serve, threads: str) -> None:
    """There is no way to tell the application but ``close``: events end cleanly, anything else is cut at last."""
    times = ["--timeout-stream-shutdown", "0.2", "--timeout-graceful-shutdown", "1.5"]
    site = serve("tests.e2e.stopping:wsgi", "--threads", threads, *times)
    with Client(site.port) as events, Client(site.port) as text:
        for client, path in ((events, "/events"), (text, "/text")):
            client.send(f"GET {path} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
            client.read_until(b"data: 1\n\n")
        site.server.send(signal.SIGTERM)
        assert read_to_end(events.sock).endswith(b"\r\n0\r\n\r\n")
        assert not read_to_end(text.sock).endswith(b"\r\n0\r\n\r\n")
        site.server.wait_log("^closed$", count=2)
    assert site.server.wait_exit() == 0
    assert "ERROR" not in site.server.text


def test_events_of_an_application_that_does_not_listen_end_too(serve: Serve) -> None:
    """Long before the grace is over, and cleanly."""
    times = ["--timeout-stream-shutdown", "0.2", "--timeout-graceful-shutdown", "60"]
    site = serve("tests.e2e.stopping:make_starlette", "--factory", *times, workers=2)
    with Client(site.port) as client:
        client.send(b"GET /events HTTP/1.1\r\nhost: h\r\n\r\n")
        client.read_until(b"data: 1\n\n")
        site.server.send(signal.SIGTERM)
        assert read_to_end(client.sock).endswith(b"\r\n0\r\n\r\n")
    assert site.server.wait_exit() == 0
    assert "the events are over" in site.server.text
    assert "ERROR" not in site.server.text
    assert "Traceback" not in site.server.text


def test_a_worker_that_retires_tells_its_streams(serve: Serve) -> None:
    """Its clients shall come back to another one, and it shall not live on for their sake."""
    site = serve(APP, "--timeout-stream-shutdown", "0.3", workers=2)
    with Client(site.port) as client, connect_session(f"ws://127.0.0.1:{site.port}/") as session:
        client.send(b"GET /events HTTP/1.1\r\nhost: h\r\n\r\n")
        client.read_until(b"data: 1\n\n\r\n")
        for pid in site.pids:
            os.kill(pid, signal.SIGTERM)
        assert client.read_until(b"0\r\n\r\n") == b"b\r\ndata: bye\n\n\r\n0\r\n\r\n"
        with pytest.raises(ConnectionClosed) as end:
            session.recv(PATIENCE_S)
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == 1012
    site.server.wait_log("shutdown is complete", count=2)
    assert fetch(site.port, "/?more") == (200, b"more")


# The delay.


@one_or_more
def test_readiness_goes_off_before_anybody_is_refused(workers: int) -> None:
    arguments = ["--health-check-path", "/up", "--metrics-bind", "127.0.0.1:0", "--drain-delay", "1"]
    with ServerProcess(APP, *arguments, "--workers", str(workers)) as server:
        _, ports = wait_up(server, workers, 2)
        port, metrics = ports["http"], ports["metrics"]
        assert isinstance(port, int)
        with Client(port) as client:
            assert client.request("/up") == (200, b"ready\n")
            assert fetch(metrics, "/ready") == (200, b"ready\n")
            server.send(signal.SIGTERM)
            server.wait_log("SIGTERM: not ready any more, stopping in 1 s, then open requests get 25 s")
            wait_for(lambda: client.request("/up") == (503, b"not ready\n"), "503")
            wait_for(lambda: fetch(metrics, "/ready")[0] == 503, "503 at the metrics' address")
            assert fetch(port, "/?new") == (200, b"new")
            client.send(b"GET /?kept HTTP/1.1\r\nhost: h\r\n\r\n")
            assert b"connection: close" not in client.read_until(b"\r\n\r\n")
            assert client.read_exactly(4) == b"kept"
            wait_for(lambda: is_refused(port), "the end of the delay")
        assert server.wait_exit() == 0
    assert "ERROR" not in server.text


@one_or_more
def test_a_second_signal_ends_the_delay(serve: Serve, workers: int) -> None:
    site = serve(APP, "--drain-delay", "600", workers=workers)
    site.server.send(signal.SIGTERM)
    site.server.wait_log("not ready any more")
    assert fetch(site.port, "/?served") == (200, b"served")
    site.server.send(signal.SIGTERM)
    assert site.server.wait_exit() == 128 + signal.SIGTERM
    assert "stopping at once" in site.server.text


def test_a_worker_that_dies_in_the_delay_is_replaced(serve: Serve) -> None:
    site = serve(APP, "--drain-delay", "600", "--health-check-path", "/up", workers=2)
    site.server.send(signal.SIGTERM)
    site.server.wait_log("not ready any more")
    for pid in site.pids:
        os.kill(pid, signal.SIGKILL)
    assert len(site.server.wait_ready(2)) == 2
    wait_for(lambda: fetch(site.port, "/up")[0] == 503, "new workers that are not ready either")
    site.server.send(signal.SIGINT)
    assert site.server.wait_exit() == 128 + signal.SIGINT

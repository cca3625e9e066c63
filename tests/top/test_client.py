"""Where stats are asked for, and every way in which an answer fails to come."""

import json
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from fastserver.config.bind import TCPBind, UnixBind
from fastserver.errors import ExitCode
from fastserver.top import main, screen
from fastserver.top.client import LIMIT_BYTES, Client, parse_client
from tests.top.samples import compose_snapshot, compose_stats
from tests.top.source import Source, say


@pytest.mark.parametrize(
    ("text", "bind", "path"),
    [
        ("127.0.0.1:9090", TCPBind("127.0.0.1", 9090), "/stats"),
        (":1234", TCPBind("127.0.0.1", 1234), "/stats"),
        ("box", TCPBind("box", 9090), "/stats"),
        ("[::1]", TCPBind("::1", 9090), "/stats"),
        ("[::1]:80", TCPBind("::1", 80), "/stats"),
        ("unix:/run/stats.sock", UnixBind("/run/stats.sock"), "/stats"),
        ("http://box:9090", TCPBind("box", 9090), "/stats"),
        ("http://box/", TCPBind("box", 80), "/stats"),
        ("HTTP://[::1]:1/inner/stats?x=1", TCPBind("::1", 1), "/inner/stats?x=1"),
    ],
)
def test_addresses(text: str, bind: TCPBind | UnixBind, path: str) -> None:
    client = parse_client(text)
    assert client == Client(bind, path)
    assert parse_client(f"http://{client}" if path != "/stats" else str(client)) == client


@pytest.mark.parametrize(
    "text", ["", "fd://3", "https://box", "ftp://box", "http://box/a b", "http://user@box", "::1", "box:99999", "unix:"]
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_client(text)


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A header that never ends, a byte at a time, until the client has enough."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    handler.connection.settimeout(0.01)
    with suppress(ConnectionError):
        while True:
            handler.connection.sendall(b"x")
            with suppress(TimeoutError):
                if not handler.connection.recv(1):
                    return


def hang(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.recv(1)  # until the client has enough


def flood(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(LIMIT_BYTES // 65536 + 1):
        handler.wfile.write(b" " * 65536)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (say(b"gone", 404), "it answers GET /stats with status 404"),
        (say(b"<html>"), "its answer is not JSON"),
        (say(b"{}"), "its answer is JSON, but not a server's stats"),
        (say(b'{"uptime": 1, "total": 2, "workers": []}'), "its answer is not a server's stats: 'total'"),
        (lambda handler: handler.wfile.write(b"SSH-2.0-x\r\n"), "it does not answer in HTTP (BadStatusLine)"),
        (lambda handler: None, "Remote end closed connection without response"),
        (hang, "no whole answer within 0.1 s"),
        (drip, "no whole answer within 0.1 s"),
        (flood, "its answer is longer than 4 MiB"),
    ],
    ids=["status", "not JSON", "not stats", "wrong shape", "not HTTP", "hangs up", "hangs", "drips", "floods"],
)
def test_rubbish_gives_one_clear_line_and_exit_1(
    answer: Callable[[BaseHTTPRequestHandler], None],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if answer in (hang, drip):
        monkeypatch.setattr(Client.fetch, "__defaults__", (0.1,))
    with Source(answer) as source:
        assert main(["--once", f":{source.port}"]) == ExitCode.FAULT
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fastserver top: error: 127.0.0.1:{source.port}: ")
    assert reason in err
    assert err.count("\n") == 1


def test_a_unix_socket_is_asked(tmp_path: Path) -> None:
    class Server(socketserver.UnixStreamServer):
        def get_request(self) -> tuple[Any, Any]:
            return super().get_request()[0], ("unix", 0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            say(json.dumps(compose_stats(compose_snapshot(7))).encode())(self)

        def log_message(self, format: str, *facts: Any) -> None:
            pass

    path = str(tmp_path / "s")
    with Server(path, Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        reading = screen.read(parse_client(f"unix:{path}"))
        thread.join()
    assert reading.stats.total.requests == {"http/1.1": {"2xx": 7, "5xx": 0}}


def test_nobody_there_is_exit_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert main(["--once", f"127.0.0.1:{port}"]) == ExitCode.FAULT
    assert capsys.readouterr().err == f"fastserver top: error: 127.0.0.1:{port}: Connection refused\n"

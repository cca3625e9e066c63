"""WSGI applications served by real processes: every path below ``wsgiref.validate``, in threads and without."""

import hashlib
import http.client
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Serve, Served
from tests.e2e.processes import PATIENCE_S

APP = "tests.e2e.wsgi_application:app"
BARE = "tests.e2e.wsgi_application:bare"
EVERY = [(APP, "8"), (APP, "0"), (BARE, "8"), (BARE, "0")]


@pytest.fixture(scope="module", params=EVERY, ids=["validated", "validated-0", "bare", "bare-0"])
def wsgi(request: pytest.FixtureRequest, serve_long: Serve) -> Served:
    app, threads = request.param
    return serve_long(app, "--threads", threads)


def ask(
    served: Served, path: str, method: str = "GET", body: Any = None, headers: Any = (), chunked: bool = False
) -> tuple[int, bytes, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, dict(headers), encode_chunked=chunked)
        response = connection.getresponse()
        return response.status, response.read(), response
    finally:
        connection.close()


def describe(served: Served) -> str:
    """Its command line."""
    return " ".join(map(str, served.server.process.args))  # type: ignore[arg-type]


def tell(served: Served) -> Any:
    return json.loads(ask(served, "/tell")[1])


def wait_closed(served: Served, path: str, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while tell(served)["closed"].get(path, 0) < count:
        assert time.monotonic() < deadline, f"close() of {path} was not called"
        time.sleep(0.02)


def test_a_small_response_has_a_length(wsgi: Served) -> None:
    status, body, response = ask(wsgi, "/")
    assert (status, body) == (200, b"Hello, World!\n")
    assert response.headers.get_all("set-cookie") == ["a=1", "b=2"]
    if BARE in describe(wsgi):
        assert response.headers["content-length"] == "14"


def test_written_parts_come_in_order(wsgi: Served) -> None:
    assert ask(wsgi, "/written")[:2] == (200, b"one,two,three")


def test_a_stream_comes_whole_and_is_closed(wsgi: Served) -> None:
    before = tell(wsgi)["closed"].get("/stream", 0)
    status, body, _ = ask(wsgi, "/stream?2000")
    assert (status, len(body)) == (200, 2000 * 1024)
    assert body == b"".join(b"%1023d\n" % number for number in range(2000))
    wait_closed(wsgi, "/stream", before + 1)


def test_responses_without_a_body(wsgi: Served) -> None:
    assert ask(wsgi, "/empty")[:2] == (200, b"")
    assert ask(wsgi, "/empty")[2].headers["content-length"] == "0"
    status, body, response = ask(wsgi, "/nothing")
    assert (status, body, response.headers["content-length"]) == (204, b"", None)
    status, body, _ = ask(wsgi, "/stream?100000000", "HEAD")
    assert (status, body) == (200, b"")
    wait_closed(wsgi, "/empty", 2)


def test_the_head_is_held_until_the_first_byte(wsgi: Served) -> None:
    assert ask(wsgi, "/late-head")[:2] == (418, b"short and stout")


def test_a_failure_before_the_response_is_a_500(wsgi: Served) -> None:
    assert ask(wsgi, "/fails")[:2] == (500, b"Internal Server Error")
    wsgi.server.wait_log("RuntimeError: fails before the response")


@pytest.mark.parametrize("path", ["/fails-late", "/fails-and-tells", "/short"])
def test_a_failure_within_the_response_cuts_it(wsgi: Served, path: str) -> None:
    before = tell(wsgi)["closed"].get(path, 0)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(wsgi, path)
    wait_closed(wsgi, path, before + 1)


def test_a_body_that_is_too_long_is_cut_to_its_length(wsgi: Served) -> None:
    assert ask(wsgi, "/long")[:2] == (200, b"five5")
    wsgi.server.wait_log("response body is longer than its content-length")


def test_a_failure_of_close_is_only_logged(wsgi: Served) -> None:
    assert ask(wsgi, "/fails-to-close")[:2] == (200, b"whole")
    wsgi.server.wait_log("RuntimeError: fails to close")


@pytest.mark.parametrize("path", ["/exits?system", "/exits?keyboard", "/exits?memory", "/exits?generator", "/recurses"])
def test_no_exception_ends_the_worker(wsgi: Served, path: str) -> None:
    pid = tell(wsgi)["pid"]
    assert ask(wsgi, path)[:2] == (500, b"Internal Server Error")
    assert tell(wsgi)["pid"] == pid


@pytest.mark.parametrize("name", ["Connection", "Transfer-Encoding", "upgrade", "Keep-Alive", "TE"])
def test_hop_by_hop_fields_are_refused(wsgi: Served, name: str) -> None:
    assert ask(wsgi, f"/hop?{name}")[0] == 500


@pytest.mark.parametrize("size", [0, 1, 65536, 524288, 524289, 50 * 1024 * 1024])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_comes_whole(wsgi: Served, size: int, chunked: bool) -> None:
    piece = bytes(range(256)) * 4096
    data = (piece * (size // len(piece) + 1))[:size]
    parts: Any = (data[at : at + 100_000] for at in range(0, size, 100_000)) if chunked else data
    headers = [("Transfer-Encoding", "chunked")] if chunked else []
    status, body, _ = ask(wsgi, "/digest", "POST", parts, headers, chunked)
    assert (status, body.decode()) == (200, f"{size} {hashlib.sha256(data).hexdigest()}")


def test_a_body_has_lines_and_an_end(wsgi: Served) -> None:
    assert ask(wsgi, "/lines", "POST", b"a\nb\nc")[1] == repr((b"a\n", [b"b\n", b"c"])).encode()


def test_a_client_that_asks_first_is_told_to_go_on(wsgi: Served) -> None:
    with socket.create_connection(("127.0.0.1", wsgi.port), PATIENCE_S) as peer:
        peer.sendall(b"POST /digest HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert peer.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.sendall(b"abc")
        assert hashlib.sha256(b"abc").hexdigest().encode() in peer.recv(4096)


def test_the_environment(wsgi: Served) -> None:
    environ = json.loads(ask(wsgi, "/environ")[1])
    assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"]) == (
        str("--threads 8" in describe(wsgi)),
        "False",
    )
    environ = json.loads(ask(wsgi, "/%C3%A9%20x?q=%20", headers=[("X-Real", "1"), ("X_Real", "2"), ("Proxy", "h")])[1])
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/é x"
    assert (environ["QUERY_STRING"], environ["REQUEST_URI"]) == ("q=%20", "/%C3%A9%20x?q=%20")
    assert (environ["HTTP_X_REAL"], "HTTP_PROXY" in environ) == ("1", False)
    assert environ["SERVER_PORT"] == str(wsgi.port)


def test_an_upgrade_is_an_ordinary_request(wsgi: Served) -> None:
    fields = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "x" * 22 + "==",
    }
    assert ask(wsgi, "/", headers=fields.items())[:2] == (200, b"Hello, World!\n")


def test_a_file_is_sent_whole(wsgi: Served, tmp_path: Path) -> None:
    for size in (11, 4096, 65546, 3_000_000):
        data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        (tmp_path / "file").write_bytes(data)
        status, body, _ = ask(wsgi, f"/file?{tmp_path}/file")
        assert (status, body == data[10:]) == (200, True)


def test_errors_go_to_the_log(wsgi: Served) -> None:
    assert ask(wsgi, "/errors")[1] == b"told"
    wsgi.server.wait_log("ERROR a word to the operator$")


def test_a_client_that_leaves_ends_a_stream(wsgi: Served) -> None:
    before = tell(wsgi)["closed"].get("/endless", 0)
    with socket.create_connection(("127.0.0.1", wsgi.port), PATIENCE_S) as peer:
        peer.sendall(b"GET /endless HTTP/1.1\r\nHost: h\r\n\r\n")
        assert peer.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    wait_closed(wsgi, "/endless", before + 1)


def test_a_client_that_does_not_read_stops_a_stream(wsgi: Served) -> None:
    """What is made is bounded by what the kernel and the server hold."""
    before = tell(wsgi)["closed"].get("/endless", 0)
    with socket.create_connection(("127.0.0.1", wsgi.port), PATIENCE_S) as peer:
        peer.sendall(b"GET /endless HTTP/1.1\r\nHost: h\r\n\r\n")
        made, last = -1, -2
        while made != last:
            time.sleep(0.2)
            last, made = made, tell(wsgi)["started"]["/endless"]
    wait_closed(wsgi, "/endless", before + 1)

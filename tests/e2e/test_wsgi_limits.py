"""WSGI applications at their bounds: no thread free, a stuck thread, clients that leave; and the other wires."""

import http.client
import json
import signal
import socket
import ssl
import struct
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Serve, Served
from tests.e2e.processes import PATIENCE_S
from tests.e2e.test_wsgi import APP, BARE, ask, tell, wait_closed


def open_request(served: Served, path: str) -> socket.socket:
    """Send a request and leave its answer where it is."""
    peer = socket.create_connection(("127.0.0.1", served.port), PATIENCE_S)
    peer.sendall(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % path.encode())
    return peer


def leave(peer: socket.socket) -> None:
    """Go with a reset; a mere close would look like a client that has only no more to say."""
    time.sleep(0.1)  # the request is to come first
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def wait_started(served: Served, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while tell(served)["started"].get("/sleep", 0) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_requests_beyond_the_queue_are_told_to_come_again(serve: Serve) -> None:
    served = serve(APP, "--threads", "1", "--limit-queue", "2", "--metrics-bind", "127.0.0.1:0")
    peers = [open_request(served, "/sleep?0.7")]
    time.sleep(0.3)  # its thread has it
    peers += [open_request(served, "/sleep?0") for _ in range(2)]
    time.sleep(0.1)
    status, body, response = ask(served, "/")
    assert (status, body, response.headers["retry-after"]) == (503, b"the server is busy\n", "1")
    served.server.wait_log("WARNING no thread was free for 1 requests: all 1 are busy")
    for peer in peers:
        assert peer.recv(4096).startswith(b"HTTP/1.1 200 OK")
        peer.close()
    assert ask(served, "/")[0] == 200


def test_a_request_waits_for_a_thread_so_long(serve: Serve) -> None:
    served = serve(APP, "--threads", "1", "--timeout-queue", "100ms")
    with open_request(served, "/sleep?4"):
        time.sleep(0.3)
        started = time.monotonic()
        status, _, response = ask(served, "/")
        assert (status, response.headers["retry-after"]) == (503, "1")
        assert time.monotonic() - started < 3.5


def test_a_client_that_left_the_queue_is_not_served(serve: Serve) -> None:
    served = serve(APP, "--threads", "1", "--access-log")
    with open_request(served, "/sleep?0.8"):
        time.sleep(0.2)
        leave(open_request(served, "/sleep?0.01"))
        assert ask(served, "/")[0] == 200
        assert tell(served)["started"]["/sleep"] == 1


def test_a_stuck_thread_stops_nobody_else(serve: Serve) -> None:
    served = serve(APP, "--threads", "2", "--timeout-graceful-shutdown", "300ms")
    with open_request(served, "/sleep?600"):
        wait_started(served, 1)
        for _ in range(10):
            assert ask(served, "/")[0] == 200
        served.server.process.send_signal(signal.SIGTERM)
        assert served.server.process.wait(PATIENCE_S) == 0
    served.server.wait_log("1 threads are still in the application and are given up")


def test_a_stop_waits_for_what_runs(serve: Serve) -> None:
    served = serve(APP, "--threads", "2")
    with open_request(served, "/sleep?0.8") as peer:
        wait_started(served, 1)
        served.server.process.send_signal(signal.SIGTERM)
        answer = peer.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"slept" in answer + peer.recv(4096)
    assert served.server.process.wait(PATIENCE_S) == 0


def test_a_client_that_leaves_a_call_drops_its_answer(serve: Serve) -> None:
    served = serve(APP, "--threads", "2", "--access-log", "--access-logfile", "/dev/stderr")
    leave(open_request(served, "/sleep?0.4"))
    served.server.wait_log('"GET /sleep\\?0.4 HTTP/1.1" 499')
    wait_closed(served, "/sleep", 1)


def test_threads_are_started_when_they_are_needed(serve: Serve) -> None:
    served = serve(APP, "--threads", "4")
    for _ in range(20):
        ask(served, "/")
    peers = [open_request(served, "/sleep?0.3") for _ in range(12)]
    for peer in peers:
        assert peer.recv(4096).startswith(b"HTTP/1.1 200 OK")
        peer.close()
    names = tell(served)["threads"]
    assert set(names) == {f"fastserver-wsgi-{number}" for number in range(1, 5)}


def test_slow_uploads_hold_no_thread(serve: Serve) -> None:
    """Ten clients that have not sent all of their bodies, one thread: others are served."""
    served = serve(APP, "--threads", "1")
    peers = [socket.create_connection(("127.0.0.1", served.port), PATIENCE_S) for _ in range(10)]
    for peer in peers:
        peer.sendall(b"POST /digest HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345")
    assert ask(served, "/")[0] == 200
    for peer in peers:
        peer.sendall(b"67890")
        assert b"10 c775e7b757ede630cd0aa1113bd102661ab38829ca52a6422ab782862f268646" in peer.recv(4096)
        peer.close()


def test_a_spool_without_room_is_a_503(serve: Serve) -> None:
    served = serve(APP, "--wsgi-spool-size", "64k")
    status, body, _ = ask(served, "/digest", "POST", b"x" * 1_000_000)
    assert status == 200

    blocked = serve("tests.e2e.wsgi_application:no_disk()", "--wsgi-spool-size", "64k")
    status, body, _ = ask(blocked, "/digest", "POST", b"x" * 1_000_000)
    assert (status, body) == (503, b"the server cannot keep the request's body\n")
    assert ask(blocked, "/digest", "POST", b"x" * 1000)[0] == 200


@pytest.mark.parametrize("threads", ["8", "0"])
def test_http2(serve: Serve, h2_trust: ssl.SSLContext, threads: str, tmp_path: Path) -> None:
    served = serve(BARE, "--threads", threads, tls=True)
    with httpx.Client(http2=True, http1=False, verify=h2_trust, base_url=served.url("")) as client:
        answer = client.get("/")
        assert (answer.http_version, answer.status_code, answer.text) == ("HTTP/2", 200, "Hello, World!\n")
        environ = client.get("/environ").json()
        assert (environ["SERVER_PROTOCOL"], environ["wsgi.url_scheme"]) == ("HTTP/2", "https")
        assert environ["HTTP_HOST"] == f"127.0.0.1:{served.port}"
        data = bytes(range(256)) * 40_000
        assert client.post("/digest", content=data).text.startswith(f"{len(data)} ")
        assert len(client.get("/stream?3000").content) == 3000 * 1024
        assert client.head("/stream?3000").status_code == 200
        assert client.get("/fails").status_code == 500
        for path in ("/fails-late", "/short"):
            with pytest.raises(httpx.RemoteProtocolError):
                client.get(path)
        (tmp_path / "file").write_bytes(data)
        assert client.get(f"/file?{tmp_path}/file").content == data[10:]
        assert client.get("/").status_code == 200


def test_many_requests_at_once(serve: Serve) -> None:
    """Every answer is its own request's."""
    served = serve(BARE, "--threads", "4")
    faults: list[str] = []

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
        for turn in range(100):
            connection.request("GET", f"/environ?{number}.{turn}")
            if json.loads(connection.getresponse().read())["QUERY_STRING"] != f"{number}.{turn}":
                faults.append(f"{number}.{turn}")
        connection.close()

    clients = [threading.Thread(target=client, args=(number,)) for number in range(12)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert faults == []


def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    served = serve(BARE)
    request = b"GET /environ?%d HTTP/1.1\r\nHost: h\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port), PATIENCE_S) as peer:
        peer.sendall(b"".join(request % number for number in range(30)))
        received = b""
        while received.count(b'"QUERY_STRING": "') < 30:
            piece: Any = peer.recv(65536)
            assert piece
            received += piece
    found = [part.partition(b'"')[0] for part in received.split(b'"QUERY_STRING": "')[1:]]
    assert found == [b"%d" % number for number in range(30)]

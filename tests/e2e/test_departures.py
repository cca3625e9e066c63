"""Clients that leave in the middle (FI-13 to FI-15): what their applications are told, and what is logged."""

import contextlib
import signal
import socket
import ssl
from collections.abc import Iterator

import pytest
from hyperframe.frame import DataFrame, HeadersFrame, RstStreamFrame

from tests.e2e.conftest import Serve, Served
from tests.e2e.h2peer import H2Peer
from tests.e2e.peers import Client

APP = "tests.e2e.stopping:app"
CHUNKED = b"POST /upload HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
SIZED = b"POST /upload HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n"
CANCEL = 8


@pytest.fixture(scope="module", params=["plain", "tls"])
def site(request: pytest.FixtureRequest, serve_long: Serve) -> Iterator[Served]:
    """One server for all; in the end it is stopped, which nothing that was left behind may disturb."""
    is_tls = request.param == "tls"
    served = serve_long(APP, *([] if is_tls else ["--h2c"]), tls=is_tls)
    yield served
    served.server.send(signal.SIGTERM)
    assert served.server.wait_exit() == 0
    for bad in ("ERROR", "WARNING", "never retrieved", "upload complete"):
        assert bad not in served.server.text


def open_client(site: Served, trust: ssl.SSLContext) -> Client:
    return Client(site.port, trust if site.scheme == "https" else None)


def open_peer(site: Served, h2_trust: ssl.SSLContext) -> H2Peer:
    return H2Peer(site.port, h2_trust if site.scheme == "https" else None)


def list_calls(site: Served, trust: ssl.SSLContext) -> list[str]:
    """What applications have said since the last test, up to an answer that shows that the server goes on."""
    known = len(site.server.log)
    with open_client(site, trust) as client:
        assert client.request("/late?0.0") == (200, b"0.0")
    site.server.wait_log("^answered$")
    return site.server.log[known:-1]


# A client that sends no more, and reads on (FI-13).


def test_a_half_closed_client_gets_its_whole_answer(serve: Serve) -> None:
    site = serve(APP)
    with Client(site.port) as client:
        client.send(b"GET /late?0.3 HTTP/1.1\r\nhost: h\r\n\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_response() == (200, b"0.3")
        assert client.sock.recv(1) == b""
    site.server.wait_log("^answered$")


def test_a_half_closed_client_of_streams_gets_its_whole_answers(serve: Serve) -> None:
    site = serve(APP, "--h2c")
    with H2Peer(site.port) as peer:
        streams = [peer.request("/late?0.3"), peer.request("/late?0.2")]
        peer.sock.shutdown(socket.SHUT_WR)
        assert [peer.wait_answer(stream).body for stream in streams] == [b"0.3", b"0.2"]
        peer.wait(lambda: peer.over, "the end")
    site.server.wait_log("^answered$", count=2)


# A reset (FI-14).


def test_a_reset_within_the_request_is_told(site: Served, trust: ssl.SSLContext) -> None:
    client = open_client(site, trust)
    client.send(CHUNKED + b"3\r\nabc\r\n")
    site.server.wait_log("^uploading$")
    client.reset()
    site.server.wait_log("^upload cut$")


def test_a_reset_within_the_response_ends_the_application(site: Served, trust: ssl.SSLContext) -> None:
    client = open_client(site, trust)
    client.send(b"GET /deaf HTTP/1.1\r\nhost: h\r\n\r\n")
    client.read_until(b"data: 1\n\n")
    client.reset()
    site.server.wait_log("^gone$")


def test_a_stream_that_is_reset_is_told_alone(site: Served, h2_trust: ssl.SSLContext) -> None:
    with open_peer(site, h2_trust) as peer:
        upload = peer.request("/upload", method="POST", body=b"abc", ends=False)
        events = peer.request("/deaf")
        peer.wait(lambda: bool(peer.answer(events).body), "an event")
        site.server.wait_log("^uploading$")
        peer.send(RstStreamFrame(upload, CANCEL))
        site.server.wait_log("^upload cut$")
        peer.send(RstStreamFrame(events, CANCEL))
        site.server.wait_log("^gone$")
        assert peer.fetch("/?fine").body == b"fine"


def test_the_log_of_requests_says_whose_client_has_gone(serve: Serve) -> None:
    site = serve(APP, "--access-log")
    with Client(site.port) as client:
        client.send(CHUNKED + b"3\r\nabc\r\n")
        site.server.wait_log("^uploading$")
        client.reset()
    site.server.wait_log("^upload cut$")
    with Client(site.port) as client:
        client.send(b"GET /deaf HTTP/1.1\r\nhost: h\r\n\r\n")
        client.read_until(b"data: 1\n\n")
        client.reset()
    site.server.wait_log("^gone$")
    site.server.send(signal.SIGTERM)
    assert site.server.wait_exit() == 0
    lines = [line.split('"')[1:3] for line in site.server.output.splitlines()]
    assert [(request.split()[1], int(status.split()[0])) for request, status in lines] == [
        ("/upload", 499),
        ("/deaf", 200),
    ]


# The end of its bytes where more must come (FI-15).


@pytest.mark.parametrize(
    "payload",
    [
        CHUNKED + b"3\r\nab",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\n",
        CHUNKED + b"f",
        SIZED + b"abc",
    ],
)
def test_an_end_within_the_body_is_no_whole_body(site: Served, trust: ssl.SSLContext, payload: bytes) -> None:
    with open_client(site, trust) as client:
        client.send(payload)
        site.server.wait_log("^uploading$")
        client.sock.shutdown(socket.SHUT_WR)  # under TLS without its farewell, as somebody on the way would cut it
        site.server.wait_log("^upload cut$")
        with contextlib.suppress(OSError, EOFError):
            assert client.read_until(b"\r\n").startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("payload", [b"G", b"GET /upload HTTP/1.1\r\nho", SIZED[:-1]])
def test_an_end_within_the_head_calls_nobody(site: Served, trust: ssl.SSLContext, payload: bytes) -> None:
    with open_client(site, trust) as client:
        client.send(payload)
        client.sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError, EOFError):
            assert client.read_until(b"\r\n").startswith(b"HTTP/1.1 400 ")
    assert list_calls(site, trust) == []


@pytest.mark.parametrize("size", [4, 9, 12])
def test_an_end_within_a_frame_is_no_whole_body(site: Served, h2_trust: ssl.SSLContext, size: int) -> None:
    with open_peer(site, h2_trust) as peer:
        stream = peer.request("/upload", ("content-length", "10"), method="POST", ends=False)
        site.server.wait_log("^uploading$")
        frame = DataFrame(stream, b"x" * 10, flags=["END_STREAM"]).serialize()
        peer.send_bytes(frame[:size])
        peer.sock.shutdown(socket.SHUT_WR)
        site.server.wait_log("^upload cut$")


def test_an_end_within_a_streams_head_calls_nobody(
    site: Served, trust: ssl.SSLContext, h2_trust: ssl.SSLContext
) -> None:
    with open_peer(site, h2_trust) as peer:
        head = [(":method", "POST"), (":scheme", peer.scheme), (":authority", "h"), (":path", "/upload")]
        block = peer.encode(head)
        peer.send(HeadersFrame(peer.take_id(), block[:3]))
        peer.sock.shutdown(socket.SHUT_WR)
        peer.wait(lambda: peer.over, "the end")
    assert list_calls(site, trust) == []

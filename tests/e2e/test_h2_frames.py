"""HTTP/2 as a client of frames sees it, where client libraries do not look: drains, resets, both ways at once."""

import signal
import ssl
from collections.abc import Iterator
from functools import partial

import pytest
from hyperframe.frame import RstStreamFrame

from tests.e2e.conftest import Serve, Served
from tests.e2e.h2peer import H2Peer
from tests.e2e.peers import wait_for
from tests.e2e.streams import MIB, make_bytes
from tests.h2wire import Answer

APP = "tests.e2e.streams:app"
ARGUMENTS = ["--h2c"]


@pytest.fixture(params=["plain", "secure"])
def peer(request: pytest.FixtureRequest, h2_trust: ssl.SSLContext) -> Iterator[H2Peer]:
    site: Served = request.getfixturevalue(request.param)
    with H2Peer(site.port, h2_trust if site.scheme == "https" else None) as peer:
        yield peer


def test_ten_mebibytes_go_both_ways_at_once(peer: H2Peer) -> None:
    body = make_bytes(10 * MIB)
    first = peer.request("/echo", method="POST", ends=False)
    second = peer.request("/echo", method="POST", ends=False)
    for start in range(0, len(body), MIB):
        for stream in (first, second):
            peer.send_data(stream, body[start : start + MIB], start + MIB == len(body))
    assert peer.wait_answer(first).body == body
    assert peer.wait_answer(second).body == body


def test_a_body_that_nobody_reads_stops_its_own_stream_alone(peer: H2Peer) -> None:
    stuck = peer.request("/gate", method="POST", ends=False)
    body = make_bytes(MIB)
    sent = peer.windows[stuck]
    assert sent < MIB
    peer.send_data(stuck, body[:sent])
    for _ in range(3):
        other = peer.request("/digest", method="POST", body=body)
        assert peer.wait_answer(other).body.startswith(b"%d " % MIB)
    assert peer.windows[stuck] == 0  # and no credit for what was not read
    peer.fetch("/open")
    peer.send_data(stuck, body[sent:], True)
    assert peer.wait_answer(stuck).body.startswith(b"%d " % MIB)


def _is_underway(answer: Answer) -> bool:
    return len(answer.body) > 100_000


def test_a_download_that_is_given_up_ends_its_application_and_nothing_else(peer: H2Peer) -> None:
    before = int(peer.fetch("/gone").body)
    other = peer.request("/gate")
    streams = [peer.request("/endless") for _ in range(5)]
    for stream in streams:
        answer = peer.answer(stream)
        peer.wait(partial(_is_underway, answer), "some of the body")
        peer.send(RstStreamFrame(stream, 8))
    wait_for(lambda: int(peer.fetch("/gone").body) == before + 5, "five that are told")
    peer.fetch("/open")
    assert peer.wait_answer(other).status == 200


def test_a_client_that_hangs_up_ends_its_applications(plain: Served) -> None:
    with H2Peer(plain.port) as peer:
        before = int(peer.fetch("/gone").body)
        with H2Peer(plain.port) as other:
            streams = [other.request("/endless") for _ in range(3)]
            other.wait(lambda: all(other.answer(stream).body for stream in streams), "some of the bodies")
        wait_for(lambda: int(peer.fetch("/gone").body) == before + 3, "three that are told")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_drain_is_two_goaways_and_every_request_answered(
    serve: Serve, scheme: str, workers: int, h2_trust: ssl.SSLContext
) -> None:
    site = serve(APP, *(["--h2c"] if scheme == "http" else []), tls=scheme == "https", workers=workers)
    context = h2_trust if scheme == "https" else None
    with H2Peer(site.port, context) as peer:
        peer.fetch()
        begun = [peer.request(f"/sleep?{delay}") for delay in (0.2, 1.5)]
        site.server.send(signal.SIGTERM)
        peer.wait(lambda: bool(peer.went_away), "the first GOAWAY")
        begun += [peer.request("/?late"), peer.request("/digest", method="POST", body=b"x")]
        for stream in begun:
            assert peer.wait_answer(stream).status == 200, stream
        peer.wait(lambda: peer.over, "the end")
        assert peer.went_away == [(0, (1 << 31) - 1), (0, begun[-1])]
    assert site.server.wait_exit() == 0
    assert "Traceback" not in site.server.text


def test_a_request_behind_the_second_goaway_is_refused(serve: Serve) -> None:
    """So that the client may send it again elsewhere: it has certainly not been served (RFC 9113 section 8.7)."""
    site = serve(APP, "--h2c")
    with H2Peer(site.port) as peer:
        open_stream = peer.request("/sleep?2")
        peer.fetch()
        site.server.send(signal.SIGTERM)
        peer.wait(lambda: len(peer.went_away) == 2, "the second GOAWAY")
        late = peer.request()
        assert peer.wait_answer(late).reset == 7  # REFUSED_STREAM
        assert peer.wait_answer(open_stream).status == 200
    assert site.server.wait_exit() == 0


def test_an_idle_connection_leaves_at_once(serve: Serve) -> None:
    site = serve(APP, "--h2c", "--timeout-keep-alive-min", "0.1")
    with H2Peer(site.port) as peer:
        peer.fetch()
        site.server.send(signal.SIGTERM)
        peer.wait(lambda: peer.over, "the end")
        assert [code for code, _ in peer.went_away] == [0, 0]
    assert site.server.wait_exit() == 0


def test_at_the_deadline_an_open_stream_is_cut(serve: Serve) -> None:
    site = serve(APP, "--h2c", "--timeout-graceful-shutdown", "0.3")
    with H2Peer(site.port) as peer:
        stream = peer.request("/sleep?600")
        peer.fetch()
        site.server.send(signal.SIGTERM)
        assert peer.wait_answer(stream).status == 500
        peer.wait(lambda: peer.over, "the end")
    assert site.server.wait_exit() == 0

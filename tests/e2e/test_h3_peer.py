"""HTTP/3 as aioquic speaks it as a client: trailers both ways, resets both ways, and much at once."""

import hashlib
import signal
from collections.abc import Iterator

import pytest

pytest.importorskip("aioquic")

from tests.e2e.conftest import Serve, Served
from tests.e2e.h3application import hash_flood
from tests.e2e.h3clients import wait_until
from tests.e2e.h3peer import H3Peer
from tests.e2e.streams import make_bytes

APP = "tests.e2e.h3application:app"
MIB = 1 << 20
H3_NO_ERROR, H3_INTERNAL_ERROR, H3_REQUEST_CANCELLED = 0x100, 0x102, 0x10C


@pytest.fixture
def peer(http3: Served, authority: str) -> Iterator[H3Peer]:
    with H3Peer(http3.port, authority) as one:
        yield one


def test_a_hundred_requests_at_once(peer: H3Peer) -> None:
    streams = [peer.request(f"/?{number}") for number in range(100)]
    bodies = [bytes(peer.wait_answer(stream).body) for stream in streams]
    assert [body.split()[3] for body in bodies] == [b"%d" % number for number in range(100)]


def test_a_thousand_requests_one_after_another(peer: H3Peer) -> None:
    """More than the streams that a connection is given at first."""
    assert {peer.fetch("/missing").status for _ in range(1000)} == {404}


def test_a_body_goes_up_and_down(peer: H3Peer) -> None:
    body = make_bytes(MIB)
    assert bytes(peer.fetch("/digest", method="POST", body=body).body).decode() == (
        f"{len(body)} {hashlib.sha256(body).hexdigest()}"
    )
    assert hashlib.sha256(peer.fetch("/flood?1000000").body).hexdigest() == hash_flood(1_000_000)


def test_trailers_go_both_ways(peer: H3Peer) -> None:
    assert len(peer.fetch("/trailers").heads) == 1  # not asked for
    asked = peer.wait_answer(peer.request("/trailers", ("te", "trailers")))
    assert asked.heads[1] == {"x-checksum": "42"}
    answer = peer.fetch("/digest", method="POST", body=b"body", trailers=(("x-checksum", "42"),))
    assert bytes(answer.body).startswith(b"4 ")


def test_a_request_that_waits_holds_up_no_other(peer: H3Peer) -> None:
    slow = peer.request("/gate")
    assert {peer.fetch("/missing").status for _ in range(20)} == {404}
    assert not peer.answers[slow].ended
    peer.fetch("/open")
    assert peer.wait_answer(slow).status == 200


def test_an_early_response_is_whole_though_the_request_is_not(peer: H3Peer) -> None:
    """RFC 9114 section 4.1.  What still comes is thrown away for a while, and asked for no more after that."""
    stream = peer.request("/refuse", method="POST", body=b"begun", ends=False)
    answer = peer.wait_answer(stream)
    assert (answer.status, bytes(answer.body)) == (403, b"no")
    peer.send_data(stream, bytes(MIB))
    assert peer.fetch("/missing").status == 404


def test_a_client_that_wants_no_more_is_left_alone(peer: H3Peer) -> None:
    before = int(peer.fetch("/gone").body)
    stream = peer.request("/endless")
    peer.wait(lambda: len(peer.answers[stream].body) > 100_000, "a part of the response")
    peer.stop(stream)
    wait_until(lambda: int(peer.fetch("/gone").body) > before, "end of the application")
    assert peer.answers[stream].reset == H3_REQUEST_CANCELLED


def test_a_request_that_is_reset_is_over(peer: H3Peer) -> None:
    stream = peer.request("/digest", method="POST", body=b"x" * 1000, ends=False)
    peer.reset(stream)
    peer.wait(lambda: peer.answers[stream].reset is not None, "the reset of the response")
    assert peer.fetch("/missing").status == 404


def test_an_application_that_fails_in_the_middle_resets_its_stream(peer: H3Peer) -> None:
    answer = peer.fetch("/fail")
    assert (answer.reset, answer.ended) == (H3_INTERNAL_ERROR, False)
    assert peer.fetch("/missing").status == 404


def test_a_body_that_nobody_takes_stops_at_the_window(peer: H3Peer) -> None:
    """The application waits at the gate; the default window of a stream is 256 KiB."""
    body = make_bytes(2 * MIB)
    stream = peer.request("/gate", method="POST", body=body)
    assert {peer.fetch("/missing").status for _ in range(50)} == {404}
    sent = peer.quic._streams[stream].sender.next_offset
    assert 0 < sent <= 256 * 1024
    peer.fetch("/open")
    assert bytes(peer.wait_answer(stream).body).decode() == f"{len(body)} {hashlib.sha256(body).hexdigest()}"


def test_the_server_says_goodbye(serve: Serve, authority: str) -> None:
    """CONNECTION_CLOSE with H3_NO_ERROR, once what was asked is answered."""
    site = serve(APP, "--http3", tls=True)
    with H3Peer(site.port, authority) as peer:
        stream = peer.request("/sleep?0.2")
        assert peer.fetch("/missing").status == 404
        site.server.send(signal.SIGTERM)
        assert peer.wait_over().error_code == H3_NO_ERROR
        assert peer.answers[stream].status == 200
        assert peer.answers[stream].ended
    assert site.server.wait_exit() == 0
    assert "Traceback" not in site.server.text

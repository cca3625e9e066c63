"""WebSockets over HTTP/3 (RFC 9220), by aioquic as the client and ``wsproto`` for its frames."""

import pytest

pytest.importorskip("aioquic")

from collections.abc import Iterator

from wsproto.events import BytesMessage, CloseConnection, TextMessage

from tests.e2e.conftest import Serve, Served
from tests.e2e.h3clients import wait_until
from tests.e2e.h3peer import H3Peer

APP = "tests.e2e.websocket_application:app"
MIB = 1 << 20


@pytest.fixture
def peer(http3: Served, authority: str) -> Iterator[H3Peer]:
    with H3Peer(http3.port, authority) as one:
        yield one


def test_the_server_offers_sessions(peer: H3Peer) -> None:
    assert peer.may_connect


def test_a_session_is_told_what_it_is(peer: H3Peer, http3: Served) -> None:
    session = peer.open_session("/tell", ("sec-websocket-protocol", "soup, chat"))
    assert session.status == 200
    assert session.answer.heads[0]["sec-websocket-protocol"] == "chat"
    assert session.receive() == TextMessage(data=f"{http3.pids[0]} wss 3 soup,chat")
    assert session.receive() == CloseConnection(code=3001, reason="told")


def test_messages_come_back(peer: H3Peer) -> None:
    session = peer.open_session()
    assert session.ask("text \u20ac") == "text \u20ac"
    assert session.ask(b"\x00bytes") == b"\x00bytes"
    assert session.ask("") == ""
    assert session.ping(b"are you there") == b"are you there"


@pytest.mark.parametrize("size", [125, 126, 65536, 5 * MIB])
def test_large_messages_come_back(peer: H3Peer, size: int) -> None:
    message = bytes(range(256)) * (size // 256 + 1)
    assert peer.open_session().ask(message[:size]) == message[:size]


def wait_end(peer: H3Peer, end: str) -> None:
    """Until the application has been told of ``end``; those of other sessions may come between."""
    told: list[str] = []

    def is_told() -> bool:
        told.extend(bytes(peer.fetch("/").body).decode().split())
        return end in told

    wait_until(is_told, f"{end} among {told}")


def test_the_client_closes(peer: H3Peer) -> None:
    session = peer.open_session()
    assert session.ask("one") == "one"
    assert session.close(3333, "enough")[0] == 3333
    peer.wait(lambda: session.answer.ended, "the end of the stream")
    wait_end(peer, "3333:enough")


def test_a_stream_that_is_reset_is_a_session_lost(serve: Serve, authority: str) -> None:
    with H3Peer(serve(APP, "--http3", tls=True).port, authority) as peer:
        session = peer.open_session()
        assert session.ask("one") == "one"
        peer.reset(session.stream)
        peer.stop(session.stream)
        wait_end(peer, "1006:")


def test_sessions_and_requests_share_a_connection(peer: H3Peer) -> None:
    sessions = [peer.open_session() for _ in range(20)]
    for number, session in enumerate(sessions):
        session.send(TextMessage(data=str(number)))
    assert peer.fetch("/").status == 200
    assert [session.receive() for session in sessions] == [TextMessage(data=str(number)) for number in range(20)]


def test_a_session_is_denied_with_a_response(peer: H3Peer) -> None:
    session = peer.open_session("/deny")
    assert session.status == 401
    answer = peer.wait_answer(session.stream)
    assert answer.heads[0]["www-authenticate"] == "Basic"
    assert bytes(answer.body) == b"who then?"


def test_a_session_is_rejected(peer: H3Peer) -> None:
    assert peer.open_session("/reject").status == 403


def test_an_application_that_fails_says_so(peer: H3Peer) -> None:
    assert peer.open_session("/fail-early").status == 500
    session = peer.open_session("/fail")
    session.send(TextMessage(data="go"))
    end = session.receive()
    assert isinstance(end, CloseConnection)
    assert end.code == 1011


def test_what_is_poured_out_comes_in_order(peer: H3Peer) -> None:
    """64 MiB at the pace of the client would take it seconds; the first 4 tell as much."""
    session = peer.open_session("/pour")
    for number in range(64):
        message = session.receive()
        assert isinstance(message, BytesMessage)
        assert message.data[:4] == number.to_bytes(4, "big")
        assert len(message.data) == 65536
    peer.stop(session.stream)
    peer.reset(session.stream)
    assert peer.fetch("/").status == 200


@pytest.mark.parametrize(
    "field",
    [("sec-websocket-version", "12"), ("sec-websocket-protocol", "a b")],
    ids=["two versions", "a subprotocol that is no token"],
)
def test_a_wrong_handshake_is_refused(peer: H3Peer, field: tuple[str, str]) -> None:
    assert peer.open_session("/", field).status in (400, 426)
    assert peer.fetch("/").status == 200

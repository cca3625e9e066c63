"""What an operator sees of WebSocket sessions: how many there are and were, their messages, and faults of clients."""

from typing import Any

import pytest

from fastserver._speedups.connection import count_streams
from fastserver._speedups.http import HTTPApplication
from fastserver._speedups.websocket.settings import WebSocketSettings
from fastserver.events import ConnectionState, RawData
from tests.exchange.sessions import PING, PONG, Session, StreamSession, Talk, close, frame, refuse, text, upgrade
from tests.fakes import make_host
from tests.handloop import HandLoop
from tests.pipe import Pipe


def account(session: Session | StreamSession) -> tuple[int, int, int, int]:
    """Sessions opened and closed, messages in and out."""
    counts: dict[str, int] = session.host.metrics.snapshot()["websocket"]
    return counts["opened"], counts["closed"], counts["messages_in"], counts["messages_out"]


def faults(session: Session) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = session.host.metrics.snapshot()["protocol_faults"]
    return found


def test_a_session_is_counted_where_it_opens_and_where_it_ends() -> None:
    session = Session(Talk())
    assert account(session) == (0, 0, 0, 0)
    session.open()
    assert account(session) == (1, 0, 0, 0)
    session.feed(text("a") + frame(PING) + frame(PONG) + frame(1, b"b", fin=False) + frame(0, b"c"))
    assert account(session) == (1, 0, 2, 2)
    session.feed(close(1000)).hang_up()
    assert account(session) == (1, 1, 2, 2)
    assert faults(session) == {}


def test_what_comes_behind_the_end_is_no_message() -> None:
    async def body(talk: Talk) -> None:
        await talk.say("one")
        await talk.close()

    session = Session(Talk(body)).open().feed(text("late"), close(1000))
    session.hang_up()
    assert account(session) == (1, 1, 0, 1)


@pytest.mark.parametrize("how", ["vanish", "drop", "cut"])
def test_each_session_that_was_opened_is_closed_once(how: str) -> None:
    session = Session(Talk(), ping_interval_s=20, ping_timeout_s=5).open()
    if how == "cut":
        session.advance(40)
        assert session.connection.aborted
    elif how == "drop":
        session.feed(frame(3))
    session.hang_up()
    assert account(session) == (1, 1, 0, 0)


def test_a_session_over_http_2() -> None:
    session = StreamSession(Talk()).start().feed(text("hello"))
    assert account(session) == (1, 0, 1, 1)
    session.do(session.exchange.on_disconnect)
    assert account(session) == (1, 1, 1, 1)


def test_a_denied_session_is_none() -> None:
    session = Session(refuse)
    session.feed(upgrade(version=b"12")).hang_up()
    assert session.out.startswith(b"HTTP/1.1 426")
    assert account(session) == (0, 0, 0, 0)
    assert faults(session) == {}


def test_one_that_leaves_before_the_answer_is_none() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        """Never accepts."""

    session = Session(app)
    session.feed(upgrade()).hang_up()
    assert account(session) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (frame(3), "1002"),
        (frame(1, b"\xff"), "1007"),
        (frame(PING) * 1000, "1008"),
        (frame(2, bytes(17)), "1009"),
    ],
)
def test_a_fault_of_the_client_is_counted_once_by_its_code(octets: bytes, code: str) -> None:
    session = Session(Talk(), max_size=16).open().feed(octets, octets)
    session.hang_up()
    assert faults(session) == {"websocket": {code: 1}}
    assert account(session)[:2] == (1, 1)


def test_a_client_that_does_not_answer_pings() -> None:
    session = Session(Talk(), ping_interval_s=20, ping_timeout_s=5).open().advance(26)
    session.hang_up()
    assert faults(session) == {"websocket": {"1011": 1}}


def test_an_application_that_fails_is_no_fault_of_its_client() -> None:
    async def body(talk: Talk) -> None:
        raise ValueError("ours")

    session = Session(Talk(body)).open()
    session.feed(close(1011)).hang_up()
    assert faults(session) == {}
    assert account(session)[:2] == (1, 1)


def test_the_connection_of_a_session_is_active_and_tunnelling() -> None:
    loop = HandLoop()
    host = make_host(refuse, loop)
    host.application = HTTPApplication(Talk(), host, websocket=WebSocketSettings())
    pipe: Any = Pipe(host)
    with loop.running():
        pipe.open()
        pipe.take(RawData(upgrade() + text("hello")))
    loop.settle()
    assert (pipe.state, pipe.protocol_state) == (ConnectionState.ACTIVE, "tunnelling")
    assert (pipe.protocol, pipe.requests, count_streams(host)) == ("http/1.1", 1, {"http/1.1": 1})
    with loop.running():
        pipe.take(RawData(close(1000)))
    loop.settle()
    assert (pipe.state, pipe.protocol_state) == (ConnectionState.CLOSING, "lingering")
    assert count_streams(host) == {"http/1.1": 0}
    with loop.running():
        pipe.lose()
    assert host.metrics.snapshot()["websocket"] == {"opened": 1, "closed": 1, "messages_in": 1, "messages_out": 1}

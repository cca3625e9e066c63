"""The lines of the ASGI checklist that concern WebSockets, over HTTP/3 (RFC 9220)."""

from typing import Any

import pytest

from fastserver._speedups.http import HTTPApplication
from fastserver._speedups.websocket.settings import WebSocketSettings
from tests.exchange.sessions import PING, PONG, Frame, Talk, close, closing, frame, split_frames, text
from tests.exchange.test_http_scope import KEYS
from tests.fakes import App, Gate, Message, Receive, Send
from tests.h3wire import DATA, H3Wire, read_varint
from tests.h3wire import frame as h3_frame

CONNECT = {
    b":method": b"CONNECT",
    b":protocol": b"websocket",
    b":scheme": b"https",
    b":authority": b"example.org",
    b":path": b"/chat?a=b",
    b"sec-websocket-version": b"13",
}


class Session:
    """One session on a connection of its own."""

    def __init__(self, app: App, *fields: tuple[bytes, bytes], early: bytes = b"", **pseudo: bytes) -> None:
        self.wire = H3Wire(app)
        self.wire.host.application = HTTPApplication(app, self.wire.host, websocket=WebSocketSettings())
        self.stream = self.wire.take_id()
        head = {**CONNECT, **{f":{name}".encode(): value for name, value in pseudo.items()}}
        said = self.wire.head([*((name, value) for name, value in head.items() if value), *fields])
        self.wire.send(self.stream, said + (h3_frame(DATA, early) if early else b""))

    def say(self, *frames: bytes, ends: bool = False) -> "Session":
        self.wire.send(self.stream, h3_frame(DATA, b"".join(frames)), ends)
        return self

    @property
    def answer(self) -> Any:
        return self.wire.answer(self.stream)

    @property
    def frames(self) -> list[Frame]:
        return split_frames(self.answer.body)


def test_w1_scope() -> None:
    talk = Talk()
    Session(talk, (b"sec-websocket-protocol", b"chat, superchat"), (b"sec-websocket-protocol", b"third"))
    scope = talk.scope
    assert type(scope) is dict
    assert set(scope) == KEYS - {"method"} | {"subprotocols"}
    assert (scope["type"], scope["http_version"], scope["scheme"]) == ("websocket", "3", "wss")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/chat", b"/chat", b"a=b")
    assert scope["subprotocols"] == ["chat", "superchat", "third"]
    assert scope["headers"][0] == (b"host", b"example.org")
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert "websocket.http.response" in scope["extensions"]


def test_w2_nothing_leaves_before_the_accept_and_what_comes_early_is_held() -> None:
    gate = Gate()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "websocket.connect"}
        await gate.wait()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"]})
        await receive()

    session = Session(app, early=text("early"))
    assert session.answer.status == 0
    gate.open(session.wire)
    assert session.answer.status == 200
    assert session.frames == [Frame(1, b"early")]


def test_w3_w9_the_answer_has_the_subprotocol_and_no_key() -> None:
    talk = Talk(subprotocol="chat", headers=[(b"x-a", b"b")])
    session = Session(talk, (b"sec-websocket-protocol", b"chat"))
    answer = session.answer
    assert (answer.status, answer.ended) == (200, False)
    assert answer.header(b"sec-websocket-protocol") == [b"chat"]
    assert answer.header(b"x-a") == [b"b"]
    assert answer.header(b"sec-websocket-accept") == []


def test_w4_a_close_before_the_accept_is_403() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 1008})

    answer = Session(app).answer
    assert (answer.status, answer.ended) == (403, True)


def test_w4_an_application_that_fails_first_is_500() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise RuntimeError

    assert Session(app).answer.status == 500


def test_e1_a_denial_is_a_response() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-a", b"b")]})
        await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"are you"})

    answer = Session(app).answer
    assert (answer.status, answer.body, answer.header(b"x-a"), answer.ended) == (401, b"who are you", [b"b"], True)


def test_w5_w6_messages_fragments_and_pings() -> None:
    talk = Talk()
    session = Session(talk)
    session.say(text("one"), frame(2, b"")).say(frame(PING, b"?")).say(frame(1, b"t", fin=False), frame(0, b"wo"))
    assert session.frames == [Frame(1, b"one"), Frame(2, b""), Frame(PONG, b"?"), Frame(1, b"two")]
    assert talk.told == ["one", b"", "two"]


@pytest.mark.parametrize(
    ("said", "code"),
    [(frame(1, b"\xff"), 1007), (frame(3), 1002), (text("cut")[:-1], 0)],
    ids=["utf-8", "opcode", "part"],
)
def test_w6_faults_have_their_codes(said: bytes, code: int) -> None:
    session = Session(Talk())
    session.say(said)
    frames = session.frames
    assert [int.from_bytes(each.payload[:2], "big") for each in frames] == ([code] if code else [])


@pytest.mark.parametrize(("said", "told"), [(close(4001, "why"), (4001, "why")), (close(), (1005, ""))])
def test_w7_the_clients_code(said: bytes, told: tuple[int, str]) -> None:
    talk = Talk()
    session = Session(talk)
    session.say(said)
    assert talk.told == [told]
    assert session.answer.ended


@pytest.mark.parametrize("way", ["reset", "stop", "end", "vanish"])
def test_w7_d3_a_drop_is_1006(way: str) -> None:
    talk = Talk()
    session = Session(talk)
    if way == "vanish":
        session.wire.vanish()
    elif way == "end":
        session.wire.send(session.stream, b"", True)
    else:
        (session.wire.reset if way == "reset" else session.wire.stop)(session.stream)
    (told,) = talk.told
    assert told[0] == 1006


def test_w7_a_server_that_stops_is_1012() -> None:
    talk = Talk()
    session = Session(talk)
    session.wire.drain()
    assert session.frames == []
    session.wire.end_streams()
    assert [each.payload[:2] for each in session.frames] == [(1012).to_bytes(2, "big")]
    session.say(close(1012))
    assert talk.told[-1][0] == 1012


def test_w7_an_application_that_fails_is_1011() -> None:
    async def fail(talk: Talk) -> None:
        raise RuntimeError

    frames = Session(Talk(fail)).frames
    assert [each.payload[:2] for each in frames] == [(1011).to_bytes(2, "big")]


def test_w8_d1_behind_the_own_close() -> None:
    caught: list[BaseException] = []

    async def body(talk: Talk) -> None:
        await talk.close(1001, "bye")
        await talk.take()
        try:
            await talk.say("more")
        except OSError as error:
            caught.append(error)

    talk = Talk(body)
    session = Session(talk)
    assert session.frames == [closing(1001, "bye")]
    session.say(close(1001))
    assert talk.told[0][0] == 1001
    assert len(caught) == 1


def test_w9_extended_connect_is_announced() -> None:
    kind, payload = H3Wire(Talk()).control[0]
    values, at = {}, 0
    while at < len(payload):
        name, at = read_varint(payload, at)
        values[name], at = read_varint(payload, at)
    assert (kind, values[0x8]) == (4, 1)


def test_w9_other_protocols_are_501() -> None:
    talk = Talk()
    assert Session(talk, protocol=b"webtransport").answer.status == 501
    assert talk.calls == 0


def test_w9_a_plain_connect_is_no_session() -> None:
    talk = Talk()
    assert Session(talk, protocol=b"", scheme=b"", path=b"").answer.status == 501
    assert talk.calls == 0

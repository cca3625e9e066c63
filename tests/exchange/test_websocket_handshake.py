"""The opening of a WebSocket: W1 to W4 of the checklist, the denial response (E1), and the rules WS-5 and WS-6."""

import base64
from typing import Any

import pytest

from fastserver._speedups.contract import ClientDisconnected, Peer
from fastserver._speedups.http import HTTPApplication
from fastserver._speedups.websocket.handshake import make_accept
from fastserver._speedups.websocket.settings import WebSocketSettings
from fastserver.config.model import Config
from tests.exchange.sessions import ACCEPT, KEY, Frame, Session, Talk, close, refuse, text, upgrade, wait_for_ever
from tests.exchange.test_http_scope import KEYS, TLS
from tests.fakes import Gate, Message, Receive, Recorder, Send, every_cut
from tests.responses import Response


def scope_of(payload: bytes, peer: Peer | None = None, root_path: str = "", state: Any = None) -> Message:
    """The scope that an application gets for `payload`."""
    talk = Talk()
    session = Session(talk, peer, root_path)
    session.host.application.state = state
    session.feed(payload)
    session.hang_up()
    return talk.scope


def deny(session: Session, payload: bytes) -> Response:
    """The answer to a handshake that opens nothing."""
    response = session.feed(payload).response()
    assert response.closes
    assert session.ended
    assert session.over or session.connection.finished
    session.hang_up()
    return response


# ---- W1 --------------------------------------------------------------------------------------------------------------


def test_w1_scope() -> None:
    scope = scope_of(upgrade(b"Sec-WebSocket-Protocol: a", line=b"GET /caf%C3%A9?x=1 HTTP/1.1"))
    assert type(scope) is dict
    assert set(scope) == KEYS - {"method"} | {"subprotocols"}
    assert scope["type"] == "websocket"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert (scope["scheme"], scope["http_version"]) == ("ws", "1.1")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/caf\u00e9", b"/caf%C3%A9", b"x=1")
    assert (b"sec-websocket-key", KEY) in scope["headers"]
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert (scope["client"], scope["server"]) == (("127.0.0.1", 50000), ("127.0.0.1", 8000))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((), []),
        ((b"chat",), ["chat"]),
        ((b"chat, superchat",), ["chat", "superchat"]),
        ((b"a,b", b"c"), ["a", "b", "c"]),
        ((b" , a ,\t,b,",), ["a", "b"]),
        ((b"v1.Example+json",), ["v1.Example+json"]),
    ],
)
def test_w1_subprotocols(fields: tuple[bytes, ...], expected: list[str]) -> None:
    scope = scope_of(upgrade(*(b"Sec-WebSocket-Protocol: " + field for field in fields)))
    assert scope["subprotocols"] == expected


def test_w1_over_tls() -> None:
    scope = scope_of(upgrade(), Peer(("1.2.3.4", 5), ("5.6.7.8", 443), "https", "http/1.1", TLS))
    assert scope["scheme"] == "wss"
    assert scope["extensions"] == {"websocket.http.response": {}, "tls": TLS}
    assert scope["extensions"]["tls"] is not TLS


def test_w1_root_path_and_state_are_those_of_http() -> None:
    state = {"pool": object()}
    scope = scope_of(upgrade(), root_path="/api", state=state)
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/api", "/api/chat", b"/api/chat")
    assert scope["state"] == state
    assert scope["state"] is not state
    assert "state" not in scope_of(upgrade())


# ---- W2 --------------------------------------------------------------------------------------------------------------


def test_w2_nothing_is_said_before_the_application_speaks() -> None:
    gate = Gate()
    seen: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        seen.append(await receive())
        await gate.wait()
        await send({"type": "websocket.accept"})
        seen.append(await receive())

    session = Session(app).feed(upgrade())
    assert seen == [{"type": "websocket.connect"}]
    assert session.out == b""
    gate.open(session)
    assert session.out.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    session.hang_up()
    assert seen[1:] == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


def test_w2_accept_need_not_wait_for_connect() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "first"})
        assert (await receive())["type"] == "websocket.connect"
        assert (await receive())["text"] == "hello"

    session = Session(app).open().feed(text("hello"))
    assert session.frames[0] == Frame(1, b"first")
    assert session.faults == []
    session.hang_up()


@pytest.mark.parametrize("late", [False, True])
def test_w2_data_that_comes_early_is_held(late: bool) -> None:
    gate = Gate()
    talk = Talk()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if late:
            await gate.wait()
        await talk(scope, receive, send)

    for reads in every_cut(upgrade() + text("one") + text("two") + close(1000)):
        talk.received.clear()
        session = Session(app).feed(*reads)
        if late:
            assert session.out == b""
            gate.open(session)
        assert session.frames == [Frame(1, b"one"), Frame(1, b"two"), Frame(8, b"\x03\xe8")]
        assert talk.told == ["one", "two", (1000, "")]
        session.hang_up()


def test_w2_early_data_is_bounded() -> None:
    """What is held before the session is open stops the reading, and all of it comes in order."""
    gate = Gate()
    talk = Talk()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        await talk(scope, receive, send)

    message = text("x" * 1000)
    session = Session(app).feed(upgrade(), *[message] * 100)
    assert session.connection.reading_paused
    assert session.inbox
    gate.open(session)
    assert len(session.frames) == 100
    assert not session.connection.reading_paused
    session.hang_up()


# ---- W3 --------------------------------------------------------------------------------------------------------------


def test_w3_accept() -> None:
    session = Session(Talk(subprotocol="b", headers=[(b"x-own", b"1"), (b"Set-Cookie", b"a=b"), (b"Server", b"mine")]))
    session.open(b"Sec-WebSocket-Protocol: a, b")
    head = session.head
    assert head.header(b"sec-websocket-accept") == [ACCEPT]
    assert head.header(b"sec-websocket-protocol") == [b"b"]
    assert (head.header(b"upgrade"), head.header(b"connection")) == ([b"websocket"], [b"Upgrade"])
    assert (head.header(b"x-own"), head.header(b"set-cookie")) == ([b"1"], [b"a=b"])
    assert (len(head.header(b"date")), head.header(b"server")) == (1, [b"mine"])
    assert head.header(b"content-length") == head.header(b"transfer-encoding") == []
    assert head.header(b"sec-websocket-extensions") == []
    session.hang_up()


def test_w3_the_servers_own_fields_are_in_it() -> None:
    session = Session(Talk())
    session.host.extra_fields = b"x-extra: 1\r\n"
    session.open()
    assert session.head.header(b"x-extra") == [b"1"]
    assert session.head.header(b"server") == [b"fastserver"]
    session.hang_up()


@pytest.mark.parametrize(
    ("accept", "error", "words"),
    [
        ({"subprotocol": "c"}, ValueError, "has not offered the subprotocol 'c'"),
        ({"subprotocol": ""}, ValueError, "has not offered"),
        ({"subprotocol": b"a"}, TypeError, "subprotocol must be a str"),
        ({"headers": [(b"Sec-WebSocket-Protocol", b"a")]}, ValueError, "by the key 'subprotocol'"),
        ({"headers": [(b"Sec-WebSocket-Accept", b"a")]}, ValueError, "is the server's"),
        ({"headers": [(b"sec-websocket-extensions", b"x")]}, ValueError, "is the server's"),
        ({"headers": [(b"x", b"1\r\ny: 2")]}, ValueError, "invalid byte"),
        ({"headers": [("x", "1")]}, TypeError, "must be bytes"),
    ],
)
def test_w3_accept_that_is_wrong(accept: dict[str, Any], error: type[Exception], words: str) -> None:
    """It raises, nothing is sent, and the application may still do it right."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        with pytest.raises(error, match=words):
            await send({"type": "websocket.accept", **accept})
        await send({"type": "websocket.accept", "headers": [], "subprotocol": None})
        await wait_for_ever()

    session = Session(app).open(b"Sec-WebSocket-Protocol: a, b")
    for task in session.host.tasks:
        task.cancel()
    session.settle()
    session.hang_up()


# ---- W4 and E1 -------------------------------------------------------------------------------------------------------


async def close_first(scope: Message, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 4000})
    assert await receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    with pytest.raises(ClientDisconnected):
        await send({"type": "websocket.close"})


def test_w4_close_before_accept_says_nothing_that_could_be_wrong() -> None:
    """FastAPI gives a list as the reason where a parameter is not valid."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": [{"type": "int_parsing"}]})

    session = Session(app)
    assert deny(session, upgrade()).status == 403
    assert session.faults == []


def test_w4_close_before_accept_is_a_403() -> None:
    session = Session(close_first)
    response = deny(session, upgrade() + text("early"))
    assert (response.status, response.body) == (403, b"Forbidden\n")
    assert session.faults == []
    assert [record[1] for record in session.access] == [403]
    assert session.host.metrics.snapshot()["requests"]["http/1.1"]["4xx"] == 1


async def return_first(scope: Message, receive: Receive, send: Send) -> None:
    await receive()


async def raise_first(scope: Message, receive: Receive, send: Send) -> None:
    raise LookupError("own")


@pytest.mark.parametrize(
    ("app", "words"),
    [(return_first, "'websocket.accept' was expected"), (raise_first, "exception in the application: GET /chat")],
)
def test_w4_end_before_accept_is_a_500(app: Any, words: str) -> None:
    session = Session(app)
    response = deny(session, upgrade())
    assert response.status == 500
    (fault,) = session.faults
    assert words in fault
    assert [record[1] for record in session.access] == [500]


def test_w4_client_that_leaves_first() -> None:
    talk = Talk()
    gate = Gate()
    outcome: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await gate.wait()
        outcome.extend([await receive(), await receive()])
        await talk(scope, receive, send)

    session = Session(app).feed(upgrade())
    session.vanish()
    gate.open(session)
    assert outcome == [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1006, "reason": ""}]
    assert isinstance(talk.failure, OSError)
    assert session.faults == []
    assert [record[1] for record in session.access] == [0]


def denying(*messages: Message) -> Any:
    """An application that sends `messages` with the prefix of the extension."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert "websocket.http.response" in scope["extensions"]
        await receive()
        for message in messages:
            await send({**message, "type": "websocket.http.response." + message["type"]})
        assert (await receive())["type"] == "websocket.disconnect"

    return app


def test_e1_denial_in_several_chunks() -> None:
    app = denying(
        {"type": "start", "status": 401, "headers": [(b"www-authenticate", b"Basic")]},
        {"type": "body", "body": b"who ", "more_body": True},
        {"type": "body", "body": b"are ", "more_body": True},
        {"type": "body", "body": b"you?"},
    )
    session = Session(app)
    response = deny(session, upgrade())
    assert (response.status, response.body) == (401, b"who are you?")
    assert response.header(b"www-authenticate") == [b"Basic"]
    assert session.faults == []
    assert [record[1:3] for record in session.access] == [(401, 12)]


def test_e1_denial_of_known_length() -> None:
    app = denying(
        {"type": "start", "status": 404, "headers": [(b"content-length", b"2")]}, {"type": "body", "body": b"no"}
    )
    response = deny(Session(app), upgrade())
    assert (response.status, response.body, response.header(b"content-length")) == (404, b"no", [b"2"])


def test_e1_nothing_of_a_session_may_follow() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError, match=r"'websocket.accept' is expected"):
            await send({"type": "websocket.http.response.body"})
        await send({"type": "websocket.http.response.start", "status": 403})
        for kind in ("accept", "send", "close"):
            with pytest.raises(RuntimeError, match="after the session was denied"):
                await send({"type": f"websocket.{kind}"})
        await send({"type": "websocket.http.response.body", "body": b"x"})
        with pytest.raises(RuntimeError, match="after the response was complete"):
            await send({"type": "websocket.http.response.body"})

    session = Session(app)
    assert deny(session, upgrade()).status == 403
    assert session.faults == []


def test_e1_denial_after_accept_is_out_of_turn() -> None:
    async def body(talk: Talk) -> None:
        with pytest.raises(RuntimeError, match=r"'websocket.send' or 'websocket.close' is expected"):
            await talk.send({"type": "websocket.http.response.start", "status": 403})
        await talk.say("still open")

    session = Session(Talk(body)).open()
    assert session.frames[0] == Frame(1, b"still open")
    session.hang_up()


def test_e1_denial_that_is_not_finished() -> None:
    """With nothing sent it becomes a 500; amid the body the connection is cut, and the log tells of both."""

    async def half(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.http.response.start", "status": 403})
        if scope["path"] == "/more":
            await send({"type": "websocket.http.response.body", "body": b"part", "more_body": True})

    session = Session(half)
    assert deny(session, upgrade()).status == 500
    session = Session(half).feed(upgrade(line=b"GET /more HTTP/1.1"))
    assert session.connection.aborted
    assert len(session.faults) == 1
    session.hang_up()


def test_e1_only_in_scopes_of_websockets() -> None:
    recorder = Recorder()
    Session(recorder).feed(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").hang_up()
    assert "websocket.http.response" not in recorder.call.scope["extensions"]


# ---- WS-5: what is no handshake, and what is none of ours ------------------------------------------------------------


def test_ws_5_accept_of_the_rfc() -> None:
    assert make_accept(KEY) == ACCEPT


REFUSED = {
    "no key": upgrade(key=None),
    "empty key": upgrade(key=b""),
    "two keys": upgrade(b"Sec-WebSocket-Key: " + KEY),
    "15 bytes": upgrade(key=base64.b64encode(bytes(15))),
    "17 bytes": upgrade(key=base64.b64encode(bytes(17))),
    "no base64": upgrade(key=b"!" * 22 + b"=="),
    "key with a blank": upgrade(key=KEY[:8] + b" " + KEY[8:]),
    "key without padding": upgrade(key=KEY[:-2]),
    "key whose last bits are not zero": upgrade(key=KEY[:-3] + b"R=="),
    "latin-1 key": upgrade(key=b"\xe9" + KEY[1:]),
    "HTTP/1.0": upgrade(line=b"GET / HTTP/1.0"),
    "subprotocol that is no token": upgrade(b"Sec-WebSocket-Protocol: a b"),
    "subprotocol twice": upgrade(b"Sec-WebSocket-Protocol: a, b", b"Sec-WebSocket-Protocol: a"),
    "latin-1 subprotocol": upgrade(b"Sec-WebSocket-Protocol: caf\xe9"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_ws_5_what_is_no_handshake_is_a_400(case: str) -> None:
    for reads in every_cut(REFUSED[case] + text("early"), 20):
        session = Session(refuse).feed(*reads)
        response = session.response()
        assert (response.status, response.closes) == (400, True)
        session.hang_up()
        assert session.faults == []


@pytest.mark.parametrize("field", [b"Content-Length: 4", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("body", [b"", b"4\r\nbody\r\n0\r\n\r\n"])
def test_ws_5_handshake_with_a_body_is_a_400(field: bytes, body: bytes) -> None:
    session = Session(refuse).feed(upgrade(field), body)
    assert session.response().status == 400
    session.hang_up()


@pytest.mark.parametrize(
    "payload", [upgrade(version=b""), upgrade(version=b"8"), upgrade(b"Sec-WebSocket-Version: 13")]
)
def test_ws_5_other_version_is_a_426(payload: bytes) -> None:
    response = deny(Session(refuse), payload)
    assert response.status == 426
    assert response.header(b"sec-websocket-version") == [b"13"]


@pytest.mark.parametrize(
    "payload",
    [
        upgrade(line=b"POST /chat HTTP/1.1"),
        upgrade().replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        upgrade().replace(b"Upgrade: websocket", b"Upgrade: websockets"),
        upgrade().replace(b"Connection: Upgrade", b"Connection: keep-alive"),
    ],
    ids=["POST", "h2c", "websockets", "no Connection: Upgrade"],
)
def test_ws_5_what_asks_for_no_websocket_is_an_ordinary_request(payload: bytes) -> None:
    recorder = Recorder()
    session = Session(recorder).feed(payload)
    assert session.response().status == 200
    assert recorder.call.scope["type"] == "http"
    session.hang_up()


@pytest.mark.parametrize("token", [b"WebSocket", b"foo, websocket", b"websocket, h2c"])
def test_ws_5_upgrade_is_a_list_of_any_case(token: bytes) -> None:
    session = Session(Talk()).feed(upgrade().replace(b"Upgrade: websocket", b"Upgrade: " + token))
    assert session.head.status == 101
    session.hang_up()


def test_no_websockets_where_the_settings_say_so() -> None:
    assert WebSocketSettings.from_config(Config(ws=False)) is None
    recorder = Recorder()
    session = Session(recorder)
    session.host.application = HTTPApplication(recorder, session.host)
    assert session.feed(upgrade()).response().status == 200
    assert recorder.call.scope["type"] == "http"
    session.hang_up()


def test_settings_are_those_of_the_configuration() -> None:
    config = Config(
        ws_max_size="1m",
        ws_max_queue=7,
        ws_ping_interval="3s",
        ws_ping_timeout=0,
        ws_per_message_deflate=True,
        ws_allowed_origins=["https://Example.org/"],
    )
    assert WebSocketSettings.from_config(config) == WebSocketSettings(
        1 << 20, 7, 3.0, 0.0, True, frozenset([b"https://example.org"])
    )
    assert WebSocketSettings.from_config(Config()) == WebSocketSettings()


# ---- WS-6 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((b"Origin: https://example.org",), 101),
        ((b"Origin: HTTPS://EXAMPLE.ORG",), 101),
        ((b"Origin: https://example.org.evil",), 403),
        ((b"Origin: http://example.org",), 403),
        ((b"Origin: null",), 403),
        ((), 403),
        ((b"Origin: https://example.org", b"Origin: https://evil"), 403),
    ],
)
def test_ws_6_origins(fields: tuple[bytes, ...], status: int) -> None:
    talk = Talk()
    session = Session(talk, allowed_origins=frozenset([b"https://example.org", b"https://b.example"]))
    session.feed(upgrade(*fields))
    assert session.head.status == status
    assert talk.calls == (status == 101)
    session.hang_up()


def test_ws_6_without_a_list_the_application_decides() -> None:
    scope = scope_of(upgrade(b"Origin: https://anywhere"))
    assert (b"origin", b"https://anywhere") in scope["headers"]

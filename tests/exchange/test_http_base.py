"""ASGI base: B1 to B3, B6 and B7 of the checklist (B4 is in test_http_disconnect, B5 in test_http_send)."""

import asyncio
import contextlib
import copy
import json
import pickle
import threading
from collections import ChainMap, UserDict
from typing import Any

import pytest

from fastserver._speedups.contract import Peer
from fastserver._speedups.http import HTTPApplication
from fastserver.exchange.lifespan import Lifespan
from fastserver.server.loader import load_app
from tests.exchange.live import Live, MakeLoop, each_loop, run
from tests.exchange.test_http_scope import KEYS, TLS, get, scope_of
from tests.fakes import Message, Receive, Recorder, Send, Wire, make_log, respond


def test_b1_called_once_for_each_request_with_a_fresh_scope() -> None:
    recorder = Recorder()
    wire = Wire(recorder).feed(get(b"/a"), get(b"/b") + get(b"/c"))
    scopes = [call.scope for call in recorder.calls]
    assert [scope["path"] for scope in scopes] == ["/a", "/b", "/c"]
    assert all(type(scope) is dict for scope in scopes)
    for scope in scopes:
        assert scope["type"] == "http"
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    for key in ("headers", "extensions"):
        assert len({id(scope[key]) for scope in scopes}) == 3
    wire.hang_up()


def test_b1_what_an_application_does_to_its_scope_stays_there() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        scope["path"] = "/changed"
        scope["own"] = True
        scope["headers"].append((b"own", b"1"))
        scope["extensions"]["own"] = {}
        scope["state"]["own"] = True
        with pytest.raises(TypeError):
            scope["asgi"]["own"] = True
        await respond(send)

    wire = Wire(app)
    wire.host.application.state = {}
    wire.feed(get(b"/first"))
    wire.host.application = HTTPApplication(recorder := Recorder(), wire.host)
    wire.host.application.state = {}
    wire.feed(get(b"/second"))
    scope = recorder.call.scope
    assert scope["path"] == "/second"
    assert set(scope) == KEYS | {"state"}
    assert scope["headers"] == [(b"host", b"h")]
    assert "own" not in scope["extensions"]
    assert scope["state"] == {}
    wire.hang_up()


def test_b1_the_same_application_meets_nothing_of_an_earlier_scope() -> None:
    seen: list[Message] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        seen.append(copy.deepcopy(dict(scope)))
        for extension in scope["extensions"].values():
            with contextlib.suppress(TypeError):  # shared, it has to refuse
                extension["own"] = True
        scope["extensions"].clear()
        scope["headers"].clear()
        scope.clear()
        await respond(send)

    wire = Wire(app).feed(get(), get())
    assert seen[0] == seen[1]
    wire.hang_up()


def test_b1_shared_constants_behave_as_a_dictionary_that_does_not_change() -> None:
    asgi = scope_of(get())["asgi"]
    assert isinstance(asgi, dict)
    for change in (
        lambda: asgi.update(x=1),
        lambda: asgi.pop("version"),
        lambda: asgi.popitem(),
        lambda: asgi.clear(),
        lambda: asgi.setdefault("x", 1),
        lambda: asgi.__delitem__("version"),
        lambda: asgi.__ior__({"x": 1}),
    ):
        with pytest.raises(TypeError, match="copy it"):
            change()
    for duplicate in (
        copy.copy(asgi),
        copy.deepcopy(asgi),
        asgi.copy(),
        dict(asgi),
        {**asgi},
        asgi | {},
        pickle.loads(pickle.dumps(asgi)),
        json.loads(json.dumps(asgi)),
    ):
        assert duplicate == {"version": "3.0", "spec_version": "2.5"}
        duplicate["own"] = True


class TwoCallables:
    """An ASGI 2 application."""

    def __init__(self, scope: Message) -> None:
        pass

    async def __call__(self, receive: Receive, send: Send) -> None:
        pass


def test_b2_application_with_two_callables_is_called_twice() -> None:
    """It is recognised when it is loaded; the adapter is ASGI 3 to everything else."""

    class Answers:
        def __init__(self, scope: Message) -> None:
            self.path = scope["path"]

        async def __call__(self, receive: Receive, send: Send) -> None:
            await respond(send, self.path.encode())

    app: Any = load_app(Answers)
    wire = Wire(app).feed(get(b"/two"))
    assert wire.response().body == b"/two"
    wire.hang_up()


def test_b2_application_with_two_callables_that_slips_through_is_a_500() -> None:
    app: Any = TwoCallables
    wire = Wire(app).feed(get())
    assert wire.response().status == 500
    wire.hang_up()


def refused(message: Any, *before: Message) -> BaseException:
    """What `send(message)` raises after `before`; the application then answers all the same."""
    errors: list[BaseException] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        for earlier in before:
            await send(earlier)
        try:
            await send(message)
        except Exception as error:
            errors.append(error)
        if not before:
            await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"all the same"})

    wire = Wire(app).feed(get())
    assert wire.response().body == b"all the same"
    wire.hang_up()
    assert len(errors) == 1, "send() took it"
    return errors[0]


START: Message = {"type": "http.response.start", "status": 200}


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": None},
        {"type": 5},
        {"type": ""},
        {"type": "http.response"},
        {"type": "http.request"},
        {"type": "http.disconnect"},
        {"type": "http.response.push", "path": "/"},
        {"type": "http.response.debug", "info": {}},
        {"type": "websocket.send", "text": "x"},
        {"type": "lifespan.startup.complete"},
        {"status": 200},
        None,
        5,
        "http.response.start",
        b"http.response.start",
        ["type"],
        {"type": "http.response.start"},
        {"type": "http.response.start", "status": "200"},
        {"type": "http.response.start", "status": None},
        {"type": "http.response.start", "status": 200.0},
        {"type": "http.response.start", "status": True},
        {"type": "http.response.start", "status": 200, "headers": None},
        {"type": "http.response.start", "status": 200, "headers": 5},
        {"type": "http.response.start", "status": 200, "headers": [("x", "y")]},
        {"type": "http.response.start", "status": 200, "headers": [(b"x",)]},
        {"type": "http.response.start", "status": 200, "headers": [None]},
        {"type": "http.response.early_hint"},
        {"type": "http.response.early_hint", "links": None},
        {"type": "http.response.early_hint", "links": ["</a>"]},
    ],
    ids=repr,
)
def test_b3_wrong_event_before_the_start_is_an_error_out_of_send(message: Any) -> None:
    assert isinstance(refused(message), (TypeError, ValueError, KeyError))


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": 5},
        {"type": "http.response.bodies"},
        {"type": "http.response.body", "body": "text"},
        {"type": "http.response.body", "body": None},
        {"type": "http.response.body", "body": 5},
        {"type": "http.response.body", "body": [b"x"]},
        {"type": "http.response.pathsend", "path": None},
        {"type": "http.response.pathsend", "path": b"/etc/hostname"},
        {"type": "http.response.pathsend"},
    ],
    ids=repr,
)
def test_b3_wrong_event_after_the_start_is_an_error_out_of_send(message: Any) -> None:
    assert isinstance(refused(message, START), (TypeError, ValueError, KeyError, RuntimeError))


def test_b3_extra_keys_are_no_error() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "more": 1, "headers": [], "reason": "because"})
        await send({"type": "http.response.body", "body": b"x", "more": 1, "flush": True})

    wire = Wire(app).feed(get())
    assert wire.response().body == b"x"
    wire.hang_up()


def test_b3_any_mapping_is_an_event() -> None:
    class Own(dict[str, Any]):
        pass

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(Own(START))
        await send(UserDict({"type": "http.response.body", "body": b"x", "more_body": True}))
        await send(ChainMap({"body": b"y"}, {"type": "http.response.body"}))

    wire = Wire(app).feed(get())
    assert wire.response().body == b"xy"
    wire.hang_up()


def test_b3_an_event_is_the_applications_and_is_not_changed() -> None:
    start: Message = {"type": "http.response.start", "status": 200, "headers": [[b"X", b"y"]]}
    body: Message = {"type": "http.response.body", "body": bytearray(b"x")}

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send(start)
        await send(body)

    wire = Wire(app).feed(get(), get())
    assert [response.body for response in wire.responses()] == [b"x", b"x"]
    assert start == {"type": "http.response.start", "status": 200, "headers": [[b"X", b"y"]]}
    assert body == {"type": "http.response.body", "body": bytearray(b"x")}
    wire.hang_up()


def test_b4_an_exception_ends_the_request_and_not_the_server() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/fail":
            raise LookupError
        await respond(send, b"alive")

    wire = Wire(app).feed(get(b"/fail") + get(), get(b"/fail"))
    assert [response.status for response in wire.responses()] == [500, 200, 500]
    assert [record.getMessage() for record in wire.log if record.exc_info] == [
        "exception in the application: GET /fail"
    ] * 2
    wire.hang_up()


def test_b6_scope_and_messages_hold_plain_types_only() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        check_plain(scope)
        for _ in range(2):
            check_plain(await receive())
        await respond(send)
        check_plain(await receive())
        checked.append(scope)

    checked: list[Message] = []
    wire = Wire(app, Peer(("::1", 5), ("::1", 80), "https", "http/1.1", TLS))
    wire.host.application.state = {}
    wire.feed(get(b"/%20?x", b"Content-Length: 4", b"X: \xff", method=b"POST") + b"ab", b"cd")
    assert len(checked) == 1
    wire.hang_up()


def check_plain(value: Any) -> None:
    """As ASGI has it: byte strings, strings, 64-bit integers, floats, lists, dictionaries, booleans and None."""
    if isinstance(value, dict):
        for key, item in value.items():
            assert type(key) is str
            check_plain(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            check_plain(item)
    else:
        assert type(value) in (bytes, str, int, float, bool, type(None)), value
    if type(value) is int:
        assert -(1 << 63) <= value < 1 << 63


def test_b6_extensions_are_dictionaries() -> None:
    extensions = scope_of(get(), Peer(tls=TLS))["extensions"]
    assert set(extensions) >= {"tls", "http.response.early_hint", "http.response.trailers"}
    assert all(isinstance(value, dict) for value in extensions.values())


@each_loop
def test_b7_lifespan_and_requests_share_thread_and_loop(make_loop: MakeLoop) -> None:
    seen: set[tuple[int, int]] = set()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        seen.add((threading.get_ident(), id(asyncio.get_running_loop())))
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                assert (await receive())["type"] == f"lifespan.{kind}"
                await send({"type": f"lifespan.{kind}.complete"})
        else:
            await asyncio.sleep(0)
            seen.add((threading.get_ident(), id(asyncio.get_running_loop())))
            await respond(send)

    async def main() -> None:
        lifespan = Lifespan(app, "on", 5, 5, make_log()[0])
        await lifespan.startup()
        async with Live(app) as live:
            client = await live.connect()
            assert (await client.ask()).status == 200
        await lifespan.shutdown()
        assert seen == {(threading.get_ident(), id(asyncio.get_running_loop()))}

    run(make_loop, main())

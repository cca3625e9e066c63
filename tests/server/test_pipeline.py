"""Which protocol a connection gets."""

import asyncio
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from fastserver import Config, Server
from fastserver._speedups.events import Updated
from fastserver._speedups.h1.connection import OVERLOADED, H1Connection
from fastserver._speedups.h2.codes import PREFACE
from fastserver.config.extension import HTTP_NAMES, ProtocolBinding, parse_protocol
from fastserver.protocol import refusal
from fastserver.protocol.prior import UNSUPPORTED
from fastserver.protocol.refusal import Refusal
from fastserver.server.extensions import Extensions
from fastserver.server.pipeline import (
    EITHER,
    HTTP,
    HTTP1,
    HTTP2,
    PRIOR,
    Pipeline,
    WireProtocol,
    choose_default,
    list_http,
)
from tests.fakes import App, FakeConnection, Message, Receive, Send, Wire, make_host
from tests.h2wire import H2Wire
from tests.server.applications import Recorder
from tests.site import run_in_loop

ONE = WireProtocol("one", lambda connection, host: None)  # type: ignore[arg-type, return-value]
TWO = WireProtocol("two", lambda connection, host: None)  # type: ignore[arg-type, return-value]


def test_the_names_of_http_are_no_handlers() -> None:
    assert HTTP.keys() <= HTTP_NAMES
    for name in HTTP:
        with pytest.raises(ValueError, match="the server itself serves HTTP"):
            parse_protocol(f"alpn:{name}=m:One")


def test_http_is_the_default() -> None:
    assert (HTTP1.name, HTTP1.open, HTTP1.refusal) == ("http/1.1", H1Connection, OVERLOADED)
    pipeline = Pipeline()
    assert [pipeline.choose(alpn) for alpn in (None, "http/1.1", "unknown")] == [HTTP1] * 3
    tls: Any = object()
    assert pipeline.make_tls_facts(tls) is None


@pytest.mark.parametrize(
    ("alpn", "default", "wanted"),
    [
        (None, HTTP1, HTTP1),
        (None, TWO, TWO),
        ("one", HTTP1, ONE),
        ("one", TWO, ONE),
        ("http/1.1", HTTP1, HTTP1),
        ("http/1.1", TWO, TWO),  # at the address of a handler nothing else is served
    ],
)
def test_a_name_goes_over_the_address(alpn: str | None, default: WireProtocol, wanted: WireProtocol) -> None:
    assert Pipeline(default, {"one": ONE}).choose(alpn) is wanted


@pytest.mark.parametrize(
    ("settings", "has_tls", "names", "default"),
    [
        ({}, False, ["h2", "http/1.1"], HTTP1),
        ({"certfile": "c"}, True, ["h2", "http/1.1"], HTTP1),
        ({"h2c": True}, False, ["h2", "http/1.1"], EITHER),
        ({"h2c": True, "certfile": "c"}, True, ["h2", "http/1.1"], HTTP1),
        ({"h2c": True, "certfile": "c"}, False, ["h2", "http/1.1"], EITHER),
        ({"http2": False}, False, ["http/1.1"], HTTP1),
        ({"http1": False, "h2c": True}, False, ["h2"], PRIOR),
        ({"http1": False, "certfile": "c"}, True, ["h2"], PRIOR),
    ],
)
def test_the_versions_that_are_served(
    settings: dict[str, Any], has_tls: bool, names: list[str], default: WireProtocol
) -> None:
    config = Config(**settings)
    assert list(list_http(config).items()) == [(name, HTTP[name]) for name in names]
    assert choose_default(config, has_tls) is default
    pipeline = Extensions().make_pipeline(config, None, has_tls=has_tls)
    assert [pipeline.choose(alpn) for alpn in (None, "unknown")] == [default] * 2
    assert [pipeline.choose(alpn) for alpn in names] == [HTTP[name] for name in names]


def test_each_listener_gets_the_handler_of_its_own_address() -> None:
    config = Config()
    bindings: list[ProtocolBinding] = [parse_protocol("127.0.0.1:1=m:One"), parse_protocol("127.0.0.1:2=m:Two")]
    named = parse_protocol("alpn:three=m:Three")
    three = WireProtocol("three", lambda connection, host: None)  # type: ignore[arg-type, return-value]
    extensions = Extensions((), {bindings[0]: ONE, bindings[1]: TWO, named: three})
    assert extensions.make_pipeline(config, bindings[0]).choose(None) is ONE
    assert extensions.make_pipeline(config, bindings[1]).choose(None) is TWO
    assert extensions.make_pipeline(config, None).choose(None) is HTTP1
    assert {extensions.make_pipeline(config, purpose).choose("three") for purpose in (None, *bindings)} == {three}
    assert Extensions().make_pipeline(config, None).choose("three") is HTTP1
    assert Extensions().make_pipeline(config, None).choose("h2") is HTTP2


# On sockets.

EMPTY_SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
CBC = "ECDHE-ECDSA-AES128-SHA256"  # RFC 9113 appendix A names it; the authority's keys are ECDSA


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certfile(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(path))
    return str(path)


def make_client(authority: trustme.CA, *alpn: str, ciphers: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
    return context


async def exchange(address: Any, data: bytes, context: ssl.SSLContext | None = None, size: int = -1) -> bytes:
    """What a server at ``address`` says to ``data``: all of it, or the first ``size`` bytes."""
    name = None if context is None else "localhost"
    reader, writer = await asyncio.open_connection(*address[:2], ssl=context, server_hostname=name)
    try:
        writer.write(data)
        return await (reader.read() if size < 0 else reader.readexactly(size))
    finally:
        writer.close()


def serve(*clients: tuple[Any, ...], **settings: Any) -> list[bytes]:
    """What a server of ``settings`` says to ``clients``, each of them arguments of ``exchange``, in their order."""

    async def main() -> list[bytes]:
        config = Config(**{"bind": "127.0.0.1:0", "timeout_keep_alive_min": 0.1, **settings})
        async with Server(Recorder(), config) as server:
            (address,) = server.addresses
            return [await asyncio.wait_for(exchange(address, *client), 10) for client in clients]

    answers: list[bytes] = []

    async def collect() -> None:
        answers.extend(await main())

    run_in_loop(asyncio.new_event_loop, collect())
    return answers


def test_without_tls_the_first_bytes_choose() -> None:
    first, second = serve((PREFACE + EMPTY_SETTINGS, None, 9), (GET,), h2c=True)
    assert first[3] == 4  # SETTINGS is the first that an HTTP/2 server says
    assert second.startswith(b"HTTP/1.1 200")


def test_without_tls_and_without_h2c_there_is_no_http_2() -> None:
    (answer,) = serve((PREFACE,))
    assert answer.startswith(b"HTTP/1.1 ")


def test_without_http_1() -> None:
    first, second = serve((PREFACE + EMPTY_SETTINGS, None, 9), (GET,), h2c=True, http1=False)
    assert first[3] == 4
    assert second == UNSUPPORTED


def test_tls_without_http_1(authority: trustme.CA, certfile: str) -> None:
    """Who negotiates nothing has to begin with the preface."""
    preface = PREFACE + EMPTY_SETTINGS
    named, unnamed, other = serve(
        (preface, make_client(authority, "h2"), 9),
        (preface, make_client(authority), 9),
        (GET, make_client(authority, "http/1.1")),
        certfile=certfile,
        http1=False,
    )
    assert (named[3], unnamed[3]) == (4, 4)
    assert other == UNSUPPORTED


def test_a_client_of_both_gets_http_2(authority: trustme.CA, certfile: str) -> None:
    client = make_client(authority, "http/1.1", "h2")
    (answer,) = serve((PREFACE + EMPTY_SETTINGS, client, 9), certfile=certfile)
    assert answer[3] == 4
    (answer,) = serve((GET, client), certfile=certfile, http2=False)
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("alpn", ["h2", ""])
def test_h2_19_a_cipher_suite_that_http_2_prohibits(authority: trustme.CA, certfile: str, alpn: str) -> None:
    """By ALPN, and by the preface where HTTP/1 is off; HTTP/1 takes what the operator has chosen."""
    client = make_client(authority, *filter(None, [alpn]), ciphers=CBC)
    ciphers = f"ECDHE+AESGCM:{CBC}"
    (answer,) = serve((PREFACE, client), certfile=certfile, ciphers=ciphers, http1=bool(alpn))
    assert answer == refusal.INSECURE
    (answer,) = serve((GET, make_client(authority, ciphers=CBC)), certfile=certfile, ciphers=ciphers)
    assert answer.startswith(b"HTTP/1.1 200")


def test_there_is_room_for_so_many(authority: trustme.CA, certfile: str) -> None:
    async def main() -> None:
        config = Config(bind="127.0.0.1:0", certfile=certfile, limit_connections=1, timeout_keep_alive_min=0.1)
        async with Server(Recorder(), config) as server:
            (address,) = server.addresses
            _, first = await asyncio.open_connection(
                *address[:2], ssl=make_client(authority), server_hostname="localhost"
            )
            assert await exchange(address, b"", make_client(authority, "h2")) == refusal.OVERLOADED
            assert await exchange(address, b"", make_client(authority, "http/1.1")) == OVERLOADED
            first.close()

    run_in_loop(asyncio.new_event_loop, main())


# Alt-Svc.

ALT_SVC = b'alt-svc: h3=":443"; ma=60\r\n'
ANNOUNCED = [b'h3=":443"; ma=60']


class AnnouncingH1(Wire):
    def _open(self) -> Any:
        return Pipeline().announce(ALT_SVC).choose(None).open(self.connection, self.host)


class AnnouncingH2(H2Wire):
    def _open(self) -> Any:
        connection: Any = self.connection
        connection.transport = SimpleNamespace(get_extra_info=lambda name: None)
        protocol = Pipeline(by_alpn=HTTP).announce(ALT_SVC).choose("h2").open(connection, self.host)
        protocol.handle(Updated(idle=True))
        return protocol


def respond(*fields: tuple[bytes, bytes]) -> App:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


def test_alt_svc_is_announced_by_http_alone() -> None:
    pipeline = Pipeline(ONE, {"two": TWO, **HTTP})
    announcing = pipeline.announce(ALT_SVC)
    assert (announcing.default, announcing.by_alpn["two"]) == (ONE, TWO)
    assert [(wire.name, wire in HTTP.values()) for wire in map(announcing.choose, HTTP)] == [
        (name, False) for name in HTTP
    ]
    assert pipeline.by_alpn == {"two": TWO, **HTTP}


@pytest.mark.parametrize("extra", [b"", b"x-a: b\r\n"])
def test_alt_svc_in_each_response(extra: bytes) -> None:
    wire = AnnouncingH1(respond())
    wire.host.extra_fields = extra
    wire.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [each.header(b"alt-svc") for each in wire.responses()] == [ANNOUNCED] * 2
    assert {len(each.header(b"x-a")) for each in wire.responses()} == {1 if extra else 0}
    wire.hang_up()
    h2 = AnnouncingH2(respond()).greet()
    assert [h2.answer(h2.request()).header(b"alt-svc") for _ in range(2)] == [ANNOUNCED] * 2


def test_alt_svc_of_the_application_stands_alone() -> None:
    app = respond((b"Alt-Svc", b"clear"))
    wire = AnnouncingH1(app)
    wire.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert wire.response().header(b"alt-svc") == [b"clear"]
    wire.hang_up()
    h2 = AnnouncingH2(app).greet()
    assert h2.answer(h2.request()).header(b"alt-svc") == [b"clear"]


def test_no_alt_svc_where_nothing_is_announced() -> None:
    wire = Wire(respond())
    wire.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert wire.response().header(b"alt-svc") == []
    wire.hang_up()


def test_a_refusal_announces_nothing() -> None:
    tls = SimpleNamespace(version=lambda: "TLSv1.2", cipher=lambda: (CBC, "TLSv1.2", 128))
    host = make_host(respond())
    connection: Any = FakeConnection(host)
    connection.transport = SimpleNamespace(get_extra_info=lambda name: tls)
    assert isinstance(Pipeline(by_alpn=HTTP).announce(ALT_SVC).choose("h2").open(connection, host), Refusal)

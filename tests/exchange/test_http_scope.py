"""ASGI HTTP scope: H1 to H8 of the checklist, and the `tls` extension (E8)."""

from typing import Any

import pytest

from fastserver._speedups.contract import Peer
from fastserver._speedups.http import HTTPApplication
from tests.exchange.live import Live, MakeLoop, each_loop, run
from tests.fakes import Message, Recorder, Wire

TLS: dict[str, Any] = {
    "server_cert": "-----BEGIN CERTIFICATE-----\n",
    "client_cert_chain": ["-----BEGIN CERTIFICATE-----\n"],
    "client_cert_name": "CN=somebody",
    "client_cert_error": None,
    "tls_version": 0x0304,
    "cipher_suite": 0x1301,
}
KEYS = {
    "type",
    "asgi",
    "http_version",
    "method",
    "scheme",
    "path",
    "raw_path",
    "query_string",
    "root_path",
    "headers",
    "client",
    "server",
    "extensions",
}


def get(target: bytes = b"/", *fields: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"%s %s HTTP/%s" % (method, target, version), b"Host: h", *fields, b"", b""])


def scope_of(
    payload: bytes, peer: Peer | None = None, root_path: str = "", state: dict[str, Any] | None = None
) -> Message:
    """The scope that an application gets for `payload`."""
    recorder = Recorder()
    wire = Wire(recorder, peer)
    application = HTTPApplication(recorder, wire.host, root_path)
    application.state = state
    wire.host.application = application
    wire.feed(payload)
    wire.hang_up()
    return recorder.call.scope


def test_h1_keys() -> None:
    assert set(scope_of(get())) == KEYS
    assert set(scope_of(get(), state={})) == KEYS | {"state"}


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_h1_http_version(version: bytes) -> None:
    assert scope_of(get(version=version))["http_version"] == version.decode()


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"M-SEARCH"])
def test_h1_method(method: bytes) -> None:
    assert scope_of(get(method=method))["method"] == method.decode()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_h1_scheme_is_the_connections(scheme: str) -> None:
    assert scope_of(get(b"http://h/"), Peer(None, None, scheme))["scheme"] == scheme


def test_h1_values_of_one_scope_do_not_stay_for_the_next() -> None:
    """A scope is copied from a template that holds the common values."""
    recorder = Recorder()
    wire = Wire(recorder).feed(
        get(b"/a?b", b"Connection: keep-alive", method=b"PUT", version=b"1.0"), get(), get(b"/c", method=b"POST")
    )
    told = [
        (call.scope["http_version"], call.scope["method"], call.scope["path"], call.scope["query_string"])
        for call in recorder.calls
    ]
    assert told == [("1.0", "PUT", "/a", b"b"), ("1.1", "GET", "/", b""), ("1.1", "POST", "/c", b"")]
    wire.hang_up()


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", "/"),
        (b"//", "//"),
        (b"/a/../b/./c", "/a/../b/./c"),
        (b"/a%20b", "/a b"),
        (b"/a+b", "/a+b"),
        (b"/a%2Fb", "/a/b"),
        (b"/a%2fb", "/a/b"),
        (b"/%E2%82%AC", "/\u20ac"),
        (b"/%f0%9f%98%80", "/\U0001f600"),
        (b"/%C3%A9%2525", "/\u00e9%25"),
        (b"/%FF", "/\ufffd"),
        (b"/%E2%82", "/\ufffd"),
        (b"/%C0%AF", "/\ufffd\ufffd"),
        (b"/%ED%A0%80", "/\ufffd\ufffd\ufffd"),
        (b"/a%", "/a%"),
        (b"/a%2", "/a%2"),
        (b"/a%zz%41", "/a%zzA"),
        (b"/a%3Fb?c", "/a?b"),
        (b"/a;b=c", "/a;b=c"),
        (b"/%0D%0A", "/\r\n"),
        (b"http://h/p/q", "/p/q"),
        (b"HTTP://h", "/"),
        (b"https://h:1/p?x", "/p"),
        (b"http://h?x", "/"),
    ],
)
def test_h2_path_is_decoded_once(target: bytes, path: str) -> None:
    fields = (b"Host: h:1",) if b":1" in target else (b"Host: h",)
    assert scope_of(b"GET " + target + b" HTTP/1.1\r\n" + fields[0] + b"\r\n\r\n")["path"] == path


def test_h2_asterisk_form_is_for_options() -> None:
    scope = scope_of(get(b"*", method=b"OPTIONS"))
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("*", b"*", b"")


@pytest.mark.parametrize("target", [b"/%00", b"/a%00b", b"/%41%00"])
def test_h2_nul_in_the_path_is_refused(target: bytes) -> None:
    recorder = Recorder()
    wire = Wire(recorder).feed(get(target))
    assert wire.response().status == 400
    assert recorder.calls == []
    wire.hang_up()


@pytest.mark.parametrize(
    ("payload", "status"),
    [(get(b"h:80", method=b"CONNECT"), 501), (get(b"h:80"), 400), (get(b"*"), 400), (get(b"ftp://h/"), 400)],
)
def test_h2_other_forms_are_refused(payload: bytes, status: int) -> None:
    recorder = Recorder()
    wire = Wire(recorder).feed(payload)
    assert wire.response().status == status
    assert recorder.calls == []
    wire.hang_up()


@pytest.mark.parametrize(
    ("target", "raw_path", "query_string"),
    [
        (b"/", b"/", b""),
        (b"/?", b"/", b""),
        (b"/a%20b?c%20d+e", b"/a%20b", b"c%20d+e"),
        (b"/a?b?c", b"/a", b"b?c"),
        (b"/%2F%zz", b"/%2F%zz", b""),
        (b"/?%00", b"/", b"%00"),
        (b"/?a=b&c=%FF", b"/", b"a=b&c=%FF"),
        (b"http://h/a%20b?c", b"/a%20b", b"c"),
        (b"http://h?c", b"/", b"c"),
    ],
)
def test_h3_raw_path_and_query_string_are_bytes_as_sent(target: bytes, raw_path: bytes, query_string: bytes) -> None:
    scope = scope_of(get(target))
    assert scope["raw_path"] == raw_path
    assert scope["query_string"] == query_string
    assert type(scope["raw_path"]) is type(scope["query_string"]) is bytes


def test_h4_headers_are_kept_as_sent_but_for_case_and_blanks() -> None:
    lines = [b"X-B: 1", b"x-a:\t 2 \t", b"X-B: 3", b"X-Bytes: \x80\xff", b"X-Empty:", b"Cookie: a=b; c=d", b"cookie: e"]
    headers = scope_of(get(b"/", *lines))["headers"]
    assert headers == [
        (b"host", b"h"),
        (b"x-b", b"1"),
        (b"x-a", b"2"),
        (b"x-b", b"3"),
        (b"x-bytes", b"\x80\xff"),
        (b"x-empty", b""),
        (b"cookie", b"a=b; c=d"),
        (b"cookie", b"e"),
    ]
    assert type(headers) is list
    assert all(type(pair) is tuple for pair in headers)


def test_h4_framing_fields_are_the_applications_to_see() -> None:
    recorder = Recorder()
    wire = Wire(recorder).feed(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"0\r\n\r\n")
    assert recorder.call.header(b"transfer-encoding") == [b"chunked"]
    wire.hang_up()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((b"A: 1", b"Host: h", b"B: 2"), [(b"a", b"1"), (b"host", b"h"), (b"b", b"2")]),
        ((b"A: 1", b"Host: H", b"B: 2"), [(b"a", b"1"), (b"host", b"h"), (b"b", b"2")]),
    ],
)
def test_h5_authority_of_the_target_replaces_host(
    fields: tuple[bytes, ...], expected: list[tuple[bytes, bytes]]
) -> None:
    scope = scope_of(b"\r\n".join([b"GET http://h/ HTTP/1.1", *fields, b"", b""]))
    assert scope["headers"] == expected


def test_h5_authority_of_the_target_comes_first_where_there_is_no_host() -> None:
    scope = scope_of(b"GET http://h:5/ HTTP/1.0\r\nA: 1\r\n\r\n")
    assert scope["headers"] == [(b"host", b"h:5"), (b"a", b"1")]


@pytest.mark.parametrize(
    ("client", "server"),
    [(("127.0.0.1", 5), ("127.0.0.1", 80)), (("::1", 5), ("::1", 80)), (None, ("/run/app.sock", None)), (None, None)],
)
def test_h6_addresses(client: Any, server: Any) -> None:
    scope = scope_of(get(), Peer(client, server))
    assert scope["client"] == client
    assert scope["server"] == server


@each_loop
def test_h6_addresses_of_a_real_connection(make_loop: MakeLoop) -> None:
    recorder = Recorder()

    async def main() -> None:
        async with Live(recorder) as live:
            client = await live.connect()
            await client.ask()
            assert recorder.call.scope["client"] == client.writer.get_extra_info("sockname")
            assert recorder.call.scope["server"] == client.writer.get_extra_info("peername")
            assert [type(part) for part in recorder.call.scope["client"]] == [str, int]

    run(make_loop, main())


def test_h7_state_is_a_shallow_copy_for_each_request() -> None:
    state: dict[str, Any] = {"shared": [], "own": 1}
    recorder = Recorder()
    wire = Wire(recorder)
    wire.host.application.state = state
    wire.feed(get())
    first = recorder.calls[0].scope["state"]
    first["own"] = 2
    first["new"] = 3
    first["shared"].append(4)
    wire.feed(get())
    assert recorder.calls[1].scope["state"] == {"shared": [4], "own": 1}
    assert recorder.calls[1].scope["state"]["shared"] is state["shared"]
    assert state == {"shared": [4], "own": 1}
    wire.hang_up()


def test_h7_no_state_where_lifespan_is_not_supported() -> None:
    assert "state" not in scope_of(get())
    assert scope_of(get(), state={})["state"] == {}


@pytest.mark.parametrize("root_path", ["", "/api", "/a/b", "/caf\u00e9"])
def test_h8_path_includes_root_path(root_path: str) -> None:
    scope = scope_of(get(b"/x%20y"), root_path=root_path)
    assert scope["root_path"] == root_path
    assert scope["path"] == root_path + "/x y"
    assert scope["path"].removeprefix(root_path) == "/x y"  # PATH_INFO
    assert scope["raw_path"].endswith(b"/x%20y")
    assert type(scope["raw_path"]) is bytes


def test_e8_tls_is_offered_on_tls_only() -> None:
    assert "tls" not in scope_of(get())["extensions"]
    extension = scope_of(get(), Peer(("h", 1), ("h", 2), "https", "http/1.1", TLS))["extensions"]["tls"]
    assert extension == TLS


def test_e8_tls_of_one_scope_is_not_the_next_ones() -> None:
    recorder = Recorder()
    wire = Wire(recorder, Peer(tls=TLS)).feed(get())
    recorder.calls[0].scope["extensions"]["tls"]["server_cert"] = None
    wire.feed(get())
    assert recorder.calls[1].scope["extensions"]["tls"] == TLS
    wire.hang_up()

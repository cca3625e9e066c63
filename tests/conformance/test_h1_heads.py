"""H1-8 to H1-12, H1-16 to H1-19, H1-22, H1-25, H1-26, H1-38, H1-39: the grammar of a request's head."""

import pytest

from tests.conformance.cases import CANARY, check_quiet, check_refusal, check_refused, check_served, post, request
from tests.fakes import Recorder, Wire, every_cut

# ---- Lines: RFC 9112 sections 2.2, 5.2 ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(request(b"X: a", b" b"), id="space"),
        pytest.param(request(b"X: a", b"\tb"), id="tab"),
        pytest.param(request(b"X:", b" b"), id="after an empty value"),
        pytest.param(request(b"X: a", b" "), id="blank line of one space"),
        pytest.param(request(b"Content-Length: 5", b" 0"), id="content-length"),
        pytest.param(request(b"Transfer-Encoding:", b" chunked"), id="transfer-encoding"),
        pytest.param(b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", id="first field"),
    ],
)
def test_h1_08_obsolete_line_folding_is_refused(payload: bytes) -> None:
    check_refused(payload, 400)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"GET / HTTP/1.1\nHost: h\r\n\r\n", id="request line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", id="field"),
        pytest.param(b"GET / HTTP/1.1\r\nX: a\nb\r\nHost: h\r\n\r\n", id="inside a value"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\r\n\n", id="empty line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\n\r\n", id="last field"),
        pytest.param(b"GET / HTTP/1.1\nHost: h\n\n", id="everywhere"),
    ],
)
def test_h1_09_bare_lf_in_the_head_is_refused(payload: bytes) -> None:
    check_refused(payload, 400)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"GET / HTTP/1.1\rHost: h\r\n\r\n", id="request line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", id="field"),
        pytest.param(b"GET / HTTP/1.1\r\nX: a\rb\r\nHost: h\r\n\r\n", id="inside a value"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\r\n\rX: y\r\n\r\n", id="empty line, CVE-2023-30589"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\r\n\r\rX\r\n\r\n", id="two"),
        pytest.param(b"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", id="before CRLF of the request line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", id="before CRLF of a field"),
        pytest.param(b"GET /\r HTTP/1.1\r\nHost: h\r\n\r\n", id="target"),
    ],
)
def test_h1_10_bare_cr_in_the_head_is_refused(payload: bytes) -> None:
    check_refused(payload, 400)


@pytest.mark.parametrize("byte", [byte for byte in [*range(32), 127] if byte not in b"\t\r\n"])
def test_h1_11_control_byte_in_a_value_is_refused(byte: int) -> None:
    check_refused(request(b"X: a%cb" % byte), 400)


def test_h1_11_obs_text_and_tab_in_a_value_reach_the_application_as_bytes() -> None:
    value = bytes(range(0x80, 0x100)) + b"a\tb"
    recorder = check_served(request(b"X: " + value), b"GET / ")
    assert recorder.call.header(b"x") == [value]


@pytest.mark.parametrize("blank", [b"", b" ", b"\t", b" \t  \t"], ids=["none", "space", "tab", "many"])
def test_h1_11_blanks_around_a_value_are_stripped(blank: bytes) -> None:
    recorder = check_served(request(b"X:" + blank + b"a  b" + blank, b"Y:" + blank), b"GET / ")
    assert recorder.call.header(b"x") == [b"a  b"]
    assert recorder.call.header(b"y") == [b""]


@pytest.mark.parametrize(
    "field",
    [
        b"X Y: 1",
        b"X : 1",
        b"X\t: 1",
        b"X\xa0: 1",
        b"X\x85: 1",
        b"X\x00: 1",
        b"X\x0b: 1",
        b"X\xc3\xa9: 1",
        b": 1",
        b"X",
        b"X(a): 1",
        b"X@: 1",
        b"X/Y: 1",
        b'"X": 1',
        b"[X]: 1",
        b"X,Y: 1",
        b"Content-Length : 5",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding\x0b: chunked",
        b"\x00Transfer-Encoding: chunked",
    ],
)
def test_h1_12_malformed_field_name_is_refused(field: bytes) -> None:
    check_refused(request(field), 400)


@pytest.mark.parametrize("start", [b" ", b"\t", b"\xa0", b"\x0b"])
def test_h1_12_blank_before_the_first_field_is_refused(start: bytes) -> None:
    check_refused(b"GET / HTTP/1.1\r\n" + start + b"Host: h\r\nX: y\r\n\r\n", 400)


def test_h1_12_every_token_byte_may_stand_in_a_name() -> None:
    name = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    recorder = check_served(request(name + b": 1"), b"GET / ")
    assert recorder.call.header(name.lower()) == [b"1"]


# ---- The request line: RFC 9112 section 3 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        b"GET /\r\n",
        b"GET /\n",
        b"GET /\r\n\r\n",
        b"GET /\r\nHost: h\r\n\r\n",
        b"GET /\nHost: h\r\n\r\n",
        b"GET / \r\nHost: h\r\n\r\n",
        b"POST /\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_h1_16_http_0_9_is_refused(payload: bytes) -> None:
    check_refused(payload, 400, 505)


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"1.9", b"2.0", b"3.0", b"9.9", b"0.0", b"0.1"])
def test_h1_17_other_version_is_answered_505(version: bytes) -> None:
    check_refused(request(line=b"GET / HTTP/" + version), 505)


@pytest.mark.parametrize(
    "version",
    [
        b"HTTP/01.1",
        b"HTTP/1.10",
        b"HTTP/1.01",
        b"HTTP/257.1",
        b"HTTP/1.257",
        b"HTTP/1",
        b"HTTP/1.",
        b"HTTP/.1",
        b"HTTP/1.1x",
        b"HTTP/+1.1",
        b"HTTP/1,1",
        b"HTTP/x.1",
        b"http/1.1",
        b"Http/1.1",
        b"HTTP 1.1",
        b"HTTP//1.1",
        b"HTTP/",
        b"HTTP",
        b"XTTP/1.1",
        b"HTTPS/1.1",
    ],
)
def test_h1_17_malformed_version_is_refused(version: bytes) -> None:
    check_refused(request(line=b"GET / " + version), 400)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="preface"),
        pytest.param(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", id="preface and SETTINGS"
        ),
        pytest.param(b"PRI * HTTP/1.1\r\nHost: h\r\n\r\n", id="method alone"),
    ],
)
def test_h1_18_http_2_preface_is_refused(payload: bytes) -> None:
    # Nothing is appended: what an HTTP/2 client sends is the preface, and the answer must not wait for more.
    check_refused(payload, 400, 501, 505, canary=b"")


@pytest.mark.parametrize(
    "line",
    [
        b"GET / RTSP/1.1",
        b"GET / RTSP/1.0",
        b"POST / RTSP/1.1",
        b"OPTIONS / RTSP/1.1",
        b"OPTIONS * RTSP/1.0",
        b"SOURCE / ICE/1.0",
        b"GET / ICE/1.0",
        b"GET / ICE/1.1",
    ],
)
def test_h1_19_rtsp_and_ice_are_refused(line: bytes) -> None:
    check_refused(request(line=line), 400)


@pytest.mark.parametrize(
    "line",
    [
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET   /   HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET\t/ HTTP/1.1",
        b"GET /\tHTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET / x HTTP/1.1",
        b"GET /",
        b"GET HTTP/1.1",
        b"GET",
        b"/ HTTP/1.1",
        b"GET /\x0bHTTP/1.1",
        b"GET\xa0/ HTTP/1.1",
    ],
)
def test_h1_25_one_space_between_the_parts_of_the_request_line(line: bytes) -> None:
    check_refused(request(line=line), 400)


def test_h1_26_one_empty_line_before_a_request_is_skipped() -> None:
    check_served(b"\r\n" + request(), b"GET / ")


def test_h1_26_one_empty_line_between_requests_is_skipped() -> None:
    first = post(b"Content-Length: 2", body=b"ab")
    check_served(first + b"\r\n" + request(line=b"GET /2 HTTP/1.1"), b"POST / ab", b"GET /2 ")


@pytest.mark.parametrize(
    "start",
    [b"\n", b"\r", b"\n\n", b"\r\n\n", b"\r\n\r", b"\r\r\n", b"\r\n\r\n", b"\n\r\n", b"\r\n" * 20, b" \r\n", b" "],
)
def test_h1_26_other_line_ends_before_a_request_are_refused(start: bytes) -> None:
    check_refused(start + request(), 400)


@pytest.mark.parametrize("between", [b"\n", b"\r\n\r\n", b"\r", b" "])
def test_h1_26_other_line_ends_between_requests_are_refused(between: bytes) -> None:
    for reads in every_cut(request() + between + CANARY):
        recorder = Recorder()
        wire = Wire(recorder).feed(*reads)
        first, second = wire.responses()
        assert (first.status, first.body) == (200, b"GET / ")
        check_refusal(second, 400)
        assert recorder.targets == [b"/"]
        wire.hang_up()
        check_quiet(wire)


# ---- Methods: RFC 9110 section 9 ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", [b"FOO", b"GETX", b"GE", b"G", b"get", b"Get", b"BREW", b"UPDATE", b"LABEL", b"!#$%"]
)
def test_h1_39_unknown_method_is_answered_501(method: bytes) -> None:
    check_refused(request(line=method + b" / HTTP/1.1"), 501)


@pytest.mark.parametrize("method", [b"PLAY", b"SETUP", b"DESCRIBE", b"TEARDOWN", b"RECORD", b"FLUSH"])
def test_h1_39_method_of_rtsp_is_answered_501(method: bytes) -> None:
    check_refused(request(line=method + b" / HTTP/1.1"), 501)


@pytest.mark.parametrize(
    "method", [b"", b"G@T", b"GET(", b"GE\x00T", b"G\xc3\x89T", b'"GET"', b"GET:", b"GET,POST", b"\x16\x03\x01\x02"]
)
def test_h1_39_method_that_is_no_token_is_refused(method: bytes) -> None:
    check_refused(request(line=method + b" / HTTP/1.1"), 400)


def test_h1_39_endless_method_is_refused_before_it_ends() -> None:
    check_refused(b"A" * 300, 400, 414, 501, request_line=200, canary=b"")


@pytest.mark.parametrize(
    "method",
    "ACL BIND CHECKOUT COPY DELETE GET LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE M-SEARCH NOTIFY OPTIONS "
    "PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK "
    "UNSUBSCRIBE".split(),
)
def test_h1_39_every_method_of_the_parser_reaches_the_application(method: str) -> None:
    recorder = check_served(request(line=method.encode() + b" / HTTP/1.1"), method.encode() + b" / ")
    assert recorder.call.scope["method"] == method


def test_h1_39_head_reaches_the_application() -> None:
    recorder = check_served(request(line=b"HEAD / HTTP/1.1"), b"")
    assert recorder.call.scope["method"] == "HEAD"


# ---- Host: RFC 9112 section 3.2 -------------------------------------------------------------------------------------


def test_h1_22_request_without_host_is_refused() -> None:
    check_refused(request(host=None), 400)


def test_h1_22_http_1_0_may_do_without_host() -> None:
    recorder = check_served(request(line=b"GET / HTTP/1.0", host=None), b"GET / ", closes=True)
    assert recorder.call.header(b"host") == []


@pytest.mark.parametrize("second", [b"h", b"other", b""])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_h1_22_host_must_be_single(version: bytes, second: bytes) -> None:
    check_refused(request(b"Host: " + second, line=b"GET / HTTP/" + version), 400)


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"a, b",
        b"a,b",
        b"user@h",
        b"user:password@h",
        b"h/path",
        b"h?query",
        b"h#fragment",
        b"h h",
        b"h\th",
        b"http://h",
        b"h:x",
        b"h:-1",
        b"h:+80",
        b"h:80x",
        b"h:80:80",
        b"h:65536",
        b"h:99999",
        b"h:000000080",
        b":80",
        b"::1",
        b"[::1",
        b"::1]",
        b"[::1]x",
        b"[::1]:x",
        b"[]",
        b"[/]",
        b"h\\x",
        b'h"',
        b"<h>",
        b"h{}",
        b"h\xff",
        b"h\xc3\xa9",
    ],
)
def test_h1_22_malformed_host_is_refused(host: bytes) -> None:
    check_refused(request(host=host), 400)


@pytest.mark.parametrize(
    "host",
    [
        b"h",
        b"h:80",
        b"h:1",
        b"h:65535",
        b"example.com",
        b"EXAMPLE.com:8000",
        b"a-b.c_d.example",
        b"xn--bcher-kva.example",
        b"127.0.0.1",
        b"127.0.0.1:8000",
        b"[::1]",
        b"[::1]:8000",
        b"[fe80::1]",
        b"[::ffff:127.0.0.1]:80",
    ],
)
def test_h1_22_valid_host_reaches_the_application(host: bytes) -> None:
    assert check_served(request(host=host), b"GET / ").call.header(b"host") == [host]


# ---- Names with an underscore ---------------------------------------------------------------------------------------


def test_h1_38_underscore_names_pass_and_frame_nothing() -> None:
    fields = [
        (b"content_length", b"5"),
        (b"transfer_encoding", b"chunked"),
        (b"x_forwarded_for", b"::1"),
        (b"host_", b"x"),
    ]
    lines = [name.title() + b": " + value for name, value in fields]
    first = request(*lines, line=b"POST / HTTP/1.1")
    recorder = check_served(first + request(line=b"GET /2 HTTP/1.1"), b"POST / ", b"GET /2 ")
    assert recorder.calls[0].scope["headers"][1:] == fields
    assert recorder.calls[0].scope["client"][0] == "127.0.0.1"

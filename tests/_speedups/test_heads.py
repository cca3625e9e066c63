"""Reading requests: both texts of `heads` held to the same tables, to each other and to llhttp."""

import re
from typing import Any

import httptools
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastserver._speedups.contract import Limits, WireError
from fastserver._speedups.fields import KNOWN_FIELDS, METHODS
from tests._speedups.twin import HEADS, list_facts, make_limits, needs_extension, try_call
from tests.conformance.cases import request

ACTIVE, TWIN = HEADS


def split(heads: Any, head: bytes, **limits: float) -> Any:
    return heads.split_head(head, 0, len(head), make_limits(**limits))


def check_refused(heads: Any, head: bytes, status: int, reason: str, **limits: float) -> None:
    with pytest.raises(WireError, match=re.escape(reason)) as caught:
        split(heads, head, **limits)
    assert caught.value.status == status


# ---- Good heads ----------------------------------------------------------------------------------------------------


def target(text: bytes, line: bytes = b"GET %b HTTP/1.1") -> bytes:
    return request(line=line % text)


def origin(path: str, raw_path: bytes, query_string: bytes = b"") -> dict[str, Any]:
    return {"path": path, "raw_path": raw_path, "query_string": query_string}


LONG_NAMES = [bytes([65 + size % 26]) * size for size in (39, 40, 41, 42, 200)]
GOOD: list[tuple[bytes, dict[str, Any]]] = [
    (request(), {"method": "GET", "http_version": "1.1", "headers": [(b"host", b"h")], "has_host": True}),
    (request(), {"content_length": -1, "chunked": False, "close": False, "keep_alive": False, "upgrade": False}),
    (request(), {"expect_continue": False, "accepts_trailers": False, "connection_upgrade": False}),
    (request(line=b"GET / HTTP/1.0", host=None), {"http_version": "1.0", "headers": [], "has_host": False}),
    *((request(line=method + b" / HTTP/1.1"), {"method": name}) for method, name in METHODS.items()),
    # Targets.
    (target(b"/"), origin("/", b"/")),
    (target(b"/a/b"), origin("/a/b", b"/a/b")),
    (target(b"/?"), origin("/", b"/")),
    (target(b"/a?b=c&d"), origin("/a", b"/a", b"b=c&d")),
    (target(b"/a?b?c/%20"), origin("/a", b"/a", b"b?c/%20")),
    (target(b"//a//"), origin("//a//", b"//a//")),
    (target(b'/?"<>\\^`{|}'), origin("/", b"/", b'"<>\\^`{|}')),
    (target(b"/!$&'()*+,;=:@[]^`{|}~-._"), origin("/!$&'()*+,;=:@[]^`{|}~-._", b"/!$&'()*+,;=:@[]^`{|}~-._")),
    (target(b"/a%20b%2Fc"), origin("/a b/c", b"/a%20b%2Fc")),
    (target(b"/%C3%a9"), origin("/é", b"/%C3%a9")),
    (target(b"/%ff%fe"), origin("/\ufffd\ufffd", b"/%ff%fe")),
    (target(b"/%zz%2%"), origin("/%zz%2%", b"/%zz%2%")),
    (target(b"/%2500"), origin("/%00", b"/%2500")),
    (target(b"*", b"OPTIONS %b HTTP/1.1"), origin("*", b"*")),
    (target(b"http://h/a?b"), origin("/a", b"/a", b"b")),
    (target(b"HTTPS://h"), origin("/", b"/")),
    (target(b"http://h?a"), origin("/", b"/", b"a")),
    (request(line=b"GET http://x:8/ HTTP/1.0", host=None), {"headers": [(b"host", b"x:8")], "has_host": False}),
    (request(line=b"GET http://H/ HTTP/1.1"), {"headers": [(b"host", b"H")]}),
    # Fields.
    (request(b"A:1", b"B: \t 2 \t ", b"C:", b"D: \t "), {
        "headers": [(b"host", b"h"), (b"a", b"1"), (b"b", b"2"), (b"c", b""), (b"d", b"")]}),
    (request(b"X: a b\tc:d\x80\xff"), {"headers": [(b"host", b"h"), (b"x", b"a b\tc:d\x80\xff")]}),
    (request(b"!#$%&'*+-.^_`|~09aZ: v"), {"headers": [(b"host", b"h"), (b"!#$%&'*+-.^_`|~09az", b"v")]}),
    (request(b"ACCEPT: a", b"accept: b"), {"headers": [(b"host", b"h"), (b"accept", b"a"), (b"accept", b"b")]}),
    (request(*(name + b": v" for name in LONG_NAMES)), {
        "headers": [(b"host", b"h"), *((name.lower(), b"v") for name in LONG_NAMES)]}),
    *((request(name.upper() + b": " + value), {"headers": [(b"host", b"h"), (name, value)]})
      for name, value in ((name, {b"te": b"trailers", b"expect": b"100-continue", b"content-length": b"0",
                                  b"transfer-encoding": b"chunked"}.get(name, b"v")) for name in KNOWN_FIELDS)
      if name != b"host"),
    # Framing and connection.
    (request(b"Content-Length: 0"), {"content_length": 0}),
    (request(b"content-length: 0005"), {"content_length": 5}),
    (request(b"Content-Length: " + b"0" * 5000 + b"7"), {"content_length": 7}),
    (request(b"Transfer-Encoding: chunked"), {"chunked": True, "content_length": -1}),
    (request(b"transfer-encoding: CHUNKED"), {"chunked": True}),
    (request(b"Connection: close"), {"close": True, "keep_alive": False, "connection_upgrade": False}),
    (request(b"Connection: x, \tUPGRADE\t,,Keep-Alive"), {"close": False, "keep_alive": True,
                                                           "connection_upgrade": True, "upgrade": False}),
    (request(b"Connection: keep-alive", b"Connection: close"), {"close": True, "keep_alive": True}),
    (request(b"Connection: closed, xclose, clo se", b"Connection:"), {"close": False}),
    (request(b"Upgrade: websocket"), {"upgrade": True, "connection_upgrade": False}),
    (request(b"Expect: 100-Continue", b"Expect: 100-continue"), {"expect_continue": True}),
    (request(b"TE: deflate;q=0.5, Trailers ;q=1"), {"accepts_trailers": True}),
    (request(b"TE: trailersx, x;trailers", b"TE:"), {"accepts_trailers": False}),
]  # fmt: skip


@pytest.mark.parametrize(("head", "expected"), GOOD)
def test_good_head(heads: Any, head: bytes, expected: dict[str, Any]) -> None:
    found = list_facts(split(heads, head))
    assert {name: found[name] for name in expected} == expected
    # Where the head stands in the read does not matter.
    inside = b"ab\r\n" + head + b"GET /next HTTP/1.1\r\n\r\n"
    assert heads.find_head_end(inside, 4) == 4 + len(head)
    assert list_facts(heads.split_head(inside, 4, 4 + len(head), make_limits())) == found


def test_known_names_are_one_shared_object(heads: Any) -> None:
    first, second = (split(heads, request(b"User-Agent: " + agent)) for agent in (b"a", b"b"))
    assert first.headers[1][0] is second.headers[1][0]


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 300])
def test_repeated_field(heads: Any, size: int) -> None:
    values = [b"a" * size, b"a" * size, b"a" * size + b"b", b"b" * size, b"a" * size]
    for value in values:
        assert split(heads, request(b"Accept: " + value)).headers == [(b"host", b"h"), (b"accept", value)]
    twice = split(heads, request(*(b"Accept: " + value for value in values)))
    assert twice.headers[1:] == [(b"accept", value) for value in values]


@pytest.mark.parametrize("name", [b"Authorization", b"Cookie", b"Proxy-Authorization", b"X-Api-Key", b"X-CSRF-Token"])
def test_secret_is_not_kept(heads: Any, name: bytes) -> None:
    first, second = (split(heads, request(name + b": secret")).headers[1] for _ in range(2))
    assert first == second == (name.lower(), b"secret")
    assert first[1] is not second[1]


# ---- Bad heads -----------------------------------------------------------------------------------------------------

LINE, VERSION, FIELD = "malformed request line", "malformed HTTP version", "malformed header field"
BYTE, FORM, LENGTH = "invalid byte in the request target", "unknown form of request target", "invalid Content-Length"
BAD: list[tuple[bytes, int, str]] = [
    *((request(line=line), 400, LINE) for line in (
        b"", b"GET", b"GET ", b"GET /", b" GET / HTTP/1.1", b"GET  / HTTP/1.1", b"GET\t/ HTTP/1.1", b"GET /\tHTTP/1.1",
        b"G(T / HTTP/1.1", b"G\x80T / HTTP/1.1", b"GET /\nHTTP/1.1", b"GET /a\x00b HTTP/1.1", b"GET HTTP/1.1",
    )),
    *((request(line=b"GET / " + version), 400, VERSION) for version in (
        b"", b"HTTP", b"HTTP/1", b"HTTP/1.", b"HTTP/1.10", b"http/1.1", b"HTTP/1,1", b"HTTP/1.1 ", b" HTTP/1.1",
        b"HTTP/x.1", b"HTTP/1.x", b"HTTP /1.1", b"XTTP/1.1", b"HTTP/1.\n", b"x HTTP/1.1",
    )),
    *((request(line=b"GET / HTTP/" + version), 505, "HTTP version not supported")
      for version in (b"0.9", b"1.2", b"1.9", b"2.0", b"2.1", b"3.1", b"9.9")),
    *((request(line=method + b" / HTTP/1.1"), 501, "method not implemented")
      for method in (b"CONNECT", b"get", b"GETT", b"GE", b"PRI", b"!")),
    *((target(text), 400, BYTE) for text in (
        b"/#", b"/a#b", b"/?a#b", b'/"', b"/<", b"/>", b"/\\", b"/\x7f", b"/\x80", b"/?\x7f", b"/?\xff", b"a\\b", b"a#",
    )),
    *((target(text), 400, FORM) for text in (b"a", b"?", b"h:80", b"ftp://h/", b"http:/h", b"x/y")),
    (target(b"*"), 400, "asterisk-form is for OPTIONS"),
    (target(b"/%00"), 400, "NUL in the path"),
    (target(b"http://h/%00"), 400, "NUL in the path"),
    *((target(text), 400, "invalid authority") for text in (b"http://", b"http:///a", b"http://u@h/", b"http://h:x/")),
    (target(b"http://other/"), 400, "Host differs from the request target"),
    (target(b"http://h:80/"), 400, "Host differs from the request target"),
    *((request(field), 400, FIELD) for field in (
        b"X", b"X : a", b": a", b" folded", b"\tfolded", b"X\t: a", b"X\x00: a", b"X\x80: a", b"X\nY: a", b"(: a",
        b"A" * 41 + b" : v", b"A" * 41)),
    *((request(field), 400, "bare CR") for field in (b"X: a\rb", b"X\r: a", b"\rX: a", b"X: a\r", b"X: a\r\rb")),
    *((request(line=line), 400, "bare CR") for line in (b"GET / HTTP/1.1\r", b"GET\r/ HTTP/1.1", b"\rGET / HTTP/1.1")),
    (request(host=None), 400, "no Host"),
    (request(host=b""), 400, "invalid Host"),
    (request(b"host: h"), 400, "more than one Host"),
    *((request(b"Content-Length:" + value), 400, LENGTH) for value in (
        b"", b" ", b"+1", b"-1", b"1 1", b"1,1", b"0x1", b"1_0", b"1\xb2", b"18446744073709551616", b"9" * 5000,
        b"9223372036854775808", b"a")),
    (request(b"Content-Length: 1", b"Content-Length: 1"), 400, "more than one Content-Length"),
    (request(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400, "more than one Transfer-Encoding"),
    (request(b"Transfer-Encoding: gzip, chunked"), 501, "transfer coding not implemented"),
    (request(b"Transfer-Encoding: identity"), 501, "transfer coding not implemented"),
    (request(b"Transfer-Encoding: chunked, gzip"), 400, "chunked is not the last transfer coding"),
    (request(b"Transfer-Encoding: chunked, chunked"), 400, "chunked is not the last transfer coding"),
    *((request(b"Transfer-Encoding: " + value), 400, "malformed Transfer-Encoding")
      for value in (b"", b"chunked,", b"\x0bchunked", b"chunked;a=b", b"chun ked")),
    (request(b"Transfer-Encoding: chunked", b"Content-Length: 5"), 400, "Transfer-Encoding with Content-Length"),
    (request(b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400, "Transfer-Encoding with Content-Length"),
    (request(b"Transfer-Encoding: chunked", line=b"GET / HTTP/1.0"), 400, "or in HTTP/1.0"),
    *((request(b"Expect: " + value), 417, "unknown expectation") for value in (b"", b"x", b"100-continue, x")),
]  # fmt: skip


@pytest.mark.parametrize(("head", "status", "reason"), BAD)
def test_bad_head(heads: Any, head: bytes, status: int, reason: str) -> None:
    check_refused(heads, head, status, reason)


@pytest.mark.parametrize(("start", "end"), [(0, 3), (0, 99), (30, 28), (26, 28)])
def test_not_a_head(heads: Any, start: int, end: int) -> None:
    with pytest.raises(ValueError, match="not a whole head"):
        heads.split_head(request() + b"x", start, end, make_limits())


HOSTS = [
    b"h", b"example.com", b"EXAMPLE.com:80", b"h:", b"h:0", b"h:65535", b"h:00080", b"127.0.0.1:1", b"[::1]",
    b"[::1]:443", b"[::]", b"[::ffff:1.2.3.4]", b"[v1.a]:", b"[vF.a:b]", b"a_b", b"%20", b"!$&'()*+;=-._~",
]  # fmt: skip
NOT_HOSTS = [
    b"", b":", b":80", b"h:65536", b"h:000080", b"h:x", b"h:8 ", b"h:+8", b"h:-1", b"h:8:9", b"a,b", b"a b", b"u@h",
    b"h/", b"h?", b"h#", b"h\\", b'"h"', b"<h>", b"h\x80", b"h\x00", b"[", b"[]", b"[:", b"[:]", b"[::1", b"[::1]x",
    b"[zz]", b"[a!b]", b"[1:2]", b"[v]", b"[::1]]", b"[::1 ]", b"[::1]:x", b"x[::1]", b"::1", b"h:\xb2",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTS)
def test_host(heads: Any, value: bytes) -> None:
    assert heads.is_host(value) is True
    assert split(heads, request(host=value)).headers == [(b"host", value)]


@pytest.mark.parametrize("value", NOT_HOSTS)
def test_not_a_host(heads: Any, value: bytes) -> None:
    assert heads.is_host(value) is False
    if value != b"h:8 ":  # blanks around a field value are no part of it
        check_refused(heads, request(host=value), 400, "invalid Host")


# ---- Limits --------------------------------------------------------------------------------------------------------

SIZED = request(b"X: " + b"v" * 50, b"Content-Length: 100", line=b"GET /" + b"a" * 40 + b" HTTP/1.1")


@pytest.mark.parametrize(
    ("name", "size", "status", "reason"),
    [
        ("request_line", 54, 414, "request line too long"),
        ("request_field", 53, 431, "header field too large"),
        ("request_fields", 3, 431, "too many header fields"),
        ("request_head", len(SIZED), 431, "request head too large"),
        ("request_body", 100, 413, "request body too large"),
    ],
)
def test_limit(heads: Any, name: str, size: int, status: int, reason: str) -> None:
    whole = list_facts(split(heads, SIZED))
    assert list_facts(split(heads, SIZED, **{name: size})) == whole
    assert list_facts(split(heads, SIZED, **{name: size + 1})) == whole
    check_refused(heads, SIZED, status, reason, **{name: size - 1})


def test_body_limit_of_zero_is_off(heads: Any) -> None:
    assert split(heads, request(b"Content-Length: 9000000000000000000"), request_body=0).content_length == 9 * 10**18


# ---- Unfinished heads ----------------------------------------------------------------------------------------------


def check_prefixes(heads: Any, head: bytes, **limits: float) -> tuple[int, int, str] | None:
    """Check `head` as it comes byte by byte: how many bytes it took to refuse it, status and reason; else None."""
    scanned = 0
    for size in range(len(head)):
        args = (b"--" + head[:size], 2)
        fresh = try_call(heads.check_partial_head, *args, 2, make_limits(**limits))
        found = try_call(heads.check_partial_head, *args, scanned, make_limits(**limits))
        assert found == fresh
        if found[0] == "refused":
            return size, found[1], found[2]
        scanned = found[1]
        assert scanned == 2 + size - (head[:size].endswith(b"\r"))
    return None


@pytest.mark.parametrize("head", [head for head, _ in GOOD[::4]])
def test_prefix_of_a_good_head(heads: Any, head: bytes) -> None:
    assert check_prefixes(heads, head) is None


@pytest.mark.parametrize(("head", "size", "status", "reason"), [
    (b"\r\nGET / HTTP/1.1", 2, 400, "empty line before the request line"),
    (b"GET / HTTP/1.1\rX", 16, 400, "bare CR"),
    (b"GET /\nX", 6, 400, "bare LF"),
    (b"\nGET", 1, 400, "bare LF"),
    (b"G\x00T / ", 2, 400, "control byte"),
    (b"GET / HTTP/1.1\r\nX: a\x7fb", 21, 400, "control byte"),
    (b"GET / HTTP/1.1\r\nX: a\nb", 21, 400, "bare LF"),
    (b"GET / HTTP/1.1\r\nX: a\rb", 22, 400, "bare CR"),
    (b"GET / HTTP/3.0\r\nX: a", 16, 505, "HTTP version not supported"),
    (b"GET  / HTTP/1.1\r\nX: a", 17, 400, LINE),
])  # fmt: skip
def test_early_refusal(heads: Any, head: bytes, size: int, status: int, reason: str) -> None:
    assert check_prefixes(heads, head + b"Y") == (size, status, reason)


@pytest.mark.parametrize("head", [head for head, _, _ in BAD])
def test_prefix_of_a_bad_head(heads: Any, head: bytes) -> None:
    found = check_prefixes(heads, head)
    assert found is None or found[1] in {400, 505}


def test_partial_limits(heads: Any) -> None:
    line = b"GET /" + b"a" * 40 + b" HTTP/1.1"
    assert check_prefixes(heads, line + b"\r\nX", request_line=len(line)) is None
    assert check_prefixes(heads, line + b"\r\nX", request_line=53) == (54, 414, "request line too long")
    assert check_prefixes(heads, SIZED, request_head=len(SIZED) - 1) is None
    assert check_prefixes(heads, SIZED, request_head=80) == (81, 431, "request head too large")


@pytest.mark.parametrize(("data", "start", "end"), [
    (b"", 0, -1), (b"\r\n\r", 0, -1), (b"\r\n\r\n", 0, 4), (b"a\r\n\r\nb\r\n\r\n", 0, 5), (b"a\r\n\r\nb\r\n\r\n", 1, 5),
    (b"a\r\n\r\nb\r\n\r\n", 2, 10), (b"a\r\n\r\n", 5, -1), (b"a\n\nb\r\n\n\r\r\n\n", 0, -1), (b"\r\r\n\r\n", 0, 5),
])  # fmt: skip
def test_find_head_end(heads: Any, data: bytes, start: int, end: int) -> None:
    assert heads.find_head_end(data, start) == end


# ---- Each against the other, and both against llhttp ---------------------------------------------------------------

PIECES = [
    b"\r\n", b"\r", b"\n", b"\r\n\r\n", b" ", b"\t", b"\x00", b"\x0b", b"\x7f", b"\x80", b"\xff", b":", b",", b";",
    b"/", b"?", b"#", b"%00", b"%41", b"%", b"*", b"0", b"5", b"-", b"+", b"_", b"[", b"]", b"@", b"\\", b'"', b"<",
    b"chunked", b"gzip, ", b"HTTP/1.0", b"HTTP/2.0", b"http://h", b"CONNECT ", b"A" * 39, b"A" * 41, b"9" * 18,
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: 9223372036854775799\r\n",
    b"Host: h\r\n", b"Host: [::1]:80\r\n", b"Connection: close\r\n", b"Connection: keep-alive, upgrade\r\n",
    b"Upgrade: x\r\n", b"Expect: 100-continue\r\n", b"TE: trailers\r\n",
]  # fmt: skip
SOUND_HEADS = [head for head, _ in GOOD if len(head) < 400]


@st.composite
def attempts(draw: st.DrawFn) -> bytes:
    """Good and bad heads with up to three faults, and now and then something else altogether."""
    data = draw(st.sampled_from(SOUND_HEADS) | st.sampled_from([head for head, _, _ in BAD if len(head) < 400]))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 8)))
        data = data[:start] + draw(st.sampled_from(PIECES) | st.binary(max_size=2)) + data[stop:]
    return data


TIGHT = make_limits(request_line=40, request_field=45, request_fields=4, request_head=120, request_body=1000)


@needs_extension
@given(attempts() | st.binary(max_size=80), st.integers(0, 60), st.sampled_from([TIGHT, make_limits()]))
@example(b"GET / HTTP/1.1\r\nContent-Length: 9223372036854775800\r\n\r\n", 0, make_limits(request_body=0))
def test_both_texts_split_alike(data: bytes, start: int, limits: Limits) -> None:
    for begin in {0, min(start, len(data))}:
        end = ACTIVE.find_head_end(data, begin)
        assert end == TWIN.find_head_end(data, begin)
        if end >= 0:
            assert try_call(ACTIVE.split_head, data, begin, end, limits) == try_call(
                TWIN.split_head, data, begin, end, limits
            )
        for scanned in (begin, min(len(data), begin + 7)):
            args = (data, begin, scanned, limits)
            assert try_call(ACTIVE.check_partial_head, *args) == try_call(TWIN.check_partial_head, *args)
    assert ACTIVE.is_host(data) == TWIN.is_host(data)


class Witness:
    """What llhttp makes of a head."""

    def __init__(self, head: bytes) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.accepts = True
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            self.accepts = False
            return
        self.method = parser.get_method().decode("ascii")
        self.http_version = parser.get_http_version()

    def on_url(self, data: bytes) -> None:
        self.target += data

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.strip(b" \t")))


def without_host(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name != b"host"]


@given(attempts())
@example(request(b"X:  a ", line=b"PATCH /a?b HTTP/1.0"))
def test_llhttp_reads_the_same(data: bytes) -> None:
    end = ACTIVE.find_head_end(data, 0)
    try:
        found = ACTIVE.split_head(data, 0, end, make_limits())
    except (WireError, ValueError):
        return
    witness = Witness(data[:end])
    if not witness.accepts:
        return
    assert (found.method, found.http_version) == (witness.method, witness.http_version)
    if witness.target.startswith(b"/"):
        assert witness.target.rstrip(b"?") == b"?".join([found.raw_path, found.query_string]).rstrip(b"?")
        assert found.headers == witness.headers
    else:  # the target's authority takes the place of Host
        assert without_host(found.headers) == without_host(witness.headers)
    assert not (found.chunked and found.content_length >= 0)


@pytest.mark.parametrize("head", SOUND_HEADS)
def test_llhttp_takes_what_is_good(head: bytes) -> None:
    assert Witness(head).accepts

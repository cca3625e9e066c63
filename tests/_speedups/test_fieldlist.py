"""Heads that come as lists of fields: both texts of `fieldlist` held to the same tables and to each other."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserver._speedups.contract import Request, WireError
from tests._speedups.twin import FIELDLIST, list_facts, make_limits, needs_extension, try_call

ACTIVE, TWIN = FIELDLIST
Fields = list[tuple[bytes, bytes]]

GET: Fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"/")]
CONNECT: Fields = [(b":method", b"CONNECT"), (b":authority", b"h:443")]
SESSION: Fields = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]


def replace(name: bytes, value: bytes | None, fields: Fields = GET) -> Fields:
    """`fields` with another value of one, or without it."""
    return [(key, value if key == name else old) for key, old in fields if key != name or value is not None]  # type: ignore[misc]


def read(fieldlist: Any, fields: Fields, scheme: str = "http", /, **limits: float) -> Request:
    request = fieldlist.read_field_list(fields, make_limits(**limits), "2", scheme)
    assert isinstance(request, Request)
    return request


def check_refused(
    fieldlist: Any, status: int, reason: str, fields: Fields, scheme: str = "http", **limits: float
) -> None:
    with pytest.raises(WireError, match=reason) as caught:
        read(fieldlist, fields, scheme, **limits)
    assert caught.value.status == status


def test_facts(fieldlist: Any) -> None:
    fields = [*GET[:3], (b":path", b"/a%20b?c=d"), (b"x", b"y"), (b"te", b"Trailers"), (b"expect", b"100-Continue"),
              (b"content-length", b"007"), (b"accept", b"*/*"), (b"x", b"\x80")]  # fmt: skip
    request = read(fieldlist, fields)
    facts = {"method": "GET", "http_version": "2", "path": "/a b", "raw_path": b"/a%20b", "query_string": b"c=d",
             "content_length": 7, "has_host": True, "expect_continue": True, "accepts_trailers": True,
             "headers": [(b"host", b"h"), *fields[4:]]}  # fmt: skip
    assert list_facts(request) == list_facts(Request()) | facts
    assert fieldlist.read_field_list(GET, make_limits(), "3", "http").http_version == "3"


def test_headers_are_a_list_of_their_own(fieldlist: Any) -> None:
    fields = [*GET, (b"x", b"y")]
    read(fieldlist, fields)
    assert fields == [*GET, (b"x", b"y")]


# ---- Names and values ------------------------------------------------------------------------------------------------

NO_NAME_BYTES = [
    byte for byte in range(256) if not (chr(byte).isalnum() and byte < 128) and byte not in b"!#$%&'*+-.^_`|~"
]
NO_VALUE_BYTES = [*range(9), *range(10, 32), 127]


@pytest.mark.parametrize("byte", [*NO_NAME_BYTES, *b"ABCXYZ"])
def test_names(fieldlist: Any, byte: int) -> None:
    bad = bytes((byte,))
    reason = "pseudo-header field" if bad == b":" else "malformed field name"
    check_refused(fieldlist, 400, reason, [*GET, (bad, b"v")])
    for name in (b"a" + bad, b"a" + bad + b"b"):
        check_refused(fieldlist, 400, "malformed field name", [*GET, (name, b"v")])
        with pytest.raises(WireError, match="malformed field name"):
            fieldlist.check_trailers([(name, b"v")], make_limits())


def test_empty_name(fieldlist: Any) -> None:
    check_refused(fieldlist, 400, "empty field name", [*GET, (b"", b"v")])


def test_any_token_is_a_name(fieldlist: Any) -> None:
    names = [bytes((byte,)) for byte in b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"]
    assert read(fieldlist, [*GET, *((name, b"") for name in names)]).headers[1:] == [(name, b"") for name in names]


@pytest.mark.parametrize("byte", NO_VALUE_BYTES)
@pytest.mark.parametrize("name", [b"x", b":path", b"host", b"cookie"])
def test_values(fieldlist: Any, name: bytes, byte: int) -> None:
    for value in (b"%c", b"a%c", b"%ca", b"a%ca"):
        check_refused(fieldlist, 400, "control byte", [*GET[:3], (name, value % byte)])
        with pytest.raises(WireError, match="control byte"):
            fieldlist.check_trailers([(b"x", value % byte)], make_limits())


@pytest.mark.parametrize("value", [b" ", b"\t", b" a", b"a ", b"\ta", b"a\t"])
def test_blanks(fieldlist: Any, value: bytes) -> None:
    check_refused(fieldlist, 400, "blank at an end", [*GET, (b"x", value)])
    check_refused(fieldlist, 400, "blank at an end", replace(b":authority", value))
    with pytest.raises(WireError, match="blank at an end"):
        fieldlist.check_trailers([(b"x", value)], make_limits())


# ---- Fields that mean something --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"])
@pytest.mark.parametrize("value", [b"", b"close", b"chunked"])
def test_fields_of_the_connection(fieldlist: Any, name: bytes, value: bytes) -> None:
    check_refused(fieldlist, 400, "connection-specific", [*GET, (name, value)])
    with pytest.raises(WireError, match="connection-specific"):
        fieldlist.check_trailers([(name, value)], make_limits())


@pytest.mark.parametrize("value", [b"", b"gzip", b"trailers, gzip", b"trailers;q=1", b"trailer"])
def test_te(fieldlist: Any, value: bytes) -> None:
    check_refused(fieldlist, 400, "TE is not trailers", [*GET, (b"te", value)])


@pytest.mark.parametrize("value", [b"", b"100", b"101-continue", b"100-continue, x"])
def test_expect(fieldlist: Any, value: bytes) -> None:
    check_refused(fieldlist, 417, "unknown expectation", [*GET, (b"expect", value)])


@pytest.mark.parametrize(
    "value", [b"", b"+1", b"-1", b"1_0", b"0x1", b"1 1", b"1,1", b"1.0", b"9" * 20, b"9223372036854775808"]
)
def test_bad_content_length(fieldlist: Any, value: bytes) -> None:
    check_refused(fieldlist, 400, "invalid Content-Length", [*GET, (b"content-length", value)], request_body=0)


@pytest.mark.parametrize("value", [b"0", b"1", b"1073741824", b"000000000000000000000000001"])
def test_content_length(fieldlist: Any, value: bytes) -> None:
    assert read(fieldlist, [*GET, (b"content-length", value)]).content_length == int(value)


def test_content_length_once(fieldlist: Any) -> None:
    for second in (b"1", b"2"):
        check_refused(
            fieldlist,
            400,
            "more than one Content-Length",
            [*GET, (b"content-length", b"1"), (b"content-length", second)],
        )


@pytest.mark.parametrize(
    ("crumbs", "headers"),
    [
        ([(b"cookie", b"a=b")], [(b"cookie", b"a=b")]),
        ([(b"cookie", b"a=b"), (b"cookie", b"c=d")], [(b"cookie", b"a=b; c=d")]),
        (
            [(b"cookie", b"a"), (b"x", b"y"), (b"cookie", b""), (b"cookie", b"c")],
            [(b"cookie", b"a; ; c"), (b"x", b"y")],
        ),
        (
            [(b"x", b"y"), (b"cookie", b"a"), (b"cookie", b"b"), (b"z", b"")],
            [(b"x", b"y"), (b"cookie", b"a; b"), (b"z", b"")],
        ),
        ([(b"cookie2", b"a"), (b"cookie2", b"b")], [(b"cookie2", b"a"), (b"cookie2", b"b")]),
        ([(b"authorization", b"a"), (b"authorization", b"b")], [(b"authorization", b"a"), (b"authorization", b"b")]),
    ],
)
def test_cookie_crumbs(fieldlist: Any, crumbs: Fields, headers: Fields) -> None:
    assert read(fieldlist, [*GET, *crumbs]).headers == [(b"host", b"h"), *headers]


def test_crumbs_around_host(fieldlist: Any) -> None:
    fields = [*GET, (b"cookie", b"a"), (b"host", b"h"), (b"x", b""), (b"cookie", b"b")]
    assert read(fieldlist, fields).headers == [(b"host", b"h"), (b"cookie", b"a; b"), (b"x", b"")]


# ---- Host ------------------------------------------------------------------------------------------------------------

NO_HOSTS = [b"u@h", b"h/", b"a b", b"a,b", b"h:x", b"h:65536", b"[::1", b"h#", b"h?", b"\xff"]


@pytest.mark.parametrize("host", [b"h", b"H", b"h:8000", b"[::1]", b"[::1]:1", b"1.2.3.4"])
def test_host(fieldlist: Any, host: bytes) -> None:
    fields = [(b"x", b"y"), (b"host", host.lower()), (b"z", b"")]
    assert read(fieldlist, replace(b":authority", host)).headers == [(b"host", host)]
    assert read(fieldlist, [*replace(b":authority", host), *fields]).headers == [(b"host", host), fields[0], fields[2]]
    assert read(fieldlist, [*replace(b":authority", None), *fields]).headers == fields


@pytest.mark.parametrize("host", NO_HOSTS)
def test_bad_host(fieldlist: Any, host: bytes) -> None:
    check_refused(fieldlist, 400, "invalid :authority", replace(b":authority", host))
    check_refused(fieldlist, 400, "invalid Host", [*replace(b":authority", None), (b"host", host)])


def test_hosts_that_differ(fieldlist: Any) -> None:
    check_refused(fieldlist, 400, "Host differs", [*GET, (b"host", b"other")])
    check_refused(fieldlist, 400, "Host differs", [*GET, (b"host", b"h:80")])
    check_refused(fieldlist, 400, "more than one Host", [*GET, (b"host", b"h"), (b"host", b"h")])
    check_refused(fieldlist, 400, "no :authority", replace(b":authority", None))


# ---- Pseudo-header fields --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("no :method", []),
        ("no :method", replace(b":method", None)),
        ("no :scheme or no :path", replace(b":scheme", None)),
        ("no :scheme or no :path", replace(b":path", None)),
        ("malformed :method", replace(b":method", b"")),
        ("malformed :method", replace(b":method", b"G T")),
        ("malformed :method", replace(b":method", b"G(T")),
        ("malformed :method", replace(b":method", b"\x80")),
        (":scheme is not", replace(b":scheme", b"")),
        (":scheme is not", replace(b":scheme", b"ftp")),
        (":scheme is not", replace(b":scheme", b"HTTP")),
        ("unknown pseudo-header field", [*GET, (b":status", b"200")]),
        ("unknown pseudo-header field", [*GET, (b":", b"")]),
        ("unknown pseudo-header field", [*GET, (b":Path", b"/")]),
        ("unknown pseudo-header field", [*GET, (b":path ", b"/")]),
        *(("given twice", [*GET, (name, value)]) for name, value in GET),
        ("given twice", [*SESSION, SESSION[1]]),
        ("behind a field", [*GET[:3], (b"x", b"y"), GET[3]]),
        ("CONNECT needs :authority alone", [*CONNECT, (b":path", b"/")]),
        ("CONNECT needs :authority alone", [*CONNECT, (b":scheme", b"http")]),
        ("CONNECT needs :authority alone", CONNECT[:1]),
        (":protocol without CONNECT", [*GET, (b":protocol", b"websocket")]),
        (":protocol without CONNECT", replace(b":authority", None, SESSION)),
        ("no :scheme or no :path", replace(b":path", None, SESSION)),
        ("no :scheme or no :path", replace(b":scheme", None, SESSION)),
        ("empty field name", replace(b":protocol", b"", SESSION)),
        ("malformed field name", replace(b":protocol", b"a b", SESSION)),
        ("malformed field name", replace(b":protocol", b"\xe9", SESSION)),
    ],
)
def test_pseudo(fieldlist: Any, reason: str, fields: Fields) -> None:
    check_refused(fieldlist, 400, reason, fields)


@pytest.mark.parametrize("path", [b"", b"a", b"*", b"/a b", b"/a#b", b"/\xff", b"http://h/", b'/"', b"/<", b"/%00"])
def test_bad_path(fieldlist: Any, path: bytes) -> None:
    with pytest.raises(WireError) as caught:
        read(fieldlist, replace(b":path", path))
    assert caught.value.status == 400


def test_options(fieldlist: Any) -> None:
    request = read(fieldlist, [(b":method", b"OPTIONS"), GET[1], GET[2], (b":path", b"*")])
    assert (request.method, request.path, request.raw_path) == ("OPTIONS", "*", b"*")


@pytest.mark.parametrize("method", [b"BREW", b"get", b"PRI", b"CONNECTX"])
def test_unknown_methods(fieldlist: Any, method: bytes) -> None:
    check_refused(fieldlist, 501, "not implemented", replace(b":method", method))


@pytest.mark.parametrize(("given", "scheme", "good"), [
    (b"http", "http", True), (b"https", "https", True), (b"https", "http", True), (b"http", "https", False),
])  # fmt: skip
def test_scheme(fieldlist: Any, given: bytes, scheme: str, good: bool) -> None:
    """What a proxy took by TLS may come in the clear, never the other way round."""
    fields = replace(b":scheme", given)
    if good:
        assert read(fieldlist, fields, scheme).method == "GET"
    else:
        check_refused(fieldlist, 400, ":scheme is not", fields, scheme)


def test_connect(fieldlist: Any) -> None:
    check_refused(fieldlist, 501, "not implemented", CONNECT)


@pytest.mark.parametrize("protocol", [b"websocket", b"WebSocket", b"connect-udp"])
def test_extended_connect(fieldlist: Any, protocol: bytes) -> None:
    request = read(fieldlist, replace(b":protocol", protocol, SESSION))
    assert (request.method, request.protocol) == ("CONNECT", protocol.decode().lower())
    assert (request.path, request.headers) == ("/", [(b"host", b"h")])


# ---- Limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "good"), [(49, True), (50, True), (51, False)])
def test_field_limit(fieldlist: Any, size: int, good: bool) -> None:
    field = (b"name", b"v" * (size - 4))
    if good:
        assert read(fieldlist, [*GET, field], request_field=50).headers[1:] == [field]
        fieldlist.check_trailers([field], make_limits(request_field=50))
    else:
        check_refused(fieldlist, 431, "header field too large", [*GET, field], request_field=50)
        with pytest.raises(WireError, match="trailer field too large"):
            fieldlist.check_trailers([field], make_limits(request_field=50))


@pytest.mark.parametrize(("number", "good"), [(9, True), (10, True), (11, False)])
@pytest.mark.parametrize("name", [b"x", b"cookie"])
def test_fields_limit(fieldlist: Any, name: bytes, number: int, good: bool) -> None:
    """Crumbs count one by one; pseudo-header fields do not."""
    fields = [(name, b"v")] * number
    if good:
        read(fieldlist, [*GET, *fields], request_fields=10)
        fieldlist.check_trailers(fields, make_limits(request_fields=10))
    else:
        check_refused(fieldlist, 431, "too many header fields", [*GET, *fields], request_fields=10)
        with pytest.raises(WireError, match="too many trailer fields"):
            fieldlist.check_trailers(fields, make_limits(request_fields=10))


@pytest.mark.parametrize(("size", "good"), [(29, True), (30, True), (31, False)])
def test_target_limit(fieldlist: Any, size: int, good: bool) -> None:
    fields = replace(b":path", b"/" + b"a" * (size - 1))
    if good:
        assert len(read(fieldlist, fields, request_line=30).raw_path) == size
    else:
        check_refused(fieldlist, 414, "too long", fields, request_line=30)


@pytest.mark.parametrize(
    ("length", "limit", "good"), [(99, 100, True), (100, 100, True), (101, 100, False), (101, 0, True)]
)
def test_body_limit(fieldlist: Any, length: int, limit: int, good: bool) -> None:
    fields = [*GET, (b"content-length", b"%d" % length)]
    if good:
        assert read(fieldlist, fields, request_body=limit).content_length == length
    else:
        check_refused(fieldlist, 413, "body too large", fields, request_body=limit)


# ---- Both texts ------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from([
    b":method", b":scheme", b":authority", b":path", b":protocol", b":status", b"host", b"cookie", b"te", b"expect",
    b"content-length", b"connection", b"upgrade", b"transfer-encoding", b"keep-alive", b"x-a", b"X-A", b"accept", b"",
])  # fmt: skip
VALUES = st.sampled_from([
    b"GET", b"CONNECT", b"OPTIONS", b"http", b"https", b"h", b"H", b"other", b"/", b"/a?b", b"*", b"websocket",
    b"trailers", b"100-continue", b"0", b"7", b"a=b", b"", b" ", b"a\0",
])  # fmt: skip
ANY = st.tuples(NAMES | st.binary(max_size=8), VALUES | st.binary(max_size=8))
LIKELY = st.tuples(NAMES, VALUES)


@needs_extension
@given(st.lists(ANY | LIKELY, max_size=8), st.booleans(), st.sampled_from(["http", "https"]))
def test_texts_agree(fields: Fields, whole: bool, scheme: str) -> None:
    given_fields = [*GET, *fields] if whole else fields
    limits = make_limits(request_fields=5, request_field=12, request_line=6, request_body=6)
    active, twin = (try_call(text.read_field_list, list(given_fields), limits, "2", scheme) for text in (ACTIVE, TWIN))
    assert active == twin
    assert try_call(ACTIVE.check_trailers, fields, limits) == try_call(TWIN.check_trailers, fields, limits)


@needs_extension
@given(st.permutations([*SESSION, (b"host", b"h"), (b"cookie", b"a"), (b"cookie", b"b")]), st.integers(0, 8))
def test_texts_agree_on_any_order(fields: Fields, size: int) -> None:
    limits = make_limits()
    texts = (ACTIVE, TWIN)
    for part in (fields, fields[:size]):
        active, twin = (try_call(text.read_field_list, part, limits, "2", "http") for text in texts)
        assert active == twin

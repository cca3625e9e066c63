"""Responses: both texts of `rendering` held to the same tables and to each other."""

from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastserver._speedups.contract import ResponseHead
from tests._speedups.twin import RENDERING, list_facts, needs_extension, try_call

ACTIVE, TWIN = RENDERING


def test_inspect_response(rendering: Any) -> None:
    fields = [(b"Content-Type", b"a/b"), [b"X", b""], (b"DATE", b"d"), (b"Server", b"s"), (b"content-length", b"07"),
              (b"Upgrade", b"u"), (b"TE", b"t"), (b"host", b"h"), (b"x-\x7e", b"a \t\x80\xff")]  # fmt: skip
    dropped = [(b"Transfer-Encoding", b"chunked"), (b"Keep-Alive", b"k"), (b"Proxy-Connection", b"p"),
               (b"connection", b"x, CLOSE"), (b"Content-Length", b"7")]  # fmt: skip
    head = rendering.inspect_response(HTTPStatus.OK, (item for item in [*fields, *dropped]))
    assert type(head.status) is int
    assert list_facts(head) == {
        "status": 200, "fields": [tuple(field) for field in fields], "content_length": 7, "has_date": True,
        "has_server": True, "close": True, "trailers": False,
    }  # fmt: skip
    plain = rendering.inspect_response(999, [(b"Connection", b"keep-alive")])
    assert list_facts(plain) == list_facts(ResponseHead()) | {"status": 999}


def test_a_head_field_by_field(rendering: Any) -> None:
    fields = [(b"Date", b"d"), (b"Connection", b"close"), (b"TE", b"t"), (b"Content-Length", b"7"), (b"X", b"y"),
              (b"Upgrade", b"u"), (b"content-length", b"7"), (b"Set-Cookie", b"a=b")]  # fmt: skip
    head = rendering.begin_head(404)
    for pair in fields:
        rendering.take_field(head, pair, rendering.inspect_field(*pair))
    assert list_facts(head) == list_facts(rendering.inspect_response(404, fields))
    with pytest.raises(ValueError, match="contradictory content-length"):
        rendering.take_field(head, (b"Content-Length", b"8"), rendering.inspect_field(b"Content-Length", b"8"))
    with pytest.raises(ValueError, match="invalid byte"):
        rendering.inspect_field(b"X", b"a\nb")
    for status in (199, 1000):
        with pytest.raises(ValueError, match="200 to 999"):
            rendering.begin_head(status)


def test_has_field(rendering: Any) -> None:
    head = rendering.inspect_response(200, [(b"ALT-Svc", b"clear"), (b"alt-svcs", b"x")])
    assert rendering.has_field(head, b"alt-svc") is True
    assert [rendering.has_field(head, name) for name in (b"alt-sv", b"lt-svcs", b"")] == [False] * 3
    assert rendering.has_field(ResponseHead(), b"alt-svc") is False


@pytest.mark.parametrize(("status", "kind", "reason"), [
    ("200", TypeError, "status must be an int"), (True, TypeError, "status must be an int"),
    (None, TypeError, "status must be an int"), (200.0, TypeError, "status must be an int"),
    (199, ValueError, "200 to 999"), (100, ValueError, "200 to 999"), (1000, ValueError, "200 to 999"),
    (-200, ValueError, "200 to 999"), (10**30, ValueError, "200 to 999"),
])  # fmt: skip
def test_bad_status(rendering: Any, status: Any, kind: type[Exception], reason: str) -> None:
    with pytest.raises(kind, match=reason):
        rendering.inspect_response(status, [])


@pytest.mark.parametrize(("item", "kind", "reason"), [
    ((b"a",), ValueError, "must be a pair"), ((b"a", b"b", b"c"), ValueError, "must be a pair"),
    ("ab", TypeError, "must be bytes"), (("a", b"b"), TypeError, "must be bytes"), ((b"a", "b"), TypeError, "bytes"),
    ((b"a", bytearray(b"b")), TypeError, "must be bytes"), ((b"a", None), TypeError, "must be bytes"),
    (5, TypeError, "not iterable"), ((b"", b"b"), ValueError, "empty header name"),
    *(((name, b"v"), ValueError, "invalid header name") for name in
      (b"a b", b"a:", b"a\r", b"a\n", b"\x00", b"\x80", b"(", b":a", b"A" * 41 + b" ")),
    *(((b"a", value), ValueError, "invalid byte in the value") for value in
      (b"a\r\nb", b"a\rb", b"a\nb", b"a\x00", b"\x7f", b"\r", b"\n", b"\x1f")),
    *(((b"a", value), ValueError, "blank at an end") for value in (b" ", b"\t", b" a", b"a ", b"\ta", b"a\t")),
])  # fmt: skip
def test_bad_response_field(rendering: Any, item: Any, kind: type[Exception], reason: str) -> None:
    for inspect in (lambda fields: rendering.inspect_response(200, fields), rendering.inspect_fields):
        with pytest.raises(kind, match=reason):
            inspect([(b"good", b"v"), item])


@pytest.mark.parametrize("values", [(b"",), (b"x",), (b"-1",), (b"1,1",), (b"1", b"2"), (b"9" * 20,)])
def test_bad_response_length(rendering: Any, values: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="content-length"):
        rendering.inspect_response(200, [(b"Content-Length", value) for value in values])


def test_inspect_fields(rendering: Any) -> None:
    kept: list[Any] = [(b"Link", b"<a>"), (b"date", b"d"), (b"Server", b"s"), [b"set-cookie", b"c"]]
    dropped = [
        b"Host",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Connection",
        b"Expect",
        b"TE",
        b"Upgrade",
        b"Keep-Alive",
    ]
    found = rendering.inspect_fields([*kept, *((name, b"1") for name in dropped)])
    assert found == [tuple(field) for field in kept]
    assert rendering.inspect_fields(iter(())) == []


SIZES = [0, 1, 9, 10, 15, 16, 17, 99, 100, 255, 256, 4095, 4096, 65535, 65536]


@pytest.mark.parametrize("size", SIZES)
def test_render_response(rendering: Any, size: int) -> None:
    head = rendering.inspect_response(200, [(b"A", b"1"), (b"b", b"")])
    body = b"x" * size
    lines = (b"connection: close\r\n", b"date: d\r\n", b"server: s\r\n", b"x: y\r\nz: \r\n")
    begin, end = b"HTTP/1.1 200 OK\r\nA: 1\r\nb: \r\n", b"".join(lines) + b"\r\n"
    render = rendering.render_response
    assert render(head, body, -1, False, *lines) == begin + end + body
    length = b"content-length: %d\r\n" % size
    assert render(head, body, size, False, *lines) == begin + length + end + body
    chunk = b"%x\r\n%b\r\n" % (size, body) if size else b""
    coding = b"transfer-encoding: chunked\r\n"
    assert render(head, body, -1, True, *lines) == begin + coding + end + chunk


@pytest.mark.parametrize("length", [10**power - delta for power in range(19) for delta in (0, 1)] + [2**63 - 1])
def test_render_length(rendering: Any, length: int) -> None:
    out = rendering.render_response(rendering.inspect_response(304, []), b"", length, False, b"", b"", b"", b"")
    assert out == b"HTTP/1.1 304 Not Modified\r\ncontent-length: %d\r\n\r\n" % length


def test_render_status_without_phrase(rendering: Any) -> None:
    for _ in range(2):
        out = rendering.render_response(rendering.inspect_response(299, []), b"", -1, False, b"", b"", b"", b"")
        assert out == b"HTTP/1.1 299 \r\n\r\n"


def test_render_fields(rendering: Any) -> None:
    assert rendering.render_fields(100, []) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (
        rendering.render_fields(103, [(b"Link", b"a"), (b"b", b"")])
        == b"HTTP/1.1 103 Early Hints\r\nLink: a\r\nb: \r\n\r\n"
    )


@pytest.mark.parametrize("size", SIZES)
def test_render_chunk(rendering: Any, size: int) -> None:
    chunk = b"%x\r\n%b\r\n" % (size, b"x" * size) if size else b""
    assert rendering.render_chunk(b"x" * size, False) == chunk
    assert rendering.render_chunk(b"x" * size, True) == chunk + b"0\r\n\r\n"


# ---- Each against the other ----------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [b"A", b"Content-Length", b"DATE", b"server", b"Connection", b"Transfer-Encoding", b"te", b"Keep-Alive", b"B" * 41]
)
ITEMS = st.one_of(
    st.tuples(NAMES, st.sampled_from([b"", b"1", b"01", b"close", b"x, Close", b"9223372036854775799", b"a b"])),
    st.tuples(NAMES | st.binary(max_size=3), st.binary(max_size=3)),
    st.lists(st.binary(max_size=2) | st.text(max_size=1), max_size=3),
)


@needs_extension
@given(st.integers(195, 1005) | st.booleans() | st.none(), st.lists(ITEMS, max_size=4), st.binary(max_size=20))
def test_both_texts_respond_alike(status: Any, headers: list[Any], body: bytes) -> None:
    found = try_call(ACTIVE.inspect_response, status, headers)
    assert found == try_call(TWIN.inspect_response, status, headers)
    assert try_call(ACTIVE.inspect_fields, headers) == try_call(TWIN.inspect_fields, headers)
    if found[0] == "result":
        head = TWIN.inspect_response(status, headers)
        for framing in ((len(body), False), (-1, False), (-1, True)):
            args = (head, body, *framing, b"", b"d: d\r\n", b"", b"")
            assert ACTIVE.render_response(*args) == TWIN.render_response(*args)
        assert ACTIVE.render_fields(status, head.fields) == TWIN.render_fields(status, head.fields)

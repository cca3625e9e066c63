"""The cold half of head splitting: percent-decoding, the rare forms of target, refused transfer codings."""

import pytest

from fastserver._speedups.contract import Request, WireError
from fastserver._speedups.target import decode_path, refuse_coding, replace_host, split_target


def accept_any(value: bytes) -> bool:
    return True


def is_one_letter(value: bytes) -> bool:
    return len(value) == 1


@pytest.mark.parametrize(
    ("raw_path", "path"),
    [
        (b"/", "/"),
        (b"/a+b", "/a+b"),
        (b"/%41%2f%2F", "/A//"),
        (b"/%25%32%35", "/%25"),
        (b"/%2500", "/%00"),
        (b"/%C3%A9/%e2%82%ac", "/é/€"),
        (b"/%f0%9f%90%8d", "/\N{SNAKE}"),
        (b"/%C3", "/\ufffd"),
        (b"/%ff", "/\ufffd"),
        (b"/%c0%af", "/\ufffd\ufffd"),
        (b"/%", "/%"),
        (b"/%4", "/%4"),
        (b"/%zz%4g", "/%zz%4g"),
        (b"/%01", "/\x01"),
    ],
)
def test_decode_path(raw_path: bytes, path: str) -> None:
    assert decode_path(raw_path) == path


@pytest.mark.parametrize("raw_path", [b"/%00", b"%00", b"/a%00b", b"/%41%00"])
def test_decode_path_refuses_nul(raw_path: bytes) -> None:
    with pytest.raises(WireError, match="NUL") as caught:
        decode_path(raw_path)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("method", "target", "parts"),
    [
        ("OPTIONS", b"*", (None, b"*", b"")),
        ("GET", b"http://h", (b"h", b"/", b"")),
        ("GET", b"http://h/", (b"h", b"/", b"")),
        ("GET", b"HtTpS://h/a/b?c?d", (b"h", b"/a/b", b"c?d")),
        ("GET", b"http://h?", (b"h", b"/", b"")),
        ("GET", b"http://h?a/b", (b"h", b"/", b"a/b")),
        ("OPTIONS", b"http://h", (b"h", b"/", b"")),
    ],
)
def test_split_target(method: str, target: bytes, parts: tuple[bytes | None, bytes, bytes]) -> None:
    assert split_target(method, target, is_one_letter) == parts


@pytest.mark.parametrize(
    ("method", "target", "reason"),
    [
        ("GET", b"*", "asterisk-form"),
        ("OPTIONS", b"**", "unknown form"),
        ("OPTIONS", b"*/", "unknown form"),
        ("GET", b"h", "unknown form"),
        ("GET", b"h:80", "unknown form"),
        ("GET", b"?a", "unknown form"),
        ("GET", b"ftp://h/", "unknown form"),
        ("GET", b"http:/h", "unknown form"),
        ("GET", b"://h", "unknown form"),
        ("GET", b"http://", "invalid authority"),
        ("GET", b"http:///a", "invalid authority"),
        ("GET", b"http://?a", "invalid authority"),
        ("GET", b"http://hh/", "invalid authority"),
    ],
)
def test_split_target_refuses(method: str, target: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason) as caught:
        split_target(method, target, is_one_letter)
    assert caught.value.status == 400


def test_split_target_leaves_the_authority_to_the_caller() -> None:
    assert split_target("GET", b"http://u@h:x/", accept_any) == (b"u@h:x", b"/", b"")


def make_request(*headers: tuple[bytes, bytes]) -> Request:
    request = Request()
    request.headers = list(headers)
    return request


def test_replace_host_of_the_same_name() -> None:
    request = make_request((b"a", b"1"), (b"host", b"EXAMPLE.com"), (b"b", b"2"))
    replace_host(request, b"example.COM")
    assert request.headers == [(b"a", b"1"), (b"host", b"example.COM"), (b"b", b"2")]


def test_replace_host_that_is_missing() -> None:
    request = make_request((b"a", b"1"))
    replace_host(request, b"h")
    assert request.headers == [(b"host", b"h"), (b"a", b"1")]


@pytest.mark.parametrize("value", [b"other", b"h:80", b"h."])
def test_replace_host_of_another_name(value: bytes) -> None:
    with pytest.raises(WireError, match="differs") as caught:
        replace_host(make_request((b"host", value)), b"h")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("value", "status", "reason"),
    [
        (b"gzip", 501, "not implemented"),
        (b"gzip, chunked", 501, "not implemented"),
        (b"GZIP \t,\tCHUNKED", 501, "not implemented"),
        (b"identity", 501, "not implemented"),
        (b"xchunked", 501, "not implemented"),
        (b"chunked, gzip", 400, "not the last"),
        (b"chunked, chunked", 400, "not the last"),
        (b"Chunked,x", 400, "not the last"),
        (b"", 400, "malformed"),
        (b",", 400, "malformed"),
        (b"chunked,", 400, "malformed"),
        (b",chunked", 400, "malformed"),
        (b"chun ked", 400, "malformed"),
        (b"chunked;q=1", 400, "malformed"),
        (b"\x0bchunked", 400, "malformed"),
        (b"chunked\x00", 400, "malformed"),
        (b"\xc3\xa9", 400, "malformed"),
        (b'"chunked"', 400, "malformed"),
    ],
)
def test_refuse_coding(value: bytes, status: int, reason: str) -> None:
    error = refuse_coding(value)
    assert isinstance(error, WireError)
    assert error.status == status
    assert reason in error.reason

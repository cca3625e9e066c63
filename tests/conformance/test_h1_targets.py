"""H1-20, H1-21, H1-23, H1-24: forms of the request target, and what the application sees of them."""

import pytest

from tests.conformance.cases import check_refused, check_served, request
from tests.fakes import Recorder, Wire


def get(
    target: bytes, *fields: bytes, method: bytes = b"GET", version: bytes = b"1.1", host: bytes | None = b"h"
) -> bytes:
    return request(*fields, line=method + b" " + target + b" HTTP/" + version, host=host)


def serve(payload: bytes) -> dict[str, object]:
    """The scope of the one request in `payload`, which arrives whole."""
    recorder = Recorder()
    wire = Wire(recorder).feed(payload)
    assert wire.response().status == 200
    wire.hang_up()
    return dict(recorder.call.scope)


@pytest.mark.parametrize(
    "target",
    [
        b"foo",
        b"foo/bar",
        b"h:80",
        b"h",
        b"*",
        b"*foo",
        b"/*/../*#",
        b"/#fragment",
        b"/a#fragment",
        b"/?a#fragment",
        b"#",
        b"?a=b",
        b"./a",
        b"\\",
        b"/a\\b",
        b'/a"b',
        b"/a<b",
        b"/a>b",
        b"/a\x00b",
        b"/a\x01b",
        b"/a\x1fb",
        b"/a\x7fb",
        b"/a\tb",
        b"/a\x80b",
        b"/\xc3\xa9",
        b"/?\x00",
        b"/?\xc3\xa9",
        b"/?\x7f",
        b"ftp://h/",
        b"ws://h/",
        b"javascript://h/",
        b"http:/h/",
        b"http:h",
        b"http//h/",
        b"://h/",
        b"http://h/#fragment",
    ],
)
def test_h1_20_other_target_is_refused(target: bytes) -> None:
    check_refused(get(target), 400)


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD", b"DELETE"])
def test_h1_20_asterisk_is_for_options_only(method: bytes) -> None:
    check_refused(get(b"*", method=method), 400)


def test_h1_20_options_asterisk_is_served() -> None:
    scope = check_served(get(b"*", method=b"OPTIONS"), b"OPTIONS * ").call.scope
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("*", b"*", b"")


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"//",
        b"//a//b",
        b"/a/b;c=d",
        b"/a:80@b",
        b"/-._~!$&'()*+,;=:@",
        b"/?",
        b"/??",
        b"/a?b?c",
        b"/?a=b&c=d",
        b"/?http://h/",
        b"/?|{}^[]`",
        b"/?a[]=1&b|c",
    ],
)
def test_h1_20_origin_form_is_served(target: bytes) -> None:
    path, _, query = target.partition(b"?")
    scope = check_served(get(target), b"GET " + (target if query else path) + b" ").call.scope
    assert (scope["raw_path"], scope["query_string"]) == (path, query)


def test_h1_20_every_unreserved_byte_is_left_as_it_is() -> None:
    target = b"/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
    scope = check_served(get(target), b"GET " + target + b" ").call.scope
    assert scope["path"].encode() == scope["raw_path"] == target


# ---- absolute-form: RFC 9112 section 3.2.2 --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://h", b"/", b""),
        (b"http://h/", b"/", b""),
        (b"http://h/a/b", b"/a/b", b""),
        (b"http://h/a?b=c", b"/a", b"b=c"),
        (b"http://h?b=c", b"/", b"b=c"),
        (b"https://h/a", b"/a", b""),
        (b"HTTP://h/a", b"/a", b""),
        (b"http://h/http://other/", b"/http://other/", b""),
        (b"http://h/?http://u@other/", b"/", b"http://u@other/"),
    ],
)
def test_h1_21_absolute_form_is_served_as_its_path(target: bytes, path: bytes, query: bytes) -> None:
    scope = check_served(get(target), b"GET " + path + (b"?" + query if query else b"") + b" ").call.scope
    assert (scope["path"].encode(), scope["raw_path"], scope["query_string"]) == (path, path, query)
    assert [value for name, value in scope["headers"] if name == b"host"] == [b"h"]


@pytest.mark.parametrize("host", [b"other", b"h:81", b"h.", b"h, h", b"xh"])
def test_h1_21_absolute_form_with_another_host_is_refused(host: bytes) -> None:
    check_refused(get(b"http://h/", host=host), 400)


def test_h1_21_absolute_form_does_not_replace_a_missing_host() -> None:
    check_refused(get(b"http://h/", host=None), 400)


def test_h1_21_authority_of_the_target_is_the_host_of_http_1_0() -> None:
    recorder = check_served(get(b"http://h:81/a", version=b"1.0", host=None), b"GET /a ", closes=True)
    assert recorder.call.header(b"host") == [b"h:81"]


def test_h1_21_case_of_the_host_does_not_matter() -> None:
    recorder = check_served(get(b"http://Example.COM/", host=b"example.com"), b"GET / ")
    assert [value.lower() for value in recorder.call.header(b"host")] == [b"example.com"]


@pytest.mark.parametrize(
    "target",
    [
        b"http://",
        b"http:///a",
        b"http://?a",
        b"http://u@h/",
        b"http://u:p@h/",
        b"http://@h/",
        b"http://h:x/",
        b"http://[::1/",
    ],
)
def test_h1_21_malformed_authority_is_refused(target: bytes) -> None:
    check_refused(get(target), 400)


# ---- Percent-encoding -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [b"/%00", b"/a%00b", b"/a/%00?b", b"http://h/%00"])
def test_h1_23_encoded_nul_in_the_path_is_refused(target: bytes) -> None:
    check_refused(get(target), 400)


@pytest.mark.parametrize(
    ("raw_path", "path"),
    [
        (b"/a%20b", "/a b"),
        (b"/%2525", "/%25"),
        (b"/%252e", "/%2e"),
        (b"/%2e%2e/a", "/../a"),
        (b"/../a", "/../a"),
        (b"/a%2Fb", "/a/b"),
        (b"/a+b", "/a+b"),
        (b"/%0d%0aX:y", "/\r\nX:y"),
        (b"/%e2%82%ac", "/€"),
        (b"/%F0%9F%90%8D", "/🐍"),
        (b"/%3f%23", "/?#"),
        (b"/%", "/%"),
        (b"/%2", "/%2"),
        (b"/%zz", "/%zz"),
        (b"/%%41", "/%A"),
        (b"/%u0041", "/%u0041"),
    ],
)
def test_h1_23_path_is_decoded_once_and_raw_path_kept(raw_path: bytes, path: str) -> None:
    scope = serve(get(raw_path))
    assert (scope["path"], scope["raw_path"]) == (path, raw_path)


@pytest.mark.parametrize("raw_path", [b"/%c0%af", b"/%ff", b"/%e2%82", b"/%ed%a0%80", b"/%80abc"])
def test_h1_23_invalid_utf_8_is_no_error_and_no_slash(raw_path: bytes) -> None:
    scope = serve(get(raw_path))
    assert scope["raw_path"] == raw_path
    path = scope["path"]
    assert isinstance(path, str)
    assert path.startswith("/")
    assert "/" not in path[1:]


def test_h1_23_query_is_left_as_it_is() -> None:
    scope = serve(get(b"/?a=%00&b=%zz+%41"))
    assert scope["query_string"] == b"a=%00&b=%zz+%41"


# ---- Long targets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8192, 65_535, 65_536, 70_000, 200_000])
@pytest.mark.parametrize("read", [1 << 20, 4096])
def test_h1_24_long_target_is_answered_414_and_never_cut(size: int, read: int) -> None:
    payload = get(b"/" + b"a" * size)
    recorder = Recorder()
    wire = Wire(recorder).feed(*[payload[index : index + read] for index in range(0, len(payload), read)])
    assert wire.response().status == 414
    assert recorder.calls == []
    wire.hang_up()

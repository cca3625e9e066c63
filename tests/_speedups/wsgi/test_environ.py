"""The environment of a request (PEP 3333, "environ Variables")."""

import io
import sys
import wsgiref.validate
from typing import Any

import pytest

from fastserver._speedups.contract import Peer
from fastserver._speedups.heads import split_head
from fastserver._speedups.wsgi.bounds import SERVERS
from fastserver._speedups.wsgi.environ import EnvironMaker
from fastserver._speedups.wsgi.streams import ErrorStream, FileWrapper
from tests._speedups.twin import make_limits
from tests.fakes import make_log

validate: Any = wsgiref.validate
PEER = Peer(("192.0.2.7", 4711), ("192.0.2.1", 8000))


def make(
    *lines: bytes, peer: Peer = PEER, root_path: str = "", length: int = -1, line: bytes = b"GET / HTTP/1.1"
) -> Any:
    """The environment of a request with these lines behind ``Host``; it must be valid."""
    head = b"\r\n".join([line, b"Host: site:81", *lines, b"", b""])
    request = split_head(head, 0, len(head), make_limits())
    constants = {
        "wsgi.errors": ErrorStream(make_log()[0]),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    environ = EnvironMaker(root_path, constants).make(request, peer, io.BytesIO(), length)
    validate.check_environ(environ)
    return environ


def make_maker(root_path: str = "") -> Any:
    constants = {
        "SERVER_SOFTWARE": "fastserver",
        "wsgi.errors": ErrorStream(make_log()[0]),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    return EnvironMaker(root_path, constants)


def make_request(*lines: bytes) -> Any:
    head = b"\r\n".join([b"GET / HTTP/1.1", b"Host: site:81", *lines, b"", b""])
    return split_head(head, 0, len(head), make_limits())


def test_the_fields_of_a_browser_have_room_in_the_copy_of_the_template() -> None:
    maker = make_maker()
    environ = maker.make(make_request(*(b"X-%d: 1" % number for number in range(14))), PEER, io.BytesIO(), -1)
    assert "HTTP_X_13" in environ
    assert "" not in environ
    assert sys.getsizeof(environ) == sys.getsizeof(maker.template) == sys.getsizeof(maker.template.copy())


def test_connections_that_share_an_address_share_no_environment() -> None:
    maker = make_maker()
    request = make_request()
    first = maker.make(request, Peer(("192.0.2.7", 1), ("192.0.2.1", 80), "https"), io.BytesIO(), -1)
    first["SERVER_NAME"] = first["mine"] = "x"
    second = maker.make(request, Peer(("192.0.2.8", 2), ("192.0.2.1", 80), "https"), io.BytesIO(), -1)
    third = maker.make(request, Peer(("192.0.2.8", 2), ("192.0.2.1", 80)), io.BytesIO(), -1)
    assert "mine" not in second
    names = ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme")
    assert [second[name] for name in names] == ["192.0.2.8", "2", "192.0.2.1", "80", "https"]
    assert third["wsgi.url_scheme"] == "http"


def test_addresses_beyond_those_that_are_remembered() -> None:
    maker = make_maker()
    request = make_request()
    for port in range(1, SERVERS + 3):
        environ = maker.make(request, Peer(("192.0.2.8", 2), ("192.0.2.1", port)), io.BytesIO(), -1)
        assert environ["SERVER_PORT"] == str(port)


def test_two_makers_of_one_connection() -> None:
    peer = Peer(("192.0.2.7", 1), ("192.0.2.1", 80))
    request = make_request()
    makers = (make_maker("/a"), make_maker("/b"))
    names = [maker.make(request, peer, io.BytesIO(), -1)["SCRIPT_NAME"] for maker in makers * 2]
    assert names == ["/a", "/b"] * 2


def test_a_plain_request() -> None:
    environ = make(b"User-Agent: t")
    del environ["wsgi.errors"], environ["wsgi.input"], environ["wsgi.file_wrapper"]
    assert environ == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "REQUEST_URI": "/",
        "RAW_URI": "/",
        "SERVER_NAME": "192.0.2.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "4711",
        "HTTP_HOST": "site:81",
        "HTTP_USER_AGENT": "t",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input_terminated": True,
        "wsgi.run_once": False,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
    }


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a%20b?c=%20", "/a b", "c=%20"),
        ("/é".encode().replace(b"\xc3\xa9", b"%C3%A9"), "/Ã©", ""),
        (b"/%ff%FE", "/\xff\xfe", ""),
        (b"/%zz%2", "/%zz%2", ""),
        (b"/a%2Fb", "/a/b", ""),
        (b"/?", "/", ""),
        (b"//x", "//x", ""),
    ],
)
def test_a_path_is_its_bytes_as_latin_1(target: bytes, path: str, query: str) -> None:
    environ = make(line=b"GET %b HTTP/1.1" % target)
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == target.decode().removesuffix("?")


def test_other_request_lines() -> None:
    environ = make(line=b"OPTIONS * HTTP/1.1")
    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["REQUEST_URI"]) == ("OPTIONS", "", "*")
    environ = make(line=b"POST /x HTTP/1.0")
    assert (environ["REQUEST_METHOD"], environ["SERVER_PROTOCOL"]) == ("POST", "HTTP/1.0")


def test_the_root_path_is_the_script() -> None:
    environ = make(root_path="/é/", line=b"GET /x HTTP/1.1")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/Ã©", "/x")


def test_h1_38_names_that_would_pass_for_others_are_dropped() -> None:
    environ = make(b"X_Forwarded_For: evil", b"X-Forwarded-For: proxy", b"Content_Length: 9", b"Proxy: evil", b"A_B: c")
    assert environ["HTTP_X_FORWARDED_FOR"] == "proxy"
    assert not environ.keys() & {"HTTP_PROXY", "CONTENT_LENGTH", "HTTP_CONTENT_LENGTH", "HTTP_A_B"}


def test_fields_that_come_again_are_joined() -> None:
    environ = make(b"X-A: 1", b"Cookie: a=1", b"X-A: 1", b"Cookie: b=2", b"X-A: 3")
    assert (environ["HTTP_X_A"], environ["HTTP_COOKIE"]) == ("1,1,3", "a=1; b=2")


def test_values_are_latin_1() -> None:
    assert make("X-A: é".encode())["HTTP_X_A"] == "Ã©"


def test_a_body_has_type_and_length() -> None:
    environ = make(b"Content-Type: text/plain", b"Content-Length: 5", length=5)
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/plain", "5")
    assert not environ.keys() & {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"}


def test_a_chunked_body_has_the_length_that_it_came_to() -> None:
    environ = make(b"Transfer-Encoding: chunked", length=7)
    assert environ["CONTENT_LENGTH"] == "7"
    assert "HTTP_TRANSFER_ENCODING" not in environ
    assert make(b"Transfer-Encoding: chunked", length=0)["CONTENT_LENGTH"] == "0"


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [(b"h:81", "h", "81"), (b"h", "h", "443"), (b"[::1]:8", "[::1]", "8"), (b"[::1]", "[::1]", "443")],
)
def test_a_unix_socket_is_called_as_the_client_calls_it(host: bytes, name: str, port: str) -> None:
    peer = Peer(None, ("/run/site.sock", None), "https")
    head = b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host
    request = split_head(head, 0, len(head), make_limits())
    environ = EnvironMaker("", {}).make(request, peer, None, -1)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["REMOTE_ADDR"]) == (name, port, "")
    assert environ["wsgi.url_scheme"] == "https"


def test_no_two_requests_share_an_environment() -> None:
    maker = EnvironMaker("", {})
    head = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    request = split_head(head, 0, len(head), make_limits())
    first = maker.make(request, PEER, None, -1)
    first["PATH_INFO"] = "changed"
    assert maker.make(request, PEER, None, -1)["PATH_INFO"] == "/"


def test_many_names_are_not_all_remembered() -> None:
    for number in range(700):
        assert make(b"X-Name-%d: x" % number)[f"HTTP_X_NAME_{number}"] == "x"
    assert make(b"X_Late: x").keys() & {"HTTP_X_LATE"} == set()

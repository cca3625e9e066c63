"""WSGI over HTTP/3: the exchange is the one of the other wires, so a few of its paths are enough."""

import hashlib
import json
from collections.abc import Iterator

import pytest

pytest.importorskip("aioquic")

from tests.e2e.conftest import Serve
from tests.e2e.h3clients import Curl

APP = "tests.e2e.wsgi_application:app"
BODY = bytes(range(256)) * 8000


@pytest.fixture(scope="module", params=["8", "0"])
def curl(request: pytest.FixtureRequest, serve_long: Serve, authority: str) -> Iterator[Curl]:
    served = serve_long(APP, "--http3", "--threads", request.param, tls=True)
    one = Curl(served.port, authority)
    yield one
    one.close()


def test_it_gets(curl: Curl) -> None:
    answer = curl.fetch("/")
    assert (answer.status, answer.body) == (200, b"Hello, World!\n")


def test_the_environment(curl: Curl) -> None:
    environ = json.loads(curl.fetch("/environ?q=1").body)
    assert (environ["SERVER_PROTOCOL"], environ["wsgi.url_scheme"], environ["QUERY_STRING"]) == (
        "HTTP/3",
        "https",
        "q=1",
    )
    assert environ["HTTP_HOST"].endswith(f":{environ['SERVER_PORT']}")


@pytest.mark.parametrize("size", [0, 1, len(BODY)])
def test_bodies_come_whole(curl: Curl, size: int) -> None:
    answer = curl.fetch("/digest", "POST", BODY[:size])
    assert answer.body.decode() == f"{size} {hashlib.sha256(BODY[:size]).hexdigest()}"
    assert len(curl.fetch("/stream?2000").body) == 2000 * 1024


def test_failures(curl: Curl) -> None:
    assert curl.fetch("/fails").status == 500
    for path in ("/fails-late", "/short"):
        with pytest.raises(Exception, match=r"(?i)http/?3|quic|stream|reset|transfer"):
            curl.fetch(path)
    assert curl.fetch("/").status == 200
    assert curl.fetch("/stream?1000000", "HEAD").body == b""

"""HTTP/3 clients that others wrote, each behind the same few calls: curl by ``curl_cffi``, qh3 by ``niquests``.

Both check the certificate and speak nothing but HTTP/3.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.processes import PATIENCE_S

#: What a callback of curl's gives back to end its transfer.
CURL_WRITEFUNC_ERROR = 0xFFFFFFFF

Fields = Sequence[tuple[str, str]]


@dataclass
class Answer:
    """A response as its client tells it; names of fields in lower case."""

    status: int
    body: bytes
    fields: dict[str, str] = field(default_factory=dict)


class Curl:
    """libcurl with ngtcp2 and nghttp3, on one connection."""

    def __init__(self, port: int, authority: str) -> None:
        requests = pytest.importorskip("curl_cffi.requests")
        self.base = f"https://127.0.0.1:{port}"
        self.session: Any = requests.Session(http_version="v3only", verify=authority, timeout=PATIENCE_S)

    def fetch(self, path: str, method: str = "GET", body: bytes | None = None, fields: Fields = ()) -> Answer:
        found = self.session.request(method, self.base + path, data=body, headers=dict(fields))
        assert found.http_version == 30
        return Answer(found.status_code, found.content, {name.lower(): found.headers[name] for name in found.headers})

    def stream(self, path: str, take: Callable[[bytes], Any]) -> Answer:
        """Hand each piece of the body to ``take`` as it comes, until that gives ``False``; ``body`` stays empty."""

        def count(piece: bytes) -> int:
            return CURL_WRITEFUNC_ERROR if take(piece) is False else len(piece)

        found = self.session.get(self.base + path, content_callback=count)
        return Answer(found.status_code, b"", {name.lower(): found.headers[name] for name in found.headers})

    def close(self) -> None:
        self.session.close()


class Niquests:
    """urllib3-future with qh3."""

    def __init__(self, port: int, authority: str) -> None:
        niquests = pytest.importorskip("niquests")
        pytest.importorskip("qh3")
        self.base = f"https://127.0.0.1:{port}"
        self.session: Any = niquests.Session(disable_http1=True, disable_http2=True, disable_ipv6=True)
        self.session.quic_cache_layer.add_domain("127.0.0.1", port)
        self.options = {"verify": authority, "timeout": PATIENCE_S}

    def fetch(self, path: str, method: str = "GET", body: bytes | None = None, fields: Fields = ()) -> Answer:
        found = self.session.request(method, self.base + path, data=body, headers=dict(fields), **self.options)
        assert found.http_version == 30
        return Answer(found.status_code, found.content, {name.lower(): found.headers[name] for name in found.headers})

    def stream(self, path: str, take: Callable[[bytes], Any]) -> Answer:
        """Hand each piece of the body to ``take`` as it comes; ``body`` stays empty."""
        found = self.session.get(self.base + path, stream=True, **self.options)
        for piece in found.iter_raw(-1):
            take(piece)
        return Answer(found.status_code, b"", {name.lower(): found.headers[name] for name in found.headers})

    def close(self) -> None:
        self.session.close()


Client = Curl | Niquests
CLIENTS: dict[str, type[Curl] | type[Niquests]] = {"curl": Curl, "niquests": Niquests}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Ask again and again; ``condition`` goes to the server itself."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"no {what} in time"


def follow_with_curl(url: str, authority: str, *fields: str) -> tuple[list[str], bytes]:
    """Every line of every head that comes (early hints, the response, trailers), and the body."""
    curl_cffi = pytest.importorskip("curl_cffi")
    lines: list[str] = []
    body: list[bytes] = []

    def keep_line(line: bytes) -> int:
        lines.append(line.decode().rstrip("\r\n"))
        return len(line)

    def keep_body(piece: bytes) -> int:
        body.append(piece)
        return len(piece)

    curl = curl_cffi.Curl()
    try:
        for option, value in {
            "URL": url.encode(),
            "HTTP_VERSION": curl_cffi.CurlHttpVersion.V3ONLY,
            "CAINFO": authority.encode(),
            "TIMEOUT_MS": int(PATIENCE_S * 1000),
            "HTTPHEADER": [field.encode() for field in fields],
            "HEADERFUNCTION": keep_line,
            "WRITEFUNCTION": keep_body,
        }.items():
            curl.setopt(getattr(curl_cffi.CurlOpt, option), value)
        curl.perform()
    finally:
        curl.close()
    return lines, b"".join(body)

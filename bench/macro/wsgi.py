"""The WSGI application of the group ``wsgi``: the answers of ``bench.macro.app``, plain PEP 3333."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from bench.macro.app import BODY, CHUNK, CHUNKS, DOCUMENT, PLAINTEXT, SLEEP_S

Environ = dict[str, Any]
StartResponse = Callable[..., object]

_PLAIN_HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(PLAINTEXT)))]
_BODY_HEADERS = [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(BODY)))]


def _send(start_response: StartResponse, kind: str, body: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def _stream() -> Iterator[bytes]:
    for _ in range(CHUNKS):
        yield CHUNK


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The WSGI callable."""
    path = environ["PATH_INFO"]
    if path == "/plaintext":
        start_response("200 OK", _PLAIN_HEADERS)
        return [PLAINTEXT]
    if path == "/json":
        return _send(start_response, "application/json", json.dumps(DOCUMENT).encode())
    if path == "/echo":
        return _send(start_response, "application/octet-stream", environ["wsgi.input"].read())
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return _stream()
    if path == "/body":
        start_response("200 OK", _BODY_HEADERS)
        return [BODY]
    if path == "/sleep":
        time.sleep(SLEEP_S)
        start_response("200 OK", _PLAIN_HEADERS)
        return [PLAINTEXT]
    start_response("404 Not Found", [("Content-Length", "0")])
    return []

"""Exchanges to be logged."""

from typing import Any

from fastserver._speedups.contract import Peer, Request, ResponseHead
from fastserver._speedups.logformats import Record

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

HOSTILE = b'a\r\nfake "line" \\ \x1b[2J \x7f \xff end'
ESCAPED = r"a\x0d\x0afake \x22line\x22 \x5c \x1b[2J \x7f \xff end"


def make_record(**changes: Any) -> Record:
    request = Request()
    request.method = changes.pop("method", "GET")
    request.http_version = changes.pop("http_version", "1.1")
    request.raw_path = changes.pop("raw_path", b"/items/1")
    request.path = changes.pop("path", "/items/1")
    request.query_string = changes.pop("query_string", b"q=2")
    request.headers = changes.pop(
        "headers",
        [(b"host", b"example.org"), (b"referer", b"http://a/"), (b"user-agent", b"curl/8"), (b"x-id", b"7")],
    )
    head = ResponseHead()
    head.status = 200
    head.fields = [(b"Content-Type", b"text/plain"), (b"etag", b'"v1"')]
    peer = Peer(client=("192.0.2.1", 4711), scheme="https")
    record = Record(request, 200, 1234, 1.5000259, peer, head, 1_000_000_000.1239)
    return record._replace(**changes)

"""The table of workloads: what is asked, how many at once, and what the answer has to be.

A workload belongs to one ``Wire``, and by that its servers, its load generator and the client that verifies answers are
chosen.
"""

import json
import random
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bench.macro.app import BODY, CHUNK, CHUNKS, DOCUMENT, DOWNLOAD, PLAINTEXT

#: The request of a browser that follows a link: twelve fields with ``Host``, which the load generator adds.
BROWSER_FIELDS = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Connection", "keep-alive"),
    ("Cookie", "session=eyJ1c2VyIjo0Mn0.Zk3vXA.7Jb0vZ1q; theme=dark"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-User", "?1"),
)


class Wire(Enum):
    """How client and server speak; the value names the group of workloads on the command line."""

    H1 = "h1"
    H2C = "h2c"
    H2 = "h2"
    H3 = "h3"
    WS = "ws"
    WSGI = "wsgi"

    @property
    def title(self) -> str:
        """As a reader knows it."""
        return _TITLES[self]

    @property
    def unit(self) -> str:
        """What is counted."""
        return "message" if self is Wire.WS else "request"


_TITLES = {
    Wire.H1: "HTTP/1.1",
    Wire.H2C: "HTTP/2 without TLS",
    Wire.H2: "HTTP/2 over TLS",
    Wire.H3: "HTTP/3",
    Wire.WS: "WebSockets",
    Wire.WSGI: "WSGI over HTTP/1.1",
}


@dataclass(frozen=True, slots=True)
class Workload:
    """One row: ``path`` with ``fields``, as POST of ``post_bytes`` where that is not 0.

    ``answer`` is the body expected; ``None`` means the body that was posted.  ``sized`` says whether the response has
    to carry a content-length.  ``connections`` of 0 are as many as the command line says; on each of them ``streams``
    requests or messages are under way at once.  On ``Wire.WS`` the body is one message, as text or binary, compressed
    where ``deflated``.  On ``Wire.H3`` each request has a new connection where ``renewed``, and KiB of the answers are
    counted instead of requests where ``in_kib``.
    """

    name: str
    path: str
    answer: bytes | None
    fields: tuple[tuple[str, str], ...] = ()
    post_bytes: int = 0
    sized: bool = True
    wire: Wire = Wire.H1
    connections: int = 0
    streams: int = 1
    text: bool = False
    deflated: bool = False
    renewed: bool = False
    in_kib: bool = False


def build_body(workload: Workload) -> bytes:
    """What is sent of ``workload``: every byte value over and over by HTTP, lines of a JSON log as a WebSocket message.

    The log is ASCII, so it is text too, and permessage-deflate makes it about five times smaller.
    """
    if workload.wire is not Wire.WS:
        return (bytes(range(256)) * (workload.post_bytes // 256 + 1))[: workload.post_bytes]
    chance = random.Random(workload.post_bytes)
    lines: list[str] = []
    size = 0
    while size < workload.post_bytes:
        line = f'{{"id": {chance.randrange(10**6)}, "user": "user{chance.randrange(1000)}", "ok": true}}\n'
        lines.append(line)
        size += len(line)
    return "".join(lines).encode()[: workload.post_bytes]


def deflate(message: bytes) -> bytes:
    """``message`` as the payload of one compressed frame that needs no context (RFC 7692 section 7.2.1)."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    payload = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return payload.removesuffix(b"\x00\x00\xff\xff")


def _h2(name: str, path: str = "/plaintext", answer: bytes | None = PLAINTEXT, **rest: Any) -> Workload:
    return Workload(name, path, answer, **{"wire": Wire.H2C, "connections": 8, "streams": 32, **rest})


def _h3(name: str, **rest: Any) -> Workload:
    return _h2(name, **{"wire": Wire.H3, **rest})


def _ws(name: str, size: int, **rest: Any) -> Workload:
    return Workload(name, "/ws", None, **{"post_bytes": size, "wire": Wire.WS, "connections": 32, **rest})


def _wsgi(name: str, path: str, answer: bytes | None, **rest: Any) -> Workload:
    return Workload(name, path, answer, wire=Wire.WSGI, **rest)


# A browser's request has neither a connection nor a host field on HTTP/2 and 3 (RFC 9113 section 8.2.2).
_H2_FIELDS = tuple((name.lower(), value) for name, value in BROWSER_FIELDS if name != "Connection")
_MIB = 1024 * 1024

_TABLE = (
    Workload("plaintext", "/plaintext", PLAINTEXT),
    Workload("browser", "/plaintext", PLAINTEXT, fields=BROWSER_FIELDS),
    Workload("json", "/json", json.dumps(DOCUMENT).encode()),
    Workload("echo", "/echo", None, post_bytes=4096),
    Workload("stream", "/stream", CHUNK * CHUNKS, sized=False),
    Workload("sleep", "/sleep", PLAINTEXT),
    Workload("body", "/body", BODY),
    _h2("h2-many"),
    _h2("h2-wide", connections=256, streams=1),
    _h2("h2-browser", fields=_H2_FIELDS),
    _h2("h2-echo", "/echo", None, post_bytes=4096),
    _h2("h2-tls", wire=Wire.H2),
    _h3("h3-many"),
    _h3("h3-wide", connections=64, streams=1),
    _h3("h3-browser", fields=_H2_FIELDS),
    _h3("h3-echo", path="/echo", answer=None, post_bytes=4096),
    _h3("h3-download", path="/download", answer=DOWNLOAD, connections=1, streams=1, in_kib=True),
    _h3("h3-handshake", streams=1, renewed=True),
    _ws("ws-125", 125, text=True),
    _ws("ws-4k", 4096),
    _ws("ws-1m", _MIB, connections=4),
    _ws("ws-pipe", 125, text=True, streams=16),
    _ws("wsz-125", 125, text=True, deflated=True),
    _ws("wsz-4k", 4096, deflated=True),
    _ws("wsz-1m", _MIB, connections=4, deflated=True),
    _wsgi("wsgi-plaintext", "/plaintext", PLAINTEXT),
    _wsgi("wsgi-browser", "/plaintext", PLAINTEXT, fields=BROWSER_FIELDS),
    _wsgi("wsgi-json", "/json", json.dumps(DOCUMENT).encode()),
    _wsgi("wsgi-echo", "/echo", None, post_bytes=4096),
    _wsgi("wsgi-stream", "/stream", CHUNK * CHUNKS, sized=False),
    _wsgi("wsgi-sleep", "/sleep", PLAINTEXT),
)

WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in _TABLE}


def choose_workloads(words: Iterable[str]) -> list[Workload]:
    """The workloads that ``words`` name, in the order of the table: a name, the value of a ``Wire``, or ``all``.

    Raises ``ValueError`` for another word.
    """
    chosen: set[str] = set()
    for word in words:
        found = {one.name for one in WORKLOADS.values() if word in (one.name, one.wire.value, "all")}
        if not found:
            known = [*(wire.value for wire in Wire), "all", *WORKLOADS]
            raise ValueError(f"no workload called {word}; there are {', '.join(known)}")
        chosen |= found
    return [workload for workload in WORKLOADS.values() if workload.name in chosen]

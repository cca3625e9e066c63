"""The WSGI twin of ``app``: the same paths, as far as WSGI can have them."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from bench.faults.content import RAISABLE, fill, summarise
from bench.faults.hanging import block_the_loop, hold_the_gil
from bench.faults.truth import END, GONE, LOADED, READY, START, WHOLE, Witness

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

DIRECTORY = Path(os.environ["FAULTS_DIR"])
PIECE_BYTES = 1024

WITNESS = Witness(DIRECTORY / "truth")
GENERATION = (DIRECTORY / "generation").read_text().strip()
WITNESS.note(LOADED, GENERATION)
if GENERATION.startswith("broken"):
    raise RuntimeError(f"this generation is broken: {GENERATION}")
_kept: list[bytes] = []
WITNESS.note(READY, GENERATION)  # there is no lifespan: a worker is ready when it has imported this


class Exchange:
    """One request on its way through the application."""

    def __init__(self, environ: Environ, start_response: StartResponse) -> None:
        self.query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
        self.ident = self.query.get("id", "-")
        self.environ = environ
        self._start_response = start_response

    def note(self, event: str) -> None:
        WITNESS.note(event, self.ident)

    def begin(self, length: int | None, status: str = "200 OK") -> None:
        fields = [("content-type", "application/octet-stream"), ("x-id", self.ident), ("x-pid", str(os.getpid()))]
        fields.append(("x-generation", GENERATION))
        if length is not None:
            fields.append(("content-length", str(length)))
        self._start_response(status, fields)

    def answer(self, body: bytes, status: str = "200 OK") -> Iterable[bytes]:
        self.begin(len(body), status)
        return [body]

    def pause(self) -> None:
        time.sleep(int(self.query.get("ms", "0")) / 1000)


def get(exchange: Exchange) -> Iterable[bytes]:
    exchange.pause()
    return exchange.answer(fill(exchange.ident, int(exchange.query.get("size", "64"))))


def upload(exchange: Exchange) -> Iterable[bytes]:
    length = exchange.environ.get("CONTENT_LENGTH")
    stream = exchange.environ["wsgi.input"]
    try:
        body = stream.read(int(length)) if length else stream.read()
    except Exception:
        exchange.note(GONE)
        raise
    if length and len(body) < int(length):
        exchange.note(GONE)
        return exchange.answer(b"", "400 Bad Request")
    exchange.note(WHOLE)
    exchange.pause()
    return exchange.answer(summarise(body))


def stream(exchange: Exchange) -> Iterable[bytes]:
    body = fill(exchange.ident, int(exchange.query.get("size", "4096")))
    exchange.begin(None)
    return _stream(exchange, body)


def _stream(exchange: Exchange, body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), PIECE_BYTES):
        exchange.pause()
        yield body[start : start + PIECE_BYTES]


def watch(exchange: Exchange) -> Iterable[bytes]:
    """Streams until the server ends it, since nobody tells a WSGI application that its client is gone."""
    exchange.begin(None)
    return _watch(exchange)


def _watch(exchange: Exchange) -> Iterator[bytes]:
    try:
        while True:
            yield b"watching"
            time.sleep(0.02)
    finally:
        exchange.note(GONE)


def block(exchange: Exchange) -> Iterable[bytes]:
    block_the_loop(float(exchange.query.get("s", "60")))
    return exchange.answer(b"awake")


def spin(exchange: Exchange) -> Iterable[bytes]:
    hold_the_gil()
    return exchange.answer(b"done")


def grow(exchange: Exchange) -> Iterable[bytes]:
    _kept.append(b"\x01" * (int(exchange.query.get("mb", "10")) << 20))
    return exchange.answer(b"grown")


def die(exchange: Exchange) -> Iterable[bytes]:
    os.kill(os.getpid(), int(exchange.query.get("signal", str(int(signal.SIGKILL)))))
    return []


def fail(exchange: Exchange) -> Iterable[bytes]:
    where = exchange.query.get("where", "before")
    error = RAISABLE[exchange.query.get("what", "Exception")]()
    if where == "before":
        raise error
    exchange.begin(None)
    if where == "started":
        raise error
    return _fail(exchange, error, where)


def _fail(exchange: Exchange, error: BaseException, where: str) -> Iterator[bytes]:
    body = fill(exchange.ident, 4 * PIECE_BYTES)
    yield body[: 2 * PIECE_BYTES]
    if where == "middle":
        raise error
    yield body[2 * PIECE_BYTES :]
    raise error


ROUTES: dict[str, Callable[[Exchange], Iterable[bytes]]] = {
    "/get": get,
    "/upload": upload,
    "/stream": stream,
    "/watch": watch,
    "/hang": block,
    "/block": block,
    "/spin": spin,
    "/grow": grow,
    "/die": die,
    "/raise": fail,
}


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """PEP 3333."""
    exchange = Exchange(environ, start_response)
    exchange.note(START)
    route = ROUTES.get(environ.get("PATH_INFO", ""))
    answer = exchange.answer(b"no such path", "404 Not Found") if route is None else route(exchange)
    exchange.note(END)
    return answer

"""Where ``/stats`` is asked for, and the asking: one GET within a time and a size, by ``http.client``.

Whatever the other end does, the caller gets the body of a 200 or one ``Unreachable`` with one line.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from threading import Event, Timer
from typing import Final

from fastserver.config.bind import METRICS_PORT, STATS_PATH, FDBind, TCPBind, UnixBind, parse_bind

#: For one whole answer, from the connection's start to the last byte.
TIMEOUT_S: Final = 2.0
#: A worker's snapshot is about 2 KB; so this is a server of a thousand workers and more.
LIMIT_BYTES: Final = 4 << 20

_URL = re.compile(r"http://([^/?#]*)(.*)", re.ASCII | re.IGNORECASE)
_PATH = re.compile(r"/[!-~]*", re.ASCII)


class Unreachable(Exception):
    """There are no stats to be had now; the text is the reason, one line."""


@dataclass(frozen=True, slots=True)
class Client:
    """Asks a place that answers ``GET path`` with stats.  ``str()`` is what a user calls it."""

    bind: TCPBind | UnixBind
    path: str = STATS_PATH

    def __str__(self) -> str:
        return f"{self.bind}" if self.path == STATS_PATH else f"{self.bind}{self.path}"

    def fetch(self, timeout_s: float = TIMEOUT_S) -> bytes:
        """The body of the answer; ``Unreachable`` where there is none, not in time, with another status, too long."""
        connection = self._create_connection(timeout_s)
        expired = Event()
        try:
            connection.connect()
            watchdog = _watch(connection.sock, timeout_s, expired)
            try:
                status, body = _exchange(connection, self.path)
            finally:
                watchdog.cancel()
        except (OSError, HTTPException) as error:
            late = expired.is_set() or isinstance(error, TimeoutError)
            raise Unreachable(_say_late(timeout_s) if late else _describe(error)) from None
        finally:
            connection.close()
        if expired.is_set():
            raise Unreachable(_say_late(timeout_s))
        if status != 200:
            raise Unreachable(f"it answers GET {self.path} with status {status}")
        if len(body) > LIMIT_BYTES:
            raise Unreachable(f"its answer is longer than {LIMIT_BYTES >> 20} MiB")
        return body

    def _create_connection(self, timeout_s: float) -> HTTPConnection:
        if isinstance(self.bind, UnixBind):
            return _UnixConnection(self.bind.path, timeout_s)
        return HTTPConnection(self.bind.host, self.bind.port, timeout=timeout_s)


def parse_client(text: str) -> Client:
    """``host:port``, ``:port``, ``host`` (``METRICS_PORT``), ``unix:PATH``, or a URL whose path goes over ``/stats``.

    ``ValueError`` says in one line what is wrong.
    """
    path, port = STATS_PATH, METRICS_PORT
    url = _URL.fullmatch(text)
    if url is not None:
        text, rest = url.groups()
        path, port = (STATS_PATH if rest in {"", "/"} else rest), 80
        if _PATH.fullmatch(path) is None:
            raise ValueError("the path of the URL has a character that no path has")
    elif "://" in text:
        raise ValueError("only http:// URLs are read")
    bind = parse_bind(text, port)
    if isinstance(bind, FDBind):
        raise ValueError("a descriptor is no address to ask")
    if isinstance(bind, TCPBind) and not bind.host:
        bind = TCPBind("127.0.0.1", bind.port)
    return Client(bind, path)


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _watch(sock: socket.socket, timeout_s: float, expired: Event) -> Timer:
    """Shuts ``sock`` down after ``timeout_s``: a socket's own timeout begins again with each byte that drips in."""

    def expire() -> None:
        expired.set()
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    timer = Timer(timeout_s, expire)
    timer.daemon = True
    timer.start()
    return timer


def _exchange(connection: HTTPConnection, path: str) -> tuple[int, bytes]:
    connection.request("GET", path, headers={"Accept": "application/json", "Connection": "close"})
    with connection.getresponse() as response:
        return response.status, response.read(LIMIT_BYTES + 1)


def _say_late(timeout_s: float) -> str:
    return f"no whole answer within {timeout_s:g} s"


def _describe(error: OSError | HTTPException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return f"it does not answer in HTTP ({type(error).__name__})"

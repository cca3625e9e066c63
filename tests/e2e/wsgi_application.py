"""A WSGI application with a path for everything that a server has to get right, below ``wsgiref.validate``.

``/closed`` tells how often ``close`` was called on each path's iterable, and ``/threads`` in which threads it has run.
"""

import hashlib
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]

TEXT = [("Content-Type", "text/plain")]
CLOSED: Counter[str] = Counter()
THREADS: Counter[str] = Counter()
STARTED: Counter[str] = Counter()


class Closing:
    """An iterable that counts its ``close``."""

    def __init__(self, path: str, parts: Iterable[bytes]) -> None:
        self._path = path
        self._parts = iter(parts)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        CLOSED[self._path] += 1


def describe(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [
        json.dumps({key: value if isinstance(value, str) else repr(value) for key, value in environ.items()}).encode()
    ]


def digest(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Reads the body to its end in pieces."""
    found, size = hashlib.sha256(), 0
    while piece := environ["wsgi.input"].read(65536):
        found.update(piece)
        size += len(piece)
    start_response("200 OK", list(TEXT))
    return [f"{size} {found.hexdigest()}".encode()]


def lines(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    first = environ["wsgi.input"].readline()
    rest = list(environ["wsgi.input"])
    start_response("200 OK", list(TEXT))
    return [repr((first, rest)).encode()]


def written(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", list(TEXT))
    write(b"one,")
    write(b"two,")
    return [b"three"]


def stream(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """As many KiB as the query says, one at a time."""
    start_response("200 OK", list(TEXT))
    return Closing("/stream", (b"%1023d\n" % number for number in range(int(environ["QUERY_STRING"] or 10))))


def endless(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))

    def parts() -> Iterator[bytes]:
        while True:
            STARTED["/endless"] += 1
            yield b"x" * 65536

    return Closing("/endless", parts())


def empty(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))
    return Closing("/empty", [])


def nothing(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("204 No Content", [])
    return []


def late_head(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The head may change until the first part that is not empty."""

    def parts() -> Iterator[bytes]:
        start_response("200 OK", list(TEXT))
        yield b""
        try:
            raise ValueError("changed my mind")
        except ValueError:
            start_response("418 Teapot", list(TEXT), sys.exc_info())
        yield b"short and stout"

    return Closing("/late-head", parts())


def fails(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise RuntimeError("fails before the response")


def fails_late(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))

    def parts() -> Iterator[bytes]:
        yield b"beginning"
        raise RuntimeError("fails within the response")

    return Closing("/fails-late", parts())


def fails_and_tells(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """PEP 3333's example: with the head out, ``start_response`` raises what it is given."""
    start_response("200 OK", list(TEXT))

    def parts() -> Iterator[bytes]:
        yield b"beginning"
        try:
            raise KeyError("within the response")
        except KeyError:
            start_response("500 Oops", list(TEXT), sys.exc_info())
        yield b"never"

    return Closing("/fails-and-tells", parts())


def fails_to_close(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    class Failing(Closing):
        def close(self) -> None:
            super().close()
            raise RuntimeError("fails to close")

    start_response("200 OK", list(TEXT))
    return Failing("/fails-to-close", [b"whole"])


def exits(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    kind: type[BaseException] = {
        "system": SystemExit, "keyboard": KeyboardInterrupt, "memory": MemoryError, "generator": GeneratorExit
    }[environ["QUERY_STRING"]]  # fmt: skip
    raise kind(7)


def recurses(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return recurses(environ, start_response)


def short(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "10")])
    return Closing("/short", [b"five5"])


def long(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "5")])
    return Closing("/long", [b"five5 and more"])


def hop(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, (environ["QUERY_STRING"], "x")])
    return [b""]


def file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The file that the query names."""
    start_response("200 OK", list(TEXT))
    opened = open(environ["QUERY_STRING"], "rb")  # noqa: SIM115
    opened.seek(10)
    wrapper: Iterable[bytes] = environ["wsgi.file_wrapper"](opened, 4096)
    return wrapper


def errors(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    print("a word to the", "operator", file=environ["wsgi.errors"])
    environ["wsgi.errors"].flush()
    start_response("200 OK", list(TEXT))
    return [b"told"]


def sleep(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    STARTED["/sleep"] += 1
    time.sleep(float(environ["QUERY_STRING"]))
    start_response("200 OK", list(TEXT))
    return Closing("/sleep", [b"slept"])


def tell(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"closed": CLOSED, "threads": THREADS, "started": STARTED, "pid": os.getpid()}).encode()]


def plain(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [b"Hello, World!\n"]


ROUTES = {
    "/": plain, "/environ": describe, "/digest": digest, "/lines": lines, "/written": written, "/stream": stream,
    "/endless": endless, "/empty": empty, "/nothing": nothing, "/late-head": late_head, "/fails": fails,
    "/fails-late": fails_late, "/fails-and-tells": fails_and_tells, "/fails-to-close": fails_to_close, "/exits": exits,
    "/recurses": recurses, "/short": short, "/long": long, "/hop": hop, "/file": file, "/errors": errors,
    "/sleep": sleep, "/tell": tell,
}  # fmt: skip


def route(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    THREADS[threading.current_thread().name] += 1
    return ROUTES.get(environ["PATH_INFO"], describe)(environ, start_response)


app = validator(route)
#: The same without the validator, whose iterator hides what the server knows: lists, and files.
bare = route


def no_disk() -> Any:
    """A factory, for a process that has nowhere to put temporary files."""
    tempfile.tempdir = "/nonexistent"
    return app

"""One request at a control socket: a line of JSON there, lines of progress and one result back.

Whatever the other end does, the caller gets a ``Result`` or one ``Unreachable`` with one line.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

#: What is spoken (see ``docs/deploy.md``).
VERSION: Final = 1
#: Bytes of one line of an answer; a dump of many workers is the longest.
LIMIT_BYTES: Final = 16 << 20

_REASONS: Final = {
    FileNotFoundError: "no server has a control socket there",
    ConnectionRefusedError: "the socket is there, and no server behind it",
    PermissionError: "permission denied: be root, or the user that the server runs as",
    NotADirectoryError: "no server has a control socket there",
}


class Unreachable(Exception):
    """There is no answer to be had; the text is the reason, one line."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a request: ``data`` where it is ``ok``, else ``error``, one line; ``line`` is it as it came."""

    ok: bool
    data: Mapping[str, Any]
    error: str
    line: str


def ask(
    path: str, request: Mapping[str, Any], tell: Callable[[str], None] | None = None, timeout_s: float | None = None
) -> Result:
    """Send ``request`` to the server at ``path``; ``tell`` gets its progress.  ``None`` waits as long as it takes."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.settimeout(timeout_s)
            sock.connect(os.fsencode(path))
            sock.sendall(json.dumps({"version": VERSION, **request}).encode() + b"\n")
            for line in _read_lines(sock, deadline):
                result = _take(line, tell)
                if result is not None:
                    return result
        except TimeoutError:
            raise Unreachable(f"no result within {timeout_s:g} s") from None
        except OSError as error:
            raise Unreachable(_REASONS.get(type(error)) or error.strerror or str(error)) from None
    raise Unreachable("the server has ended the connection without a result")


def _take(line: bytes, tell: Callable[[str], None] | None) -> Result | None:
    """What one line means; progress is told."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or said.get("type") not in ("progress", "result"):
        raise Unreachable("what answers there is no control socket of fastserver")
    if said["type"] == "progress":
        if tell is not None:
            tell(str(said.get("text", "")))
        return None
    data = said.get("data")
    text = line.decode("utf-8", "replace")
    return Result(said.get("ok") is True, data if isinstance(data, dict) else {}, str(said.get("error", "")), text)


def _read_lines(sock: socket.socket, deadline: float | None) -> Iterator[bytes]:
    data = b""
    while True:
        if deadline is not None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            sock.settimeout(left_s)
        chunk = sock.recv(65536)
        if not chunk:
            return
        *lines, data = (data + chunk).split(b"\n")
        yield from lines
        if len(data) > LIMIT_BYTES:
            raise Unreachable(f"a line of the answer is longer than {LIMIT_BYTES >> 20} MiB")

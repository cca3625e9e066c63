"""The HTTP response that a client gets instead of a session: this server's refusal, or what the application says by the
extension ``websocket.http.response``.

Not compiled: it is once a session, where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastserver._speedups.contract import Request
from fastserver._speedups.dialogue import Dialogue

START: Final = "websocket.http.response.start"
KINDS: Final = (START, "websocket.http.response.body")
_PREFIX: Final = len("websocket.")


def refuse(response: Dialogue, status: int, reason: str, fields: Iterable[tuple[bytes, bytes]]) -> None:
    """A whole response of this server's own: ``reason``, which is ASCII, as its text."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *fields]
    response.send({"type": "http.response.start", "status": status, "headers": headers})
    response.send({"type": "http.response.body", "body": reason.encode("ascii") + b"\n"})


def read_response(request: Request, message: Mapping[str, Any]) -> dict[str, Any]:
    """The message of a response that stands under a longer name (E1).

    ``KeyError`` for a start without a status; ``ValueError`` for a status that would accept the session where
    ``request`` is an extended CONNECT (RFC 8441 section 5).
    """
    kind = message["type"]
    if kind == START:
        status = message["status"]
        if request.protocol and isinstance(status, int) and 200 <= status < 300:
            raise ValueError(f"over HTTP/2 a status of {int(status)} would accept the session")
    return {**message, "type": kind[_PREFIX:]}


def is_over(response: Dialogue) -> bool:
    """Whether the response is complete, or its client has gone: all that is left to receive is a disconnect."""
    message = response.take_message()
    if message is not None and message["type"] == "http.request":
        message = response.take_message()
    return message is not None

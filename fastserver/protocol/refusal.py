"""Connections that are refused in HTTP/2: what the client is told, and a protocol that tells it and closes.

What is said is a whole server's part of a connection: its preface (RFC 9113 section 3.4) and GOAWAY (section 6.8).
"""

from __future__ import annotations

from typing import Any, Final

from fastserver._speedups.contract import Protocol
from fastserver._speedups.events import CLOSED, Event, RawData, Updated
from fastserver._speedups.h2.codes import GOAWAY, SETTINGS
from fastserver._speedups.h2.errors import ENHANCE_YOUR_CALM, INADEQUATE_SECURITY

_SETTINGS: Final = bytes((0, 0, 0, SETTINGS, 0, 0, 0, 0, 0))


def render_refusal(code: int, reason: bytes) -> bytes:
    """SETTINGS without a word, and GOAWAY: no stream was served, for the error ``code``; ``reason`` is for people."""
    head = (8 + len(reason)).to_bytes(3, "big") + bytes((GOAWAY, 0)) + bytes(4)
    return _SETTINGS + head + bytes(4) + code.to_bytes(4, "big") + reason


#: What a connection above the limit is told before it is closed.  An error, since clients open another connection at
#: once where GOAWAY says that there is none (Go's do).
OVERLOADED: Final = render_refusal(ENHANCE_YOUR_CALM, b"too many connections")

#: RFC 9113 section 9.2.2.
INSECURE: Final = render_refusal(INADEQUATE_SECURITY, b"the cipher suite is prohibited by RFC 9113")


class Refusal(Protocol):
    """Says ``farewell`` as soon as the connection is open, closes it, and takes no notice of what comes."""

    def __init__(self, connection: Any, farewell: bytes) -> None:
        self.connection = connection
        self.deadline = float("inf")
        self._farewell = farewell

    def handle(self, event: Event) -> None:
        if type(event) is Updated:
            self.connection.send(RawData(self._farewell))
            self.connection.send(CLOSED)

    def on_eof(self) -> None:
        """It is being closed."""

    def on_deadline(self, now: float) -> None:
        """There is none."""

    def on_idle_timeout(self) -> None:
        """It is being closed."""

    def pause_writing(self) -> None:
        """There is no more to say."""

    def resume_writing(self) -> None:
        """There is no more to say."""

    def drain(self) -> None:
        """It is being closed."""

    def describe_state(self) -> str:
        return "refused"

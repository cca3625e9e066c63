"""HTTP/2 by prior knowledge (RFC 9113 section 3.3): the first bytes of a connection choose its protocol, once.

``PriorKnowledge`` serves a connection until it is known what its client speaks: HTTP/2 where it begins with the
connection preface, HTTP/1 from the first byte that differs.  It then puts the protocol in its own place
(``connection.switch``) and hands over what it has read; nothing of it stays in between.

Invariants: it holds less than ``PREFACE``; it says nothing to a client that may still be served; it is idle all the
time, so that the chosen protocol begins as if it had been there from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from fastserver._speedups.contract import Connection, Host, Protocol
from fastserver._speedups.events import CLOSED, Event, RawData
from fastserver._speedups.h2.codes import PREFACE

#: What a client that begins otherwise is told where there is no HTTP/1.
UNSUPPORTED: Final = b"HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

_NEVER: Final = float("inf")

#: Makes the protocol of a connection.
Open: TypeAlias = Callable[[Connection, Host], Protocol]


class PriorKnowledge(Protocol):
    """Waits for the preface; then ``open_h2`` or ``open_h1`` gives the protocol, the latter where there is HTTP/1."""

    def __init__(self, connection: Any, host: Host, open_h2: Open, open_h1: Open | None = None) -> None:
        self.connection = connection
        self.host = host
        self.deadline = host.clock.now + host.limits.timeout_request_header
        self._open_h2 = open_h2
        self._open_h1 = open_h1
        self._held = b""
        self._is_draining = False
        self._is_over = False

    def handle(self, event: Event) -> None:
        if type(event) is not RawData or self._is_over:
            return
        data = self._held + event.data
        if data.startswith(PREFACE):
            self._switch(self._open_h2(self.connection, self.host), "h2", data)
        elif PREFACE.startswith(data):
            self._held = data
        elif self._open_h1 is not None:
            self._begin_h1(self._open_h1, data)
        else:
            self._refuse()

    def on_eof(self) -> None:
        """What has come is no request, in neither version."""
        self._close()

    def on_deadline(self, now: float) -> None:
        """The first request's head took too long; who has sent something of it is told so in HTTP/1."""
        if self._held and self._open_h1 is not None:
            wire = self._begin_h1(self._open_h1, self._held)
            if wire.deadline <= now:
                wire.on_deadline(now)
        else:
            self._close()

    def on_idle_timeout(self) -> None:
        if not self._held:
            self._close()

    def pause_writing(self) -> None:
        """Nothing is written before the choice."""

    def resume_writing(self) -> None:
        """Nothing is written before the choice."""

    def drain(self) -> None:
        self._is_draining = True

    def describe_state(self) -> str:
        return "closed" if self._is_over else "waiting_preface"

    def _begin_h1(self, open_h1: Open, data: bytes) -> Any:
        wire: Any = open_h1(self.connection, self.host)
        wire.deadline = self.deadline  # of the same head: its first bytes are those that were held
        self._switch(wire, "http/1.1", data)
        return wire

    def _refuse(self) -> None:
        """The client speaks nothing that is served here."""
        self.connection.tally.refuse_request(505)
        self.host.error_log.debug("refused a connection: 505 no HTTP/2 preface")
        self.connection.send(RawData(UNSUPPORTED))
        self._close()

    def _switch(self, wire: Protocol, name: str, data: bytes) -> None:
        self._is_over = True
        self.connection.switch(wire, name)
        if self._is_draining:
            wire.drain()
        wire.handle(RawData(data))

    def _close(self) -> None:
        if not self._is_over:
            self._is_over = True
            self.deadline = _NEVER
            self.connection.send(CLOSED)

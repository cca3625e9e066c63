"""The channel between a supervisor and one worker: a socket pair, one message a line.

====================  ==========================================================================================
worker to supervisor  ``loaded`` (the application is imported); ``ready``; ``failed {"reason": ..., "details": ...}``;
                      ``leaving`` (it got SIGTERM, what now?); ``left`` (it is retired and accepts no more)
supervisor to worker  ``withdraw`` (the health check says 503); ``stop`` (the server ends, its sockets are sealed);
                      ``retire {"sealed": [...]}`` (the other workers go on; they do not serve the endpoints of these
                      indexes); ``reopen`` (the log files)
====================  ==========================================================================================

The end of the channel means that the other side is dead.
"""

from __future__ import annotations

import contextlib
import json
import socket
from enum import Enum
from typing import Any, Final

_READ_BYTES: Final = 65536


class Message(Enum):
    LOADED = "loaded"
    READY = "ready"
    FAILED = "failed"
    LEAVING = "leaving"
    LEFT = "left"
    WITHDRAW = "withdraw"
    STOP = "stop"
    RETIRE = "retire"
    REOPEN = "reopen"


class Channel:
    """One end.  ``ended`` once the other end is known to be gone."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._received = b""
        self.ended = False

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, message: Message, timeout_s: float = 0.0, **facts: Any) -> None:
        """Send ``message``; one that does not fit within ``timeout_s`` is lost, as is one that nobody will read.

        The end of the channel is seen, and acted upon, by who reads it.
        """
        line = f"{message.value} {json.dumps(facts)}\n" if facts else f"{message.value}\n"
        with contextlib.suppress(OSError):
            self._sock.settimeout(timeout_s)
            self._sock.sendall(line.encode())
        with contextlib.suppress(OSError):
            self._sock.setblocking(False)

    def receive(self) -> list[tuple[Message, dict[str, Any]]]:
        """The messages that have arrived whole, each with its facts.  It does not wait."""
        try:
            while chunk := self._sock.recv(_READ_BYTES):
                self._received += chunk
            self.ended = True
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True
        *lines, self._received = self._received.split(b"\n")
        return [note for line in lines if (note := _parse(line)) is not None]

    def close(self) -> None:
        self._sock.close()


def open_channel() -> tuple[Channel, Channel]:
    """Both ends."""
    one, other = socket.socketpair()
    return Channel(one), Channel(other)


def _parse(line: bytes) -> tuple[Message, dict[str, Any]] | None:
    kind, _, facts = line.partition(b" ")
    try:
        return Message(kind.decode()), json.loads(facts) if facts else {}
    except ValueError:
        return None  # its sender gave it up half-way, and the next message was written behind it

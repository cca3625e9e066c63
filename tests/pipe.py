"""A connection on the compiled base without a socket: what is written stays, and closing it loses it."""

from collections.abc import Callable
from typing import Any

from fastserver._speedups.connection import LiveConnection
from fastserver._speedups.contract import Host, Peer, Protocol
from fastserver._speedups.h1.connection import H1Connection
from fastserver.events import RawData

# The hot rooms have no type hints.
Base: Any = LiveConnection


class Pipe(Base):  # type: ignore[misc]
    """Keeps what is written, and is lost when it is closed."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.out = b""

    def open(self, make: Callable[[Any, Host], Protocol] = H1Connection, name: str = "http/1.1") -> None:
        self.enter(make(self, self.host), name)

    def get_peer(self) -> Peer:
        return Peer(None, None, "http", None, None)

    def write_out(self, event: RawData) -> None:
        self.out += event.data

    def close_out(self) -> None:
        self.lose()

    def finish_writing(self) -> None:
        self.end()

    def abort(self) -> None:
        self.end()
        self.lose()

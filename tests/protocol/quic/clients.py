"""Clients of QUIC that aioquic makes: their first datagrams, and what they make of an answer; and who answers."""

import ssl
from typing import Any

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, QuicEvent

from fastserver._speedups.metrics import Metrics
from fastserver.protocol.quic.cids import ConnectionIDs
from fastserver.protocol.quic.datagram import VERSIONS
from fastserver.protocol.quic.dispatcher import Dispatcher
from fastserver.protocol.quic.tokens import Tokens

V1, V2 = VERSIONS
SERVER = ("192.0.2.1", 443)
CLIENT = ("198.51.100.7", 50000)
SECRET = bytes(range(32))


def make_dispatcher(worker: int = 1, **options: Any) -> Dispatcher[Any]:
    """One at the time 0 that has room for everybody and knows of no other workers, but for ``options``."""
    given: dict[str, Any] = {"retry": "auto", "max_half_open": 256, "is_full": lambda: False, "note_full": lambda: None}
    given |= {"is_living": None, "choose_worker": None, "metrics": Metrics(), "read_wall": lambda: 0.0, **options}
    return Dispatcher(ConnectionIDs(SECRET, worker), Tokens(SECRET), given.pop("read_wall"), **given)


class Client:
    """A connection that has begun: ``datagrams`` is what it says, ``token`` what it has from an earlier visit."""

    def __init__(self, version: int = V1, token: bytes = b"") -> None:
        configuration = QuicConfiguration(
            is_client=True,
            alpn_protocols=["h3"],
            server_name="localhost",
            supported_versions=[version],
            original_version=version,
            token=token,
            verify_mode=ssl.CERT_NONE,
        )
        self.connection = QuicConnection(configuration=configuration)
        self.connection.connect(SERVER, now=0.0)
        self.datagrams = self.take()
        self.events: list[QuicEvent] = []

    @property
    def original_cid(self) -> bytes:
        return self.connection.original_destination_connection_id

    def take(self) -> list[bytes]:
        return [data for data, _ in self.connection.datagrams_to_send(now=0.0)]

    def receive(self, data: bytes) -> list[bytes]:
        """What it says to ``data``."""
        self.connection.receive_datagram(data, SERVER, now=0.0)
        while (event := self.connection.next_event()) is not None:
            self.events.append(event)
        return self.take()

    def read_close_code(self) -> int:
        """With which error it was told to go."""
        if not any(isinstance(event, ConnectionTerminated) for event in self.events):
            self.connection.handle_timer(now=1000.0)
            while (event := self.connection.next_event()) is not None:
                self.events.append(event)
        (code,) = (event.error_code for event in self.events if isinstance(event, ConnectionTerminated))
        return code

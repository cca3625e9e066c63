"""A handshake through the dispatcher: the IDs of its verdicts are those that both ends check (RFC 9000 section 7.3)."""

from typing import Any

import pytest

pytest.importorskip("aioquic")

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import HandshakeCompleted

from fastserver.protocol.quic.dispatcher import Dispatcher
from fastserver.protocol.quic.verdicts import Open, Reply
from tests.certificates import issue
from tests.protocol.quic.clients import CLIENT, V1, V2, Client, make_dispatcher


@pytest.fixture(name="configuration", scope="module")
def make_configuration() -> QuicConfiguration:
    certificate, key = issue()
    return QuicConfiguration(is_client=False, alpn_protocols=["h3"], certificate=certificate, private_key=key)


class Server:
    """The least that opens connections as it is told."""

    def __init__(self, configuration: QuicConfiguration, **options: Any) -> None:
        self.configuration = configuration
        self.dispatcher: Dispatcher[QuicConnection] = make_dispatcher(**options)
        self.connections: list[QuicConnection] = []

    def receive(self, data: bytes) -> list[bytes]:
        connection = self.dispatcher.find(data)
        if connection is None:
            verdict = self.dispatcher.admit(data, CLIENT, 0.0, is_forwarded=False)
            if isinstance(verdict, Reply):
                return [verdict.data]
            assert isinstance(verdict, Open)
            connection = self.open(verdict)
        connection.receive_datagram(data, CLIENT, now=0.0)
        while (event := connection.next_event()) is not None:
            if isinstance(event, HandshakeCompleted):
                self.dispatcher.note_handshake_done(connection, 0.0)
        return [data for data, _ in connection.datagrams_to_send(now=0.0)]

    def open(self, verdict: Open) -> QuicConnection:
        connection = QuicConnection(
            configuration=self.configuration,
            original_destination_connection_id=verdict.original_cid,
            retry_source_connection_id=verdict.retry_cid,
        )
        self.connections.append(connection)
        self.dispatcher.note_opened(connection, verdict.initial_cid)
        self.dispatcher.register(connection, connection.host_cid)
        return connection


@pytest.mark.parametrize("retry", ["auto", "always"])
@pytest.mark.parametrize("version", [V1, V2])
def test_a_handshake_comes_to_its_end(configuration: QuicConfiguration, version: int, retry: str) -> None:
    server, client = Server(configuration, retry=retry), Client(version)
    waiting = client.datagrams
    while waiting:
        answers = [answer for data in waiting for answer in server.receive(data)]
        waiting = [data for answer in answers for data in client.receive(answer)]
    assert any(isinstance(event, HandshakeCompleted) for event in client.events)
    (connection,) = server.connections
    assert server.dispatcher.half_open == 0
    assert server.dispatcher.find(b"\x40" + connection.host_cid) is connection
    assert len(server.dispatcher) == 2
    server.dispatcher.expire(1000.0)
    assert len(server.dispatcher) == 1
    server.dispatcher.forget(connection, None, 0.0)
    assert len(server.dispatcher) == 0

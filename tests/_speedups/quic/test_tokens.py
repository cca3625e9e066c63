"""NEW_TOKEN: the server gives one when the handshake is done, again where it is lost, and one for a new host."""

from typing import Any

import pytest

pytest.importorskip("aioquic")

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from fastserver._speedups.contract import H3Limits
from fastserver._speedups.quic.engine import Engine
from tests._speedups.quic.pair import CIDs, Pair, make_client, make_server_configuration

NEW_PORT = ("198.51.100.7", 50001)
NEW_HOST = ("203.0.113.9", 50000)


def open_pair(**settings: Any) -> tuple[Pair, list[bytes], list[tuple[str, int]]]:
    """A pair, the tokens that the client has, and for whom any was made."""
    got: list[bytes] = []
    made: list[tuple[str, int]] = []

    def make_token(address: tuple[str, int]) -> bytes:
        made.append(address)
        return b"token %d" % len(made)

    configuration: QuicConfiguration = make_client().configuration
    client = QuicConnection(configuration=configuration, token_handler=got.append)
    pair = Pair(client=client, **settings)
    original = client.original_destination_connection_id
    pair.server = Engine(pair.ear, make_server_configuration(), H3Limits(), CIDs(), original, make_token=make_token)
    return pair, got, made


def test_one_comes_with_the_handshake() -> None:
    pair, got, made = open_pair()
    pair.connect()
    pair.settle(1)
    assert (got, made) == ([b"token 1"], [("198.51.100.7", 50000)])


def test_none_comes_where_none_is_made() -> None:
    got: list[bytes] = []
    client = QuicConnection(configuration=make_client().configuration, token_handler=got.append)
    pair = Pair(client=client)
    pair.connect()
    pair.settle(1)
    assert got == []


def test_a_lost_one_is_made_anew() -> None:
    pair, got, made = open_pair()
    pair.client.connect(("192.0.2.1", 443), pair.now)
    while not made:
        for data, _ in pair.client.datagrams_to_send(pair.now):
            pair.server.receive(data, pair.address, pair.now)
        for data, _ in pair.server.take_datagrams(pair.now):
            if not made:
                pair.client.receive_datagram(data, ("192.0.2.1", 443), pair.now)
    pair.hear()
    assert got == []
    pair.settle(2)
    assert got == [b"token 2"]


def test_a_new_host_has_one_of_its_own() -> None:
    pair, got, made = open_pair()
    pair.connect()
    for address in (NEW_PORT, NEW_HOST):
        pair.address = address
        pair.client.send_ping(1)
        pair.settle(1)
        assert pair.server.address == address
    assert made == [("198.51.100.7", 50000), NEW_HOST]
    assert got == [b"token 1", b"token 2"]

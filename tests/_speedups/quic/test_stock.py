"""Why the engine is no stock aioquic: each hole shown in aioquic's own connection, and closed in ours (threats Q-*)."""

import tracemalloc
from typing import Any

import pytest

pytest.importorskip("aioquic")

from aioquic.quic import events
from aioquic.quic.connection import QuicConnection

from fastserver._speedups.contract import H3Limits
from fastserver._speedups.quic.bounds import CRYPTO_BYTES
from fastserver._speedups.quic.end import End
from fastserver._speedups.quic.errors import CRYPTO_BUFFER_EXCEEDED
from tests._speedups.quic.pair import (
    CLIENT,
    SERVER,
    Pair,
    connect,
    make_client,
    make_server_configuration,
    stream_frame,
    varint,
)

WINDOW = 64 * 1024
LIMITS = H3Limits(stream_window=WINDOW, connection_window=2 * WINDOW)


class Stock:
    """aioquic's connection by our names."""

    def __init__(self, client: QuicConnection) -> None:
        configuration = make_server_configuration()
        configuration.max_stream_data = WINDOW
        configuration.max_data = 2 * WINDOW
        self.quic = QuicConnection(
            configuration=configuration,
            original_destination_connection_id=client.original_destination_connection_id,
        )
        self.told: list[events.QuicEvent] = []

    def receive(self, data: bytes, address: Any, now: float) -> None:
        self.quic.receive_datagram(data, address, now)
        while (event := self.quic.next_event()) is not None:
            self.told.append(event)

    def on_deadline(self, now: float) -> None:
        timer = self.quic.get_timer()
        if timer is not None and timer <= now:
            self.quic.handle_timer(now)

    def get_deadline(self) -> float:
        timer = self.quic.get_timer()
        return float("inf") if timer is None else timer

    def take_datagrams(self, now: float) -> list[tuple[bytes, Any]]:
        return self.quic.datagrams_to_send(now) if self.quic._network_paths else []


def connect_stock() -> tuple[Pair, Stock]:
    client = make_client()
    stock = Stock(client)
    pair = Pair(client=client, server=stock)
    client.connect(SERVER, pair.now)
    pair.run(lambda: client._handshake_confirmed)
    pair.settle()
    return pair, stock


def test_stock_window_doubles_whatever_is_consumed() -> None:
    """Q-7: nothing was consumed, and the peer may send ever more."""
    pair, stock = connect_stock()
    pair.client.send_stream_data(0, bytes(8 * WINDOW))
    pair.settle(5)
    assert sum(len(event.data) for event in stock.told if isinstance(event, events.StreamDataReceived)) == 8 * WINDOW


def test_window_follows_consumption() -> None:
    pair = connect(LIMITS)
    pair.client.send_stream_data(0, bytes(8 * WINDOW))
    pair.settle(5)
    assert len(pair.ear.data[0]) == WINDOW
    pair.server.consume(0, WINDOW)
    pair.settle(5)
    assert len(pair.ear.data[0]) == 2 * WINDOW


def test_stock_fills_gaps_with_zeros() -> None:
    """Q-7: one byte at the window's end takes the whole window's memory."""
    pair, stock = connect_stock()
    pair.inject(stream_frame(0, WINDOW - 1, b"x"))
    assert len(stock.quic._streams[0].receiver._buffer) == WINDOW


def test_gaps_take_no_memory() -> None:
    pair = connect(LIMITS)
    pair.inject(stream_frame(0, WINDOW - 1, b"x"))
    tracemalloc.start()
    pair.inject(stream_frame(4, WINDOW - 1, b"x"))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < WINDOW // 8


def test_stock_send_takes_any_amount() -> None:
    """Q-8: there is nothing to ask how much waits."""
    pair, stock = connect_stock()
    pair.client.send_stream_data(0, b"x")
    pair.settle()
    stock.quic.send_stream_data(0, bytes(8_000_000))
    assert len(stock.quic._streams[0].sender._buffer) == 8_000_000
    assert not hasattr(stock.quic, "get_unsent")


def test_unsent_is_counted() -> None:
    pair = connect(LIMITS)
    pair.client.send_stream_data(0, b"x")
    pair.settle()
    pair.server.send(0, bytes(8_000_000), False)
    assert pair.server.get_unsent(0) == pair.server.unsent == 8_000_000
    pair.settle(5)
    assert pair.server.get_unsent(0) == pair.server.unsent == 0


def test_stock_takes_half_a_mebibyte_of_handshake() -> None:
    """Q-6: one packet of a handshake not yet begun makes room for 512 KiB."""
    pair, stock = connect_stock()
    pair.inject(b"\x06" + varint(524287) + varint(1) + b"x")
    assert stock.quic._close_event is None


def test_handshake_messages_are_bounded() -> None:
    for offset, is_refused in ((CRYPTO_BYTES - 1, False), (CRYPTO_BYTES, True)):
        client = make_client()
        client.connect(SERVER, 1.0)
        original = client.original_destination_connection_id
        header = b"\xc1\0\0\0\x01" + bytes([8]) + original + bytes([8]) + client.host_cid + b"\0"
        payload = (b"\x06" + varint(offset) + varint(1) + b"x").ljust(1300, b"\0")
        header += varint(len(payload) + 2 + 16) + b"\0\0"
        pair = Pair(LIMITS, client=client)
        pair.server.receive(client._cryptos_initial[1].encrypt_packet(header, payload, 0), CLIENT, 1.0)
        pair.server.take_datagrams(1.0)
        assert (pair.ear.terminated is not None) == is_refused
        if is_refused:
            assert pair.ear.terminated == (End.FAULT, CRYPTO_BUFFER_EXCEEDED)


def test_both_hold_the_limits_of_connection_ids_and_challenges() -> None:
    """Q-6: these aioquic has; they must stay."""
    for pair in (connect(LIMITS), connect_stock()[0]):
        quic = getattr(pair.server, "quic", pair.server)
        for number in range(40):
            pair.inject(b"\x1a" + number.to_bytes(8, "big"))
        assert len(quic._network_paths[0].remote_challenges) == 32
        for sequence in range(8, 60):
            pair.inject(
                b"\x18" + varint(sequence) + varint(sequence) + b"\x08" + bytes(7) + bytes([sequence]) + bytes(16)
            )
            if quic._close_event is not None:
                break
        assert quic._close_event.error_code == 0x9


@pytest.mark.parametrize("is_ours", [False, True])
def test_both_amplify_at_most_threefold(is_ours: bool) -> None:
    """Q-1: a client that says nothing more gets three bytes for each of its own."""
    client = make_client()
    pair = Pair(client=client, server=None if is_ours else Stock(client))
    client.connect(SERVER, pair.now)
    (first, _), *_ = client.datagrams_to_send(pair.now)
    pair.server.receive(first, CLIENT, pair.now)
    sent = 0
    for _ in range(20):
        sent += sum(len(data) for data, _ in pair.server.take_datagrams(pair.now))
        pair.now += 1
        pair.server.on_deadline(pair.now)
    assert 0 < sent <= 3 * len(first)

"""What a peer can make of few bytes, where the engine's own time or memory is the aim (Q-6)."""

import gc
import time
import weakref

import pytest

pytest.importorskip("aioquic")

from aioquic.tls import Epoch

from fastserver._speedups.quic.bounds import ACK_RANGES
from fastserver._speedups.quic.end import End
from tests._speedups.quic.pair import CLIENT, SERVER, Pair, varint

#: What none of these takes; without their bounds each takes seconds or for ever.
INSTANT_S = 0.5
HIGHEST = (1 << 62) - 1


def connect() -> Pair:
    pair = Pair()
    pair.connect()
    return pair


def craft_initial(pair: Pair, payload: bytes) -> bytes:
    """A datagram of one Initial packet that carries ``payload``."""
    client = pair.client
    number = client._packet_number
    client._packet_number += 1
    payload = payload.ljust(1150, b"\0")
    cid = pair.server.host_cid
    header = b"\xc1\0\0\0\x01" + bytes([len(cid)]) + cid + bytes([len(client.host_cid)]) + client.host_cid + b"\0"
    header += varint(len(payload) + 2 + 16) + number.to_bytes(2, "big")
    data: bytes = client._cryptos[Epoch.INITIAL].encrypt_packet(header, payload, number)
    return data.ljust(1200, b"\0")


def test_q_6_packets_that_were_never_sent_are_not_looked_for() -> None:
    """RFC 9000 section 13.1: before a client has proved anything, one packet of its claims 2^62 of ours."""
    pair = Pair()
    pair.client.connect(SERVER, pair.now)
    for data, _ in pair.client.datagrams_to_send(pair.now):
        pair.server.receive(data, CLIENT, pair.now)
    pair.server.take_datagrams(pair.now)
    started = time.process_time()
    pair.server.receive(craft_initial(pair, b"\x02" + varint(HIGHEST) + b"\0\0" + varint(HIGHEST)), CLIENT, pair.now)
    pair.server.take_datagrams(pair.now)
    assert time.process_time() - started < INSTANT_S
    assert pair.ear.terminated is not None
    assert pair.ear.terminated == (End.FAULT, 0xA)


def test_q_6_a_wide_range_costs_what_it_acknowledges() -> None:
    pair = connect()
    sent = pair.server._packet_number = 1 << 40
    started = time.process_time()
    for _ in range(100):
        pair.inject(b"\x02" + varint(sent - 1) + b"\0\0" + varint(sent - 1))
    assert time.process_time() - started < INSTANT_S
    assert pair.ear.terminated is None


def test_q_6_acknowledgements_that_are_never_acknowledged_are_forgotten() -> None:
    pair = connect()
    for _ in range(1000):
        pair.inject(b"\x01\0\0\0")
        if pair.server.get_deadline() <= pair.now:
            assert len(pair.server.take_datagrams(pair.now)) == 1
    assert len(pair.server._space.sent_packets) < 10


def test_q_6_gaps_between_packets_are_bounded() -> None:
    pair = connect()
    for _ in range(4 * ACK_RANGES):
        pair.client._packet_number += 1
        pair.inject(b"\x01\0\0\0")
    assert pair.server._space.ack_queue.count() == ACK_RANGES
    assert pair.server._space.is_duplicate(pair.server._space.largest_received_packet - 2 * ACK_RANGES - 1)


@pytest.mark.parametrize(
    ("frame", "most"),
    [(b"\x01", 512), (b"\x14\x07", 512), (b"\x1a12345678", 32), (b"\x02\0\0\0\0", 32)],
    ids=["ping", "blocked", "challenge", "ack"],
)
def test_q_6_a_packet_has_so_many_frames(frame: bytes, most: int) -> None:
    for count, is_refused in ((most - 1, False), (most, False), (most + 1, True)):
        pair = connect()
        pair.inject(frame * count)
        pair.server.take_datagrams(pair.now)
        assert (pair.ear.terminated is not None) == is_refused
        assert pair.ear.terminated is None or pair.ear.terminated[1] == 0xA


def test_q_6_rare_frames_have_a_rate() -> None:
    pair = connect()
    for _ in range(7):
        pair.inject(b"\x1a12345678" * 32)
        pair.server.take_datagrams(pair.now)
    pair.now += 1.0
    for _ in range(8):
        pair.inject(b"\x1a12345678" * 2)
    pair.server.take_datagrams(pair.now)
    assert pair.ear.terminated is None
    pair.inject(b"\x1a12345678" * 32)
    pair.inject(b"\x1a12345678" * 32)
    pair.server.take_datagrams(pair.now)
    assert pair.ear.terminated is not None
    assert pair.ear.terminated[1] == 0xA


def test_q_15_a_client_that_leaves_at_once_leaves_no_circle() -> None:
    """What it has not acknowledged would hold aioquic's handlers, and they the connection."""
    pair = Pair()
    pair.client.connect(SERVER, pair.now)
    pair.run(lambda: any(entry[0] == "handshake" for entry in pair.ear.told))
    pair.flush()
    assert any(packet.handlers for packet in pair.server._space.sent_packets.values())
    gc.collect()
    gc.disable()
    try:
        pair.client.close()
        for data, _ in pair.client.datagrams_to_send(pair.now):
            pair.server.receive(data, CLIENT, pair.now)
        pair.server.take_datagrams(pair.now)
        pair.server.detach()
        engine = weakref.ref(pair.server)
        pair.server = None
        assert engine() is None
    finally:
        gc.enable()

"""What a hostile client says: each broken rule closes the connection, and nothing raises."""

import random
from collections.abc import Callable

import pytest

pytest.importorskip("aioquic")

from aioquic.quic.connection import END_STATES, QuicConnectionState
from aioquic.tls import Epoch

from fastserver._speedups.contract import H3Limits
from fastserver._speedups.quic.bounds import MOST_UNI_STREAMS
from fastserver._speedups.quic.end import End
from fastserver._speedups.quic.engine import Engine
from tests._speedups.quic.pair import (
    CLIENT,
    CIDs,
    Ear,
    connect,
    make_client,
    make_server_configuration,
    stream_frame,
    varint,
)

OTHER = ("198.51.100.7", 50001)

ATTACKS = {
    "final size shrinks": (stream_frame(0, 0, b"xy") + stream_frame(0, 0, b"x", ends=True), 0x6),
    "final size is exceeded": (stream_frame(0, 0, b"x", ends=True) + stream_frame(0, 1, b"y"), 0x6),
    "reset below what came": (stream_frame(0, 0, b"xy") + b"\x04\x00\x00\x01", 0x6),
    "over the stream's window": (stream_frame(0, 262144, b"x"), 0x3),
    "reset over the window": (b"\x04\x00\x00" + varint(262145), 0x3),
    "over the connection's window": (b"".join(stream_frame(4 * n, 262143, b"x") for n in range(5)), 0x3),
    "too many streams": (stream_frame(400, 0, b"x"), 0x4),
    "too many uni streams": (stream_frame(2 + 4 * MOST_UNI_STREAMS, 0, b"x"), 0x4),
    "our stream is not theirs": (stream_frame(3, 0, b"x"), 0x5),
    "a stream that we never open": (stream_frame(1, 0, b"x"), 0x5),
    "window for a stream that only they write": (b"\x11\x02\x01", 0x5),
    "stop for a stream that only they write": (b"\x05\x02\x01", 0x5),
    "offset too large": (b"\x0e\x00" + varint((1 << 62) - 1) + b"\x01x", 0x7),
    "truncated stream": (b"\x0a\x00\x7f\xff" + b"x", 0x7),
    "truncated integer": (b"\x08\xc0", 0x7),
    "unknown frame": (b"\x3f", 0x7),
    "acknowledges what was not sent": (b"\x02" + varint(100000) + b"\x00\x00\x00", 0xA),
    "acknowledges below zero": (b"\x02\x00\x00\x01\x00\x05\x05", 0x7),
    "done is the server's word": (b"\x1e", 0xA),
    "too many streams allowed": (b"\x13" + varint((1 << 60) + 1), 0x7),
    "too many gaps": (b"".join(stream_frame(0, 2 * n + 1, b"x") for n in range(150)), 0x1),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_broken_rule_closes_the_connection(name: str) -> None:
    payload, code = ATTACKS[name]
    pair = connect()
    pair.inject(payload)
    pair.server.take_datagrams(pair.now)
    assert pair.ear.terminated is not None
    assert pair.ear.terminated == (End.FAULT, code)


def test_reserved_bits_close_the_connection() -> None:
    pair = connect()
    number = pair.client._packet_number
    header = b"\x59" + pair.client._peer_cid.cid + number.to_bytes(2, "big")
    data = pair.client._cryptos[Epoch.ONE_RTT].encrypt_packet(header, b"\x01\0\0\0", number)
    pair.server.receive(data, CLIENT, pair.now)
    pair.server.take_datagrams(pair.now)
    assert pair.ear.terminated is not None
    assert pair.ear.terminated[1] == 0xA


def new_connection_id(sequence: int, retire_prior_to: int) -> bytes:
    return b"\x18" + varint(sequence) + varint(retire_prior_to) + b"\x08" + bytes([sequence]) * 8 + bytes(16)


def test_a_client_that_takes_all_its_connection_ids_back_is_refused() -> None:
    """The one that is left is reserved for another path: aioquic finds none to go on with."""
    pair = connect()
    pair.inject(new_connection_id(20, 20))
    pair.inject(new_connection_id(21, 0))
    pair.server.receive(pair.craft(b"\x1a12345678"), OTHER, pair.now)
    pair.server.take_datagrams(pair.now)
    pair.inject(new_connection_id(21, 21))
    pair.server.take_datagrams(pair.now)
    assert pair.ear.terminated is not None
    assert pair.ear.terminated[1] == 0x7


@pytest.mark.parametrize("address", [CLIENT, OTHER])
@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("_read_rare", b"\x13\x01"),
        ("_read_foreign", b"\x1a12345678"),
        ("_handle_path_challenge_frame", b"\x1a12345678"),
    ],
)
def test_a_fault_of_ours_is_none_of_the_peers(name: str, payload: bytes, address: tuple[str, int]) -> None:
    pair = connect()

    def fail(*called: object) -> None:
        raise AssertionError("ours")

    setattr(pair.server, name, fail)
    with pytest.raises(AssertionError, match="ours"):
        pair.server.receive(pair.craft(payload), address, pair.now)
    assert pair.server._close_event is None


def mutate(rng: random.Random, payload: bytes) -> bytes:
    mutated = bytearray(payload)
    for _ in range(rng.randint(1, 4)):
        mutated[rng.randrange(len(mutated))] = rng.choice((0, 1, 0x3F, 0x40, 0x7F, 0xC0, 0xFF, rng.randrange(256)))
    return bytes(mutated)


def make_frames(rng: random.Random) -> bytes:
    """Some frames of each kind that a client may send, with numbers near the limits."""

    def number() -> bytes:
        return varint(rng.choice((0, 1, 2, 3, 4, 8, 63, 64, 396, 400, 16384, 262144, 1 << 30, (1 << 62) - 1)))

    makers: list[Callable[[], bytes]] = [
        lambda: stream_frame(rng.randrange(12), rng.randrange(300), rng.randbytes(rng.randrange(50))),
        lambda: b"\x02" + number() + number() + number() + number() + number() + number(),
        lambda: bytes([rng.choice((0x10, 0x12, 0x13, 0x14, 0x16, 0x17, 0x19))]) + number(),
        lambda: bytes([rng.choice((0x11, 0x05, 0x15))]) + number() + number(),
        lambda: b"\x04" + number() + number() + number(),
        lambda: b"\x06" + number() + number() + rng.randbytes(10),
        lambda: b"\x18" + number() + number() + bytes([rng.randrange(22)]) + rng.randbytes(36),
        lambda: bytes([rng.choice((0x1A, 0x1B))]) + rng.randbytes(8),
        lambda: rng.randbytes(rng.randint(1, 30)),
    ]
    return b"".join(rng.choice(makers)() for _ in range(rng.randint(1, 6)))


def fuzz_round(rng: random.Random) -> None:
    pair = connect()
    pair.ear.on_data = lambda stream_id, data, ends: pair.server.send(stream_id, data, ends)
    for _ in range(30):
        payload = make_frames(rng)
        pair.server.receive(
            pair.craft(mutate(rng, payload) if rng.random() < 0.5 else payload),
            CLIENT if rng.random() < 0.8 else OTHER,
            pair.now,
        )
        pair.server.take_datagrams(pair.now)
        pair.now += 0.01
        pair.server.on_deadline(pair.now)
        table = pair.server._table
        assert (
            sum(stream.highest - stream.consumed for stream in table.streams.values()) <= pair.limits.connection_window
        )
        if pair.ear.terminated is not None:
            break


def test_nothing_that_a_client_says_raises() -> None:
    for seed in range(60):
        fuzz_round(random.Random(seed))


def test_nothing_in_an_initial_raises() -> None:
    rng = random.Random(5)
    for _ in range(60):
        client = make_client()
        client.connect(("192.0.2.1", 443), 1.0)
        ear = Ear()
        original = client.original_destination_connection_id
        server = Engine(ear, make_server_configuration(), H3Limits(), CIDs(), original)
        header = b"\xc1\0\0\0\x01" + bytes([8]) + original + bytes([8]) + client.host_cid + b"\0"
        messages = client._crypto_streams[Epoch.INITIAL].sender._buffer
        crypto = b"\x06\x00" + varint(len(messages)) + mutate(rng, bytes(messages))
        payload = crypto.ljust(1300, b"\0")
        header += varint(len(payload) + 2 + 16) + b"\0\0"
        pair = client._cryptos_initial[1]
        server.receive(pair.encrypt_packet(header, payload, 0), CLIENT, 1.0)
        server.take_datagrams(1.0)
        assert server._state in (QuicConnectionState.CONNECTED, *END_STATES)

"""Packet numbers of a client, in as many bytes as it likes (RFC 9000 section 17.1)."""

import pytest

pytest.importorskip("aioquic")

from aioquic.tls import Epoch

from tests._speedups.quic.pair import CLIENT, Pair


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("first", [5, 200, 0x12345])
def test_a_number_is_cut_to_any_size(size: int, first: int) -> None:
    pair = Pair()
    pair.connect()
    space = pair.server._space
    space.expected_packet_number = first
    client = pair.client
    keys = client._cryptos[Epoch.ONE_RTT]
    for number in (first, first + 1, first + 3, first + 2):
        cut = (number & ((1 << 8 * size) - 1)).to_bytes(size, "big")
        header = bytes([0x40 | size - 1 | keys.key_phase << 2]) + client._peer_cid.cid + cut
        pair.server.receive(keys.encrypt_packet(header, b"\x01\0\0\0", number), CLIENT, pair.now)
        assert space.is_duplicate(number)

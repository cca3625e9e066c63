"""A client that moves: what is known of one path is not believed of another (RFC 9000 section 9.4)."""

import pytest

pytest.importorskip("aioquic")

from fastserver._speedups.quic.bounds import BASE_DATAGRAM, LARGE_DATAGRAM
from fastserver._speedups.quic.congestion import Reno
from fastserver._speedups.quic.packets import SentPacket
from fastserver._speedups.quic.recovery import DatagramSize
from tests._speedups.quic.pair import CLIENT, SERVER, Pair, connect, varint

PORT = (CLIENT[0], CLIENT[1] + 1)
HOST = ("203.0.113.5", CLIENT[1])
INITIAL_WINDOW = 10 * BASE_DATAGRAM
PING = b"\x01"


def make_packet(number: int, size: int = 1200, is_probe: bool = False) -> SentPacket:
    packet = SentPacket(number)
    packet.sent_bytes = size
    packet.is_size_probe = is_probe
    return packet


def open_path() -> Pair:
    """A path that is known well, with data of the server under way."""
    pair = connect()
    pair.client.send_stream_data(0, b"x", end_stream=True)
    pair.client.send_stream_data(4, b"x", end_stream=True)
    pair.run(lambda: set(pair.ear.data) == {0, 4})
    pair.server.send(0, bytes(300_000), True)
    pair.run(lambda: 0 in pair.got_end)
    pair.settle()
    assert pair.server._loss.size.current == LARGE_DATAGRAM
    assert pair.server._control.congestion_window > INITIAL_WINDOW
    pair.server.send(4, bytes(300_000), True)
    pair.run(lambda: pair.server._control.bytes_in_flight > 2 * LARGE_DATAGRAM)
    return pair


def move(pair: Pair, address: tuple[str, int]) -> None:
    pair.address = address
    pair.inject(PING)
    assert pair.server.address == address


def compute_wait(pair: Pair) -> float:
    wait: float = pair.server._loss.compute_timeout(False)
    return wait


def test_another_host_is_another_path() -> None:
    pair = open_path()
    before = compute_wait(pair)
    move(pair, HOST)
    control = pair.server._control
    unknown = 2 * pair.server._configuration.initial_rtt
    assert before < compute_wait(pair) == unknown
    assert (control.congestion_window, control.bytes_in_flight, control.threshold) == (INITIAL_WINDOW, 0, 0)
    assert pair.server._loss.size.current == BASE_DATAGRAM
    # An acknowledgement of what went to the old path is no round trip of the new one, and opens no window.
    newest = max(pair.server._space.sent_packets)
    for _, _, to_server, data, _ in pair.wire:
        if not to_server:
            pair.client.receive_datagram(data, SERVER, pair.now)
    pair.now += 0.5
    pair.inject(b"\x02" + varint(newest) + b"\0\0\0")
    assert newest not in pair.server._space.sent_packets
    assert compute_wait(pair) == unknown
    assert (control.congestion_window, control.bytes_in_flight) == (INITIAL_WINDOW, 0)
    pair.run(lambda: 4 in pair.got_end)
    pair.settle()
    assert len(pair.got[4]) == 300_000
    assert compute_wait(pair) < unknown
    assert control.bytes_in_flight == 0


def test_another_port_is_the_same_path() -> None:
    """NAT does that: the size of datagrams alone is found anew."""
    pair = open_path()
    control = pair.server._control
    before = (control.congestion_window, control.bytes_in_flight, compute_wait(pair))
    move(pair, PORT)
    assert (control.congestion_window, control.bytes_in_flight, compute_wait(pair)) == before
    assert pair.server._loss.size.current == BASE_DATAGRAM
    pair.run(lambda: 4 in pair.got_end)
    pair.settle()
    assert control.bytes_in_flight == 0


def test_what_is_lost_of_the_old_path_is_not_congestion_of_the_new() -> None:
    pair = open_path()
    pair.wire.clear()
    move(pair, HOST)
    pair.run(lambda: 4 in pair.got_end)
    assert len(pair.got[4]) == 300_000
    assert pair.server._control.congestion_window > INITIAL_WINDOW
    pair.settle()
    assert pair.server._control.bytes_in_flight == 0


def test_a_congestion_control_starts_over() -> None:
    control = Reno()
    packets = [make_packet(number) for number in range(10)]
    for number, packet in enumerate(packets):
        packet.sent_time = 1.0 + number
        control.on_sent(packet)
    control.on_lost(packets[:2], 20.0)
    assert (control.congestion_window, control.bytes_in_flight) == (INITIAL_WINDOW // 2, 8 * 1200)
    control.start_over()
    assert (control.congestion_window, control.bytes_in_flight, control.threshold) == (INITIAL_WINDOW, 0, 0)
    # Nothing is left of the loss: what left before it counts.
    control.on_sent(packets[5])
    control.on_acked(packets[5])
    assert (control.congestion_window, control.bytes_in_flight) == (INITIAL_WINDOW + 1200, 0)


def test_a_late_probe_of_the_old_path_says_nothing_of_the_new() -> None:
    size = DatagramSize()
    late, other = (make_packet(number, size.take_probe(), True) for number in (5, 8))
    size.start_over(8)
    assert size.wants_probe()
    size.note_acked(late)
    size.note_lost(late)
    assert (size.current, size.wants_probe()) == (BASE_DATAGRAM, True)
    size.take_probe()
    size.note_lost(late)
    assert not size.wants_probe()
    size.note_acked(other)
    assert size.current == LARGE_DATAGRAM

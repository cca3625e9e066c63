"""The pacer's bursts and the size of datagrams; loss and timers are seen in ``test_engine``."""

import pytest

from fastserver._speedups.quic.bounds import (
    BASE_DATAGRAM,
    BURST_PACKETS,
    LARGE_DATAGRAM,
    LOST_LARGE_PACKETS,
    SIZE_PROBES,
    TIMER_S,
)
from fastserver._speedups.quic.packets import SentPacket
from fastserver._speedups.quic.recovery import DatagramSize, Pacer


def send_for(pacer: Pacer, seconds: float, size: int = 1200) -> int:
    """How many bytes leave in so much time."""
    now = 10.0
    end = now + seconds
    sent = 0
    while now < end:
        at = pacer.get_time(now)
        if at == 0.0:
            pacer.spend(size)
            sent += size
        else:
            assert at == pytest.approx(now + TIMER_S)
            now = at
    return sent


def test_nothing_is_paced_before_a_round_trip_is_known() -> None:
    assert Pacer().get_time(5.0) == 0.0


@pytest.mark.parametrize(("window", "rtt"), [(100_000, 0.1), (1_000_000, 0.05), (200_000, 0.001)])
def test_the_rate_is_kept_by_a_timer_of_a_millisecond(window: int, rtt: float) -> None:
    pacer = Pacer()
    pacer.set_rate(window, rtt)
    rate = 1.25 * window / rtt
    burst = max(BURST_PACKETS * LARGE_DATAGRAM, 0.002 * rate)
    assert rate * 0.95 <= send_for(pacer, 1.0) <= rate + 2 * burst


def make_packet(size: int, *, is_probe: bool = False) -> SentPacket:
    packet = SentPacket(1)
    packet.sent_bytes = size
    packet.is_size_probe = is_probe
    return packet


def test_a_probe_that_arrives_raises_the_size() -> None:
    size = DatagramSize()
    assert size.wants_probe()
    assert size.take_probe() == LARGE_DATAGRAM
    assert not size.wants_probe()
    size.note_acked(make_packet(LARGE_DATAGRAM, is_probe=True))
    assert size.current == LARGE_DATAGRAM
    assert not size.wants_probe()


def test_probes_are_few() -> None:
    size = DatagramSize()
    for _ in range(SIZE_PROBES):
        assert size.wants_probe()
        size.take_probe()
        size.note_lost(make_packet(LARGE_DATAGRAM, is_probe=True))
    assert not size.wants_probe()
    assert size.current == BASE_DATAGRAM


def test_a_size_that_vanishes_is_given_up() -> None:
    size = DatagramSize()
    size.take_probe()
    size.note_acked(make_packet(LARGE_DATAGRAM, is_probe=True))
    for _ in range(LOST_LARGE_PACKETS - 1):
        size.note_lost(make_packet(LARGE_DATAGRAM))
    size.note_acked(make_packet(LARGE_DATAGRAM))
    for _ in range(LOST_LARGE_PACKETS - 1):
        size.note_lost(make_packet(LARGE_DATAGRAM))
    assert size.current == LARGE_DATAGRAM
    size.note_lost(make_packet(LARGE_DATAGRAM))
    assert size.current == BASE_DATAGRAM
    assert not size.wants_probe()


def test_a_peer_with_small_buffers_is_not_probed() -> None:
    size = DatagramSize()
    size.limit(BASE_DATAGRAM)
    assert not size.wants_probe()

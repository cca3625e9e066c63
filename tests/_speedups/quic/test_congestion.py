"""NewReno: slow start, one reduction for each event, and the early end of slow start where delay grows."""

import pytest

from fastserver._speedups.quic.bounds import BASE_DATAGRAM
from fastserver._speedups.quic.congestion import DelayWatch, Reno
from fastserver._speedups.quic.packets import SentPacket

INITIAL = 10 * BASE_DATAGRAM
LEAST = 2 * BASE_DATAGRAM
#: Round trips that are compared.
SAMPLES = 5


def make_packet(at: float, size: int = BASE_DATAGRAM) -> SentPacket:
    packet = SentPacket(0)
    packet.sent_time = at
    packet.sent_bytes = size
    packet.in_flight = True
    return packet


def test_slow_start_grows_by_what_arrives() -> None:
    control = Reno()
    assert (control.congestion_window, control.bytes_in_flight) == (INITIAL, 0)
    packet = make_packet(1.0)
    control.on_sent(packet)
    assert control.bytes_in_flight == BASE_DATAGRAM
    control.on_acked(packet)
    assert (control.congestion_window, control.bytes_in_flight) == (INITIAL + BASE_DATAGRAM, 0)


def test_a_loss_halves_once_and_then_a_window_grows_by_a_datagram() -> None:
    control = Reno()
    packets = [make_packet(1.0 + number / 10) for number in range(10)]
    for packet in packets:
        control.on_sent(packet)
    control.on_lost(packets[:2], 2.5)
    assert control.congestion_window == control.threshold == INITIAL // 2
    control.on_lost(packets[2:4], 2.6)
    control.on_acked(packets[4])
    assert control.congestion_window == INITIAL // 2
    assert control.bytes_in_flight == 5 * BASE_DATAGRAM
    for _ in range(INITIAL // 2 // BASE_DATAGRAM):
        later = make_packet(3.0)
        control.on_sent(later)
        control.on_acked(later)
    assert control.congestion_window == INITIAL // 2 + BASE_DATAGRAM


def test_it_never_falls_below_two_datagrams() -> None:
    control = Reno()
    for number in range(10):
        packet = make_packet(1.0 + number)
        control.on_sent(packet)
        control.on_lost([packet], 1.5 + number)
    assert control.congestion_window == LEAST
    assert control.bytes_in_flight == 0
    control = Reno()
    control.on_persistent_congestion()
    assert control.congestion_window == LEAST


def lose_one(sent_at: float, now: float) -> Reno:
    control = Reno()
    packet = make_packet(sent_at)
    control.on_sent(packet)
    control.on_lost([packet], now)
    return control


def test_an_event_ends_with_what_left_after_it() -> None:
    """What had left by the time of an event neither shrinks the window again nor lets it grow (section 7.3.2)."""
    for sent_at, is_after in ((1.9, False), (2.0, False), (2.1, True)):
        control = lose_one(1.0, 2.0)
        packet = make_packet(sent_at)
        control.on_sent(packet)
        control.on_lost([packet], 3.0)
        assert (control.congestion_window < INITIAL // 2) == is_after
        control = lose_one(1.0, 2.0)
        for _ in range(INITIAL // 2 // BASE_DATAGRAM):
            packet = make_packet(sent_at)
            control.on_sent(packet)
            control.on_acked(packet)
        assert (control.congestion_window > INITIAL // 2) == is_after


def test_at_the_threshold_a_window_grows_by_a_datagram_and_what_is_over_counts() -> None:
    control = lose_one(1.0, 2.0)
    assert control.congestion_window == control.threshold == 5 * BASE_DATAGRAM
    for grown, size in ((0, 4), (1, 2), (1, 4), (2, 1)):
        packet = make_packet(3.0, size * BASE_DATAGRAM)
        control.on_sent(packet)
        control.on_acked(packet)
        assert control.congestion_window == (5 + grown) * BASE_DATAGRAM


def test_persistent_congestion_begins_slow_start_again_at_once() -> None:
    control = lose_one(1.0, 2.0)
    control.on_persistent_congestion()
    packet = make_packet(1.5)
    control.on_sent(packet)
    control.on_acked(packet)
    assert control.congestion_window == LEAST + BASE_DATAGRAM


def test_delay_ends_slow_start_once() -> None:
    control = lose_one(1.0, 2.0)
    control.on_persistent_congestion()
    for number in range(2 * SAMPLES):
        control.on_round_trip(1.0 + number / 100, 0.02)
    for number in range(3 * SAMPLES):
        control.on_round_trip(2.0 + number / 100, 0.04)
    assert control.threshold == INITIAL // 2


@pytest.mark.parametrize(("growth_s", "is_growth"), [(0.0049, False), (0.0051, True)])
def test_delay_grows_by_a_quarter_so_many_times(growth_s: float, is_growth: bool) -> None:
    watch = DelayWatch()
    for number in range(2 * SAMPLES):
        assert not watch.is_growing(1.0 + number / 100, 0.02)
    # As many samples until the least of them has grown, and as many more that say so.
    told = [watch.is_growing(2.0 + number / 100, 0.02 + growth_s) for number in range(2 * SAMPLES)]
    assert told == [is_growth and number >= 2 * SAMPLES - 2 for number in range(2 * SAMPLES)]


def test_what_expires_is_no_congestion() -> None:
    control = Reno()
    packet = make_packet(1.0)
    control.on_sent(packet)
    control.on_expired(packet)
    assert (control.congestion_window, control.bytes_in_flight) == (INITIAL, 0)


def test_delay_that_grows_ends_slow_start() -> None:
    control = Reno()
    for number in range(2 * SAMPLES):
        control.on_round_trip(1.0 + number / 100, 0.02)
    assert control.threshold == 0
    for number in range(3 * SAMPLES):
        control.on_round_trip(2.0 + number / 100, 0.04)
    assert control.threshold == control.congestion_window == INITIAL


def test_delay_that_comes_and_goes_does_not() -> None:
    watch = DelayWatch()
    for number in range(20 * SAMPLES):
        assert not watch.is_growing(1.0 + number / 100, 0.02 if number % SAMPLES == 0 else 0.05)


def test_samples_of_one_moment_count_once() -> None:
    watch = DelayWatch()
    for _ in range(SAMPLES):
        watch.is_growing(1.0, 0.02)
    assert not any(watch.is_growing(1.0, 0.04) for _ in range(100))

"""Loss, probe timeouts and persistent congestion by themselves; the pacer's bursts and the size of datagrams."""

from typing import Any

import pytest

from fastserver._speedups.contract import H3Limits
from fastserver._speedups.quic.bounds import (
    BASE_DATAGRAM,
    BURST_PACKETS,
    LARGE_DATAGRAM,
    LOST_LARGE_PACKETS,
    SIZE_PROBES,
    TIMER_S,
)
from fastserver._speedups.quic.codes import STREAM
from fastserver._speedups.quic.congestion import Reno
from fastserver._speedups.quic.packets import Draft, Reader, SentPacket, Space
from fastserver._speedups.quic.recovery import DatagramSize, Pacer, Recovery
from fastserver._speedups.quic.table import Table


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


#: RFC 9002 sections 6.1, 6.2.4 and 7.6.1; how often a timeout doubles is ours.
PACKET_THRESHOLD = 3
TIME_THRESHOLD = 9 / 8
PROBES = 2
PERSISTENT_PERIODS = 3
LARGEST_BACKOFF = 6
INITIAL_RTT_S = 0.1
RTT_S = 0.02
START = 50.0
#: A round trip that was measured once: it, and four times half of it (RFC 9002 section 5.3), without the peer's delay.
TIMEOUT_S = RTT_S + 4 * RTT_S / 2
ACK_DELAY_S = 0.025


class Journey:
    """Recovery as an established connection has it; its packets, and what became of them."""

    def __init__(self, *, is_confirmed: bool = True) -> None:
        self.table = Table(None, H3Limits())
        self.control = Reno()
        self.recovery = Recovery(self.table, self.control, INITIAL_RTT_S, "acked", "lost")
        self.space = Space(True)
        self.handshake = Space()
        self.recovery.spaces = [self.handshake, self.space]
        self.recovery.handshake_confirmed = is_confirmed
        self.told: list[tuple[str, int]] = []

    def send(self, number: int, at: float, space: Space | None = None, **facts: Any) -> SentPacket:
        packet = SentPacket(number)
        packet.sent_time = at
        packet.sent_bytes = BASE_DATAGRAM
        packet.in_flight = packet.is_ack_eliciting = True
        packet.handlers = [(self.note, (number,))]
        for name, value in facts.items():
            setattr(packet, name, value)
        self.recovery.add(packet, space or self.space)
        return packet

    def note(self, what: str, number: int) -> None:
        self.told.append((what, number))

    def ack(self, number: int, now: float, *, delay_s: float = 0.0) -> None:
        self.recovery.on_acked(self.space, [(number, number + 1)], delay_s, now)

    def get_lost(self) -> list[int]:
        return [number for what, number in self.told if what == "lost"]

    def measure(self) -> None:
        """A first round trip of ``RTT_S``, which ends at ``START``; what it said is forgotten."""
        self.send(0, START - RTT_S)
        self.ack(0, START)
        assert self.told == [("acked", 0)]
        self.told.clear()


@pytest.mark.parametrize("above", [PACKET_THRESHOLD - 1, PACKET_THRESHOLD, PACKET_THRESHOLD + 1])
def test_a_packet_is_lost_by_those_after_it(above: int) -> None:
    journey = Journey()
    journey.measure()
    for number in range(1, 2 + above):
        journey.send(number, START)
    journey.ack(1 + above, START + 0.001)
    assert journey.get_lost() == list(range(1, 2 + above - PACKET_THRESHOLD))
    assert journey.control.bytes_in_flight == BASE_DATAGRAM * (above - len(journey.get_lost()))


@pytest.mark.parametrize(("early_s", "is_lost"), [(1e-6, False), (0.0, True), (-1e-6, True)])
def test_a_packet_is_lost_by_age(early_s: float, is_lost: bool) -> None:
    journey = Journey()
    journey.measure()
    journey.send(1, START)
    journey.send(2, START)
    journey.ack(2, START + RTT_S)
    due = START + TIME_THRESHOLD * RTT_S
    assert journey.recovery.compute_due(False) == pytest.approx(due)
    assert journey.recovery.compute_due(True) == pytest.approx(due)
    now = journey.recovery.compute_due(False) - early_s
    journey.recovery.on_loss_detection_timeout(now=now)
    assert journey.get_lost() == ([1] if is_lost else [])
    assert journey.recovery.probes == 0
    assert (journey.space.loss_time is None) == is_lost
    assert (journey.control.congestion_window < 10 * BASE_DATAGRAM) == is_lost


def test_the_age_is_that_of_the_longer_round_trip() -> None:
    """The smoothed and the latest (RFC 9002 section 6.1.2)."""
    for latest_s, wait_s in ((RTT_S / 2, RTT_S - RTT_S / 16), (2 * RTT_S, 2 * RTT_S)):
        journey = Journey()
        journey.measure()
        journey.send(1, START)
        journey.send(2, START)
        journey.ack(2, START + latest_s)
        assert journey.space.loss_time == pytest.approx(START + TIME_THRESHOLD * wait_s)


def test_a_path_without_a_measure_waits_for_the_initial_round_trip() -> None:
    journey = Journey()
    journey.send(1, START)
    assert journey.recovery.compute_due(False) == pytest.approx(START + 2 * INITIAL_RTT_S)
    assert journey.recovery.get_loss_detection_time(amplification_limited=True) is None


def test_the_peers_delay_is_taken_off_a_round_trip() -> None:
    """As much as it promised at the most, and never below the least that was seen (RFC 9002 section 5.3)."""
    for took_s, told_s, counted_s in (
        (RTT_S + 0.01, 0.005, RTT_S + 0.005),
        (RTT_S + 0.04, 0.5, RTT_S + 0.04 - ACK_DELAY_S),
        (RTT_S + 0.01, 0.02, RTT_S + 0.01),
    ):
        journey = Journey()
        journey.measure()
        journey.send(1, START)
        journey.ack(1, START + took_s, delay_s=told_s)
        variance = RTT_S / 2 * 3 / 4 + abs(RTT_S - counted_s) / 4
        expected = RTT_S + (counted_s - RTT_S) / 8 + 4 * variance
        assert journey.recovery.compute_timeout(False) == pytest.approx(expected)


def test_a_round_trip_is_of_the_largest_number_and_of_packets_that_ask() -> None:
    """RFC 9002 section 5.1."""
    for acked, asks in (([1, 5], True), ([1], False)):
        journey = Journey()
        journey.measure()
        before = journey.recovery.compute_timeout(False)
        journey.send(1, START, is_ack_eliciting=asks)
        journey.recovery.on_acked(journey.space, [(at, at + 1) for at in acked], 0.0, START + 1)
        assert journey.told == [("acked", 1)]
        assert journey.recovery.compute_timeout(False) == before


def test_timeouts_are_no_finer_than_a_millisecond() -> None:
    journey = Journey()
    for number in range(200):
        journey.send(number, START + number)
        journey.ack(number, START + number + 1e-5)
    assert journey.recovery.compute_timeout(False) == pytest.approx(0.001 + 1e-5)
    for number in (200, 201):
        journey.send(number, START + 300)
    journey.ack(201, START + 300 + 1e-5)
    assert journey.space.loss_time == pytest.approx(START + 300.001)


def test_silence_lasts_three_timeouts_at_least() -> None:
    recovery = Journey().recovery
    recovery.idle_s = 6 * INITIAL_RTT_S + 1
    assert recovery.compute_idle_timeout() == 6 * INITIAL_RTT_S + 1
    recovery.idle_s = 0.1
    assert recovery.compute_idle_timeout() == pytest.approx(6 * INITIAL_RTT_S)


def test_a_space_without_keys_is_forgotten_with_its_timeouts() -> None:
    journey = Journey()
    journey.send(0, START, journey.handshake)
    journey.send(1, START)
    recovery = journey.recovery
    recovery.on_loss_detection_timeout(now=START + 1)
    assert recovery.compute_due(False) == pytest.approx(START + 4 * INITIAL_RTT_S)
    recovery.discard_space(journey.handshake)
    assert (journey.handshake.sent_packets, journey.control.bytes_in_flight) == ({}, BASE_DATAGRAM)
    assert recovery.compute_due(False) == pytest.approx(START + 2 * INITIAL_RTT_S)


def test_the_space_whose_packets_age_first_comes_first() -> None:
    journey = Journey()
    journey.handshake.loss_time = START + 2
    journey.space.loss_time = START + 1
    assert journey.recovery.compute_due(False) == START + 1
    journey.handshake.loss_time = START
    assert journey.recovery.compute_due(False) == START


def test_what_asks_for_nothing_is_not_remembered() -> None:
    journey = Journey()
    journey.send(1, START, is_ack_eliciting=False, in_flight=False)
    assert not journey.space.sent_packets
    journey.send(2, START, is_ack_eliciting=False)
    assert list(journey.space.sent_packets) == [2]


def test_probe_timeouts_double_until_something_arrives() -> None:
    journey = Journey()
    journey.measure()
    journey.send(1, START)
    recovery = journey.recovery
    for count in range(LARGEST_BACKOFF + 2):
        due = recovery.compute_due(False)
        assert due == pytest.approx(START + (TIMEOUT_S + ACK_DELAY_S) * 2 ** min(count, LARGEST_BACKOFF))
        recovery.on_loss_detection_timeout(now=due)
        journey.send(2 + count, START)
    journey.ack(2 + count, START + RTT_S)
    recovery.discard_space(journey.space)
    journey.send(100, START)
    timeout = recovery.compute_timeout(True)
    assert recovery.compute_due(False) == pytest.approx(START + timeout)


def test_what_arrives_sets_the_backoff_back() -> None:
    journey = Journey()
    journey.measure()
    for number in (1, 2, 3, 4):
        journey.send(number, START)
    recovery = journey.recovery
    recovery.on_loss_detection_timeout(now=recovery.compute_due(False))
    before = recovery.compute_due(False)
    journey.ack(3, START + RTT_S)
    assert before == pytest.approx(START + 2 * (TIMEOUT_S + ACK_DELAY_S))
    assert recovery.compute_due(False) == pytest.approx(START + recovery.compute_timeout(True))


def test_a_timeout_repeats_the_oldest_and_is_no_congestion() -> None:
    journey = Journey()
    journey.measure()
    for number in range(1, 6):
        journey.send(number, START, is_ack_eliciting=number != 1)
    window = journey.control.congestion_window
    journey.recovery.on_loss_detection_timeout(now=START + 1)
    assert journey.get_lost() == [2, 3]
    assert journey.recovery.probes == PROBES
    assert list(journey.space.sent_packets) == [1, 4, 5]
    assert journey.space.ack_eliciting_in_flight == 2
    assert (journey.control.congestion_window, journey.control.bytes_in_flight) == (window, 3 * BASE_DATAGRAM)


def test_a_timeout_repeats_the_handshake_first() -> None:
    journey = Journey(is_confirmed=False)
    journey.send(0, START, journey.handshake, is_crypto_packet=True)
    journey.send(1, START, journey.handshake)
    journey.send(2, START)
    journey.recovery.on_loss_detection_timeout(now=START + 1)
    assert (journey.get_lost(), journey.recovery.probes) == ([0], PROBES)
    journey.recovery.on_loss_detection_timeout(now=START + 2)
    assert journey.get_lost() == [0, 1]
    journey.recovery.on_loss_detection_timeout(now=START + 3)
    assert journey.get_lost() == [0, 1]  # not of 1-RTT before the handshake is confirmed (RFC 9002 section 6.2.1)
    journey.recovery.handshake_confirmed = True
    journey.recovery.on_loss_detection_timeout(now=START + 4)
    assert journey.get_lost() == [0, 1, 2]


def test_data_of_one_rtt_has_no_timeout_before_the_handshake_is_confirmed() -> None:
    journey = Journey(is_confirmed=False)
    journey.send(0, START)
    assert journey.recovery.compute_due(False) == float("inf")
    journey.recovery.peer_completed_address_validation = False
    assert journey.recovery.compute_due(False) == pytest.approx(2 * INITIAL_RTT_S)
    journey.recovery.peer_completed_address_validation = True
    journey.send(1, START, journey.handshake)
    assert journey.recovery.compute_due(False) == pytest.approx(START + 2 * INITIAL_RTT_S)


#: Nothing gets through for longer than this: congestion is persistent.  A second round trip has narrowed the variance.
PERSISTENT_S = PERSISTENT_PERIODS * (RTT_S + 4 * RTT_S / 2 * 3 / 4 + ACK_DELAY_S)


def lose(journey: Journey, times: list[tuple[int, float]], **facts: Any) -> bool:
    """Let packets be lost that left so long after ``START``; whether the window has collapsed."""
    for number, after_s in times:
        journey.send(number, START + after_s, **facts)
    later = START + 2.0
    journey.send(99, later)
    journey.ack(99, later + RTT_S)
    assert journey.get_lost() == [number for number, _ in times]
    assert journey.control.threshold > 0
    return bool(journey.control.congestion_window == 2 * BASE_DATAGRAM)


@pytest.mark.parametrize(("over_s", "is_persistent"), [(-1e-6, False), (1e-6, True)])
def test_congestion_is_persistent_after_three_timeouts(over_s: float, is_persistent: bool) -> None:
    journey = Journey()
    journey.measure()
    assert lose(journey, [(1, 0.1), (2, 0.2), (3, 0.1 + PERSISTENT_S + over_s)]) == is_persistent


def test_persistent_congestion_lies_between_packets_that_are_all_lost() -> None:
    journey = Journey()
    journey.measure()
    # Number 2 has arrived, or was never sent.
    assert not lose(journey, [(1, 0.1), (3, 0.1 + 2 * PERSISTENT_S)])
    journey = Journey()
    journey.measure()
    assert lose(journey, [(1, 0.1), (3, 0.2), (4, 0.2 + 2 * PERSISTENT_S)])


def test_persistent_congestion_needs_packets_that_ask_and_a_round_trip_before() -> None:
    journey = Journey()
    journey.measure()
    times = [(1, 0.1), (2, 0.1 + 2 * PERSISTENT_S)]
    assert not lose(journey, times, is_ack_eliciting=False)
    journey = Journey()
    assert not lose(journey, times)
    journey = Journey()
    journey.measure()
    assert not lose(journey, [(1, 0.0), (2, 2 * PERSISTENT_S)])


def write(journey: Journey, number: int, at: float) -> list[tuple[int, int, bool]]:
    """Send what the streams have to say: of each frame where its data begin and end, and whether the stream ends."""
    draft = Draft()
    draft.begin(1000, number)
    journey.table.write(draft)
    if not draft.out:
        return []
    journey.send(number, at, pieces=draft.packet.pieces)
    frames = []
    reader = Reader()
    reader.begin(bytes(draft.out))
    while reader.at < reader.end:
        kind = reader.read()
        assert (kind & ~7, reader.read()) == (STREAM, 3)
        start = reader.read() if kind & 4 else 0
        size = reader.read()
        reader.at += size
        frames.append((start, start + size, kind & 1 == 1))
    return frames


def test_what_is_lost_is_sent_again_and_what_arrives_is_not() -> None:
    journey = Journey()
    journey.measure()
    table = journey.table
    table.begin(1 << 20, 1 << 20, 1 << 20, 8)
    assert table.open_uni() == 3
    table.send(3, bytes(3000), True)
    sent = [frame for number in range(1, 5) for frame in write(journey, number, START)]
    assert [start for start, _, _ in sent] == [0, *(stop for _, stop, _ in sent[:-1])]
    assert (sent[-1][1:], len(sent)) == ((3000, True), 4)
    assert (table.unsent, write(journey, 5, START)) == (0, [])
    journey.ack(2, START + RTT_S)
    journey.ack(3, START + RTT_S)
    journey.send(5, START + RTT_S)
    journey.ack(5, START + 3 * RTT_S)
    assert journey.get_lost() == [1, 4]
    again = [frame for number in range(6, 9) for frame in write(journey, number, START + 1)]
    assert sum(stop - start for start, stop, _ in again) == sent[0][1] + 3000 - sent[3][0]
    for start, stop, ends in again:
        assert stop <= sent[0][1] or start >= sent[3][0]
        assert ends == (stop == 3000)
    assert again[-1][1:] == (3000, True)
    for number in range(6, 9):
        assert list(table.streams) == ([3] if number in journey.space.sent_packets else [])
        journey.ack(number, START + 1 + RTT_S)
    assert not table.streams


@pytest.mark.parametrize("word", ["stop", "reset", "windows", "streams"])
def test_a_word_that_is_lost_is_said_again(word: str) -> None:
    journey = Journey()
    journey.measure()
    table = journey.table
    table.begin(1 << 20, 1 << 20, 1 << 20, 8)
    reader = Reader()
    reader.begin(bytes(2 + 100_000))  # of stream 0, from its beginning
    table.on_stream(reader, STREAM | 4)
    if word == "stop":
        table.stop(0, 7)
    elif word == "reset":
        table.reset(0, 7)
    elif word == "streams":
        table.bidi.is_wanted = True
    else:
        table.consume(0, 100_000)

    def say(number: int) -> bytes:
        draft = Draft()
        draft.begin(1000, number)
        table.write(draft)
        if draft.out:
            journey.send(number, START, pieces=draft.packet.pieces)
        return bytes(draft.out)

    first = say(1)
    assert first
    assert say(2) == b""
    journey.recovery.on_loss_detection_timeout(now=START + 1)
    assert journey.get_lost() == [1]
    assert say(3) == first
    journey.ack(3, START + 1)
    assert (say(4), table.has_words()) == (b"", False)

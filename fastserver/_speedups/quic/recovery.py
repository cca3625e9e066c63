"""Loss detection and its timers (RFC 9002), in the place of aioquic's own recovery.

The names without our grammar are those by which aioquic's connection calls it during the handshake.  A packet is
acknowledged or lost, never both: one that a probe repeats early counts as lost without being a congestion event.
"""

import math

from .bounds import BASE_DATAGRAM, BURST_PACKETS, BURST_S, LARGE_DATAGRAM, LOST_LARGE_PACKETS, SIZE_PROBES, TIMER_S
from .packets import SentPacket

PACKET_THRESHOLD = 3
TIME_THRESHOLD = 9 / 8
GRANULARITY_S = 0.001
PERSISTENT_PERIODS = 3
#: The pacing rate is this many windows a round trip (RFC 9002 section 7.7).
PACING_GAIN = 1.25
#: Timeouts double so often: a path that loses a third both ways is not silent for longer than its loss takes.
LARGEST_BACKOFF = 6
#: Packets that a timeout sends and repeats early (RFC 9002 section 6.2.4).
PROBES = 2


class Pacer:
    """Spreads a window over a round trip in bursts that a loop's timer can keep up with (RFC 9002 section 7.7)."""

    def __init__(self):
        self._rate = 0.0
        self._burst = 0.0
        self._tokens = 0.0
        self._at = 0.0

    def set_rate(self, window, rtt):
        """``window`` bytes leave in ``rtt`` seconds, and somewhat more."""
        is_first = self._rate == 0.0
        self._rate = PACING_GAIN * window / max(rtt, 1e-6)
        self._burst = max(BURST_PACKETS * LARGE_DATAGRAM, self._rate * BURST_S)
        if is_first or self._tokens > self._burst:
            self._tokens = self._burst

    def get_time(self, now):
        """When the next packet may leave: 0 for now."""
        if self._rate == 0.0:
            return 0.0
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
        return 0.0 if self._tokens > 0.0 else now + TIMER_S

    def spend(self, size):
        """``size`` bytes have left."""
        self._tokens -= size


class DatagramSize:
    """How large datagrams may be: ``BASE_DATAGRAM`` until a padded probe of the larger size has arrived (RFC 8899)."""

    def __init__(self):
        self.current = BASE_DATAGRAM
        self._wanted = LARGE_DATAGRAM
        self._probes = SIZE_PROBES
        self._lost = 0
        self._is_probing = False
        # Packets below this number went another way.
        self._since = 0

    def limit(self, size):
        """The peer's ``max_udp_payload_size``."""
        self._wanted = min(LARGE_DATAGRAM, size)

    def wants_probe(self):
        """Whether a probe should be sent."""
        return self._probes > 0 and not self._is_probing and self.current < self._wanted

    def take_probe(self):
        """The size of the probe that is now sent."""
        self._probes -= 1
        self._is_probing = True
        return self._wanted

    def start_over(self, number):
        """The path has changed: packets from ``number`` on say something of the new one."""
        self.current = BASE_DATAGRAM
        self._probes = SIZE_PROBES
        self._lost = 0
        self._is_probing = False
        self._since = number

    def note_acked(self, packet):
        """A packet larger than the base has arrived."""
        if packet.number < self._since:
            return
        self._lost = 0
        if packet.is_size_probe:
            self._is_probing = False
            self.current = packet.sent_bytes

    def note_lost(self, packet):
        """A packet larger than the base is lost: many in a row mean that the path no longer carries them."""
        if packet.number < self._since:
            return
        if packet.is_size_probe:
            self._is_probing = False
            return
        self._lost += 1
        if self._lost >= LOST_LARGE_PACKETS:
            self.current = BASE_DATAGRAM
            self._probes = 0


class Recovery:
    """Acknowledgement, loss and probe timeouts over all packet number spaces of a connection."""

    def __init__(self, table, control, initial_rtt, acked, lost):
        self.handshake_confirmed = False
        self.max_ack_delay = 0.025
        self.peer_completed_address_validation = True
        self.spaces = []
        self.probes = 0
        self.idle_s = 0.0
        self.pacer = Pacer()
        self.size = DatagramSize()
        self._table = table
        self._control = control
        self._acked = acked
        self._lost = lost
        self._rtt_initial = initial_rtt
        self._asked_at = 0.0
        self._begin(0)

    def _begin(self, number):
        """A path of which nothing is known: packets from ``number`` on are sent there."""
        self._since = number
        self._timeouts = 0
        self._first_sample_at = 0.0
        self._has_rtt = False
        self._rtt_latest = 0.0
        self._rtt_min = math.inf
        self._rtt = 0.0
        self._rtt_variance = 0.0

    def start_over(self, number):
        """The peer has moved to another host; packets from ``number`` on go there (RFC 9000 section 9.4).

        Those before may yet be acknowledged or lost, and sent again; they tell nothing of the new path.
        """
        self._begin(number)
        self.pacer = Pacer()
        self._control.start_over()
        for space in self.spaces:
            for packet in space.sent_packets.values():
                packet.in_flight = False

    @property
    def bytes_in_flight(self):
        """Bytes sent that are neither acknowledged nor lost."""
        return self._control.bytes_in_flight

    @property
    def congestion_window(self):
        """How many may be."""
        return self._control.congestion_window

    def get_probe_timeout(self, *, include_max_ack_delay=True):
        """The probe timeout without its backoff, seconds (RFC 9002 section 6.2.1)."""
        return self.compute_timeout(include_max_ack_delay)

    def compute_timeout(self, with_ack_delay):
        """See ``get_probe_timeout``."""
        if not self._has_rtt:
            return 2 * self._rtt_initial
        timeout = self._rtt + max(4 * self._rtt_variance, GRANULARITY_S)
        return timeout + self.max_ack_delay if with_ack_delay else timeout

    def compute_idle_timeout(self):
        """Seconds of silence that end the connection (RFC 9000 section 10.1)."""
        return max(self.idle_s, 3 * self.compute_timeout(True))

    def get_loss_detection_time(self, *, amplification_limited):
        """When ``on_loss_detection_timeout`` is due, or ``None`` (RFC 9002 appendix A.8)."""
        due = self.compute_due(amplification_limited)
        return None if due == math.inf else due

    def compute_due(self, is_limited):
        """The same, infinity for never."""
        space = self._find_loss_space()
        if space is not None:
            return space.loss_time
        if is_limited:
            return math.inf
        asking = 0
        for space in self.spaces:
            if self.handshake_confirmed or not space.is_application_data:
                asking += space.ack_eliciting_in_flight
        if not asking and self.peer_completed_address_validation:
            return math.inf
        return self._asked_at + self.compute_timeout(self.handshake_confirmed) * (1 << self._timeouts)

    def _find_loss_space(self):
        """The space whose packets are next to be declared lost by time."""
        found = None
        for space in self.spaces:
            if space.loss_time is not None and (found is None or space.loss_time < found.loss_time):
                found = space
        return found

    def on_loss_detection_timeout(self, *, now):
        """The time has come: packets are lost by age, or a probe is due."""
        space = self._find_loss_space()
        if space is not None:
            self._detect(space, now)
            return
        self._timeouts = min(self._timeouts + 1, LARGEST_BACKOFF)
        self.reschedule_data(now=now)

    def reschedule_data(self, *, now, speed_up_handshake=False):
        """Send again early what may be lost, and a probe (RFC 9002 section 6.2.4)."""
        repeats_handshake = False
        for space in self.spaces:
            lost = [packet for packet in space.sent_packets.values() if packet.is_crypto_packet]
            if lost:
                self._declare_lost(space, lost, now, False)
                repeats_handshake = True
        if not repeats_handshake and not speed_up_handshake:
            self._repeat_oldest(now)
        self.probes = PROBES

    def _repeat_oldest(self, now):
        """What the oldest packets said is said again by the probes."""
        for space in self.spaces:
            if space.is_application_data and not self.handshake_confirmed:
                continue
            oldest = []
            for packet in space.sent_packets.values():
                if packet.is_ack_eliciting:
                    oldest.append(packet)
                    if len(oldest) == PROBES:
                        break
            if oldest:
                self._declare_lost(space, oldest, now, False)
                return

    def discard_space(self, space):
        """The keys of a space are gone, and its packets with them."""
        for packet in space.sent_packets.values():
            if packet.in_flight:
                self._control.on_expired(packet)
        space.sent_packets.clear()
        space.ack_at = space.loss_time = None
        space.ack_eliciting_in_flight = 0
        self._timeouts = 0

    def on_packet_sent(self, *, packet, space):
        """aioquic's connection has sent a packet."""
        sent = SentPacket(packet.packet_number)
        sent.sent_time = packet.sent_time
        sent.sent_bytes = packet.sent_bytes
        sent.in_flight = packet.in_flight
        sent.is_ack_eliciting = packet.is_ack_eliciting
        sent.is_crypto_packet = packet.is_crypto_packet
        sent.handlers = packet.delivery_handlers or None
        self.add(sent, space)

    def add(self, packet, space):
        """A packet has left.

        One that asks for no acknowledgement is forgotten: a peer that never sends one would have us keep them all.
        """
        if not packet.is_ack_eliciting and not packet.in_flight:
            return
        space.sent_packets[packet.number] = packet
        if packet.is_ack_eliciting:
            space.ack_eliciting_in_flight += 1
            if self.handshake_confirmed or not space.is_application_data:
                self._asked_at = packet.sent_time
        if packet.in_flight:
            self._control.on_sent(packet)

    def on_ack_received(self, *, ack_rangeset, ack_delay, now, space):
        """aioquic's connection has read an ACK frame."""
        self.on_acked(space, [(acked.start, acked.stop) for acked in ack_rangeset], ack_delay, now)

    def on_acked(self, space, ranges, ack_delay, now):
        """The packets of ``ranges``, lowest first, have arrived."""
        sent = space.sent_packets
        _, largest = ranges[len(ranges) - 1]
        largest -= 1
        if largest > space.largest_acked_packet:
            space.largest_acked_packet = largest
        newest = None
        asks = False
        for number in _list_acked(sent, ranges):
            newest = sent.pop(number)
            asks = asks or newest.is_ack_eliciting
            self._settle(space, newest)
        if newest is None:
            return
        if newest.number == largest and asks and largest >= self._since:
            self._sample(now - newest.sent_time, ack_delay, now)
        self._detect(space, now)
        if self.peer_completed_address_validation:
            self._timeouts = 0

    def _settle(self, space, packet):
        """One packet has arrived."""
        if packet.is_ack_eliciting:
            space.ack_eliciting_in_flight -= 1
        if packet.in_flight:
            self._control.on_acked(packet)
        if packet.acknowledges >= 0:
            space.ack_queue.cut(packet.acknowledges + 1)
        if packet.sent_bytes > BASE_DATAGRAM:
            self.size.note_acked(packet)
        if packet.pieces is not None:
            self._table.on_acked(packet)
        if packet.handlers is not None:
            for handler, arguments in packet.handlers:
                handler(self._acked, *arguments)

    def _sample(self, latest, ack_delay, now):
        """A round trip (RFC 9002 section 5.3)."""
        raw = latest
        latest = max(latest, 1e-6)
        self._rtt_min = min(self._rtt_min, latest)
        ack_delay = min(ack_delay, self.max_ack_delay)
        if latest - ack_delay >= self._rtt_min:
            latest -= ack_delay
        if not self._has_rtt:
            self._has_rtt = True
            self._first_sample_at = now
            self._rtt = latest
            self._rtt_variance = latest / 2
        else:
            self._rtt_variance += (abs(self._rtt - latest) - self._rtt_variance) / 4
            self._rtt += (latest - self._rtt) / 8
        self._rtt_latest = latest
        self._control.on_round_trip(now, raw)
        self.pacer.set_rate(self._control.congestion_window, self._rtt)

    def _detect(self, space, now):
        """Declare packets lost by number and by age (RFC 9002 section 6.1)."""
        delay = TIME_THRESHOLD * (max(self._rtt_latest, self._rtt) if self._has_rtt else self._rtt_initial)
        delay = max(delay, GRANULARITY_S)
        largest = space.largest_acked_packet
        space.loss_time = None
        lost = None
        # They lie in the order in which they were sent: the first that is not lost ends the search.
        for packet in space.sent_packets.values():
            if packet.number > largest:
                break
            if packet.number > largest - PACKET_THRESHOLD and packet.sent_time + delay > now:
                space.loss_time = packet.sent_time + delay
                break
            if lost is None:
                lost = []
            lost.append(packet)
        if lost is not None:
            self._declare_lost(space, lost, now, True)

    def _declare_lost(self, space, packets, now, is_congestion):
        """What these packets said is to be said again."""
        flown = []
        for packet in packets:
            del space.sent_packets[packet.number]
            if packet.is_ack_eliciting:
                space.ack_eliciting_in_flight -= 1
            if packet.in_flight:
                flown.append(packet)
            if packet.sent_bytes > BASE_DATAGRAM:
                self.size.note_lost(packet)
            if packet.pieces is not None:
                self._table.on_lost(packet)
            if packet.handlers is not None:
                for handler, arguments in packet.handlers:
                    handler(self._lost, *arguments)
        if not flown:
            return
        if not is_congestion:
            for packet in flown:
                self._control.on_expired(packet)
            return
        self._control.on_lost(flown, now)
        if self._is_persistent(packets):
            self._control.on_persistent_congestion()
        if self._has_rtt:
            self.pacer.set_rate(self._control.congestion_window, self._rtt)

    def _is_persistent(self, packets):
        """Whether nothing got through for so long that the window collapses (RFC 9002 section 7.6)."""
        if not self._has_rtt:
            return False
        period = self.compute_timeout(True) * PERSISTENT_PERIODS
        since = -1.0
        previous = -1
        for packet in packets:
            if packet.number != previous + 1:
                since = -1.0
            previous = packet.number
            if packet.is_ack_eliciting and packet.sent_time > self._first_sample_at:
                if since < 0.0:
                    since = packet.sent_time
                elif packet.sent_time - since > period:
                    return True
        return False


def _list_acked(sent, ranges):
    """The numbers of ``sent`` within ``ranges``, both lowest first.

    A range costs nothing by its width, which is the peer's choice (Q-6), and packets above the last are not looked at.
    """
    acked = []
    index = 0
    start, stop = ranges[0]
    for number in sent:
        while number >= stop:
            index += 1
            if index == len(ranges):
                return acked
            start, stop = ranges[index]
        if number >= start:
            acked.append(number)
    return acked

"""Congestion control: NewReno (RFC 9002 section 7), which leaves slow start early where delay grows."""

from .bounds import BASE_DATAGRAM

INITIAL_DATAGRAMS = 10
LEAST_DATAGRAMS = 2
#: A round trip counts once in so many seconds; so many make up the minimum and the maximum that are compared.
SAMPLE_S = 0.001
SAMPLES = 5


class DelayWatch:
    """Sees that round trips become longer: the least of the last is a quarter above the least of all maxima."""

    def __init__(self):
        self._recent = []
        self._floor = 0.0
        self._sampled_at = 0.0
        self._growths = 0

    def is_growing(self, now, rtt):
        """Take a sample; whether delay has grown ``SAMPLES`` times without falling back."""
        if now <= self._sampled_at + SAMPLE_S:
            return False
        self._sampled_at = now
        recent = self._recent
        recent.append(rtt)
        if len(recent) < SAMPLES:
            return False
        if len(recent) > SAMPLES:
            del recent[0]
        least = most = rtt
        for sample in recent:
            least = min(least, sample)
            most = max(most, sample)
        if self._floor == 0.0 or self._floor > most:
            self._floor = most
        growth = least - self._floor
        self._growths = self._growths + 1 if growth * 4 >= self._floor else 0
        return self._growths >= SAMPLES


class Reno:
    """``congestion_window`` is how many bytes may be in flight, ``bytes_in_flight`` how many are."""

    def __init__(self):
        self.start_over()

    def start_over(self):
        """A path of which nothing is known; what flies on another is not counted (RFC 9000 section 9.4)."""
        self.congestion_window = INITIAL_DATAGRAMS * BASE_DATAGRAM
        self.bytes_in_flight = 0
        #: Where slow start ends; 0 while nobody knows.
        self.threshold = 0
        self._recovers_from = 0.0
        self._counted = 0
        self._delay = DelayWatch()

    def on_sent(self, packet):
        """A packet has left."""
        self.bytes_in_flight += packet.sent_bytes

    def on_acked(self, packet):
        """A packet has arrived."""
        size = packet.sent_bytes
        self.bytes_in_flight -= size
        if packet.sent_time <= self._recovers_from:
            return
        if self.threshold == 0 or self.congestion_window < self.threshold:
            self.congestion_window += size
            return
        self._counted += size
        if self._counted >= self.congestion_window:
            self._counted -= self.congestion_window
            self.congestion_window += BASE_DATAGRAM

    def on_expired(self, packet):
        """Nothing will be known of a packet any more."""
        self.bytes_in_flight -= packet.sent_bytes

    def on_lost(self, packets, now):
        """Packets are lost, the latest last: one event where they left since the last event (section 7.3.2)."""
        latest = 0.0
        for packet in packets:
            self.bytes_in_flight -= packet.sent_bytes
            latest = packet.sent_time
        if latest > self._recovers_from:
            self._recovers_from = now
            self.congestion_window = max(self.congestion_window // 2, LEAST_DATAGRAMS * BASE_DATAGRAM)
            self.threshold = self.congestion_window

    def on_persistent_congestion(self):
        """Nothing has arrived for long: start over (section 7.6)."""
        self.congestion_window = LEAST_DATAGRAMS * BASE_DATAGRAM
        self._recovers_from = 0.0

    def on_round_trip(self, now, rtt):
        """One has been measured."""
        if self.threshold == 0 and self._delay.is_growing(now, rtt):
            self.threshold = self.congestion_window

"""What packets are made of: reading and drafting payloads, ranges of numbers, and what is remembered of a packet.

A packet number space has the attributes that aioquic's handshake reads and writes; its ranges also pass for aioquic's.
"""

from .bounds import ACK_RANGES
from .errors import FRAME_ENCODING_ERROR, TransportFault

ACK = 0x02


class Reader:
    """A cursor over one payload: bytes ``at`` to ``end`` of ``data``."""

    def begin(self, data):
        """Start over with another payload."""
        self.data = data
        self.at = 0
        self.end = len(data)

    def read(self):
        """The next variable-length integer (RFC 9000 section 16); ``TransportFault`` where the payload ends in it."""
        at = self.at
        if at >= self.end:
            raise TransportFault(FRAME_ENCODING_ERROR, "frame is truncated")
        value = self.data[at]
        size = 1 << (value >> 6)
        if at + size > self.end:
            raise TransportFault(FRAME_ENCODING_ERROR, "frame is truncated")
        value &= 0x3F
        for index in range(at + 1, at + size):
            value = value << 8 | self.data[index]
        self.at = at + size
        return value

    def skip_padding(self):
        """Go on to the next byte that is not zero."""
        at = self.at
        while at < self.end and self.data[at] == 0:
            at += 1
        self.at = at


class Ranges:
    """A set of integers as half-open ranges, which mostly grows at its upper end.

    ``len``, iteration, indexing, ``add``, ``shift`` and ``subtract`` are as aioquic's ``RangeSet`` has them.
    """

    def __init__(self):
        self._below = []
        self.start = 0
        self.stop = 0

    def add(self, start, stop=-1):
        """Add the range; ``start`` alone where there is no ``stop``."""
        if stop < 0:
            stop = start + 1
        if start >= self.start and self.stop > self.start:
            if start > self.stop:
                self._below.append((self.start, self.stop))
                self.start = start
                self.stop = stop
            elif stop > self.stop:
                self.stop = stop
        elif self.stop == self.start:
            self.start = start
            self.stop = stop
        else:
            self._insert(start, stop)

    def _insert(self, start, stop):
        """Merge a range that begins below the uppermost."""
        merged = []
        for low, high in [*self._below, (self.start, self.stop)]:
            if high < start:
                merged.append((low, high))
            elif low > stop:
                if start >= 0:
                    merged.append((start, stop))
                    start = stop = -1
                merged.append((low, high))
            else:
                start = min(start, low)
                stop = max(stop, high)
        if start >= 0:
            merged.append((start, stop))
        self.start, self.stop = merged.pop()
        self._below = merged

    def has(self, number):
        """Whether ``number`` is in the set."""
        if number >= self.start:
            return number < self.stop
        found = False
        for low, high in self._below:
            found = found or low <= number < high
        return found

    def shift(self):
        """Take the lowest range away, and give it as a pair."""
        if self._below:
            return self._below.pop(0)
        lowest = (self.start, self.stop)
        self.start = self.stop = 0
        return lowest

    def put_back(self, start, stop):
        """Put back what remains of the range that ``shift`` gave."""
        if self.stop == self.start:
            self.start = start
            self.stop = stop
        else:
            self._below.insert(0, (start, stop))

    def cut(self, number):
        """Forget what is below ``number``."""
        if self._below:
            self._below = [(max(low, number), high) for low, high in self._below if high > number]
        if self.stop <= number:
            self.start = self.stop = 0
        elif self.start < number:
            self.start = number

    def subtract(self, start, stop):
        """Forget what is below ``stop``: ``start`` is always zero."""
        self.cut(stop)

    def list_ranges(self):
        """The ranges as pairs, lowest first."""
        if self.stop == self.start:
            return []
        return [*self._below, (self.start, self.stop)]

    def count(self):
        """How many ranges there are."""
        return len(self._below) + (1 if self.stop > self.start else 0)

    def __len__(self):
        return self.count()

    def __getitem__(self, index):
        low, high = self.list_ranges()[index]
        return range(low, high)


class Space:
    """A packet number space: what has come, what is to be acknowledged, what was sent (RFC 9000 section 12.3).

    ``received`` remembers ``ACK_RANGES`` ranges; all below ``floor`` counts as received.
    """

    def __init__(self, is_application_data=False):
        self.is_application_data = is_application_data
        self.discarded = False
        self.ack_at = None
        self.ack_queue = Ranges()
        self.ack_waiting = 0
        self.expected_packet_number = 0
        self.largest_received_packet = -1
        self.largest_received_time = None
        self.ack_eliciting_in_flight = 0
        self.largest_acked_packet = -1
        self.loss_time = None
        self.sent_packets = {}
        self._received = Ranges()
        self._floor = 0

    @property
    def received_packets(self):
        """aioquic asks it for duplicates."""
        return self

    def __contains__(self, number):
        return self.is_duplicate(number)

    def is_duplicate(self, number):
        """Whether this packet has come before, or may have."""
        return number < self._floor or self._received.has(number)

    def add(self, number):
        """Remember that a packet has come."""
        received = self._received
        received.add(number)
        if received.count() > ACK_RANGES:
            _, self._floor = received.shift()


class SentPacket:
    """What must be known of a packet until it is acknowledged or lost.

    ``pieces`` go back to the streams, ``handlers`` to aioquic's connection.  ``acknowledges`` is the largest number
    that this packet acknowledged, or -1.
    """

    def __init__(self, number):
        self.number = number
        self.sent_time = 0.0
        self.sent_bytes = 0
        self.in_flight = False
        self.is_ack_eliciting = False
        self.is_crypto_packet = False
        self.is_size_probe = False
        self.acknowledges = -1
        self.pieces = None
        self.handlers = None


class Draft:
    """The payload of the packet that is being written: at most ``limit`` bytes."""

    def __init__(self):
        self.out = bytearray()
        self.limit = 0
        self.packet = None

    def begin(self, limit, number):
        """Start the payload of the packet ``number``."""
        self.out = bytearray()
        self.limit = limit
        self.packet = SentPacket(number)

    def get_room(self):
        """How many bytes still fit."""
        return self.limit - len(self.out)

    def push(self, value):
        """Write a variable-length integer."""
        out = self.out
        if value < 0x40:
            out.append(value)
        elif value < 0x4000:
            out.append(0x40 | value >> 8)
            out.append(value & 0xFF)
        elif value < 0x40000000:
            out += (0x80000000 | value).to_bytes(4, "big")
        else:
            out += (0xC000000000000000 | value).to_bytes(8, "big")

    def keep(self, piece):
        """The packet carries ``piece``: it asks for an acknowledgement."""
        packet = self.packet
        packet.is_ack_eliciting = packet.in_flight = True
        if packet.pieces is None:
            packet.pieces = [piece]
        else:
            packet.pieces.append(piece)

    def push_ack(self, space, delay):
        """Write an ACK frame, ``delay`` in units of 8 us; how many ranges fitted (RFC 9000 section 19.3)."""
        ranges = space.ack_queue.list_ranges()
        start, stop = ranges.pop()
        count = min(len(ranges), ACK_RANGES, max(0, self.limit - len(self.out) - 32) // 16)
        self.out.append(ACK)
        self.push(stop - 1)
        self.push(max(0, delay))
        self.push(count)
        self.push(stop - 1 - start)
        for _ in range(count):
            low, high = ranges.pop()
            self.push(start - high - 1)
            self.push(high - low - 1)
            start = low
        self.packet.acknowledges = space.largest_received_packet
        return count + 1


def size_varint(value):
    """How many bytes ``value`` takes."""
    if value < 0x40:
        return 1
    if value < 0x4000:
        return 2
    return 4 if value < 0x40000000 else 8

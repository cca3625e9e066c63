"""What one peer may spend of this server's time by what costs it nothing (threats Q-9, Q-10).

Pure counting: ``now`` is an argument.  Each budget that is exhausted raises ``ConnectionFault`` (H3_EXCESSIVE_LOAD, RFC
9114 section 10.5) which says which.
"""

from ..bounds import FLOOD_BYTES, FLOOD_RATIO
from ..churn import Churn
from .bounds import SKIPPED_BYTES, STRAY_LANES
from .errors import H3_EXCESSIVE_LOAD, ConnectionFault


class Budget:
    """The budgets of one connection."""

    def __init__(self, limits):
        self._resets = Churn(limits.h3.resets)
        self._received = 0
        self._payload = 0
        self._skipped = 0
        self._lanes = 0

    def count_datagram(self, size):
        """A datagram of ``size`` bytes has come."""
        self._received += size
        if self._received // FLOOD_RATIO > self._payload + FLOOD_BYTES:
            raise ConnectionFault(H3_EXCESSIVE_LOAD, "too many bytes for their payload")

    def count_payload(self, size):
        """``size`` bytes of a stream have come or are to go: what datagrams are for, and what acknowledges them."""
        self._payload += size

    def count_skipped(self, size):
        """``size`` bytes that mean nothing here were skipped: frames and streams of unknown types.

        Some clients send a few with each request, however long the connection lives.
        """
        self._skipped += size
        if self._skipped > SKIPPED_BYTES + self._payload // FLOOD_RATIO:
            raise ConnectionFault(H3_EXCESSIVE_LOAD, "too many bytes that mean nothing")

    def count_lane(self):
        """The peer has opened a unidirectional stream that this server has no use for."""
        self._lanes += 1
        if self._lanes > STRAY_LANES:
            raise ConnectionFault(H3_EXCESSIVE_LOAD, "too many unidirectional streams")

    def count_reset(self, now):
        """A stream was reset, by the peer or because of what it sent, before its response was whole (Q-9)."""
        if not self._resets.take(now):
            raise ConnectionFault(H3_EXCESSIVE_LOAD, "too many streams reset")

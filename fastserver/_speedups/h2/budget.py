"""What one peer may spend of this server's time by frames that cost it nothing (threats H2-1, H2-2, H2-5, H2-7, H2-20).

Pure counting: the connection sets the time with ``tick`` before it feeds the scanner, and nothing here reads a clock.
Each budget that is exhausted raises ``ConnectionFault`` (ENHANCE_YOUR_CALM, RFC 9113 section 10.5) which says which.
"""

from ..bounds import FLOOD_BYTES, FLOOD_RATIO
from ..bucket import TokenBucket
from ..churn import Churn
from .bounds import (
    CONTROL_BURST,
    CONTROL_RATE,
    EMPTY_FRAMES,
    PRIORITIES,
    PRIORITIES_PER_STREAM,
    SLICE_FRAMES,
    SLICE_PAYLOAD_BYTES,
    WINDOW_CHANGE_BURST,
    WINDOW_CHANGE_RATE,
    WINDOW_UPDATE_BURST,
    WINDOW_UPDATE_CREDIT,
    WINDOW_UPDATE_RATE,
    WINDOW_UPDATES_PER_FRAME,
)
from .errors import ENHANCE_YOUR_CALM, ConnectionFault


class Budget:
    """The budgets of one connection.  ``now`` is the time of the last ``tick``, in seconds of the clock."""

    def __init__(self, limits):
        self.now = 0.0
        self._resets = Churn(limits.h2.resets)
        self._pings = TokenBucket(CONTROL_BURST, CONTROL_RATE)
        self._settings = TokenBucket(CONTROL_BURST, CONTROL_RATE)
        self._window_changes = TokenBucket(WINDOW_CHANGE_BURST, WINDOW_CHANGE_RATE)
        self._window_updates = TokenBucket(WINDOW_UPDATE_BURST, WINDOW_UPDATE_RATE)
        self._window_credit = 0
        self._priorities = 0
        self._priority_limit = PRIORITIES
        self._empty_frames = 0
        self._total_bytes = 0
        self._payload_bytes = 0
        self._slice_frames = 0
        self._slice_payload = 0

    # What the connection tells.

    def tick(self, now):
        """Set the time; it never goes back."""
        self.now = now

    def begin_slice(self):
        """The next piece of input, of at most 16 KiB, is about to be fed (H2-20)."""
        self._slice_frames = 0
        self._slice_payload = 0

    def open_stream(self):
        """The peer has opened a stream."""
        self._priority_limit += PRIORITIES_PER_STREAM

    def count_sent(self, size):
        """A DATA or HEADERS frame with ``size`` bytes of payload was sent: what the peer may answer, and has caused."""
        self._total_bytes += 9 + size
        self._payload_bytes += size
        self._window_credit += WINDOW_UPDATES_PER_FRAME
        if self._window_credit > WINDOW_UPDATE_CREDIT:
            self._window_credit = WINDOW_UPDATE_CREDIT

    def count_reset(self):
        """A stream was reset, by the peer or because of what it sent, before its response was whole (H2-1, H2-2)."""
        if not self._resets.take(self.now):
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many streams reset")

    # What the scanner tells.

    def count_frame(self, size, payload, fills_slice):
        """A frame of ``size`` bytes with its header, of which ``payload`` are of a field block or a body.

        ``fills_slice`` is false for a frame that other budgets bound well enough.
        """
        self._total_bytes += size
        self._payload_bytes += payload
        if self._total_bytes // FLOOD_RATIO > self._payload_bytes + FLOOD_BYTES:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many bytes for their payload")
        self._slice_payload += payload
        if fills_slice:
            self._slice_frames += 1
            if self._slice_frames > SLICE_FRAMES and self._slice_payload < SLICE_PAYLOAD_BYTES:
                raise ConnectionFault(ENHANCE_YOUR_CALM, "too many small frames at once")

    def count_fragment(self, size, ends):
        """A DATA, HEADERS or CONTINUATION frame with ``size`` bytes; ``ends`` says that it ends its stream's data."""
        if size > 0 or ends:
            self._empty_frames = 0
            return
        self._empty_frames += 1
        if self._empty_frames > EMPTY_FRAMES:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many empty frames")

    def count_ping(self):
        if not self._pings.take(self.now):
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many PING frames")

    def count_settings(self):
        if not self._settings.take(self.now):
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many SETTINGS frames")

    def count_window_change(self):
        """A SETTINGS frame changes INITIAL_WINDOW_SIZE."""
        if not self._window_changes.take(self.now):
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many changes of the initial window")

    def count_window_update(self):
        if self._window_credit > 0:
            self._window_credit -= 1
        elif not self._window_updates.take(self.now):
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many WINDOW_UPDATE frames")

    def count_priority(self):
        """A PRIORITY or PRIORITY_UPDATE frame, or one of a type that is not known."""
        self._priorities += 1
        if self._priorities > self._priority_limit:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many PRIORITY or unknown frames")

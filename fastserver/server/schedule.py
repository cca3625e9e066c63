"""When each step of a stop is due.

=================  ================================================================================================
from the call on    the health check says 503; all else is as before, for ``delay_s`` seconds
``drain_at``        no new connection gets in, and what is open is finished
``streams_at``      what has no end of its own is told to end: event streams and WebSockets
``cut_at``          the end of the grace: what is still open is cancelled
=================  ================================================================================================
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass
class StopSchedule:
    """The due times of one stop, in monotonic seconds."""

    drain_at: float = math.inf
    streams_at: float = math.inf
    cut_at: float = math.inf

    def plan(self, delay_s: float, streams_s: float, grace_s: float) -> None:
        """Begin ``delay_s`` seconds from now, tell streams ``streams_s`` later and cut ``grace_s`` later.

        Streams are told at the end of the grace at the latest.  Planned once more, nothing moves but to earlier.
        """
        begin = time.monotonic() + delay_s
        self.drain_at = min(self.drain_at, begin)
        self.streams_at = min(self.streams_at, begin + min(streams_s, grace_s))
        self.cut_at = min(self.cut_at, begin + grace_s)

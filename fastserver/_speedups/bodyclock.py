"""The clock of a request body that comes in several reads: idle time and minimum rate (threat H1-29).

It reads no time itself; ``now`` is an argument, in seconds.  Time in which the server does not read, because the
application is slow, is not counted against the client.
"""

_NEVER = float("inf")

#: Grace before the minimum rate counts, and the time between two looks at it; seconds.
RATE_GRACE_S = 10.0
RATE_INTERVAL_S = 1.0


class BodyClock:
    """Runs from the first moment at which body bytes are due until the body is complete."""

    def __init__(self, now, limits):
        self._limits = limits
        # When the body began, later by every pause.
        self._since = now
        self._read_at = now
        self._looked_at = now + RATE_GRACE_S - RATE_INTERVAL_S
        self._paused_at = _NEVER

    def read(self, now):
        """Bytes have come."""
        self._read_at = now

    def pause(self, now):
        """The server stops reading; does nothing where it has."""
        if self._paused_at == _NEVER:
            self._paused_at = now

    def resume(self, now):
        """The server reads on; does nothing where it was not paused."""
        if self._paused_at == _NEVER:
            return
        paused_s = now - self._paused_at
        self._paused_at = _NEVER
        self._since += paused_s
        self._looked_at += paused_s
        self._read_at = now

    def next_deadline(self):
        """When ``judge`` has something to say."""
        limits = self._limits
        deadline = _NEVER
        if self._paused_at != _NEVER:
            return deadline
        if limits.timeout_request_body_idle > 0:
            deadline = self._read_at + limits.timeout_request_body_idle
        if limits.request_body_rate > 0:
            deadline = min(deadline, self._looked_at + RATE_INTERVAL_S)
        return deadline

    def judge(self, now, received):
        """Look at a body of which ``received`` bytes have come: what is wrong with it, or ``None``."""
        limits = self._limits
        if self._paused_at != _NEVER:
            return None
        if 0 < limits.timeout_request_body_idle <= now - self._read_at:
            return "request body stalled"
        elapsed_s = now - self._since
        if elapsed_s >= RATE_GRACE_S and received < limits.request_body_rate * elapsed_s:
            return "request body came too slowly"
        self._looked_at = now
        return None

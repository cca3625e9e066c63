"""A rate: what may come at once, and how much more with each second.  It reads no clock, ``now`` is an argument."""


class TokenBucket:
    """``capacity`` at once, and ``rate`` more a second."""

    def __init__(self, capacity, rate):
        self._capacity = capacity
        self._rate = rate
        self._level = capacity
        self._filled_at = 0.0

    def take(self, now):
        """Spend one, if there is one."""
        level = self._level
        if level < self._capacity:
            level = min(self._capacity, level + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if level < 1.0:
            self._level = level
            return False
        self._level = level - 1.0
        return True

    def excuse(self, paused_s):
        """Nobody looked for so long, up to now: what that time brings comes without a cap."""
        self._level += paused_s * self._rate
        self._filled_at += paused_s

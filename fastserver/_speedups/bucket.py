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
        level = self._level + (now - self._filled_at) * self._rate
        if level > self._capacity:
            level = self._capacity
        self._filled_at = now
        if level < 1.0:
            self._level = level
            return False
        self._level = level - 1.0
        return True

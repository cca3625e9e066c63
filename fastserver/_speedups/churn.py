"""How many streams of one connection end before their responses were whole: rapid reset, in any protocol.

Pure counting (threats H2-1, H2-2, Q-9): it reads no clock, ``now`` is an argument in seconds.
"""

from .bounds import RESET_PERIOD_S


class Churn:
    """Takes up to ``limit`` resets in any ``RESET_PERIOD_S``."""

    def __init__(self, limit):
        self._limit = limit
        self._count = 0
        self._count_before = 0
        self._since = 0.0

    def take(self, now):
        """Count a reset: whether that is still within the limit.

        The sliding period is two fixed ones: the one before counts by the share of it that the last 30 s overlap.
        """
        passed = now - self._since
        if passed >= RESET_PERIOD_S:
            self._count_before = self._count if passed < 2.0 * RESET_PERIOD_S else 0
            self._count = 0
            # The new period begins where the last one ended, or, after a pause, now.
            self._since = self._since + RESET_PERIOD_S if passed < 2.0 * RESET_PERIOD_S else now
            passed = now - self._since
        self._count += 1
        return self._count + self._count_before * (1.0 - passed / RESET_PERIOD_S) <= self._limit

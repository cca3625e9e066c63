"""The pings of a session: when this side asks whether the client is there, and until when it is to have answered.

It reads no time and writes nothing: ``now`` is an argument, in seconds of the clock, and the exchange sends what
``ask`` gives.
"""

_NEVER = float("inf")


class KeepAlive:
    """One question at a time: where a pong is waited for, the next ping is due an interval after it has come.

    ``interval_s`` is 0 where nothing is asked, ``timeout_s`` where no answer is waited for.
    """

    def __init__(self, interval_s, timeout_s):
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._count = 0
        self._payload = None
        self.ping_at = _NEVER
        self.pong_due = _NEVER

    def plan(self, now):
        """The next ping is due an interval from now."""
        if self._interval_s > 0:
            self.ping_at = now + self._interval_s

    def ask(self, now):
        """The payload of a ping that is sent now."""
        self._count += 1
        self._payload = b"%08x" % (self._count & 0xFFFFFFFF)
        if self._timeout_s > 0:
            self.ping_at = _NEVER
            self.pong_due = now + self._timeout_s
        else:
            self.plan(now)
        return self._payload

    def take_pong(self, payload, now):
        """Whether ``payload`` is the answer that is waited for; any other pong means nothing."""
        if self.pong_due == _NEVER or payload != self._payload:
            return False
        self.pong_due = _NEVER
        self.plan(now)
        return True

    def extend(self, now):
        """The client has its time again, because what it says was not read; whether it is waited for."""
        if self.pong_due == _NEVER:
            return False
        self.pong_due = now + self._timeout_s
        return True

    def stop(self):
        """Nothing is due any more: the session closes, or its client has gone."""
        self.ping_at = self.pong_due = _NEVER

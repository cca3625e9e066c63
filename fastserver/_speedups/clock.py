"""The worker's clock: what time it is, as of the last tick.

Below the edge nothing reads the time; it reads this, which the worker moves forward with ``tick``.
So a request costs no system call for time, and a test moves the time by hand.
"""

from time import gmtime

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def format_http_date(wall_s):
    """The IMF-fixdate of a Unix time in seconds (RFC 9110 section 5.6.7), whatever the locale: ``bytes``."""
    year, month, day, hour, minute, second, weekday, _, _ = gmtime(wall_s)
    return (
        f"{_WEEKDAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{second:02} GMT"
    ).encode("ascii")


class Clock:
    """``now`` is monotonic seconds, ``wall_s`` Unix seconds, ``date_field`` the whole ``date`` header line.

    All are at most one tick old.
    """

    def __init__(self, now=0.0, wall_s=0.0):
        self.now = now
        self._date_s = -1
        self.tick(now, wall_s)

    def tick(self, now, wall_s):
        """Move to monotonic time ``now`` and Unix time ``wall_s``, both in seconds; wall time may go backwards."""
        self.now = now
        self.wall_s = wall_s
        date_s = int(wall_s)
        if date_s != self._date_s:
            self._date_s = date_s
            self.date_field = b"date: " + format_http_date(date_s) + b"\r\n"

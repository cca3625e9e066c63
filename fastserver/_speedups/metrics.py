"""What a worker counts while it serves: numbers that are added to, and nothing else.

``Metrics`` is one worker's account, ``Tally`` the part of one protocol, ``Histogram`` a distribution of seconds.
Adding is a few instructions and allocates nothing; a ``snapshot`` is for who reads, a few times a second at the most.
"""

from .histogram import BOUNDS
from .lifecycle import ConnectionState

_BOUNDS = BOUNDS
_LAST_BUCKET = len(BOUNDS)
_NO_BUCKETS = [0] * (len(BOUNDS) + 1)

#: Where a connection is counted, by its state's place; those that are closed are counted for symmetry and never shown.
_STAGE_NAMES = tuple(state.value for state in ConnectionState)
_OPEN = ("active", "idle", "closing")
_NO_CONNECTIONS = [0] * len(_STAGE_NAMES)

#: How a request ended: by the first digit of its status; 0 is one that the client did not wait for.
_CLASS_NAMES = ("aborted", "1xx", "2xx", "3xx", "4xx", "5xx")
_NO_REQUESTS = [0] * len(_CLASS_NAMES)


class Histogram:
    """How many durations fell between each two of ``histogram.BOUNDS``, and their sum."""

    def __init__(self):
        self.sum_s = 0.0
        self._buckets = list(_NO_BUCKETS)

    def add(self, seconds):
        index = 0
        while index < _LAST_BUCKET and seconds > _BOUNDS[index]:
            index += 1
        self._buckets[index] += 1
        self.sum_s += seconds

    def snapshot(self):
        """``{"count": ..., "sum": seconds, "buckets": [...]}``, each duration in one bucket."""
        buckets = list(self._buckets)
        return {"count": sum(buckets), "sum": self.sum_s, "buckets": buckets}


class Tally:
    """One protocol's connections by where they stand, and its finished requests by the class of their status.

    ``connections`` belongs to ``connection.LiveConnection``, which moves itself from one place to another.
    """

    def __init__(self, name):
        self.name = name
        self.connections = list(_NO_CONNECTIONS)
        self._requests = list(_NO_REQUESTS)

    def count_request(self, status):
        """A request has ended with ``status``, or with 0 where its client left before there was one."""
        self._requests[status // 100 if 100 <= status < 600 else 0] += 1

    def snapshot_connections(self):
        """Those that are open: what still arrives has no protocol yet."""
        return {name: self.connections[stage] for stage, name in enumerate(_STAGE_NAMES) if name in _OPEN}

    def snapshot_requests(self):
        return {name: self._requests[index] for index, name in enumerate(_CLASS_NAMES)}


class Metrics:
    """One worker's account since its start."""

    def __init__(self):
        self.raw_data_in = 0
        self.raw_data_out = 0
        self.updated_idle = 0
        self.updated_active = 0
        self.closed = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.connections_opened = 0
        self.connections_refused = 0
        self.handshakes_failed = 0
        self.timeouts_idle = 0
        self.timeouts_write = 0
        self.latency = Histogram()
        self.loop_lag = Histogram()
        self._tallies = {}
        self._refused_requests = {}

    def get_tally(self, name):
        """The part of the protocol ``name``; one and the same at each call."""
        tally = self._tallies.get(name)
        if tally is None:
            tally = self._tallies[name] = Tally(name)
        return tally

    def refuse_request(self, status):
        """A request was answered with ``status`` before any application saw it, or cut while one read it."""
        self._refused_requests[status] = self._refused_requests.get(status, 0) + 1

    def snapshot(self):
        """All counters as plain data, fit for JSON; what is a state and no counter stands under ``gauges``."""
        tallies = list(self._tallies.values())
        return {
            "events": {
                "raw_data_in": self.raw_data_in,
                "raw_data_out": self.raw_data_out,
                "updated_idle": self.updated_idle,
                "updated_active": self.updated_active,
                "closed": self.closed,
            },
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "connections_opened": self.connections_opened,
            "connections_refused": self.connections_refused,
            "handshakes_failed": self.handshakes_failed,
            "timeouts": {"idle": self.timeouts_idle, "write": self.timeouts_write},
            "requests": {tally.name: tally.snapshot_requests() for tally in tallies},
            "refused_requests": {str(status): count for status, count in self._refused_requests.items()},
            "latency": self.latency.snapshot(),
            "loop_lag": self.loop_lag.snapshot(),
            "gauges": {"connections": {tally.name: tally.snapshot_connections() for tally in tallies}},
        }

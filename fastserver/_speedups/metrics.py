"""What a worker counts while it serves: numbers that are added to, and nothing else.

``Metrics`` is one worker's account, ``Tally`` the part of one protocol, ``Histogram`` a distribution of seconds.
Adding is a few instructions and allocates nothing; a ``snapshot`` is for who reads, a few times a second at the most.
"""

from .histogram import BOUNDS

_BOUNDS = BOUNDS
_LAST_BUCKET = len(BOUNDS)
_NO_BUCKETS = [0] * (len(BOUNDS) + 1)

#: Up to so many requests between two ticks are all timed; beyond them one of several, which stands for all of these.
#: The number is prime, so that it does not fall into step with clients that alternate.
_TIMED_ALL = 256
_TIMED_ONE_OF = 7

#: How a request ended: by the first digit of its status; 0 is one whose response did not reach its end.
_CLASS_NAMES = ("aborted", "1xx", "2xx", "3xx", "4xx", "5xx")
_NO_REQUESTS = [0] * len(_CLASS_NAMES)


class Histogram:
    """How many durations fell between each two of ``histogram.BOUNDS``, and their sum."""

    def __init__(self):
        self.sum_s = 0.0
        self._buckets = list(_NO_BUCKETS)

    def add(self, seconds, weight=1):
        """Count a duration ``weight`` times."""
        index = 0
        while index < _LAST_BUCKET and seconds > _BOUNDS[index]:
            index += 1
        self._buckets[index] += weight
        self.sum_s += seconds * weight

    def snapshot(self):
        """``{"count": ..., "sum": seconds, "buckets": [...]}``, each duration in one bucket."""
        buckets = list(self._buckets)
        return {"count": sum(buckets), "sum": self.sum_s, "buckets": buckets}


class Tally:
    """One protocol's finished requests by the class of their status, and those that no application saw."""

    def __init__(self, name):
        self.name = name
        self._requests = list(_NO_REQUESTS)
        self._refused = {}

    def count_request(self, status):
        """A request has ended with ``status``, or with 0 where its response did not reach its end, whoever's fault."""
        self._requests[status // 100 if 100 <= status < 600 else 0] += 1

    def refuse_request(self, status):
        """A request was answered with ``status`` before any application saw it, or cut while one read it."""
        self._refused[status] = self._refused.get(status, 0) + 1

    def snapshot_requests(self):
        return {name: self._requests[index] for index, name in enumerate(_CLASS_NAMES)}

    def snapshot_refused(self):
        return {str(status): count for status, count in self._refused.items()}


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
        self.sessions_opened = 0
        self.sessions_closed = 0
        self.messages_in = 0
        self.messages_out = 0
        # Of UDP: datagrams as the sockets have them, those that were nobody's or went to another worker, what
        # strangers were answered, and the handshakes that are under way now.
        self.datagrams_in = 0
        self.datagrams_out = 0
        self.datagrams_dropped = 0
        self.datagrams_forwarded = 0
        self.retries = 0
        self.resets = 0
        self.negotiations = 0
        self.refusals = 0
        self.farewells = 0
        self.half_open = 0
        self.latency = Histogram()
        self.loop_lag = Histogram()
        # Requests that have begun since the last tick.
        self._begun = 0
        self._tallies = {}
        self._faults = {}

    def get_tally(self, name):
        """The part of the protocol ``name``; one and the same at each call."""
        tally = self._tallies.get(name)
        if tally is None:
            tally = self._tallies[name] = Tally(name)
        return tally

    def weigh_request(self):
        """A request begins: for how many it stands where its duration is taken; 0 where it is not.

        Two looks at a timer for each request are not free, so a busy worker takes a sample.
        """
        self._begun += 1
        if self._begun <= _TIMED_ALL:
            return 1
        return _TIMED_ONE_OF if self._begun % _TIMED_ONE_OF == 0 else 0

    def tick(self):
        """A further tick begins."""
        self._begun = 0

    def count_fault(self, protocol, code):
        """A peer has broken ``protocol``, and its connection or session was ended for it with ``code``, as text."""
        faults = self._faults.setdefault(protocol, {})
        faults[code] = faults.get(code, 0) + 1

    def snapshot(self):
        """All counters as plain data, fit for JSON."""
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
            "refused_requests": {tally.name: tally.snapshot_refused() for tally in tallies},
            "protocol_faults": {protocol: dict(faults) for protocol, faults in self._faults.items()},
            "websocket": {
                "opened": self.sessions_opened,
                "closed": self.sessions_closed,
                "messages_in": self.messages_in,
                "messages_out": self.messages_out,
            },
            "datagrams": {
                "in": self.datagrams_in,
                "out": self.datagrams_out,
                "dropped": self.datagrams_dropped,
                "forwarded": self.datagrams_forwarded,
            },
            "quic_replies": {
                "retry": self.retries,
                "reset": self.resets,
                "version": self.negotiations,
                "refusal": self.refusals,
                "farewell": self.farewells,
            },
            "latency": self.latency.snapshot(),
            "loop_lag": self.loop_lag.snapshot(),
        }

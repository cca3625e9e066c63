"""What every open connection has, whatever carries it: its account, its state, and those who hear of its events.

``LiveConnection`` stands between a transport (``tcp``) and a wire protocol, and all that passes between the two goes
through it: ``take`` for what came in, ``send`` for what goes out.  So each event is counted and told of in one place,
for every protocol there is.  It keeps the deadlines that do not depend on the transport: the protocol's own, and that
of an idle connection.  A transport derives from it and gives what stands last in the class.

Invariants: observers hear ``Updated(idle=True)`` first and ``Closed`` last, each once in that place; nothing is told
after ``Closed``.  An event is told before it is acted upon.
"""

from .contract import FULL_LOG_S, Connection
from .events import ACTIVE as IS_ACTIVE
from .events import CLOSED as IS_CLOSED
from .events import IDLE as IS_IDLE
from .events import Closed, RawData, Updated
from .lifecycle import SERVED_STATES, ConnectionState, Direction

_IN = Direction.IN
_OUT = Direction.OUT
_STATES = tuple(ConnectionState)
CONNECTING = _STATES.index(ConnectionState.CONNECTING)
ACTIVE = _STATES.index(ConnectionState.ACTIVE)
IDLE = _STATES.index(ConnectionState.IDLE)
CLOSING = _STATES.index(ConnectionState.CLOSING)
CLOSED = _STATES.index(ConnectionState.CLOSED)

_NEVER = float("inf")
# An idle deadline that never comes, where keep-alive has no limit; finite, because it says that the connection is idle.
_IDLE_FOR_EVER = 1e300

#: Above this share of the connection limit, idle connections are closed after ``CROWDED_KEEP_ALIVE_S``.
CROWDED_SHARE = 0.8
CROWDED_KEEP_ALIVE_S = 5.0


class LiveConnection(Connection):
    """One peer of this server, from its arrival to its end; observers and operators see it.

    For them: ``id`` (unique within its server), ``state``, ``since`` and ``opened`` (Unix seconds of the last change of
    state and of the arrival, exact to one tick), ``protocol`` (a name such as ``http/1.1``), ``protocol_state``,
    ``peer``, ``bytes_in`` and ``bytes_out`` (as the protocol sees them: under TLS, of the content), ``requests`` and
    ``close()``.  All else belongs to the server.
    """

    def __init__(self, host):
        self.host = host
        self.wire = None
        self.protocol = ""
        self.bytes_in = 0
        self.bytes_out = 0
        self.requests = 0
        self.tally = None
        self._metrics = host.metrics
        self._clock = host.clock
        self._stage = CONNECTING
        self._ended_here = False
        self._ended_there = False
        self._is_leaving = False
        self._idle_deadline = _NEVER
        self._peer = None
        host.connections_seen += 1
        self.id = host.connections_seen
        self.opened = self.since = host.clock.wall_s
        host.arriving.add(self)

    def __repr__(self):
        return f"<connection {self.id} {self.protocol or '-'} {self.state.value}>"

    @property
    def state(self):
        """Where the connection stands, a ``ConnectionState``."""
        return _STATES[self._stage]

    @property
    def protocol_state(self):
        """Where its protocol stands, in the protocol's own words; empty where it is not open."""
        return self.wire.describe_state() if self.wire is not None else ""

    @property
    def peer(self):
        """Who is at the other end, and how it is reached."""
        return self.get_peer()

    def close(self):
        """End the connection gracefully: an idle one now, a busy one after what is open.

        A request that has arrived is answered; one that its client sends at this very moment may be lost, as HTTP/1.1
        allows at any time (RFC 9112 section 9.6).

        It returns at once and may be called at any time, also from an observer.
        """
        self.host.call_soon(self._close_gracefully)

    def _close_gracefully(self):
        wire = self.wire
        if wire is None:
            return
        self._is_leaving = True
        wire.drain()
        if self._stage == IDLE:
            if self.is_readable():
                # Most likely a request; should it be none, the idle deadline of one that leaves is short.
                self._idle_deadline = self._idle_until()
            else:
                wire.on_idle_timeout()

    # What a transport calls.

    def refuse(self):
        """There is no room for the connection, which has arrived: it is counted, and its transport has to close it."""
        self.host.arriving.discard(self)
        count_full(self.host)

    def enter(self, wire, name):
        """The connection is open, and ``wire`` serves it under ``name``."""
        host = self.host
        host.arriving.discard(self)
        host.connections.add(self)
        host.metrics.connections_opened += 1
        self.wire = wire
        self.protocol = name
        self.tally = host.metrics.get_tally(name)
        self._stage = IDLE
        self.since = host.clock.wall_s
        self._idle_deadline = self._idle_until()
        host.metrics.updated_idle += 1
        if host.observers is not None:
            self.get_peer()  # while the socket can tell; an observer may ask when it is closed
            host.observers.notify(self, _OUT, IS_IDLE)
        wire.handle(IS_IDLE)

    def switch(self, wire, name):
        """``wire`` serves from now on, under ``name``, in the place of a protocol that has only listened so far.

        For that protocol to call, which then hands over itself what it has read.  It was counted and told of, and is
        not again; ``wire`` hears that it is open and idle.  The caller must be held by somebody until it returns.
        """
        self.wire = wire
        self.protocol = name
        self.tally = self.host.metrics.get_tally(name)
        wire.handle(IS_IDLE)

    def take(self, event):
        """``RawData`` has come."""
        size = len(event.data)
        self.bytes_in += size
        self._metrics.raw_data_in += 1
        self._metrics.bytes_in += size
        if self.host.observers is not None:
            self.host.observers.notify(self, _IN, event)
        self.wire.handle(event)

    def take_eof(self):
        """The peer has sent its last byte; if the connection ends now, it was the peer who ended it."""
        self.note_end_by_peer()
        self.wire.on_eof()

    def note_end_by_peer(self):
        self._ended_there = self._stage < CLOSING

    def lose(self):
        """The connection is gone, whoever ended it: the last that observers and the protocol hear of it."""
        host = self.host
        wire = self.wire
        host.arriving.discard(self)
        if wire is None:
            self._stage = CLOSED
            return
        self._move(CLOSED)
        host.connections.discard(self)
        host.metrics.closed += 1
        if host.observers is not None:
            host.observers.notify(self, _OUT if self._ended_here else _IN, IS_CLOSED)
        self.wire = None
        wire.handle(IS_CLOSED)
        if host.draining and not host.connections and host.on_empty is not None:
            host.on_empty()

    def note_sent(self, size):
        """The kernel has written ``size`` bytes of a file, of which no event tells."""
        self.bytes_out += size
        self._metrics.bytes_out += size

    def end(self):
        """This server ends the connection, one way or another."""
        if CONNECTING < self._stage < CLOSING:
            self._ended_here = not self._ended_there
            self._move(CLOSING)

    # What a protocol calls.

    def send(self, event):
        if self.wire is None:
            return
        if type(event) is RawData:
            self._send_data(event)
        elif type(event) is Updated:
            self._update(event)
        elif type(event) is Closed:
            self.end()
            self.close_out()

    def _send_data(self, event):
        size = len(event.data)
        self.bytes_out += size
        self._metrics.raw_data_out += 1
        self._metrics.bytes_out += size
        if self.host.observers is not None:
            self.host.observers.notify(self, _OUT, event)
        self.write_out(event)

    def _update(self, event):
        """Arm or disarm the idle deadline; a change of state is told of."""
        stage = IDLE if event.idle else ACTIVE
        if stage != self._stage < CLOSING:
            self._move(stage)
            if event.idle:
                self._metrics.updated_idle += 1
            else:
                self._metrics.updated_active += 1
            if self.host.observers is not None:
                self.host.observers.notify(self, _OUT, IS_IDLE if event.idle else IS_ACTIVE)
        if self._stage < CLOSING:
            self._idle_deadline = self._idle_until() if event.idle else _NEVER
            if event.idle and self._is_leaving:
                self.close()  # it was busy when it was asked to leave

    def _move(self, stage):
        self._stage = stage
        self.since = self._clock.wall_s

    # Deadlines.

    def sweep(self, now):
        """Act on the deadlines that have passed."""
        wire = self.wire
        if wire is None:
            return
        if now >= wire.deadline:
            wire.on_deadline(now)
        if now >= self._idle_deadline and not self.is_readable():
            wire.on_idle_timeout()
            if self._ended_here:
                # A transport may take many ticks to close; TLS waits for its peer.
                self._idle_deadline = _NEVER
                if not (self.host.draining or self._is_leaving):
                    self._metrics.timeouts_idle += 1
        self.check_writing(now)

    def drain(self):
        """The worker stops: give an idle connection a last moment for a request that is on its way, then close it."""
        if self.wire is not None:
            self.wire.drain()
        if self._idle_deadline < _NEVER:
            self._idle_deadline = min(self._idle_deadline, self._idle_until())

    def end_streams(self):
        """The stop has no more time for what has no end of its own."""
        if self.wire is not None:
            self.wire.end_streams()

    def _idle_until(self):
        host = self.host
        limits = host.limits
        if host.draining or self._is_leaving:
            return host.clock.now + limits.timeout_keep_alive_min
        if limits.timeout_keep_alive <= 0:
            return _IDLE_FOR_EVER
        if len(host.connections) > CROWDED_SHARE * limits.connections > 0:
            return host.clock.now + min(CROWDED_KEEP_ALIVE_S, limits.timeout_keep_alive)
        return host.clock.now + limits.timeout_keep_alive

    # What a transport gives.

    def write_out(self, event):
        """Write the bytes of a ``RawData`` behind what was written before."""
        raise NotImplementedError

    def close_out(self):
        """Close once all is written."""
        raise NotImplementedError

    def is_readable(self):
        """Whether something of the peer waits in the kernel: then an idle connection must not be closed under it."""
        return False

    def check_writing(self, now):
        """Drop a connection whose peer takes nothing; called at each sweep."""


def has_room(host):
    """Whether one more connection may be open."""
    limit = host.limits.connections
    return not len(host.connections) >= limit > 0


def count_full(host):
    """A connection above the limit is refused: the metrics count it, and the log says so once in a while."""
    host.metrics.connections_refused += 1
    if host.clock.now - host.full_since >= FULL_LOG_S:
        host.full_since = host.clock.now
        host.error_log.warning("%d connections are open, the limit; more are refused", host.limits.connections)


def sweep(host):
    """Act on every deadline that has passed; the worker calls this once a tick, after ``host.clock.tick``."""
    now = host.clock.now
    for connection in list(host.connections):
        connection.sweep(now)


def drain(host):
    """Begin the graceful close of every connection (the listeners are the caller's business)."""
    host.draining = True
    for connection in list(host.connections):
        connection.drain()


def end_streams(host):
    """Tell what has no end of its own to end, in a stop; repeated, it tells what has begun since."""
    host.streams_over = True
    for connection in list(host.connections):
        connection.end_streams()


def abort(host):
    """Drop every connection at once."""
    for connection in list(host.connections):
        connection.abort()


def survey(host):
    """How many of the host's connections are in each of ``SERVED_STATES``, by protocol."""
    counts = {}
    for connection in host.connections:
        if connection.protocol not in counts:
            counts[connection.protocol] = [0] * len(_STATES)
        counts[connection.protocol][connection._stage] += 1
    return {
        protocol: {state.value: stages[_STATES.index(state)] for state in SERVED_STATES}
        for protocol, stages in counts.items()
    }


def count_streams(host):
    """How many streams are open on the host's connections, by protocol; of those that are open at all."""
    counts = {}
    for connection in host.connections:
        protocol = connection.protocol
        streams = connection.wire.count_streams() if connection._stage == ACTIVE else 0
        counts[protocol] = counts.get(protocol, 0) + streams
    return counts

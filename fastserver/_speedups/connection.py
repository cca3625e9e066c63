"""What every open connection has, whatever carries it: its account, its state, and those who hear of its events.

``LiveConnection`` stands between a transport (``tcp``) and a wire protocol, and all that passes between the two goes
through it: ``take`` for what came in, ``send`` for what goes out.  So each event is counted and told of in one place,
for every protocol there is.  A transport derives from it and gives the ``write_out`` family; it owns the deadlines.

Invariants: observers hear ``Updated(idle=True)`` first and ``Closed`` last, each once in that place; nothing is told
after ``Closed``.  An event is told before it is acted upon.
"""

from .contract import Connection
from .events import ACTIVE as IS_ACTIVE
from .events import CLOSED as IS_CLOSED
from .events import IDLE as IS_IDLE
from .events import Closed, RawData, Updated
from .lifecycle import ConnectionState, Direction

_IN = Direction.IN
_OUT = Direction.OUT
_STATES = tuple(ConnectionState)
_OPEN = (ConnectionState.ACTIVE, ConnectionState.IDLE, ConnectionState.CLOSING)
CONNECTING = _STATES.index(ConnectionState.CONNECTING)
ACTIVE = _STATES.index(ConnectionState.ACTIVE)
IDLE = _STATES.index(ConnectionState.IDLE)
CLOSING = _STATES.index(ConnectionState.CLOSING)
CLOSED = _STATES.index(ConnectionState.CLOSED)


class LiveConnection(Connection):
    """One peer of this server, from its arrival to its end; observers and operators see it.

    For them: ``id`` (unique in this process), ``state``, ``since`` and ``opened`` (Unix seconds of the last change of
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
                self.set_idle(True)
            else:
                wire.on_idle_timeout()

    # What a transport calls.

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
        self.set_idle(True)
        host.metrics.updated_idle += 1
        if host.observers is not None:
            self.get_peer()  # while the socket can tell; an observer may ask when it is closed
            host.observers.notify(self, _OUT, IS_IDLE)
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
        self._ended_there = self._stage < CLOSING
        self.wire.on_eof()

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
        self.host.metrics.bytes_out += size

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
        self.write_out(event.data)

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
            self.set_idle(event.idle)
            if event.idle and self._is_leaving:
                self.close()  # it was busy when it was asked to leave

    def _move(self, stage):
        self._stage = stage
        self.since = self._clock.wall_s

    # What a transport gives.

    def write_out(self, data):
        """Write ``data`` behind what was written before."""
        raise NotImplementedError

    def close_out(self):
        """Close once all is written."""
        raise NotImplementedError

    def set_idle(self, idle):
        """Arm the idle deadline, or disarm it."""
        raise NotImplementedError

    def is_readable(self):
        """Whether something of the peer waits in the kernel: then an idle connection must not be closed under it."""
        raise NotImplementedError


def survey(host):
    """How many of the host's connections are in each state that an open one can have, by protocol."""
    counts = {}
    for connection in host.connections:
        if connection.protocol not in counts:
            counts[connection.protocol] = [0] * len(_STATES)
        counts[connection.protocol][connection._stage] += 1
    return {
        protocol: {state.value: stages[_STATES.index(state)] for state in _OPEN} for protocol, stages in counts.items()
    }

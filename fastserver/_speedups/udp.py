"""The asyncio edge of a UDP socket: QUIC connections, their timers, and the datagrams of all of them together.

``UDPPort`` is what the loop calls: it reads datagrams in batches, asks its dispatcher whose each is, and writes what
all its connections have to say in one go when the turn ends.  ``UDPConnection`` is the ``Connection`` that a wire
protocol of one peer writes to.  Neither reads what a datagram holds.

Invariants: a wire is asked for datagrams (``on_timer``) only while the socket takes them, so what waits here is bounded
by what one turn says; a connection that has closed hears nothing more but ``Closed``, which it hears when its last
datagrams have left; one that is gone is held by nothing here.
"""

from heapq import heapify, heappop, heappush
from time import time

from fastserver.protocol.quic.farewells import Farewell
from fastserver.protocol.quic.verdicts import Forward, Open

from .connection import LiveConnection
from .contract import Peer
from .datagrams import receive, render_local, send
from .kernels import raw_datagram
from .quic.bounds import TIMER_S
from .udpsocket import prepare_socket

_NEVER = float("inf")

#: Datagrams of one reading and, with a reading's excess, of one turn of the loop, which others wait for.
BATCH_DATAGRAMS = 64
READ_DATAGRAMS = 256
#: So many datagrams are written before another connection is asked for its own.
FLUSH_DATAGRAMS = 256
#: What the dispatcher keeps for a while is looked through so often; seconds.
EXPIRY_S = 1.0
#: Out-of-date deadlines that are kept beside one for each connection, and again as many.
STALE_DEADLINES = 64


class UDPConnection(LiveConnection):
    """One QUIC connection; ``address`` is where its peer is, as far as it is known to be there."""

    def __init__(self, host, port, address, local):
        LiveConnection.__init__(self, host)
        self.address = address
        self._port = port
        # Which of our addresses the peer's last datagram came to.
        self._local = local
        self._tls = None
        # When ``on_timer`` is due, and the entry of the port's heap that will see to it, no later than that.
        self._due = _NEVER
        self._entry = _NEVER
        # Whether it is among those whom the port asks at the end of the turn.
        self._asks = False
        self._is_over = False
        # What has closed it, if we have.
        self._farewell = None

    # What the port calls.

    def accept(self, data, address, local):
        """A datagram of the peer has come; it is dropped where the connection has closed."""
        if not self._is_over:
            self._local = local
            self.take(raw_datagram(data, address))

    def fire(self, now):
        """Call ``on_timer`` if it is due."""
        if self._due <= now and not self._is_over:
            self._due = _NEVER
            wire = self.wire
            wire.on_timer(now)

    # What the protocol calls; ``send`` is the base's.

    def write_out(self, event):
        self._port.queue(event.data, self.address if event.address is None else event.address, self._local)

    def set_timer(self, when):
        if self._is_over:
            return
        self._due = when
        if when <= self._clock.now:
            self._port.ask(self)
        elif when < self._entry:
            self._port.plan(self, when)

    def close_out(self):
        if not self._is_over:
            self._is_over = True
            self._port.leave(self)

    def abort(self):
        """Close at once, with what the wire says of it; the peer's next datagrams get what strangers get."""
        wire = self.wire
        if wire is not None and not self._is_over:
            wire.on_abort(self._clock.now)
        self.drop()

    def drop(self):
        """Close at once, without asking the wire."""
        self.end()
        self.close_out()

    def finish_writing(self):
        """Nothing: QUIC ends each stream by itself."""

    def pause_reading(self):
        """Nothing: QUIC's own flow control holds a peer back, each stream alone (RFC 9000 section 4)."""

    def resume_reading(self):
        """Nothing, as ``pause_reading``."""

    def move(self, address):
        self.address = address
        self._peer = None

    def note_farewell(self, data):
        self._farewell = Farewell(data, self.address, self._local, self._port)

    def note_handshake(self):
        self._port.note_handshake(self)

    def note_connection_id(self, cid, is_new):
        self._port.note_connection_id(self, cid, is_new)

    def get_peer(self):
        if self._peer is None or self._tls is None:
            self._peer = self._make_peer()
        return self._peer

    def _make_peer(self):
        port = self._port
        protocol = port.protocol
        if self._tls is None and self.wire is not None:
            self._tls = protocol.make_tls_facts(self.wire)
        server = port.name
        if self._local is not None:
            server = (render_local(self._local), server[1])
        return Peer(self.address, server, protocol.scheme, protocol.name, self._tls)


class UDPPort:
    """One bound UDP socket with the QUIC connections behind it.

    ``dispatcher`` knows connections by their IDs, and what becomes of the datagrams of strangers
    (``fastserver.protocol.quic.dispatcher``).  ``protocol`` is what is served: its ``name`` (the one of ALPN) and
    ``scheme``; ``open(connection, host, original_cid, retry_cid)`` gives the wire of a new connection, and
    ``make_tls_facts(wire)`` the ASGI ``tls`` extension, ``None`` while the handshake is not done.  ``forward(worker,
    data, address, local)`` hands a datagram to another worker.
    """

    def __init__(self, host, sock, dispatcher, protocol, forward):
        self.host = host
        self.protocol = protocol
        self.name = sock.getsockname()[:2]
        self._sock = sock
        self._fd = sock.fileno()
        self._loop = host.loop
        self._dispatcher = dispatcher
        self._forward = forward
        self._is_blocked = False
        self._connections = {}
        # Datagrams to write; connections to ask for more, and to lose, when the turn ends; the callback of its end.
        self._out = []
        self._asking = []
        self._leaving = []
        self._turn = None
        # A heap of (deadline, connection's id), and the loop's timer for the earliest.
        self._deadlines = []
        self._timer = None
        self._timer_at = _NEVER
        # When the dispatcher has something to forget.
        self._expires_at = _NEVER

    def __len__(self):
        """How many connections there are."""
        return len(self._connections)

    def start(self):
        """Read from now on."""
        prepare_socket(self._sock)
        self._loop.add_reader(self._fd, self.on_readable)

    def close(self):
        """Lose what connections there are, and close the socket; safe to repeat, but not for a connection to call.

        Clients that may not have heard of the end of theirs are told once more: nobody will be here to answer.
        """
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        for connection in list(self._connections.values()):
            connection.abort()
        self.host.metrics.datagrams_out += send(self._fd, self._out)
        self._lose_leaving()
        farewells = self._dispatcher.take_farewells(self)
        self._out = [(farewell.data, farewell.address, farewell.local) for farewell in farewells]
        self.host.metrics.datagrams_out += send(self._fd, self._out)
        self._out = []
        self._asking = []
        self._deadlines = []
        for handle in (self._turn, self._timer):
            if handle is not None:
                handle.cancel()
        self._fd = -1
        self._sock.close()

    # What the loop calls.

    def on_readable(self):
        left = READ_DATAGRAMS
        while left > 0:
            batch = receive(self._fd, BATCH_DATAGRAMS)
            now = self._tick()
            self.host.metrics.datagrams_in += len(batch)
            for data, address, local in batch:
                self._accept(data, address, local, now, False)
            if len(batch) < BATCH_DATAGRAMS:
                return
            left -= len(batch)

    def deliver(self, data, address, local):
        """A datagram that another worker has read, with what ``forward`` was given there."""
        self._accept(data, address, local, self._tick(), True)

    def on_writable(self):
        """The socket was full, and has room again: go on with the end of the turn."""
        if self._flush():
            self._is_blocked = False
            self._loop.remove_writer(self._fd)
            self._end_turn()

    def on_timer(self):
        """The earliest deadline has come, or was moved since."""
        self._timer = None
        self._timer_at = _NEVER
        now = self._tick()
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            when, number = heappop(deadlines)
            connection = self._connections.get(number)
            if connection is None or connection._entry != when:
                continue
            connection._entry = _NEVER
            if connection._due <= now:
                self.ask(connection)
            elif connection._due < _NEVER:
                self._push(connection)
        if self._expires_at <= now:
            self._expires_at = max(self._dispatcher.expire(now), now + EXPIRY_S)
        self._arm()

    def _tick(self):
        now = self._loop.time()
        self.host.clock.tick(now, time())
        return now

    # Datagrams that come.

    def _accept(self, data, address, local, now, is_forwarded):
        if self._fd < 0:
            return  # handed over too late
        connection = self._dispatcher.find(data)
        if connection is None:
            connection = self._admit(data, address, local, now, is_forwarded)
            if connection is None:
                return
        try:
            connection.accept(data, address, local)
        except Exception as error:
            self._fail(connection, error)

    def _admit(self, data, address, local, now, is_forwarded):
        """What becomes of a stranger's datagram: the connection that it opens, else ``None``."""
        verdict = self._dispatcher.admit(data, address, now, is_forwarded=is_forwarded)
        if verdict is None:
            return None
        if type(verdict) is Open:
            return self._open(verdict, address, local)
        if type(verdict) is Forward:
            self._forward(verdict.worker, data, address, local)
        elif not self._is_blocked:
            # A stranger who gets no answer asks again; answers must not pile up.
            self.queue(verdict.data, address, local)
        return None

    def _open(self, verdict, address, local):
        connection = UDPConnection(self.host, self, address, local)
        self._connections[connection.id] = connection
        try:
            self._dispatcher.note_opened(connection, verdict.initial_cid)
            protocol = self.protocol
            wire = protocol.open(connection, self.host, verdict.original_cid, verdict.retry_cid)
            connection.enter(wire, protocol.name)
        except Exception as error:
            self._fail(connection, error)
            return None
        return connection

    def _fail(self, connection, error):
        """One connection's fault is not another's: it alone ends, and the loop's handler hears of it."""
        context = {"message": f"a QUIC connection has failed: {connection!r}", "exception": error}
        self._loop.call_exception_handler(context)
        connection.drop()

    # What connections call.

    def note_handshake(self, connection):
        now = self.host.clock.now
        self._dispatcher.note_handshake_done(connection, now)
        self._plan_expiry(now)

    def note_connection_id(self, connection, cid, is_new):
        if is_new:
            self._dispatcher.register(connection, cid)
        else:
            self._dispatcher.unregister(connection, cid)

    def queue(self, data, address, local):
        """Write a datagram when the turn ends."""
        self._out.append((data, address, local))
        self._schedule()

    def ask(self, connection):
        """Call the connection's ``on_timer`` when the turn ends."""
        if not connection._asks:
            connection._asks = True
            self._asking.append(connection)
            self._schedule()

    def leave(self, connection):
        """Lose the connection when all that was written has left."""
        self._leaving.append(connection)
        self._schedule()

    def plan(self, connection, when):
        """Have an entry for the connection's deadline, which is earlier than any that it has."""
        self._push(connection)
        if when < self._timer_at:
            self._arm()

    # The end of a turn.

    def _schedule(self):
        if self._turn is None and not self._is_blocked and self._fd >= 0:
            self._turn = self._loop.call_soon(self._end_turn)

    def _end_turn(self):
        """Ask who wants to be asked, write what all said, lose who has closed."""
        self._turn = None
        if self._is_blocked or self._fd < 0:
            return
        now = self._tick()
        asking = self._asking
        self._asking = []
        for index, connection in enumerate(asking):
            connection._asks = False
            try:
                connection.fire(now)
            except Exception as error:
                self._fail(connection, error)
            if len(self._out) >= FLUSH_DATAGRAMS and not self._flush():
                self._asking = asking[index + 1 :] + self._asking
                return
        if self._flush():
            self._lose_leaving()

    def _flush(self):
        """Write what waits: whether all of it went.  Where the socket is full, the rest waits for it."""
        out = self._out
        if out:
            count = send(self._fd, out)
            self.host.metrics.datagrams_out += count
            del out[:count]
        if out and not self._is_blocked:
            self._is_blocked = True
            self._loop.add_writer(self._fd, self.on_writable)
        return not out

    def _lose_leaving(self):
        leaving = self._leaving
        self._leaving = []
        now = self.host.clock.now
        for connection in leaving:
            del self._connections[connection.id]
            self._dispatcher.forget(connection, connection._farewell, now)
            try:
                connection.lose()
            except Exception as error:
                self._fail(connection, error)
        if leaving:
            self._plan_expiry(now)

    # Deadlines.

    def _plan_expiry(self, now):
        """Have the loop call when the dispatcher has something to forget."""
        if self._expires_at == _NEVER and self._fd >= 0:
            self._expires_at = self._dispatcher.expire(now)
            self._arm()

    def _push(self, connection):
        """An entry at ``_due``, in the place of a later one, which stays behind in the heap and is passed over."""
        deadlines = self._deadlines
        connection._entry = connection._due
        heappush(deadlines, (connection._due, connection.id))
        if len(deadlines) > 2 * len(self._connections) + STALE_DEADLINES:
            # In place: who reads the heap goes on with it.
            deadlines.clear()
            for each in self._connections.values():
                if each._entry < _NEVER:
                    deadlines.append((each._entry, each.id))
            heapify(deadlines)

    def _arm(self):
        """Have the loop call at the earliest deadline."""
        when = self._expires_at
        if self._deadlines:
            when = min(when, self._deadlines[0][0])
        if when >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(max(self._timer_at, self._loop.time() + TIMER_S), self.on_timer)

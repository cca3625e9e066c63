"""A user's class serves the connections of a bind, or of an ALPN name: the protocol handler.

**The handler.**  The registered class (or function that makes one) is called once for each connection: with the
`HandlerConnection` if it takes a positional argument, else without arguments.  The object has a plain method
``handle(event)``, which is called in place, or a coroutine method ``handle_event(event)``; where it has both,
``handle`` is the one that is called.  Everything happens in the thread of the worker's event loop.

**What it hears.**  ``Updated(idle=True)`` when the connection is open (who speaks first, speaks here).  Then, for what
the peer sends, ``Updated(idle=False)`` if the connection was idle, ``RawData`` for each read, and
``Updated(idle=True)`` when everything that came has been handled.  ``Closed()`` is the last event: it comes exactly
once, whoever ended the connection and why.  A handler hears one event at a time; a coroutine method hears the next one
when it has returned.  Reads that wait meanwhile are joined.

**What it answers.**  ``connection.send(event)`` at any time, or the result of the method: ``None``, one event, or an
iterable of events.  ``RawData`` is written, ``Closed()`` closes the connection behind what was written, and what is
sent after the end is dropped.  What one call of ``handle`` says leaves in one write, up to 64 KiB; so does what a
coroutine says between two waits.

**Idle.**  The server closes a connection that is idle for ``timeout_keep_alive``.  It takes a connection for active
while events are handled.  A handler that is not done when it returns (a request that spans reads, a subscription) sends
``Updated(idle=False)``; from then on it is active until it sends ``Updated(idle=True)``.  It does not hear what it has
said itself.

**Back-pressure.**  While the peer does not take what was written (more than 64 KiB of it waits), nothing is read and
the handler gets no ``RawData``; ``await connection.wait_writable()`` waits for it to catch up.  While a coroutine
method is busy, reading goes on until more than 64 KiB wait.

**The end.**  What the peer has sent before its end is handled, then the connection is closed, even where the handler
had said that it is active.  When the server stops, or an operator closes the connection, it closes as soon as it is
idle; ``connection.is_draining`` says so beforehand.  A coroutine method that is still running when the graceful stop
runs out of time is cancelled.

**Failures.**  Whatever the handler raises, its constructor included, is logged with its traceback; the connection is
aborted, and nobody else notices.  The handler still hears ``Closed()``.  To answer with something that is no event is a
``TypeError`` of the handler.

For those who change the server: sans-I/O, and compiled nowhere.  Two facts make the state: the *link* (what stands
between this side and the peer) and the *activity* (what the handler has heard or said of idleness).  All decisions are
made in ``_next``; whatever happens notes a fact and calls ``_pump``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from inspect import isawaitable
from logging import INFO, WARNING
from typing import TYPE_CHECKING, Any, Final

from fastserver._speedups.bounds import CORK_BYTES, LINGER_BYTES, LINGER_S
from fastserver._speedups.contract import ClientDisconnected, Host, Protocol
from fastserver._speedups.events import ACTIVE, CLOSED, IDLE, Closed, Event, RawData, Updated

from .facade import HandlerConnection

if TYPE_CHECKING:
    from .factory import HandlerFactory

#: Reading pauses when more than this waits for the handler; one read may exceed it by its own size.
UNREAD_BYTES: Final = 64 * 1024

_NEVER: Final = float("inf")


class Link(Enum):
    """What stands between this side and the peer.  It goes down this list and never back."""

    OPEN = "open"
    LINGERING = "lingering"  # our end is announced; what the peer still sends is thrown away
    ENDED = "ended"  # the transport has been told to close
    LOST = "lost"  # the transport has closed; the handler is yet to hear Closed
    CLOSED = "closed"  # the handler has heard Closed, or is hearing it


class Activity(Enum):
    """What the handler knows of idleness, and by whom."""

    NEW = "new"  # there is no handler yet
    IDLE = "idle"
    WAKING = "waking"  # it has heard Updated(idle=False), and hears what was read next
    ACTIVE = "active"
    HELD = "held"  # it has said Updated(idle=False)
    SETTLING = "settling"  # it has heard or said Updated(idle=True); the transport hears it when nothing is left to do


class HandlerProtocol(Protocol):
    """Adapts one ``Connection`` of the transport to a user's handler."""

    def __init__(self, connection: Any, host: Host, factory: HandlerFactory) -> None:
        self.connection = connection
        self.host = host
        self.deadline = _NEVER
        self._factory = factory
        self._facade: HandlerConnection | None = None
        self._handle: Callable[[Event], Any] | None = None
        self._is_coroutine = False
        self._link = Link.OPEN
        self._activity = Activity.NEW
        # The handler has heard Updated(idle=False), and not yet the read that it was told for.
        self._is_woken = False
        # The handler is being called, or the task that calls it has not ended.
        self._is_busy = False
        # What _next has decided, and the handler is yet to hear.
        self._event: Event | None = None
        # What was read and not yet handled: one read as it came, and all that came behind it.
        self._read: RawData | None = None
        self._read_behind = bytearray()
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._writing_paused = False
        self._reading_paused = False
        self._at_eof = False
        self._is_drained = False
        self._discarded = 0
        self._waiters: set[Any] = set()

    # What the transport calls.

    def handle(self, event: Event) -> None:
        if type(event) is RawData:
            self._receive(event)
        elif type(event) is Updated:
            self._open()
        elif type(event) is Closed:
            self._lose()

    def on_eof(self) -> None:
        self._at_eof = True
        if self._link is Link.LINGERING:
            self._end()
        else:
            self._pump()

    def on_deadline(self, now: float) -> None:
        """The peer was given its time to take the last answer."""
        if self._link is Link.LINGERING:
            self._end()

    def on_idle_timeout(self) -> None:
        if self._link is Link.OPEN and self._activity is Activity.IDLE and self._read is None:
            self._end()

    def pause_writing(self) -> None:
        self._writing_paused = True
        self._regulate_reading()

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake()
        self._regulate_reading()
        self._pump()

    def drain(self) -> None:
        """Close when next idle; a connection that is idle now is the transport's to close."""
        self._is_drained = True

    def describe_state(self) -> str:
        return self._activity.value if self._link is Link.OPEN else self._link.value

    # Reading.

    def _receive(self, event: RawData) -> None:
        if self._link is not Link.OPEN:
            self._discard(event)
            return
        if self._read is None:
            self._read = event
        else:
            self._read_behind += event.data
        self._pump()
        self._regulate_reading()

    def _discard(self, event: RawData) -> None:
        self._discarded += len(event.data)
        if self._discarded > LINGER_BYTES and self._link is Link.LINGERING:
            self._end()

    def _take_read(self) -> RawData:
        read = self._read
        assert read is not None
        self._read = RawData(bytes(self._read_behind)) if self._read_behind else None
        self._read_behind.clear()
        self._regulate_reading()
        return read

    def _drop_unheard(self) -> None:
        """The handler is to hear no more of what came, only Closed."""
        self._read = None
        self._read_behind.clear()
        if self._event is not CLOSED:
            self._event = None

    def _regulate_reading(self) -> None:
        """Read while there is room on both sides."""
        unread = 0 if self._read is None else len(self._read.data) + len(self._read_behind)
        must_pause = self._link is Link.OPEN and (self._writing_paused or unread > UNREAD_BYTES)
        if must_pause is not self._reading_paused:
            self._reading_paused = must_pause
            if must_pause:
                self.connection.pause_reading()
            else:
                self.connection.resume_reading()

    # The handler.

    def _open(self) -> None:
        """Make the handler and have it hear that the connection is open."""
        self._activity = Activity.IDLE
        self._is_busy = True
        try:
            self._facade = HandlerConnection(self)
            made = self._factory.make(self._facade)
            if made is None:
                self._refuse_misfit()
            else:
                self._handle, self._is_coroutine = made
                if self._link is Link.OPEN:
                    self._event = IDLE
                    self._keep_while_greeting()
        except BaseException as failure:
            self._fail(failure, "the opening")
        self._is_busy = False
        self._pump()

    def _keep_while_greeting(self) -> None:
        """The transport takes a new connection for idle; a coroutine may take its time to greet."""
        if self._is_coroutine and self._activity is Activity.IDLE:
            self._activity = Activity.SETTLING
            self.connection.send(ACTIVE)

    def _refuse_misfit(self) -> None:
        if self._factory.note_misfit():
            self.host.error_log.error(
                "protocol handler %s has neither handle(event) nor handle_event(event): its connections are closed",
                self._factory.name,
            )
        self._end()

    def _next(self) -> Event | None:
        """What the handler is to hear now; where there is nothing, the connection goes idle or is closed."""
        if self._event is not None:
            event, self._event = self._event, None
            return event
        is_lost = self._link is Link.LOST
        if self._read is not None and (is_lost or not self._writing_paused):
            if not self._is_woken and (self._activity is Activity.IDLE or self._activity is Activity.SETTLING):
                if self._activity is Activity.IDLE and not is_lost:
                    self.connection.send(ACTIVE)
                self._activity = Activity.WAKING
                self._is_woken = True
                # One that a stopping host has accepted is served once.
                self._is_drained |= self.host.draining
                return ACTIVE
            # Whatever it has said meanwhile of being idle, what was read comes next: it was told so.
            self._is_woken = False
            if self._activity is not Activity.HELD:
                self._activity = Activity.ACTIVE
            return self._take_read()
        if is_lost:
            self._link = Link.CLOSED
            return CLOSED
        if self._link is not Link.OPEN or self._read is not None:
            return None
        if self._activity is Activity.ACTIVE:
            self._activity = Activity.SETTLING
            return IDLE
        is_settling = self._activity is Activity.SETTLING
        if self._at_eof or (is_settling and self._is_drained):
            self._end()
        elif is_settling:
            self._activity = Activity.IDLE
            self.connection.send(IDLE)
        return None

    def _pump(self) -> None:
        """Have the handler hear all that there is; a handler that is busy comes to it by itself."""
        if self._is_busy or self._activity is Activity.NEW:
            return
        self._event = self._next()
        if self._event is None or self._handle is None:
            return
        self._is_busy = True
        if self._is_coroutine:
            task = self.host.loop.create_task(self._run_coroutine(self._handle))
            self.host.tasks.add(task)
            task.add_done_callback(self._on_task_done)
        else:
            self._run(self._handle)
            self._finish_work()

    def _run(self, handle: Callable[[Event], Any]) -> None:
        while (event := self._next()) is not None:
            try:
                self._answer(handle(event))
            except BaseException as failure:
                # SystemExit and KeyboardInterrupt too: a connection must not end the worker.
                self._fail(failure, type(event).__name__)
            self.flush()

    async def _run_coroutine(self, handle: Callable[[Event], Any]) -> None:
        while (event := self._next()) is not None:
            try:
                answer = handle(event)
                self._answer(await answer if isawaitable(answer) else answer)
            except (Exception, SystemExit, KeyboardInterrupt) as failure:
                self._fail(failure, type(event).__name__)
            self.flush()

    def _on_task_done(self, task: Any) -> None:
        self.host.tasks.discard(task)
        if task.cancelled():
            # A stop cancels what lasts too long; otherwise the application has done it, or the handler itself.
            level = INFO if self.host.draining else WARNING
            self.host.error_log.log(level, "protocol handler %s was cancelled", self._factory.name)
            self._cut()
        elif (failure := task.exception()) is not None:
            self._fail(failure, "its task")
        self._finish_work()

    def _finish_work(self) -> None:
        """The handler has returned: forget it if it has heard Closed, else see what has come meanwhile."""
        self._is_busy = False
        if self._link is Link.CLOSED and self._event is None:
            self._forget()
        else:
            self._pump()

    def _forget(self) -> None:
        self._handle = None
        if self._facade is not None:
            self._facade._protocol = None
            self._facade = None

    def _fail(self, failure: BaseException, what: str) -> None:
        """The handler raised: its connection ends, and the log says why."""
        # Who waits for a peer that has gone learns it by this exception, and is right to let it pass.
        if not (isinstance(failure, ClientDisconnected) and self._link is not Link.OPEN):
            self.host.error_log.error("protocol handler %s failed on %s", self._factory.name, what, exc_info=failure)
        self._cut()

    # Answers.

    def _answer(self, answer: object) -> None:
        """Take what the handler returned."""
        if answer is None:
            return
        if isinstance(answer, (RawData, Updated, Closed)):
            self.say(answer)
            return
        if not isinstance(answer, Iterable):
            raise TypeError(f"a protocol handler returns None, an event or events, not {type(answer).__name__}")
        for event in answer:
            if not isinstance(event, (RawData, Updated, Closed)):
                raise TypeError(f"a protocol handler returned {type(event).__name__} in {type(answer).__name__}")
            self.say(event)

    def say(self, event: Event) -> None:
        """Take one event that the handler sends."""
        if self._link is not Link.OPEN:
            return
        if isinstance(event, RawData):
            self._write(event.data)
        elif isinstance(event, Updated):
            if event.idle:
                self._settle()
            else:
                self._hold()
        else:
            self._close()

    def _hold(self) -> None:
        if self._activity is Activity.IDLE:
            self.connection.send(ACTIVE)
        self._activity = Activity.HELD

    def _settle(self) -> None:
        if self._activity is not Activity.IDLE and self._activity is not Activity.WAKING:
            # Who is about to hear that it is active is not told so again.
            self._activity = Activity.WAKING if self._event is ACTIVE else Activity.SETTLING
            if not self._is_busy:
                self.flush()
                self._pump()

    # Writing.

    def _write(self, data: bytes) -> None:
        if not data:
            return
        if self._out_bytes + len(data) > CORK_BYTES:
            self.flush()
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes >= CORK_BYTES:
            self.flush()
        elif len(self._out) == 1 and (self._is_coroutine or not self._is_busy):
            # No call of the handler will end and flush this, or not soon.
            self.host.call_soon(self.flush)

    def flush(self) -> None:
        """Write what the handler has said."""
        out = self._out
        if out:
            self._out = []
            self._out_bytes = 0
            self.connection.send(RawData(out[0] if len(out) == 1 else b"".join(out)))

    async def wait_writable(self) -> None:
        """See ``HandlerConnection.wait_writable``.  What is corked stays so: it is bounded, and leaves by itself."""
        while self._link is Link.OPEN and self._writing_paused:
            waiter = self.host.create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        if self._link is not Link.OPEN:
            raise ClientDisconnected

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    # The end.

    @property
    def is_draining(self) -> bool:
        """Whether the connection will be closed as soon as it is idle, or is closed already."""
        return self._is_drained or self.host.draining or self._link is not Link.OPEN

    def abort(self) -> None:
        """Drop the connection at once, and what was not yet written or handled with it."""
        if self._link is Link.LOST or self._link is Link.CLOSED:
            return
        self._stop(Link.ENDED)
        self.connection.abort()

    def _cut(self) -> None:
        """The handler cannot go on: nothing more of this connection is for it but Closed."""
        self._drop_unheard()
        self.abort()

    def _close(self) -> None:
        """The handler closes: read on for a while where the peer may still send, so that no reset overtakes the answer.

        RFC 9112 section 9.6 tells why; it holds for any protocol.
        """
        if self._at_eof:
            self._end()
            return
        self.flush()
        self._stop(Link.LINGERING)
        self.deadline = self.host.clock.now + LINGER_S
        self.connection.finish_writing()

    def _end(self) -> None:
        """Close once all is written."""
        self.flush()
        self._stop(Link.ENDED)
        self.connection.send(CLOSED)

    def _stop(self, link: Link) -> None:
        """Write nothing more, and let the handler hear nothing more if it was not the peer that ended it."""
        self._link = link
        self.deadline = _NEVER
        self._out = []
        self._out_bytes = 0
        if link is not Link.LOST:
            self._drop_unheard()
        self._regulate_reading()
        self._wake()

    def _lose(self) -> None:
        """The transport has closed: what was read before is still handled, unless this side has ended it."""
        self._stop(Link.LOST)
        if self._handle is None and not self._is_busy:
            self._link = Link.CLOSED
            self._forget()
        else:
            self._pump()

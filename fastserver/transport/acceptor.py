"""Accepting: from a listener's queue into the running loop, a little at a time.

The loops' own servers accept until the queue is empty, so that of several workers the one that wakes first takes nearly
all connections (256 of 256 under uvloop).  An ``Acceptor`` takes one a turn, and more only where its turns are long.
It costs about 5 us a connection, and gives what a graceful stop needs: the queue can be emptied at a given moment, and
connections whose TLS handshake is not finished are known, and their number is limited.
"""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from logging import Logger
from typing import Any, Final

from fastserver.transport.sealing import admit, can_filter
from fastserver.transport.sockets import Listener

#: Connections that a worker takes in a second at least while its turns are short of ``LONG_TURN_S``; a worker whose
#: turns are longer has enough to do, and a queue that was empty for so long is no reason to hurry.
ACCEPT_RATE: Final = 4000
LONG_TURN_S: Final = 0.05

#: Seconds without accepting where the process or the system has no descriptor or memory for another connection.
RETRY_S: Final = 0.5

#: How long connections queued on a socket that cannot be sealed are still taken: they may never stop coming.
UNSEALED_DRAIN_S: Final = 0.25

#: TLS handshakes under way at a listener (T-2).  Beyond it one that has taken ``HANDSHAKE_TURN_S`` gives its place to a
#: new client, and where all are younger, new clients wait in the listener's queue.
HANDSHAKES: Final = 1024
HANDSHAKE_TURN_S: Final = 2.0

#: Seconds until a full listener looks again.
_FULL_POLL_S: Final = 0.05
#: Seconds between two lines of the log about clients that lost their place.
_COMPLAINT_S: Final = 60.0

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Makes a connection of ``factory()`` for each client of ``listener``; closes the listener in the end.

    ``options`` are those of ``loop.connect_accepted_socket`` (TLS).  ``arriving`` holds a task for each connection that
    has been accepted and whose ``connection_made`` has not been called yet, with the time since when, the oldest first.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: Listener,
        factory: Callable[[], Any],
        log: Logger,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.listener = listener
        self.arriving: dict[asyncio.Task[Any], float] = {}
        self._loop = loop
        self._sock = listener.sock
        self._factory = factory
        self._log = log
        self._options = dict(options or {})
        # Another process may have sealed the socket, which is not known here before this one does it too.
        self._must_admit = sys.platform == "linux" and not can_filter()
        self._last_s = loop.time()
        self._retry: asyncio.TimerHandle | None = None
        self._complained_s = -math.inf

    @property
    def is_paused(self) -> bool:
        """Whether there was no descriptor, memory or place for another connection a moment ago."""
        return self._retry is not None

    def start(self) -> None:
        """Listen and accept from now on.  Raises ``BindError``."""
        self.listener.listen()
        self._loop.add_reader(self._sock.fileno(), self._on_readable)

    def use_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands by ``context`` with all who are accepted from now on."""
        self._options["ssl"] = context

    def accept(self, limit: int) -> int:
        """Accept what is queued, up to ``limit`` connections: how many there were."""
        for count in range(limit):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return count
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(error)
                    return count
                continue  # this client is gone, or could not be reached (accept(2)); the next one may be fine
            if self._must_admit:
                admit(sock)
            task = self._loop.create_task(self._arrive(sock))
            self.arriving[task] = self._loop.time()
            task.add_done_callback(self._forget)
        return limit

    def close(self) -> None:
        """Stop accepting and close the socket; what is still queued is lost unless another process has the socket."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self.listener.close()

    def abort(self) -> None:
        """Drop the connections that are still arriving."""
        for task in list(self.arriving):
            task.cancel()

    def _on_readable(self) -> None:
        now = self._loop.time()
        elapsed_s = now - self._last_s
        self._last_s = now
        limit = 1 + int(elapsed_s * ACCEPT_RATE) if 0 <= elapsed_s < LONG_TURN_S else 1
        room = HANDSHAKES - len(self.arriving)
        if limit > room:
            limit = room + self._drop_slow(limit - room, now)
        if limit > 0:
            self.accept(limit)
        else:
            self._wait(_FULL_POLL_S)

    def _drop_slow(self, wanted: int, now: float) -> int:
        """End the ``wanted`` oldest handshakes that have had their turn: how many."""
        slow = [task for task, _ in zip(self.arriving, range(wanted), strict=False)]
        slow = [task for task in slow if now - self.arriving[task] >= HANDSHAKE_TURN_S]
        for task in slow:
            del self.arriving[task]
            task.cancel()
        if slow and now - self._complained_s >= _COMPLAINT_S:
            self._complained_s = now
            self._log.warning("%d TLS handshakes are under way: the slowest ones are dropped", HANDSHAKES)
        return len(slow)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.arriving.pop(task, None)

    async def _arrive(self, sock: socket.socket) -> None:
        """Make ``sock`` a connection's; one that does not get through its TLS handshake is lost before it is made."""
        connection = self._factory()  # here: a task that is cancelled before its first step runs none of this
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock, **self._options)
        except BaseException as error:
            self._log.debug("a connection did not arrive: %s", error or type(error).__name__)
            connection.connection_lost(error)
            if not isinstance(error, Exception):
                raise

    def _pause(self, error: OSError) -> None:
        """Without this the loop would spin: the queue stays readable."""
        if self._retry is None:
            self._log.error("cannot accept for %g s: %s", RETRY_S, error.strerror)
            self._wait(RETRY_S)

    def _wait(self, seconds: float) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._retry = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._retry = None
        self._loop.add_reader(self._sock.fileno(), self._on_readable)


async def accept_rest(acceptors: Sequence[Acceptor], deadline: float) -> None:
    """Accept what is queued on sealed listeners until their queues are empty, or until ``deadline`` (``monotonic``)."""
    started = time.monotonic()
    settle_s = max((each.listener.get_settle_s() for each in acceptors), default=0.0)
    while (now := time.monotonic()) < deadline:
        queues = [each for each in acceptors if each.listener.is_sealable() or now - started < UNSEALED_DRAIN_S]
        if sum(each.accept(each.listener.backlog) for each in queues):
            await asyncio.sleep(0)
        elif now - started < settle_s or any(each.is_paused for each in queues):
            await asyncio.sleep(0.01)
        else:
            return

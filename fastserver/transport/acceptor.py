"""Accepting: from a listener's queue into the running loop, a little at a time.

The loops' own servers accept until the queue is empty, so that of several workers the one that wakes first takes nearly
all connections (256 of 256 under uvloop).  An ``Acceptor`` takes one a turn, and more only where its turns are long.
It costs about 5 us a connection, and gives what a graceful stop needs: the queue can be emptied at a given moment, and
connections whose TLS handshake is not finished are known.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from logging import Logger
from typing import Any, Final

from fastserver.transport.sockets import Listener

#: Connections that a worker takes in a second at least while its turns are short of ``LONG_TURN_S``; a worker whose
#: turns are longer has enough to do, and a queue that was empty for so long is no reason to hurry.
ACCEPT_RATE: Final = 4000
LONG_TURN_S: Final = 0.05

#: Seconds without accepting where the process or the system has no descriptor or memory for another connection.
RETRY_S: Final = 0.5

#: How long connections queued on a socket that cannot be sealed are still taken: they may never stop coming.
UNSEALED_DRAIN_S: Final = 0.25

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Makes a connection of ``factory()`` for each client of ``listener``; closes the listener in the end.

    ``options`` are those of ``loop.connect_accepted_socket`` (TLS).  ``arriving`` holds a task for each connection that
    has been accepted and whose ``connection_made`` has not been called yet.
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
        self.arriving: set[asyncio.Task[Any]] = set()
        self._loop = loop
        self._sock = listener.sock
        self._factory = factory
        self._log = log
        self._options = dict(options or {})
        self._last_s = loop.time()
        self._retry: asyncio.TimerHandle | None = None

    @property
    def is_paused(self) -> bool:
        """Whether there was no descriptor or memory for another connection a moment ago."""
        return self._retry is not None

    def start(self) -> None:
        """Listen and accept from now on.  Raises ``BindError``."""
        self.listener.listen()
        self._loop.add_reader(self._sock.fileno(), self._on_readable)

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
            task = self._loop.create_task(self._arrive(sock))
            self.arriving.add(task)
            task.add_done_callback(self.arriving.discard)
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
        for task in self.arriving:
            task.cancel()

    def _on_readable(self) -> None:
        now = self._loop.time()
        elapsed_s = now - self._last_s
        self._last_s = now
        self.accept(1 + int(elapsed_s * ACCEPT_RATE) if elapsed_s < LONG_TURN_S else 1)

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
            self._loop.remove_reader(self._sock.fileno())
            self._retry = self._loop.call_later(RETRY_S, self._resume)

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

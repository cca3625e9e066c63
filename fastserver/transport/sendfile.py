"""Files that the kernel writes to a plain stream socket (sendfile(2)): what a host lends as ``host.send_file``.

The system call runs in a thread, because it waits for the disk; it never waits for the peer, because the socket does
not block.  It gets a duplicate of the socket's descriptor: the transport may be closed at any time, and the number of
its descriptor be given to another connection.  Bytes that the transport still holds leave first.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
from typing import Final

from fastserver._speedups.contract import ClientDisconnected
from fastserver._speedups.tcp import TCPConnection, count_unsent
from fastserver.descriptor import Descriptor

#: What one hop to a thread sends at the most; bytes.
SLICE_BYTES: Final = 1024 * 1024

#: How often a wait looks whether the peer still reads and the connection still stands; seconds.
WATCH_S: Final = 1.0

#: This file, or this kind of socket, is not for sendfile(2): the caller has to read and write.
_UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTSOCK})

#: What the socket says, beside ``ConnectionError`` and ``TimeoutError``, when its peer is out of reach.
_UNREACHABLE: Final = frozenset(
    {errno.ENOTCONN, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH}
)


async def send_file(connection: TCPConnection, file: Descriptor, offset: int, count: int) -> int:
    """Write to ``connection``, behind all that was written before, ``count`` bytes of ``file`` from ``offset`` on.

    Like the system call it may write fewer: the number written, at least 1; 0 where the file has no byte there or the
    kernel cannot send it.  Nothing else may write to the connection meanwhile.

    Raises ``ClientDisconnected`` where the connection is lost, or was dropped because its peer took nothing for
    ``limits.timeout_write`` seconds; other ``OSError`` where the file cannot be read.  Cancellation leaves it open
    whether bytes were written, so the connection must then be dropped.
    """
    check_open(connection)
    try:
        number = os.dup(connection.transport.get_extra_info("socket").fileno())
    except OSError:
        # No descriptor is left; the transport needs none.
        return 0
    outlet = Outlet(connection, number)
    try:
        await outlet.wait_writable()
        while True:
            try:
                sent = await outlet.copy(file, offset, min(count, SLICE_BYTES))
                connection.note_sent(sent)
                return sent
            except BlockingIOError:
                await outlet.wait()
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return 0
        if isinstance(error, (ConnectionError, TimeoutError)) or error.errno in _UNREACHABLE:
            # A transport that does not read would not find out.
            connection.abort()
            raise ClientDisconnected from error
        raise
    finally:
        outlet.close()


def check_open(connection: TCPConnection) -> None:
    """Raises ``ClientDisconnected`` where the connection is closed or about to be."""
    transport = connection.transport
    if transport is None or transport.is_closing():
        raise ClientDisconnected


class Outlet:
    """Writes files to ``number``, a duplicate of the connection's socket that it owns, and watches the peer's progress.

    Both waits raise ``ClientDisconnected`` once the connection is lost, and where they drop it themselves.
    """

    def __init__(self, connection: TCPConnection, number: int) -> None:
        host = connection.host
        self._connection = connection
        self._loop: asyncio.AbstractEventLoop = host.loop
        self._timeout_s: float = host.limits.timeout_write
        self._number = number
        self._socket = Descriptor(number)
        self._poll = select.poll()
        self._poll.register(number, select.POLLOUT)
        # Bytes that the peer has not taken, by the last look, and when they must have become fewer.
        self._pending = -1
        self._deadline = 0.0

    def close(self) -> None:
        """Let go of the socket; a thread that is still writing to it closes it."""
        self._socket.close()

    async def copy(self, file: Descriptor, offset: int, count: int) -> int:
        """Have a thread send up to ``count`` bytes: how many; raises ``BlockingIOError`` where the socket is full."""
        return await self._loop.run_in_executor(None, _copy, self._socket, file, offset, count)

    async def wait_writable(self) -> None:
        """Wait until the transport holds nothing and the socket takes bytes.

        While the transport holds bytes, what wakes this wakes the transport too, so this does not spin.
        """
        while self._connection.transport.get_write_buffer_size() > 0 or not self._poll.poll(0):
            await self.wait()

    async def wait(self) -> None:
        """Wait until the socket takes bytes or the peer's progress is due for a look."""
        check_open(self._connection)
        self._check_progress()
        wait_s = WATCH_S if self._timeout_s <= 0 else min(WATCH_S, self._deadline - self._loop.time())
        woken = self._loop.create_future()
        timer = self._loop.call_later(wait_s, _wake, woken)
        self._loop.add_writer(self._number, _wake, woken)
        try:
            await woken
        finally:
            self._loop.remove_writer(self._number)
            timer.cancel()
        check_open(self._connection)

    def _check_progress(self) -> None:
        """Drop a connection whose peer has taken nothing since the deadline was set (H1-30).

        The socket calls itself writable only once a third of its buffer is free, which takes a slow reader longer than
        any timeout; so what counts is what the kernel has not got rid of.
        """
        now = self._loop.time()
        pending = self._connection.transport.get_write_buffer_size() + count_unsent(self._number)
        if pending != self._pending:
            self._pending = pending
            self._deadline = now + self._timeout_s
        elif self._timeout_s > 0 and self._deadline <= now:
            self._connection.abort()
            raise ClientDisconnected("the client has stopped reading")


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _copy(out: Descriptor, file: Descriptor, offset: int, count: int) -> int:
    """Runs in a thread; one call sends all that the socket takes."""
    with out as out_number, file as file_number:
        return os.sendfile(out_number, file_number, offset, count)

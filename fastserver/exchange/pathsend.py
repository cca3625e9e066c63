"""The ASGI extension ``http.response.pathsend``: a file is the body of the response.

Nothing here blocks the loop: what touches the disk runs in the loop's default executor.  A small file is read in the
same hop that opens it and is sent like any body; a larger one is written by the kernel where the sink can do that, and
read piece by piece where it cannot (TLS, HTTP/2).

Each piece is read by a thread that opens the file and closes it again, once the sink has room for it.  So a client
that takes nothing, on however many streams, holds no descriptor.

Until the file has been opened and is known to be a regular one nothing has been sent, so an application whose file is
missing may still answer something else.  From the head on there is no way back: whatever goes wrong cuts the
connection, and no client takes a part of the file for the whole.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final, NamedTuple

from fastserver._speedups.contract import ClientDisconnected
from fastserver._speedups.http import HTTPExchange
from fastserver.descriptor import Descriptor

#: Files up to this size are read whole, as they are opened; bytes.
SMALL_BYTES: Final = 64 * 1024

#: What is read at a time where the kernel cannot send the file, and waits for the client; bytes.
PIECE_BYTES: Final = 64 * 1024

#: A FIFO must not make open() wait for its other end, and a terminal must not become the server's.
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY

#: The process or the system has no descriptor left.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE})


class _Source(NamedTuple):
    """A file as it was opened: its ``size``, and its first bytes, none where the kernel is to send them."""

    path: str
    size: int
    begin: bytes
    status: os.stat_result


async def send_path(exchange: HTTPExchange, path: str) -> None:
    """Send the regular file at ``path`` as the whole body of the response of ``exchange``.

    ``content-length`` is the file's size unless the application has announced less.  With nothing sent yet, raises
    ``OSError`` for a file that cannot be opened or is not regular.  The specification wants an absolute path; a
    relative one is taken from the working directory, because Starlette's ``FileResponse("page.html")`` passes it on.
    Later, with the connection cut: ``ClientDisconnected`` where the client has gone, ``OSError`` where the file was
    changed or could not be read, ``RuntimeError`` where the application announced more than the file holds.  Where no
    descriptor is left it cuts the connection at any time, says so in the log and raises ``ClientDisconnected``.
    """
    file = Descriptor()
    try:
        by_kernel = _sends_by_kernel(exchange, file)
        source = await exchange.host.loop.run_in_executor(None, _open, file, path, by_kernel)
        count = exchange.begin_file(source.size)
        if count <= len(source.begin):
            await exchange.send_file_part(source.begin[:count], False)
        else:
            await _send_large(exchange, file, source, count)
    except OSError as error:
        if error.errno not in _EXHAUSTED:
            raise
        exchange.host.error_log.error("cannot send %s: %s", path, error.strerror)
        exchange.cut()
        raise ClientDisconnected from error
    finally:
        exchange.end_file()
        file.close()


def _sends_by_kernel(exchange: HTTPExchange, file: Descriptor) -> bool:
    """Whether the sink can have the kernel send ``file``, which need not be open."""
    sending = exchange.sink.send_file(file, 0, 0)
    if sending is None:
        return False
    sending.close()
    return True


async def _send_large(exchange: HTTPExchange, file: Descriptor, source: _Source, count: int) -> None:
    """Send the head and the first ``count`` bytes of ``source``, which ``file`` is where the kernel is to send it."""
    try:
        await exchange.send_file_part(source.begin, True)
        sent = len(source.begin)
        if not file.closed:
            sent = await _send_by_kernel(exchange, file, count)
            file.close()
        await _send_by_reading(exchange, source, sent, count)
        await exchange.send_file_part(b"", False)
    except BaseException:
        exchange.cut()
        raise


async def _send_by_kernel(exchange: HTTPExchange, file: Descriptor, count: int) -> int:
    """Have the kernel send up to ``count`` bytes: how many it sent, 0 where it can send none."""
    sent = 0
    while sent < count:
        sending = exchange.sink.send_file(file, sent, count - sent)
        written: int = 0 if sending is None else await sending
        if written == 0:
            break
        sent += written
        exchange.note_file_sent(written)
    return sent


async def _send_by_reading(exchange: HTTPExchange, source: _Source, sent: int, count: int) -> None:
    """Send the bytes of ``source`` from ``sent`` to ``count``, each piece once the one before has gone."""
    while sent < count:
        size = min(PIECE_BYTES, count - sent)
        piece = await exchange.host.loop.run_in_executor(None, _read_again, source, sent, size)
        await exchange.send_file_part(piece, True)
        sent += len(piece)


# What runs in a thread.


def _open(file: Descriptor, path: str, keep: bool) -> _Source:
    """Look at ``path`` and read its first bytes, all of them where they are few; ``file`` is left closed.

    With ``keep`` a larger one is left open instead.
    """
    file.adopt(os.open(path, _OPEN_FLAGS))
    with file as number:
        status = os.fstat(number)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        size = status.st_size
        if keep and size > SMALL_BYTES:
            return _Source(path, size, b"", status)
        begin = _read(number, 0, min(size, SMALL_BYTES))
    file.close()
    return _Source(path, size if size > SMALL_BYTES else len(begin), begin, status)


def _read_again(source: _Source, offset: int, count: int) -> bytes:
    """``count`` bytes of ``source`` from ``offset``; raises ``OSError`` where its path leads to other bytes now."""
    number = os.open(source.path, _OPEN_FLAGS)
    try:
        status = os.fstat(number)
        if not os.path.samestat(status, source.status):
            raise OSError(errno.ESTALE, "the file was replaced while it was being sent", source.path)
        # One that has grown still begins as it did.
        if status.st_size == source.size and status.st_mtime_ns != source.status.st_mtime_ns:
            raise OSError(errno.ESTALE, "the file was changed while it was being sent", source.path)
        piece = _read(number, offset, count)
    finally:
        os.close(number)
    if status.st_size < source.size or len(piece) < count:
        raise OSError(errno.EIO, "the file became shorter while it was being sent", source.path)
    return piece


def _read(number: int, offset: int, count: int) -> bytes:
    """``count`` bytes from ``offset``; fewer only where the file ends before."""
    pieces = []
    while count > 0:
        piece = os.pread(number, count, offset)
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
        count -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)

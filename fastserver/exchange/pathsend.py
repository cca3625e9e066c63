"""The ASGI extension ``http.response.pathsend``: a file is the body of the response.

Nothing here blocks the loop: what touches the disk runs in the loop's default executor.  A small file is read in the
same hop that opens it and is sent like any body; a larger one is written by the kernel where the sink can do that, and
read piece by piece where it cannot (TLS).

Until the file is open and known to be a regular one nothing has been sent, so an application whose file is missing may
still answer something else.  From the head on there is no way back: whatever goes wrong cuts the connection, and no
client takes a part of the file for the whole.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from fastserver._speedups.http import HTTPExchange
from fastserver.descriptor import Descriptor

#: Files up to this size are read whole, as they are opened; bytes.
SMALL_BYTES: Final = 64 * 1024

#: What is read at a time where the kernel cannot send the file; bytes.
PIECE_BYTES: Final = 256 * 1024

#: A FIFO must not make open() wait for its other end, and a terminal must not become the server's.
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY


async def send_path(exchange: HTTPExchange, path: str) -> None:
    """Send the regular file at ``path`` as the whole body of the response of ``exchange``.

    ``content-length`` is the file's size unless the application has announced less.  With nothing sent yet, raises
    ``OSError`` for a file that cannot be opened or is not regular.  The specification wants an absolute path; a
    relative one is taken from the working directory, because Starlette's ``FileResponse("page.html")`` passes it on.
    Later, with the connection cut: ``ClientDisconnected`` where the client has gone, ``OSError`` where the file became
    shorter or could not be read, ``RuntimeError`` where the application announced more than the file holds.
    """
    file = Descriptor()
    try:
        size, content = await exchange.host.loop.run_in_executor(None, _open, file, path)
        count = exchange.begin_file(size)
        if content is None:
            await _send_large(exchange, file, count, path)
        else:
            await exchange.send_file_part(content[:count], False)
    finally:
        exchange.end_file()
        file.close()


async def _send_large(exchange: HTTPExchange, file: Descriptor, count: int, path: str) -> None:
    """Send the head and the first ``count`` bytes of ``file``."""
    try:
        await exchange.send_file_part(b"", True)
        sent = await _send_by_kernel(exchange, file, count)
        await _send_by_reading(exchange, file, sent, count, path)
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


async def _send_by_reading(exchange: HTTPExchange, file: Descriptor, sent: int, count: int, path: str) -> None:
    """Send the bytes of ``file`` from ``sent`` to ``count``, each piece once the one before has gone."""
    while sent < count:
        piece = await exchange.host.loop.run_in_executor(None, _read, file, sent, min(PIECE_BYTES, count - sent))
        if not piece:
            raise OSError(errno.EIO, "the file became shorter while it was being sent", path)
        await exchange.send_file_part(piece, True)
        sent += len(piece)


# What runs in a thread.


def _open(file: Descriptor, path: str) -> tuple[int, bytes | None]:
    """Open ``path`` into ``file``: its size, and all of its bytes where they are few."""
    file.adopt(os.open(path, _OPEN_FLAGS))
    with file as number:
        status = os.fstat(number)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if status.st_size > SMALL_BYTES:
            return status.st_size, None
    content = _read(file, 0, status.st_size)
    file.close()
    return len(content), content


def _read(file: Descriptor, offset: int, count: int) -> bytes:
    """``count`` bytes from ``offset``; fewer only where the file ends before."""
    pieces = []
    with file as number:
        while count > 0:
            piece = os.pread(number, count, offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            count -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)

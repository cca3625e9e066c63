"""Files that a WSGI application gives to ``wsgi.file_wrapper``: the loop sends them, and no thread waits for a client.

The kernel writes a file where the sink can do that (HTTP/1 without TLS), else it is read piece by piece in the loop's
default executor, each piece once the sink has room for it.  From the head on there is no way back: whatever goes wrong
cuts the connection, and no client takes a part of the file for the whole.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Any, Final

from fastserver._speedups.wsgi.exchange import WSGIExchange
from fastserver.descriptor import Descriptor

#: What is read at a time where the kernel cannot send the file; bytes.
PIECE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class OpenFile:
    """``count`` bytes of a regular file, from ``offset`` on."""

    descriptor: Descriptor
    offset: int
    count: int


def open_file(filelike: Any, announced: int) -> OpenFile | None:
    """What is left to read of ``filelike``, or ``announced`` bytes of it where that is not -1.

    Runs in the application's thread.  ``None`` where it is no regular file, or has fewer bytes than announced: then it
    is to be read like any other iterable.  The descriptor is a duplicate, for the application may close its own.
    """
    try:
        number = filelike.fileno()
        status = os.fstat(number)
        offset = filelike.tell()
    except (AttributeError, OSError, TypeError, ValueError):
        return None
    if not isinstance(offset, int) or isinstance(getattr(filelike, "encoding", None), str):
        return None
    count = status.st_size - offset
    if not stat.S_ISREG(status.st_mode) or count <= 0 or count < announced or announced == 0:
        return None
    try:
        return OpenFile(Descriptor(os.dup(number)), offset, announced if announced > 0 else count)
    except OSError:
        return None  # no descriptor is left; reading needs none


async def send_file(exchange: WSGIExchange, file: OpenFile) -> None:
    """Send the body of ``exchange``, whose head is out, and tell it of the end."""
    is_whole = False
    try:
        sent = await _send_by_kernel(exchange, file)
        sent += await _send_by_reading(exchange, file, sent)
        is_whole = sent == file.count
        if not is_whole and not exchange.is_gone:
            exchange.host.error_log.error("a file became shorter while it was being sent")
    except OSError as error:
        if not exchange.is_gone:
            exchange.host.error_log.error("cannot send a file: %s", error)
    finally:
        file.descriptor.close()
        exchange.end_file(is_whole)


async def _send_by_kernel(exchange: WSGIExchange, file: OpenFile) -> int:
    """Have the kernel send what it can: how many bytes."""
    sent = 0
    while sent < file.count and not exchange.is_gone:
        sending = exchange.sink.send_file(file.descriptor, file.offset + sent, file.count - sent)
        written: int = 0 if sending is None else await sending
        if written == 0:
            break
        sent += written
        exchange.note_file_sent(written)
    return sent


async def _send_by_reading(exchange: WSGIExchange, file: OpenFile, sent: int) -> int:
    """Send what is left behind ``sent`` bytes, each piece once there is room: how many bytes."""
    begun = sent
    while sent < file.count and not exchange.is_gone:
        size = min(PIECE_BYTES, file.count - sent)
        piece = await exchange.host.loop.run_in_executor(None, _read, file.descriptor, file.offset + sent, size)
        if not piece:
            break
        exchange.send_file_part(piece, True)
        sent += len(piece)
        while not exchange.is_gone and not exchange.sink.is_writable():
            await exchange.make_waiter()
    return sent - begun


def _read(descriptor: Descriptor, offset: int, count: int) -> bytes:
    """Runs in a thread."""
    with descriptor as number:
        return os.pread(number, count, offset)

"""Files that the kernel writes to real sockets, under both loops: in order, whole, watched, and never after the end."""

import asyncio
import errno
import os
import random
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastserver._speedups.contract import ClientDisconnected
from fastserver._speedups.events import RawData
from fastserver._speedups.tcp import TCPConnection
from fastserver.descriptor import Descriptor
from fastserver.server.pipeline import Pipeline
from fastserver.transport import sendfile
from fastserver.transport.sendfile import SLICE_BYTES, send_file
from tests.fakes import ignore, make_host
from tests.site import LOOPS, Main, run_in_loop, wait_until

Run = Callable[[Main], None]
CONTENT = random.Random(1).randbytes(6 * 1024 * 1024)


@pytest.fixture(params=list(LOOPS.values()), ids=list(LOOPS))
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine in a loop of its own, which must leave nothing behind."""
    return lambda main: run_in_loop(request.param, main)


@pytest.fixture(params=["tcp", "unix"])
def pair(request: pytest.FixtureRequest) -> tuple[socket.socket, socket.socket]:
    """A server's end and a client's, connected, with little room between them."""
    if request.param == "unix":
        ends = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
            client.connect(listener.getsockname())
            ends = (listener.accept()[0], client)
    ends[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    return ends


@pytest.fixture
def file(tmp_path: Path) -> Descriptor:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return Descriptor(os.open(path, os.O_RDONLY))


class Lane:
    """A connection of the running loop around one end of `pair`, and its client's hands on the other."""

    def __init__(self, pair: tuple[socket.socket, socket.socket], **limits: float) -> None:
        self._end, self._client = pair
        self._client.setblocking(False)
        self.loop = asyncio.get_running_loop()
        self.connection = TCPConnection(make_host(ignore, self.loop, **limits), Pipeline())

    async def __aenter__(self) -> "Lane":
        connection: Any = self.connection  # which has the methods of an asyncio.Protocol, and is none
        await self.loop.connect_accepted_socket(lambda: connection, self._end)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.close()
        self.connection.abort()
        await wait_until(lambda: self.connection.transport is None)

    async def send(self, file: Descriptor, offset: int, count: int) -> int:
        """Send `count` bytes, in as many calls as it takes: how many were sent."""
        sent = 0
        while sent < count and (written := await send_file(self.connection, file, offset + sent, count - sent)):
            assert 0 < written <= min(SLICE_BYTES, count - sent)
            sent += written
        return sent

    async def read(self, size: int) -> bytes:
        """`size` bytes, or all to the end of the connection, clean or not."""
        pieces = []
        try:
            while size > 0 and (piece := await self.loop.sock_recv(self._client, min(size, 65536))):
                pieces.append(piece)
                size -= len(piece)
        except ConnectionResetError:
            pass
        return b"".join(pieces)

    async def start(self, file: Descriptor) -> "asyncio.Task[int]":
        """A task that sends all of `file` and gets stuck, since nobody reads yet."""
        sending = asyncio.create_task(self.send(file, 0, len(CONTENT)))
        assert await asyncio.wait({sending}, timeout=0.1) == (set(), {sending})
        return sending

    def reset(self) -> None:
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._client.close()


@pytest.mark.parametrize(
    ("offset", "count"), [(0, 1), (0, len(CONTENT)), (1_000_001, 3_000_003), (len(CONTENT) - 1, 1)]
)
def test_sends_what_was_asked(run: Run, pair: Any, file: Descriptor, offset: int, count: int) -> None:
    async def main() -> None:
        async with Lane(pair) as lane:
            sent, received = await asyncio.gather(lane.send(file, offset, count), lane.read(count))
            assert sent == count
            assert received == CONTENT[offset : offset + count]
        file.close()

    run(main())


def test_the_end_of_the_file(run: Run, pair: Any, file: Descriptor) -> None:
    async def main() -> None:
        async with Lane(pair) as lane:
            assert await lane.send(file, len(CONTENT) - 10, 20) == 10
            assert await send_file(lane.connection, file, len(CONTENT), 1) == 0
            assert await lane.read(10) == CONTENT[-10:]
        file.close()

    run(main())


def test_comes_after_what_the_transport_holds(run: Run, pair: Any, file: Descriptor) -> None:
    async def main() -> None:
        async with Lane(pair) as lane:
            connection = lane.connection
            before = 0
            while connection.transport.get_write_buffer_size() == 0:
                connection.send(RawData(b"b" * 10_000))
                before += 10_000
            sending = asyncio.create_task(lane.send(file, 0, len(CONTENT)))
            assert await lane.read(before) == b"b" * before
            assert await lane.read(len(CONTENT)) == CONTENT
            assert await sending == len(CONTENT)
            connection.send(RawData(b"after"))
            assert await lane.read(5) == b"after"
        file.close()

    run(main())


@pytest.mark.parametrize("holds", [0, 10_000])
def test_waiting_does_not_spin(run: Run, pair: Any, file: Descriptor, holds: int) -> None:
    """While the client takes nothing the loop sleeps, whether the kernel holds all bytes or the transport some."""

    async def main() -> None:
        async with Lane(pair) as lane:
            while lane.connection.transport.get_write_buffer_size() < holds:
                lane.connection.send(RawData(b"b" * 10_000))
            sending = await lane.start(file)
            begun = time.process_time()
            # Not for a condition: this is the time in which nothing may happen.
            await asyncio.sleep(0.3)
            assert time.process_time() - begun < 0.1
            assert not sending.done()
            sending.cancel()
            await asyncio.wait({sending})
        file.close()

    run(main())


def test_no_hop_for_a_full_socket(run: Run, pair: Any, file: Descriptor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread is asked only when the socket takes bytes, and nothing is watched afterwards."""
    results: list[int] = []
    numbers: list[int] = []
    copy, dup = sendfile._copy, os.dup

    def recording_copy(out: Descriptor, source: Descriptor, offset: int, count: int) -> int:
        results.append(0)
        results[-1] = copy(out, source, offset, count)
        return results[-1]

    def recording_dup(number: int) -> int:
        numbers.append(dup(number))
        return numbers[-1]

    async def main() -> None:
        monkeypatch.setattr(sendfile, "_copy", recording_copy)
        async with Lane(pair) as lane:
            with monkeypatch.context() as patch:
                patch.setattr(os, "dup", recording_dup)
                assert len((await asyncio.gather(lane.read(len(CONTENT)), lane.send(file, 0, len(CONTENT))))[0]) > 0
            assert results.count(0) <= len(results) / 10
            assert not any(lane.loop.remove_writer(number) for number in set(numbers))
        file.close()

    run(main())


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_says_that_the_kernel_cannot(
    run: Run, pair: Any, file: Descriptor, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    async def main() -> None:
        async with Lane(pair) as lane:
            monkeypatch.setattr(os, "sendfile", refuse)
            assert await send_file(lane.connection, file, 0, 10) == 0
            lane.connection.send(RawData(b"instead"))
            assert await lane.read(7) == b"instead"
        file.close()

    run(main())


def test_no_descriptor_left(run: Run, pair: Any, file: Descriptor, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def main() -> None:
        async with Lane(pair) as lane:
            monkeypatch.setattr(os, "dup", refuse)
            assert await send_file(lane.connection, file, 0, 10) == 0
        file.close()

    run(main())


def test_disk_error(run: Run, pair: Any, file: Descriptor, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is nobody's disconnection, and what was sent before it counts."""
    sendfile = os.sendfile

    def fail(out: int, source: int, offset: int, count: int) -> int:
        if offset >= 1000:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return sendfile(out, source, offset, min(1000 - offset, count))

    async def main() -> None:
        async with Lane(pair) as lane:
            monkeypatch.setattr(os, "sendfile", fail)
            assert await send_file(lane.connection, file, 0, 2000) == 1000
            with pytest.raises(OSError, match=os.strerror(errno.EIO)):
                await send_file(lane.connection, file, 1000, 1000)
            assert await lane.read(1000) == CONTENT[:1000]
        file.close()

    run(main())


def test_full_socket_that_calls_itself_writable(
    run: Run, pair: Any, file: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel short of memory does so: there is a wait between two attempts, and the peer's time runs."""

    def refuse(*_: object) -> int:
        attempts.append(time.monotonic())
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    attempts: list[float] = []

    async def main() -> None:
        async with Lane(pair, timeout_write=0.2) as lane:
            monkeypatch.setattr(os, "sendfile", refuse)
            with pytest.raises(ClientDisconnected, match="stopped reading"):
                await send_file(lane.connection, file, 0, 10)
            assert attempts[-1] - attempts[0] <= 0.4
        file.close()

    run(main())


# The end of the connection.


@pytest.mark.parametrize("reads", [True, False])
def test_peer_resets(run: Run, pair: Any, file: Descriptor, reads: bool) -> None:
    """Where the transport does not read, only sendfile finds out, and it drops the connection."""

    async def main() -> None:
        async with Lane(pair) as lane:
            if not reads:
                lane.connection.pause_reading()
            sending = await lane.start(file)
            lane.reset()
            with pytest.raises(ClientDisconnected):
                await asyncio.wait_for(sending, 5)
            await wait_until(lambda: lane.connection.transport is None)
        file.close()

    run(main())


def test_connection_that_is_gone(run: Run, pair: Any, file: Descriptor) -> None:
    async def main() -> None:
        async with Lane(pair) as lane:
            lane.connection.abort()
            with pytest.raises(ClientDisconnected):
                await send_file(lane.connection, file, 0, 10)
            await wait_until(lambda: lane.connection.transport is None)
            with pytest.raises(ClientDisconnected):
                await send_file(lane.connection, file, 0, 10)
        file.close()

    run(main())


def test_connection_lost_while_the_thread_works(
    run: Run, pair: Any, file: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the thread finds the socket full, so there would be a wait."""
    working = threading.Event()
    go_on = threading.Event()

    def refuse(*_: object) -> int:
        working.set()
        assert go_on.wait(10)
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    async def main() -> None:
        async with Lane(pair) as lane:
            monkeypatch.setattr(os, "sendfile", refuse)
            sending = asyncio.create_task(send_file(lane.connection, file, 0, 10))
            await wait_until(working.is_set)
            lane.connection.abort()
            await wait_until(lambda: lane.connection.transport is None)
            go_on.set()
            with pytest.raises(ClientDisconnected):
                await sending
        file.close()

    run(main())


def test_connection_dropped_by_this_side(
    run: Run, pair: Any, file: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The duplicate keeps the kernel's connection, so the wait must notice and the client see the end."""
    monkeypatch.setattr(sendfile, "WATCH_S", 0.05)

    async def main() -> None:
        async with Lane(pair) as lane:
            sending = await lane.start(file)
            lane.connection.abort()
            with pytest.raises(ClientDisconnected):
                await asyncio.wait_for(sending, 5)
            received = await lane.read(len(CONTENT))
            assert 0 < len(received) < len(CONTENT)
            assert CONTENT.startswith(received)
        file.close()

    run(main())


def test_peer_stops_reading(run: Run, pair: Any, file: Descriptor) -> None:
    async def main() -> None:
        async with Lane(pair, timeout_write=0.3) as lane:
            sending = await lane.start(file)
            with pytest.raises(ClientDisconnected, match="stopped reading"):
                await asyncio.wait_for(sending, 5)
            await wait_until(lambda: lane.connection.transport is None)
        file.close()

    run(main())


def test_no_timeout(run: Run, pair: Any, file: Descriptor, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 is off: not an end at once."""
    monkeypatch.setattr(sendfile, "WATCH_S", 0.01)

    async def main() -> None:
        async with Lane(pair, timeout_write=0) as lane:
            sending = await lane.start(file)
            assert await lane.read(len(CONTENT)) == CONTENT
            assert await sending == len(CONTENT)
        file.close()

    run(main())


def test_cancelled_while_the_thread_writes(
    run: Run, pair: Any, file: Descriptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither descriptor is closed under the thread, and both are afterwards."""
    working = threading.Event()
    go_on = threading.Event()
    numbers: list[int] = []
    failures: list[OSError] = []

    def work(out: int, source: int, offset: int, count: int) -> int:
        numbers[:] = out, source
        working.set()
        assert go_on.wait(10)
        try:
            assert stat.S_ISSOCK(os.fstat(out).st_mode)
            assert stat.S_ISREG(os.fstat(source).st_mode)
        except OSError as error:
            failures.append(error)
        return count

    async def main() -> None:
        async with Lane(pair) as lane:
            monkeypatch.setattr(os, "sendfile", work)
            sending = asyncio.create_task(send_file(lane.connection, file, 0, 10))
            await wait_until(working.is_set)
            sending.cancel()
            await asyncio.wait({sending})
            assert sending.cancelled()
            file.close()
            lane.connection.abort()
            await wait_until(lambda: lane.connection.transport is None)
            go_on.set()
            await wait_until(lambda: not any(map(is_open, numbers)))
            assert failures == []

    run(main())


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True

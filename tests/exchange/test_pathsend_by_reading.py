"""`http.response.pathsend` where the kernel cannot send the file: what clients that take nothing may hold, and files
that change meanwhile."""

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hpack
import pytest
from hyperframe.frame import DataFrame, Frame, HeadersFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from fastserver._speedups.tcp import TCPConnection
from fastserver.exchange import pathsend
from fastserver.exchange.pathsend import PIECE_BYTES
from fastserver.server.pipeline import PRIOR, Pipeline
from tests.fakes import App, Message, Receive, Send
from tests.h2wire import PREFACE, REQUEST
from tests.site import LOOPS, Client, Main, Site, count_open, run_in_loop, wait_until

Run = Callable[[Main], None]
STREAMS = 50
SIZE = 3 * PIECE_BYTES + 1


@pytest.fixture(params=list(LOOPS.values()), ids=list(LOOPS))
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine in a loop of its own, which must leave nothing behind."""
    return lambda main: run_in_loop(request.param, main)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is too large to be read as it is opened."""
    path = tmp_path / "file"
    path.write_bytes(os.urandom(SIZE))
    return path


def send_file(path: Path) -> App:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": str(path)})

    return app


class H2Site(Site):
    """A site that speaks HTTP/2 without TLS."""

    def make_connection(self) -> TCPConnection:
        self.connections.append(TCPConnection(self.host, Pipeline(PRIOR)))
        return self.connections[-1]


class Asker:
    """A client that asks for the file on `STREAMS` streams, and lets each take `window` bytes."""

    def __init__(self, client: Client, window: int) -> None:
        self._client = client
        self.bodies = {1 + 2 * index: b"" for index in range(STREAMS)}
        self.resets: dict[int, int] = {}
        settings = SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: window})
        client.send(PREFACE + settings.serialize() + SettingsFrame(0, flags=["ACK"]).serialize())
        self.say(WindowUpdateFrame(0, 2**30))
        encoder = hpack.Encoder()
        for stream in self.bodies:
            fields = encoder.encode(list(REQUEST.items()))
            self.say(HeadersFrame(stream, fields, flags=["END_HEADERS", "END_STREAM"]))

    def say(self, frame: Frame) -> None:
        self._client.send(frame.serialize())

    async def read(self) -> None:
        """Read one frame."""
        head = await self._client.reader.readexactly(9)
        frame, size = Frame.parse_frame_header(memoryview(head))
        frame.parse_body(memoryview(await self._client.reader.readexactly(size)))
        if isinstance(frame, DataFrame):
            self.bodies[frame.stream_id] += frame.data
        elif isinstance(frame, RstStreamFrame):
            self.resets[frame.stream_id] = frame.error_code


@pytest.fixture
def read_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much each reading of a file has read."""
    sizes: list[int] = []
    read = pathsend._read

    def note(*arguments: Any) -> bytes:
        content = read(*arguments)
        sizes.append(len(content))
        return content

    monkeypatch.setattr(pathsend, "_read", note)
    return sizes


def test_closed_windows_hold_no_descriptor(run: Run, path: Path, read_bytes: list[int]) -> None:
    """And once they open, every stream gets all of the file."""

    async def main() -> None:
        async with H2Site(send_file(path)) as site:
            asker = Asker(await site.connect(), 0)
            await wait_until(lambda: len(read_bytes) >= STREAMS and count_open(path) == 0)
            assert max(read_bytes) <= PIECE_BYTES
            assert sum(read_bytes) <= STREAMS * PIECE_BYTES
            for stream in asker.bodies:
                asker.say(WindowUpdateFrame(stream, SIZE))
            content = path.read_bytes()
            while sum(map(len, asker.bodies.values())) < STREAMS * SIZE:
                await asker.read()
            assert all(body == content for body in asker.bodies.values())
            await wait_until(lambda: not site.host.tasks)
            assert site.failures == []

    run(main())


def test_opening_many_at_once_holds_few_descriptors(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor waits for its turn in a thread."""
    held: list[int] = []
    os_open = os.open

    def open_and_count(name: Any, *arguments: Any) -> int:
        number = os_open(name, *arguments)
        if name == str(path):
            held.append(count_open(path))
        return number

    async def main() -> None:
        async with H2Site(send_file(path)) as site:
            threads = 4
            site.host.loop.set_default_executor(ThreadPoolExecutor(threads))
            monkeypatch.setattr(os, "open", open_and_count)
            Asker(await site.connect(), 0)
            await wait_until(lambda: len(held) >= STREAMS)
            # Counting is no single moment: a thread that closes one and opens the next meanwhile counts twice.
            assert max(held) <= 2 * threads < STREAMS

    run(main())


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_no_descriptor_is_left(run: Run, path: Path, number: int, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the file is opened first, and again: the stream is reset, and the log has a line and no traceback."""
    os_open = os.open
    opened: list[str] = []

    def refuse(name: Any, *arguments: Any) -> int:
        if name == str(path):
            opened.append(name)
            if opened.count(name) > (at - 1) * STREAMS:
                raise OSError(number, os.strerror(number), name)
        return os_open(name, *arguments)

    async def main() -> None:
        async with H2Site(send_file(path)) as site:
            monkeypatch.setattr(os, "open", refuse)
            asker = Asker(await site.connect(), 0)
            await wait_until(lambda: len(opened) == STREAMS)
            if at == 2:
                for stream in asker.bodies:
                    asker.say(WindowUpdateFrame(stream, PIECE_BYTES))
            while len(asker.resets) < STREAMS:
                await asker.read()
            await wait_until(lambda: not site.host.tasks)
            assert site.failures == [f"cannot send {path}: {os.strerror(number)}"] * STREAMS
            assert all(record.exc_info is None for record in site.log)

    run(main())


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(os.urandom(SIZE))
    other.replace(path)


def rewrite(path: Path) -> None:
    path.write_bytes(os.urandom(SIZE))
    os.utime(path, (1, 1))


def shorten(path: Path) -> None:
    os.truncate(path, SIZE - 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [(replace, "was replaced"), (rewrite, "was changed"), (shorten, "became shorter"), (Path.unlink, "No such file")],
)
def test_file_changed_while_sent(
    run: Run, path: Path, read_bytes: list[int], change: Callable[[Path], None], reason: str
) -> None:
    """No client gets bytes of two files."""

    async def main() -> None:
        content = path.read_bytes()
        async with H2Site(send_file(path)) as site:
            asker = Asker(await site.connect(), 0)
            await wait_until(lambda: len(read_bytes) == STREAMS and count_open(path) == 0)
            change(path)
            for stream in asker.bodies:
                asker.say(WindowUpdateFrame(stream, SIZE))
            while len(asker.resets) < STREAMS:
                await asker.read()
            assert all(content.startswith(body) for body in asker.bodies.values())
            await wait_until(lambda: not site.host.tasks)
            assert len(site.failures) == STREAMS
            assert reason in str(site.log[-1].exc_info)

    run(main())


def test_file_that_grows_while_sent(run: Run, path: Path, read_bytes: list[int]) -> None:
    """The bytes that were announced are there still."""

    async def main() -> None:
        content = path.read_bytes()
        async with H2Site(send_file(path)) as site:
            asker = Asker(await site.connect(), 0)
            await wait_until(lambda: len(read_bytes) == STREAMS and count_open(path) == 0)
            with path.open("ab") as file:
                file.write(b"more")
            for stream in asker.bodies:
                asker.say(WindowUpdateFrame(stream, SIZE))
            while sum(map(len, asker.bodies.values())) < STREAMS * SIZE:
                await asker.read()
            assert all(body == content for body in asker.bodies.values())

    run(main())

"""`http.response.pathsend` on real sockets, under both loops: whole files, no files, and all that cuts one short."""

import asyncio
import hashlib
import os
import random
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import Route

from fastserver._speedups.contract import ClientDisconnected
from fastserver.exchange import pathsend
from fastserver.exchange.pathsend import PIECE_BYTES, SMALL_BYTES
from fastserver.transport.sendfile import SLICE_BYTES
from tests.fakes import App, Message, Receive, Recorder, Send, respond
from tests.site import LOOPS, Main, Site, count_open, run_in_loop, wait_until

Run = Callable[[Main], None]
#: Sizes that lie on either side of every decision, and one that no socket takes at once.
SIZES = (0, 1, SMALL_BYTES, SMALL_BYTES + 1, 10 * 1024 * 1024)
LARGE = SIZES[-1]


@pytest.fixture(params=list(LOOPS.values()), ids=list(LOOPS))
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine in a loop of its own, which must leave nothing behind."""
    return lambda main: run_in_loop(request.param, main)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one file of each size, named by it."""
    directory = tmp_path_factory.mktemp("files")
    for size in SIZES:
        make_file(directory / str(size), size)
    return directory


@pytest.fixture
def large(files: Path) -> Path:
    return files / str(LARGE)


def make_file(path: Path, size: int) -> Path:
    path.write_bytes(random.Random(size).randbytes(size))
    return path


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may read everything, so it is somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def hash_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def serve_directory(directory: Path, fields: Sequence[tuple[bytes, bytes]] = (), status: int = 200) -> App:
    """An application that sends the file that the path names; it leaves the length to the server."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        assert scope["extensions"]["http.response.pathsend"] == {}
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.pathsend", "path": str(directory / scope["path"][1:])})

    return app


class Attempt:
    """An application that sends one file, keeps the error and answers 404 if it still may."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.error: BaseException | None = None
        self.task: asyncio.Task[Any] | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/other":
            return await respond(send, b"other")
        self.task = asyncio.current_task()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await send({"type": "http.response.pathsend", "path": self.path})
        except BaseException as error:
            self.error = error
            if not isinstance(error, OSError | ValueError) or isinstance(error, ClientDisconnected):
                raise
            # The head was not sent yet, or this raises.
            await send({"type": "http.response.body", "body": b"instead"})


# Whole files.


@pytest.mark.parametrize("family", ["tcp", "unix", "tls"])
def test_sizes(run: Run, files: Path, family: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with Site(serve_directory(files), family, path=tmp_path / "socket") as site:
            client = await site.connect()
            for size in (*SIZES, *reversed(SIZES)):  # all on one connection
                status, fields, body = await client.fetch(f"/{size}")
                assert (status, fields["content-length"]) == (200, str(size))
                assert hash_bytes(body) == hash_bytes((files / str(size)).read_bytes())
                assert "transfer-encoding" not in fields
            assert len(site.connections) == 1
            await wait_until(lambda: not site.host.tasks)
            assert [record[2] for record in site.access] == [*SIZES, *reversed(SIZES)]
            assert site.failures == []

    run(main())


@pytest.mark.parametrize("family", ["tcp", "unix", "tls"])
def test_slow_reader(run: Run, large: Path, family: str, tmp_path: Path) -> None:
    """A client that reads little at a time gets it all, and others are served meanwhile."""

    async def main() -> None:
        attempt = Attempt(str(large))
        async with Site(attempt, family, path=tmp_path / "socket", send_buffer=65536) as site:
            slow = await site.connect(receive_buffer=32768)
            other = await site.connect()
            slow.ask()
            _, fields = await slow.read_head()
            body = hashlib.sha256()
            size = int(fields["content-length"])
            assert (await other.fetch("/other"))[2] == b"other"
            assert site.host.tasks, "the whole file has gone already"
            while size > 0:
                piece = await slow.reader.read(16384)
                await asyncio.sleep(0)
                size -= len(piece)
                body.update(piece)
            assert body.hexdigest() == hash_bytes(large.read_bytes())
            assert (await slow.fetch("/other"))[2] == b"other"
            assert site.failures == []

    run(main())


def test_reader_slower_than_the_timeout(run: Run, large: Path) -> None:
    """What counts is that the peer takes bytes, not that the socket has room for a third of its buffer again."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Site(Attempt(str(large)), send_buffer=4 << 20, timeout_write=0.25) as site:
            client = await site.connect(receive_buffer=16384)
            client.ask()
            _, fields = await client.read_head()
            begun = loop.time()
            taken = 0
            while loop.time() < begun + 1.0:
                taken += len(await client.reader.read(16384))
                await asyncio.sleep(0.02)
            body = await client.read_body(int(fields["content-length"]) - taken)
            assert large.read_bytes().endswith(body)
            assert site.failures == []

    run(main())


def test_head(run: Run, files: Path) -> None:
    async def main() -> None:
        async with Site(serve_directory(files)) as site:
            client = await site.connect()
            for size in SIZES:
                status, fields, _ = await client.fetch(f"/{size}", "HEAD")
                assert (status, fields["content-length"]) == (200, str(size))
            assert (await client.fetch("/1"))[2] == (files / "1").read_bytes()
            assert [record[2] for record in site.access[:-1]] == [0] * len(SIZES)

    run(main())


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_a_body(run: Run, files: Path, status: int) -> None:
    async def main() -> None:
        async with Site(serve_directory(files, status=status)) as site:
            client = await site.connect()
            for size in SIZES:
                client.ask(f"/{size}")
                assert (await client.read_head())[0] == status
            assert site.failures == []

    run(main())


@pytest.mark.parametrize("half_closed", [False, True])
def test_connection_closes_behind_the_file(run: Run, files: Path, half_closed: bool) -> None:
    """Because the client asks for it, and while the client has closed its own half: all of the file comes first."""

    async def main() -> None:
        async with Site(serve_directory(files)) as site:
            for size in SIZES:
                client = await site.connect(receive_buffer=32768)
                client.ask(f"/{size}", "GET", "connection: close")
                if half_closed:
                    client.close_half()
                await client.read_head()
                assert hash_bytes(await client.read_rest()) == hash_bytes((files / str(size)).read_bytes())
            assert site.failures == []

    run(main())


@pytest.mark.parametrize("size", [SMALL_BYTES, LARGE])
@pytest.mark.parametrize("announced", [0, 1, 1000])
def test_content_length_of_the_application(run: Run, files: Path, size: int, announced: int) -> None:
    """Less than the file holds: the file has grown, and its beginning is sent."""

    async def main() -> None:
        async with Site(serve_directory(files, [(b"Content-Length", b"%d" % announced)])) as site:
            client = await site.connect()
            for _ in range(2):
                status, fields, body = await client.fetch(f"/{size}")
                assert (status, fields["content-length"]) == (200, str(announced))
                assert body == (files / str(size)).read_bytes()[:announced]
            assert site.failures == []

    run(main())


@pytest.mark.parametrize("size", [0, 1, LARGE])
def test_content_length_above_the_file(run: Run, files: Path, size: int) -> None:
    """Nobody can be made to take the file for the body that was announced."""

    async def main() -> None:
        async with Site(serve_directory(files, [(b"content-length", b"%d" % (size + 1))])) as site:
            client = await site.connect()
            client.ask(f"/{size}")
            received = await client.read_rest()
            assert len(received.partition(b"\r\n\r\n")[2]) <= size
            await wait_until(lambda: not site.host.tasks)
            assert site.failures == [f"exception in the application: GET /{size}"]
            assert "shorter than its content-length" in str(site.log[-1].exc_info)

    run(main())


def test_follows_the_response_before(run: Run, large: Path) -> None:
    """That one is larger than any buffer, and its client has not read a byte of it yet."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == "/before":
            await respond(send, b"b" * 8_000_000)
        else:
            await serve_directory(large.parent)(scope, receive, send)

    async def main() -> None:
        async with Site(app) as site:
            client = await site.connect(receive_buffer=32768)
            client.ask("/before")
            client.ask(f"/{LARGE}")
            await wait_until(lambda: len(site.access) == 1 and len(site.host.tasks) == 1)
            assert (await client.read_head())[1]["content-length"] == "8000000"
            assert await client.read_body(8_000_000) == b"b" * 8_000_000
            assert (await client.read_head())[1]["content-length"] == str(LARGE)
            assert hash_bytes(await client.read_body(LARGE)) == hash_bytes(large.read_bytes())
            assert site.failures == []

    run(main())


def test_sent_by_another_task(run: Run, large: Path) -> None:
    """A task group of the application sends: nothing holds its head back."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await asyncio.gather(asyncio.create_task(serve_directory(large.parent)(scope, receive, send)))  # type: ignore[arg-type]

    async def main() -> None:
        async with Site(app) as site:
            client = await site.connect()
            for _ in range(2):
                assert hash_bytes((await client.fetch(f"/{LARGE}"))[2]) == hash_bytes(large.read_bytes())

    run(main())


# Where the kernel cannot send.


@pytest.mark.parametrize("refused_from", [0, 3 * 1024 * 1024])
def test_falls_back_to_reading(run: Run, large: Path, refused_from: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without sendfile(2), and one that thinks better of it halfway."""
    sendfile = os.sendfile

    def refuse(out: int, source: int, offset: int, count: int) -> int:
        if offset >= refused_from:
            raise OSError(22, "Invalid argument")
        return sendfile(out, source, offset, min(count, refused_from - offset))

    async def main() -> None:
        async with Site(serve_directory(large.parent)) as site:
            client = await site.connect()
            monkeypatch.setattr(os, "sendfile", refuse)
            for _ in range(2):
                assert hash_bytes((await client.fetch(f"/{LARGE}"))[2]) == hash_bytes(large.read_bytes())
            assert [record[2] for record in site.access] == [LARGE, LARGE]

    run(main())


def test_host_without_send_file(run: Run, large: Path) -> None:
    async def main() -> None:
        async with Site(serve_directory(large.parent)) as site:
            site.host.send_file = None
            assert hash_bytes((await (await site.connect()).fetch(f"/{LARGE}"))[2]) == hash_bytes(large.read_bytes())

    run(main())


@pytest.mark.parametrize("family", ["tcp", "tls"])
def test_holds_no_more_than_one_piece(
    run: Run, large: Path, family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that reads nothing does not make the server read the file into memory."""
    read = pathsend._read
    pieces: list[int] = []

    def reading(*arguments: Any) -> bytes:
        pieces.append(len(read(*arguments)))
        return read(*arguments)

    async def main() -> None:
        monkeypatch.setattr(pathsend, "_read", reading)
        attempt = Attempt(str(large))
        async with Site(attempt, family, send_buffer=65536) as site:
            site.host.send_file = None
            client = await site.connect(receive_buffer=32768)
            client.ask()
            await client.read_head()
            other = await site.connect()
            for _ in range(20):
                await other.fetch("/other")
            transport = next(connection.transport for connection in site.connections if connection.transport)
            assert transport.get_write_buffer_size() <= 2 * PIECE_BYTES
            assert sum(pieces) < LARGE / 2

    run(main())


# No file at all.


@pytest.fixture(params=["missing", "directory", "fifo", "device", "socket", "null", "empty", "loop", "below"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path, files: Path) -> tuple[str, type[Exception]]:
    """The path of something that is no file, and the error that it deserves."""
    path = tmp_path / "no-file"
    if request.param == "fifo":
        os.mkfifo(path)
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    elif request.param == "loop":
        path.symlink_to(path)
    return {
        "missing": (str(path), FileNotFoundError),
        "directory": (str(tmp_path), IsADirectoryError),
        "device": ("/dev/null", OSError),
        "null": ("/no\0file", ValueError),
        "empty": ("", FileNotFoundError),
        "below": (str(files / "1" / "below"), NotADirectoryError),
    }.get(request.param, (str(path), OSError))


def test_what_is_no_file(run: Run, no_file: tuple[str, type[Exception]]) -> None:
    """Nothing has been sent, so the application may answer what it likes."""
    path, kind = no_file

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        with pytest.raises(kind):
            await send({"type": "http.response.pathsend", "path": path})
        await send({"type": "http.response.body", "body": b"not here"})

    async def main() -> None:
        async with Site(app) as site:
            client = await site.connect()
            for _ in range(2):
                status, fields, body = await client.fetch()
                assert (status, fields["content-length"], body) == (404, "8", b"not here")
            assert site.failures == []

    run(main())


def test_unreadable(run: Run, tmp_path: Path) -> None:
    path = make_file(tmp_path / "secret", 10)
    path.chmod(stat.S_IWUSR)

    async def main() -> None:
        attempt = Attempt(str(path))
        async with Site(attempt) as site:
            client = await site.connect()
            with unprivileged():
                assert (await client.fetch())[2] == b"instead"
            assert isinstance(attempt.error, PermissionError)

    run(main())


def test_error_that_nobody_handles(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async with Site(serve_directory(tmp_path)) as site:
            client = await site.connect()
            for _ in range(2):
                assert (await client.fetch("/missing"))[0] == 500
            assert site.failures == ["exception in the application: GET /missing"] * 2

    run(main())


def test_a_pathsend_is_awaited_first(run: Run, large: Path) -> None:
    """A body beside the file would come out in the middle of it."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        sending = send({"type": "http.response.pathsend", "path": str(large)})
        with pytest.raises(RuntimeError, match="pathsend was awaited"):
            await send({"type": "http.response.body", "body": b"in between"})
        await sending
        with pytest.raises(RuntimeError, match="complete"):
            await send({"type": "http.response.body", "body": b"behind"})

    async def main() -> None:
        async with Site(app) as site:
            assert hash_bytes((await (await site.connect()).fetch())[2]) == hash_bytes(large.read_bytes())
            await wait_until(lambda: not site.host.tasks)
            assert site.failures == []

    run(main())


def test_the_loop_does_not_wait_for_the_disk(run: Run, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening, and sending, take as long as the disk does: others are served."""
    waiting = threading.Event()
    spun_up = threading.Event()

    def wait_for_disk(function: Callable[..., Any]) -> Callable[..., Any]:
        def waits(*arguments: Any) -> Any:
            if arguments[0] == str(large) or function is os_sendfile:
                waiting.set()
                assert spun_up.wait(10)
            return function(*arguments)

        return waits

    os_open, os_sendfile = os.open, os.sendfile

    async def serve_others(site: Site) -> None:
        await wait_until(waiting.is_set)
        client = await site.connect()
        assert (await client.fetch("/other"))[2] == b"other"
        waiting.clear()
        spun_up.set()

    async def main() -> None:
        async with Site(Attempt(str(large))) as site:
            client = await site.connect()
            for name, function in (("open", os_open), ("sendfile", os_sendfile)):
                with monkeypatch.context() as patch:
                    patch.setattr(os, name, wait_for_disk(function))
                    client.ask()
                    await serve_others(site)
                    await client.read_head()
                    assert hash_bytes(await client.read_body(LARGE)) == hash_bytes(large.read_bytes())
                spun_up.clear()

    run(main())


# Cut short.


@pytest.mark.parametrize("family", ["tcp", "unix", "tls"])
@pytest.mark.parametrize("how", ["reset", "close"])
def test_client_leaves(run: Run, large: Path, family: str, how: str, tmp_path: Path) -> None:
    async def main() -> None:
        attempt = Attempt(str(large))
        async with Site(attempt, family, path=tmp_path / "socket", send_buffer=65536) as site:
            client = await site.connect(receive_buffer=32768)
            client.ask()
            await client.read_head()
            await client.read_body(3 * SLICE_BYTES)
            # What is read for TLS is not held open meanwhile.
            assert family == "tls" or count_open(large) == 1
            getattr(client, how)()
            await wait_until(lambda: not site.host.tasks and not site.host.connections)
            assert isinstance(attempt.error, ClientDisconnected)
            assert count_open(large) == 0
            assert site.failures == []
            ((_, status, size, *_),) = site.access
            assert status == 200
            # What a thread is sending as the connection is lost is not counted.
            assert 2 * SLICE_BYTES <= size < LARGE

    run(main())


def test_client_leaves_before_the_file_is_open(run: Run, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = threading.Event()
    go_on = threading.Event()
    os_open = os.open

    def open_slowly(path: str, *arguments: Any) -> int:
        if path == str(large):
            waiting.set()
            assert go_on.wait(10)
        return os_open(path, *arguments)

    async def main() -> None:
        attempt = Attempt(str(large))
        async with Site(attempt) as site:
            monkeypatch.setattr(os, "open", open_slowly)
            client = await site.connect()
            client.ask()
            await wait_until(waiting.is_set)
            client.reset()
            await wait_until(lambda: not site.host.connections)
            go_on.set()
            await wait_until(lambda: not site.host.tasks)
            assert isinstance(attempt.error, ClientDisconnected)
            assert site.failures == []

    run(main())


@pytest.mark.parametrize("family", ["tcp", "unix", "tls"])
def test_truncated_while_sent(run: Run, family: str, tmp_path: Path) -> None:
    path = make_file(tmp_path / "shrinking", LARGE)

    async def main() -> None:
        async with Site(serve_directory(tmp_path), family, path=tmp_path / "socket", send_buffer=65536) as site:
            client = await site.connect(receive_buffer=32768)
            client.ask("/shrinking")
            _, fields = await client.read_head()
            begin = await client.read_body(100_000)
            os.truncate(path, 3_000_000)
            received = begin + await client.read_rest()
            assert len(received) < int(fields["content-length"]) == LARGE
            assert make_file(tmp_path / "whole", LARGE).read_bytes().startswith(received)
            await wait_until(lambda: not site.host.tasks and not site.host.connections)
            assert site.failures == ["exception in the application: GET /shrinking"]
            assert "became shorter" in str(site.log[-1].exc_info)

    run(main())


def test_truncated_while_opened(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file that has lost its end between the look at its size and the reading is sent as it is."""
    path = make_file(tmp_path / "shrinking", 1000)
    fstat = os.fstat

    def stat_and_truncate(number: int) -> os.stat_result:
        status = fstat(number)
        os.truncate(path, 10)
        return status

    async def main() -> None:
        async with Site(serve_directory(tmp_path)) as site:
            client = await site.connect()
            with monkeypatch.context() as patch:
                patch.setattr(os, "fstat", stat_and_truncate)
                _, fields, body = await client.fetch("/shrinking")
            assert (fields["content-length"], body) == ("10", path.read_bytes())

    run(main())


@pytest.mark.parametrize("family", ["tcp", "unix", "tls"])
def test_peer_stops_reading(run: Run, large: Path, family: str, tmp_path: Path) -> None:
    async def main() -> None:
        attempt = Attempt(str(large))
        site = Site(attempt, family, path=tmp_path / "socket", send_buffer=65536, timeout_write=0.2)
        async with site:
            client = await site.connect(receive_buffer=32768)
            client.ask()
            await client.read_head()
            await wait_until(lambda: not site.host.tasks and not site.host.connections)
            assert isinstance(attempt.error, ClientDisconnected)
            assert len(await client.read_rest()) < LARGE
            assert site.failures == []

    run(main())


@pytest.mark.parametrize("family", ["tcp", "tls"])
def test_cancelled(run: Run, large: Path, family: str) -> None:
    async def main() -> None:
        attempt = Attempt(str(large))
        async with Site(attempt, family, send_buffer=65536) as site:
            client = await site.connect(receive_buffer=32768)
            client.ask()
            _, fields = await client.read_head()
            assert attempt.task is not None
            attempt.task.cancel()
            received = await client.read_rest()
            assert len(received) < int(fields["content-length"])
            await wait_until(lambda: not site.host.tasks and not site.host.connections)
            assert isinstance(attempt.error, asyncio.CancelledError)
            await wait_until(lambda: count_open(large) == 0)  # a thread may be reading a piece

    run(main())


@pytest.mark.parametrize("call", ["open", "sendfile"])
def test_cancelled_while_a_thread_works(run: Run, large: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread keeps what it works on; afterwards it is closed."""
    working = threading.Event()
    go_on = threading.Event()
    function: Callable[..., int] = getattr(os, call)
    sockets: list[int] = []

    def work(*arguments: Any) -> int:
        if call == "sendfile":
            sockets.append(arguments[0])
        elif arguments[0] != str(large):
            return function(*arguments)
        working.set()
        assert go_on.wait(10)
        return function(*arguments)

    async def main() -> None:
        attempt = Attempt(str(large))
        async with Site(attempt) as site:
            client = await site.connect()
            monkeypatch.setattr(os, call, work)
            client.ask()
            await wait_until(working.is_set)
            assert attempt.task is not None
            attempt.task.cancel()
            await wait_until(lambda: not site.host.tasks)
            assert isinstance(attempt.error, asyncio.CancelledError)
            if call == "sendfile":
                await wait_until(lambda: not site.host.connections)
                assert stat.S_ISSOCK(os.fstat(sockets[0]).st_mode)
                assert count_open(large) == 1
            go_on.set()
            await wait_until(lambda: count_open(large) == 0)
            if call == "sendfile":
                # Bytes of a slice may come, the whole file does not.
                assert len(await client.read_rest()) < LARGE
            else:
                # Nothing was sent, so there is an answer.
                assert (await client.read_head())[0] == 500

    run(main())


# What frameworks do with it.


def test_starlette(run: Run, files: Path, large: Path) -> None:
    done: list[str] = []

    async def download(request: Request) -> FileResponse:
        path = files / request.path_params["name"]
        return FileResponse(path, filename="download.bin", background=BackgroundTask(done.append, path.name))

    async def main() -> None:
        recorder = Recorder(Starlette(routes=[Route("/{name}", download)]))
        async with Site(recorder) as site:
            client = await site.connect()
            for size in SIZES:
                status, fields, body = await client.fetch(f"/{size}")
                assert (status, fields["content-length"]) == (200, str(size))
                assert fields["content-disposition"] == 'attachment; filename="download.bin"'
                assert hash_bytes(body) == hash_bytes((files / str(size)).read_bytes())
            await wait_until(lambda: sorted(done) == sorted(str(size) for size in SIZES))
            assert [call.sent[-1]["type"] for call in recorder.calls] == ["http.response.pathsend"] * len(SIZES)
            status, fields, body = await client.fetch(f"/{LARGE}", "GET", "range: bytes=1000-1999")
            assert (status, fields["content-range"]) == (206, f"bytes 1000-1999/{LARGE}")
            assert body == large.read_bytes()[1000:2000]
            status, fields, _ = await client.fetch(f"/{LARGE}", "HEAD")
            assert (status, fields["content-length"]) == (200, str(LARGE))
            assert (await client.fetch("/missing"))[0] == 500

    run(main())

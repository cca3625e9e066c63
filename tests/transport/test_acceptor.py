"""Accepting under both loops: a little at a time, all that is queued at the end, and nothing where nothing is left."""

import asyncio
import contextlib
import errno
import logging
import os
import resource
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

from fastserver._speedups.connection import abort
from fastserver._speedups.observers import Observer, Observers
from fastserver._speedups.tcp import TCPConnection
from fastserver.config.bind import parse_bind
from fastserver.server.pipeline import Pipeline
from fastserver.transport import acceptor as acceptor_module
from fastserver.transport.acceptor import Acceptor, accept_rest
from fastserver.transport.sockets import Listener, open_listeners, release, seal
from tests.fakes import echo, make_host
from tests.site import CERTIFICATE

LOG = logging.getLogger("test.acceptor")
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def run_in_loop(main: Coroutine[Any, Any, None]) -> None:
        loop = request.param()
        try:
            loop.run_until_complete(asyncio.wait_for(main, 20))
            assert asyncio.all_tasks(loop) == set()
        finally:
            loop.close()

    return run_in_loop


@pytest.fixture
def listener() -> Iterator[Listener]:
    (opened,) = open_listeners([parse_bind("127.0.0.1:0")], backlog=256)
    opened.listen()
    yield opened
    release([opened])


class Taker(asyncio.Protocol):
    """Remembers every connection that reached it."""

    def __init__(self, taken: list[asyncio.BaseTransport]) -> None:
        self.taken = taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.taken.append(transport)


def make(listener: Listener, taken: list[asyncio.BaseTransport]) -> Acceptor:
    return Acceptor(asyncio.get_running_loop(), listener, lambda: Taker(taken), LOG)


def connect(listener: Listener, count: int = 1) -> list[socket.socket]:
    """Clients as the kernel has queued them, without a turn of the loop."""
    clients = []
    for _ in range(count):
        client = socket.socket(listener.sock.family)
        client.settimeout(5)
        client.connect(listener.address)
        clients.append(client)
    return clients


async def close(taken: list[asyncio.BaseTransport], clients: list[socket.socket]) -> None:
    for transport in taken:
        transport.close()
    for client in clients:
        client.close()
    for _ in range(3):
        await asyncio.sleep(0)


async def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_connections_reach_their_protocol(run: Run, listener: Listener) -> None:
    async def main() -> None:
        taken: list[asyncio.BaseTransport] = []
        acceptor = make(listener, taken)
        acceptor.start()
        clients = connect(listener, 3)
        await wait_until(lambda: len(taken) == 3)
        assert sorted(each.get_extra_info("peername") for each in taken) == sorted(
            client.getsockname() for client in clients
        )
        for transport in taken:
            sock = transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        acceptor.close()
        await close(taken, clients)

    run(main())


def test_a_burst_is_taken_one_by_one(run: Run, listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that another worker has the chance to take some of it; turns count as short here, however long they are."""
    monkeypatch.setattr(acceptor_module, "ACCEPT_RATE", 0)
    limits: list[int] = []

    class Counting(Acceptor):
        def accept(self, limit: int) -> int:
            limits.append(limit)
            return super().accept(limit)

    async def main() -> None:
        taken: list[asyncio.BaseTransport] = []
        acceptor = Counting(asyncio.get_running_loop(), listener, lambda: Taker(taken), LOG)
        acceptor.start()
        clients = connect(listener, 20)
        await wait_until(lambda: len(taken) == 20)
        assert limits == [1] * 20
        acceptor.close()
        await close(taken, clients)

    run(main())


@pytest.mark.parametrize(
    ("elapsed_s", "limit"),
    [(0.0, 1), (0.0002, 1), (0.001, 5), (0.02, 81), (0.049, 197), (0.05, 1), (3600.0, 1)],
)
def test_longer_turns_take_more_and_a_quiet_time_does_not_count(
    listener: Listener, elapsed_s: float, limit: int
) -> None:
    limits: list[int] = []

    class Clocked(Acceptor):
        def accept(self, limit: int) -> int:
            limits.append(limit)
            return 0

    async def main() -> None:
        now = [100.0]
        loop = asyncio.get_running_loop()
        acceptor = Clocked(loop, listener, lambda: None, LOG)
        loop.time = lambda: now[0]  # type: ignore[method-assign]
        acceptor._on_readable()
        now[0] += elapsed_s + 1e-9
        acceptor._on_readable()

    asyncio.run(main())
    assert limits[1] == limit


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix"])
def test_all_that_is_queued_is_accepted_before_the_socket_closes(run: Run, bind: str, tmp_path: Path) -> None:
    (listener,) = open_listeners([parse_bind(f"unix:{tmp_path}/a.sock" if bind == "unix" else bind)], backlog=256)
    listener.listen()
    clients = connect(listener, 100)

    async def main() -> None:
        taken: list[asyncio.BaseTransport] = []
        acceptor = make(listener, taken)
        acceptor.start()
        seal([listener])
        await accept_rest([acceptor], time.monotonic() + 10)
        acceptor.close()
        await wait_until(lambda: not acceptor.arriving)
        assert len(taken) == 100
        await close(taken, clients)

    run(main())
    assert listener.sock.fileno() == -1


def test_a_queue_that_cannot_be_sealed_is_not_served_for_ever(
    run: Run, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor_module, "UNSEALED_DRAIN_S", 0.05)
    listener.inherited = True

    async def main() -> None:
        taken: list[asyncio.BaseTransport] = []
        clients: list[socket.socket] = []

        class Endless(Acceptor):
            def accept(self, limit: int) -> int:
                clients.extend(connect(listener))
                return super().accept(limit)

        acceptor = Endless(asyncio.get_running_loop(), listener, lambda: Taker(taken), LOG)
        acceptor.start()
        started = time.monotonic()
        await accept_rest([acceptor], started + 60)
        assert 0.05 <= time.monotonic() - started < 10
        acceptor.close()
        await wait_until(lambda: not acceptor.arriving)
        await close(taken, clients)

    run(main())


def test_nothing_is_waited_for_after_the_deadline(run: Run, listener: Listener) -> None:
    async def main() -> None:
        acceptor = make(listener, [])
        acceptor.start()
        clients = connect(listener)
        await accept_rest([acceptor], time.monotonic())
        assert not acceptor.arriving
        acceptor.close()
        await close([], clients)

    run(main())


def test_without_descriptors_it_pauses_and_goes_on(
    run: Run, listener: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """FI-10: no spin, one line in the log, and service when there are descriptors again."""
    monkeypatch.setattr(acceptor_module, "RETRY_S", 0.02)

    async def main() -> None:
        taken: list[asyncio.BaseTransport] = []
        acceptor = make(listener, taken)
        clients = connect(listener, 3)
        with no_descriptors_left():
            acceptor.start()
            await wait_until(lambda: acceptor.is_paused)
        await wait_until(lambda: len(taken) == 3)
        assert not acceptor.is_paused
        acceptor.close()
        await close(taken, clients)

    run(main())
    assert {record.getMessage() for record in caplog.records} == {
        f"cannot accept for 0.02 s: {os.strerror(errno.EMFILE)}"
    }


@contextlib.contextmanager
def no_descriptors_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
    held = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        yield
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_pause_ends_with_the_acceptor(run: Run, listener: Listener) -> None:
    async def main() -> None:
        acceptor = make(listener, [])
        clients = connect(listener)
        with no_descriptors_left():
            acceptor.start()
            await wait_until(lambda: acceptor.is_paused)
        acceptor.close()
        acceptor.close()
        assert not acceptor.is_paused
        await close([], clients)

    run(main())


@pytest.mark.parametrize("code", [errno.ECONNABORTED, errno.EPROTO, errno.EPERM])
def test_one_client_that_fails_is_passed_over(run: Run, listener: Listener, code: int) -> None:
    class Flaky:
        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock
            self.failed = False

        def fileno(self) -> int:
            return self.sock.fileno()

        def accept(self) -> tuple[socket.socket, Any]:
            if not self.failed:
                self.failed = True
                raise OSError(code, os.strerror(code))
            return self.sock.accept()

    async def main() -> None:
        taken: list[asyncio.BaseTransport] = []
        acceptor = make(listener, taken)
        acceptor._sock = Flaky(listener.sock)  # type: ignore[assignment]
        acceptor.start()
        clients = connect(listener)
        await wait_until(lambda: len(taken) == 1)
        acceptor.close()
        await close(taken, clients)

    run(main())


def test_connections_that_are_arriving_can_be_dropped(run: Run, listener: Listener) -> None:
    async def main() -> None:
        acceptor = make(listener, [])
        acceptor.start()
        clients = connect(listener)
        assert acceptor.accept(8) == 1
        assert len(acceptor.arriving) == 1
        acceptor.abort()
        await wait_until(lambda: not acceptor.arriving)
        acceptor.close()
        assert clients[0].recv(1) == b""
        await close([], clients)

    run(main())


@pytest.mark.parametrize("turns", range(6))
def test_what_is_dropped_while_it_arrives_is_forgotten(run: Run, listener: Listener, turns: int) -> None:
    """However far it has come: it is no failed handshake once it is open, and it is told of its end once."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        host = make_host(echo, loop)
        acceptor = Acceptor(loop, listener, lambda: TCPConnection(host, Pipeline()), LOG)
        clients = connect(listener)
        assert acceptor.accept(8) == 1
        for _ in range(turns):
            await asyncio.sleep(0)
        acceptor.abort()
        await wait_until(lambda: not acceptor.arriving)
        abort(host)
        await wait_until(lambda: not host.connections)
        with contextlib.suppress(ConnectionResetError):
            assert clients[0].recv(1) == b""
        for _ in range(3):
            await asyncio.sleep(0)
        snapshot = host.metrics.snapshot()
        assert not host.arriving
        assert snapshot["connections_opened"] == snapshot["events"]["closed"]
        assert snapshot["connections_opened"] + snapshot["handshakes_failed"] == host.connections_seen <= 1
        await close([], clients)

    run(main())


@pytest.mark.parametrize("how", ["no TLS", "gone", "silent"])
def test_a_failed_handshake(run: Run, listener: Listener, how: str) -> None:
    """It is counted, nobody hears of it, and nothing of it stays."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    heard: list[object] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        host = make_host(echo, loop)
        host.observers = Observers([Observer(lambda *what: heard.append(what), "m:a", LOG, None)])
        options = {"ssl": context, "ssl_handshake_timeout": 0.05 if how == "silent" else 10}
        acceptor = Acceptor(loop, listener, lambda: TCPConnection(host, Pipeline()), LOG, options)
        acceptor.start()
        clients = connect(listener)
        await wait_until(lambda: len(host.arriving) == 1)
        connection: Any = next(iter(host.arriving))
        assert connection.state.value == "connecting"
        if how == "no TLS":
            clients[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
        elif how == "gone":
            clients[0].close()
        await wait_until(lambda: not acceptor.arriving)
        assert not host.arriving
        assert connection.state.value == "closed"
        snapshot = host.metrics.snapshot()
        assert (snapshot["handshakes_failed"], snapshot["connections_opened"]) == (1, 0)
        assert heard == []
        acceptor.close()
        await close([], clients)

    run(main())


@pytest.mark.parametrize("excess", [-1, 0, 1])
def test_t_2_handshakes_under_way_are_limited(
    run: Run, listener: Listener, monkeypatch: pytest.MonkeyPatch, excess: int
) -> None:
    """Beyond the limit clients wait in the queue, and are served when one of those before them is done."""
    monkeypatch.setattr(acceptor_module, "HANDSHAKES", 4)
    monkeypatch.setattr(acceptor_module, "HANDSHAKE_TURN_S", 3600.0)
    context, client_context = make_contexts()

    async def main() -> None:
        taken: list[asyncio.BaseTransport] = []
        acceptor = make_tls(listener, taken, context)
        acceptor.start()
        silent = connect(listener, 4 + excess)
        await wait_until(lambda: len(acceptor.arriving) == min(4, 4 + excess))
        waiting = asyncio.ensure_future(shake_hands(listener, client_context))
        if excess < 0:
            await waiting
        else:
            await asyncio.sleep(0.2)  # as many looks at the queue as it takes to let one slip in
            assert (len(acceptor.arriving), waiting.done()) == (4, False)
            for client in silent[: 1 + excess]:
                client.close()
            await waiting
        writer = waiting.result()
        await wait_until(lambda: len(taken) == 1)
        acceptor.abort()
        acceptor.close()
        writer.transport.abort()
        await close(taken, silent)
        await wait_until(lambda: not acceptor.arriving)

    run(main())


def test_t_2_a_stalled_handshake_gives_its_place_away(
    run: Run, listener: Listener, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """FI-12: who says nothing keeps nobody out, and one line of the log says so."""
    monkeypatch.setattr(acceptor_module, "HANDSHAKES", 4)
    monkeypatch.setattr(acceptor_module, "HANDSHAKE_TURN_S", 0.1)
    context, client_context = make_contexts()

    async def main() -> None:
        taken: list[asyncio.BaseTransport] = []
        acceptor = make_tls(listener, taken, context)
        acceptor.start()
        silent = connect(listener, 12)
        writers = [await shake_hands(listener, client_context) for _ in range(3)]
        assert len(acceptor.arriving) <= 4
        # The oldest go first: the first client hears that it is over.
        silent[0].settimeout(0)
        await wait_until(lambda: is_over(silent[0]))
        acceptor.abort()
        acceptor.close()
        for writer in writers:
            writer.transport.abort()
        await close(taken, silent)
        await wait_until(lambda: not acceptor.arriving)

    run(main())
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert lines == ["4 TLS handshakes are under way: the slowest ones are dropped"]


def test_another_certificate_is_for_those_who_come(run: Run, listener: Listener) -> None:
    """A handshake that is under way, and what is open, goes on with the one that it has."""
    contexts = [make_contexts() for _ in range(2)]

    async def main() -> None:
        taken: list[asyncio.BaseTransport] = []
        acceptor = make_tls(listener, taken, contexts[0][0])
        acceptor.start()
        first = await shake_hands(listener, contexts[0][1])
        acceptor.use_tls(contexts[1][0])
        second = await shake_hands(listener, contexts[1][1])
        with pytest.raises(ssl.SSLCertVerificationError):
            await shake_hands(listener, contexts[0][1])
        await wait_until(lambda: len(taken) == 2)
        assert not any(transport.is_closing() for transport in taken)
        acceptor.close()
        for writer in (first, second):
            writer.transport.abort()
        await close(taken, [])
        await wait_until(lambda: not acceptor.arriving)

    run(main())


def make_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's with a certificate of its own, and that of a client that trusts no other."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


def make_tls(listener: Listener, taken: list[asyncio.BaseTransport], context: ssl.SSLContext) -> Acceptor:
    options = {"ssl": context, "ssl_handshake_timeout": 15}
    return Acceptor(asyncio.get_running_loop(), listener, lambda: Taker(taken), LOG, options)


async def shake_hands(listener: Listener, context: ssl.SSLContext) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection(*listener.address, ssl=context, server_hostname="localhost")
    return writer


def is_over(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True

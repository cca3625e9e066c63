"""The embeddable server on real sockets, under both loops: start, serve, and down again without loss or leftovers."""

import asyncio
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop

import fastserver
from fastserver.config.bind import parse_bind
from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.errors import StartupFailed
from fastserver.logs import errorlog
from fastserver.server import server as server_module
from fastserver.server.endpoints import Endpoint
from fastserver.server.server import Server
from fastserver.transport.sockets import open_listeners
from tests.server.applications import (
    Recorder,
    connect_blocking,
    fetch,
    is_refused,
    open_stream,
    read_response,
    render_request,
)

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine in a loop of its own, and sees that it leaves no task, descriptor or loop fault."""

    def run_in_loop(main: Coroutine[Any, Any, None]) -> None:
        loop: asyncio.AbstractEventLoop = request.param()
        faults: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda loop, context: faults.append(context))

        async def checked() -> None:
            await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 1)  # starts what the loop keeps: an executor
            before = count_descriptors()
            await asyncio.wait_for(main, 20)
            for _ in range(5):  # closed transports are reported in a later turn
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert count_descriptors() <= before + (2 if "uvloop" in type(loop).__module__ else 0)

        try:
            loop.run_until_complete(checked())
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
        assert faults == []

    return run_in_loop


def count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def make_config(*binds: str, **settings: Any) -> Config:
    return Config(bind=binds or ("127.0.0.1:0",), **{"timeout_keep_alive_min": 0.1, **settings})


async def wait_until(condition: Callable[[], bool]) -> None:
    """Turn the loop until ``condition`` holds; the caller's timeout bounds it."""
    while not condition():
        await asyncio.sleep(0.001)


# Up.


def test_it_serves_every_kind_of_socket(run: Run, tmp_path: Path) -> None:
    app = Recorder()
    path = tmp_path / "app.sock"

    async def main() -> None:
        async with Server(app, make_config("127.0.0.1:0", f"unix:{path}")) as server:
            assert server.started
            tcp, unix = server.addresses
            assert unix == str(path)
            assert isinstance(tcp, tuple)
            assert server.urls == [f"http://127.0.0.1:{tcp[1]}", f"http+unix:{path}"]
            assert await fetch(tcp, "/tcp") == (200, b"/tcp")
            assert await fetch(unix, "/unix") == (200, b"/unix")
        assert not server.started
        assert is_refused(tcp)
        assert not path.exists()

    run(main())
    assert app.heard == ["lifespan.startup", "lifespan.shutdown"]
    assert [scope["server"] for scope in app.scopes] == [app.scopes[0]["server"], (str(path), None)]


def test_each_request_gets_a_copy_of_the_lifespan_state(run: Run) -> None:
    app = Recorder()

    async def main() -> None:
        async with Server(app, make_config()) as server:
            await fetch(server.addresses[0])
            await fetch(server.addresses[0])

    run(main())
    one, two = (scope["state"] for scope in app.scopes)
    assert one == two == {"since": "startup"}
    assert one is not two


def test_many_servers_share_a_loop(run: Run) -> None:
    async def main() -> None:
        servers = [Server(Recorder(), make_config()) for _ in range(5)]
        await asyncio.gather(*(server.start() for server in servers))
        addresses = [server.addresses[0] for server in servers]
        assert len(set(addresses)) == 5
        await servers[0].shutdown()
        assert is_refused(addresses[0])
        assert [await fetch(address) for address in addresses[1:]] == [(200, b"/")] * 4
        await asyncio.gather(*(server.shutdown() for server in servers))

    run(main())


def test_it_serves_tls(run: Run, tmp_path: Path) -> None:
    app = Recorder()
    config, client = make_tls(tmp_path)

    async def main() -> None:
        async with Server(app, config) as server:
            assert server.urls[0].startswith("https://")
            assert await fetch(server.addresses[0], ssl=client, server_hostname="localhost") == (200, b"/")

    run(main())
    (scope,) = app.scopes
    assert scope["scheme"] == "https"
    assert scope["extensions"]["tls"]["server_cert"].startswith("-----BEGIN CERTIFICATE-----")


def test_an_insecure_address_beside_tls(run: Run, tmp_path: Path) -> None:
    """The same application without TLS; HTTP/2 there as ``h2c`` says."""
    app = Recorder()
    config, client = make_tls(tmp_path)

    async def main() -> None:
        async with Server(app, replace(config, insecure_bind=("127.0.0.1:0",), h2c=True)) as server:
            secure, insecure = server.addresses
            assert [url.partition("://")[0] for url in server.urls] == ["https", "http"]
            assert await fetch(secure, ssl=client, server_hostname="localhost") == (200, b"/")
            assert await fetch(insecure) == (200, b"/")
            assert await speaks_h2(insecure)
            with pytest.raises(ssl.SSLError):
                await fetch(insecure, ssl=client, server_hostname="localhost")

    run(main())
    assert [(scope["scheme"], "tls" in scope["extensions"]) for scope in app.scopes] == [
        ("https", True),
        ("http", False),
    ]


async def speaks_h2(address: Any) -> bool:
    """Whether the server answers the preface of HTTP/2 with SETTINGS."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
        return (await reader.readexactly(9))[3:4] == b"\x04"
    finally:
        writer.close()


def make_tls(tmp_path: Path) -> tuple[Config, ssl.SSLContext]:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    file = tmp_path / "server.pem"
    file.write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return make_config(certfile=str(file)), client


def test_the_log_of_requests_goes_where_it_is_told(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "access.log"

    async def main() -> None:
        config = make_config(access_log=True, access_logfile=str(path), access_logformat="%(r)s %(s)s %(b)s")
        async with Server(Recorder(), config) as server:
            await fetch(server.addresses[0], "/a?b=c")
            await wait_until(lambda: path.read_text() != "")  # before the server stops
            assert path.read_text() == "GET /a?b=c HTTP/1.1 200 2\n"

    run(main())


def test_an_error_log_that_nobody_reads_costs_no_request(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errorlog, "FLUSH_S", 0.0)
    path = tmp_path / "error.log"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    (handler,) = errorlog.find_handlers(errorlog.configure_error_log(str(path)))

    async def fail(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("\n".join(["x" * 8000] * 10))

    async def main() -> None:
        async with Server(fail, make_config(error_logfile=str(path), lifespan="off")) as server:
            for _ in range(40):
                status, _ = await fetch(server.addresses[0])
                assert status == 500
        assert handler.dropped > 0

    run(main())
    os.close(reader)


def test_configured_headers_are_on_every_response(run: Run) -> None:
    async def main() -> None:
        config = make_config(header=["X-One: 1"], server_header=False, date_header=False)
        async with Server(Recorder(), config) as server:
            reader, writer = await open_stream(server.addresses[0])
            writer.write(render_request("/"))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert b"x-one: 1\r\n" in head
            assert b"server:" not in head
            assert b"date:" not in head
            writer.close()

    run(main())


# Starts that fail.


def test_a_start_that_fails_takes_everything_back(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "app.sock"

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def main() -> None:
        server = Server(refuse, make_config("127.0.0.1:0", f"unix:{path}"))
        waiting = asyncio.create_task(server.wait_started())
        with pytest.raises(StartupFailed, match=r"^the application refused to start: no database$"):
            await server.start()
        with pytest.raises(StartupFailed, match="no database"):
            await waiting
        assert not path.exists()
        assert not server.started
        await server.shutdown()
        with pytest.raises(RuntimeError, match="a server starts once; this one is stopped"):
            await server.start()

    run(main())


def test_a_taken_port_is_known_before_the_application_starts(run: Run) -> None:
    app = Recorder()

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(StartupFailed, match=rf"cannot bind 127\.0\.0\.1:{port}: the address is in use"):
                await Server(app, make_config(f"127.0.0.1:{port}")).start()

    run(main())
    assert app.heard == []


def test_the_application_is_shut_down_where_listening_fails_after_its_startup(run: Run) -> None:
    app = Recorder()

    async def main() -> None:
        (first,) = open_listeners([parse_bind("127.0.0.1:0")], backlog=10)
        (second,) = open_listeners([parse_bind(f"127.0.0.1:{first.sock.getsockname()[1]}")], backlog=10)
        first.listen()
        with pytest.raises(StartupFailed, match="cannot listen on"):
            await Server(app, make_config(), endpoints=[Endpoint(second)]).start()
        first.close()

    run(main())
    assert app.heard == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.parametrize(
    ("app", "settings", "reason"),
    [
        ("no_such_module:app", {}, "no module named 'no_such_module'"),
        ("tests.server.applications:nothing", {}, "has no attribute 'nothing'"),
        (Recorder, {"certfile": "/no/such/file"}, "certfile"),
        (Recorder, {"access_log": True, "access_logfile": "/no/such/file"}, "access_logfile: "),
    ],
)
def test_what_a_user_can_put_right_is_one_line(run: Run, app: Any, settings: dict[str, Any], reason: str) -> None:
    async def main() -> None:
        with pytest.raises(StartupFailed, match=reason) as caught:
            await Server(app if isinstance(app, str) else app(), make_config(**settings)).start()
        assert "\n" not in str(caught.value)

    run(main())


def test_a_cancelled_start_takes_everything_back(run: Run) -> None:
    begun = asyncio.Event()
    ended = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def main() -> None:
        begun.clear()
        server = Server(slow, make_config())
        starting = asyncio.create_task(server.start())
        await begun.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert ended == [True]

    run(main())


def test_shutdown_ends_a_start_that_is_under_way(run: Run) -> None:
    begun = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def main() -> None:
        server = Server(slow, make_config())
        starting = asyncio.create_task(server.start())
        await begun.wait()
        await server.shutdown()
        with pytest.raises(StartupFailed, match="stopped while it was starting"):
            await starting

    run(main())


def test_shutdown_before_start(run: Run) -> None:
    async def main() -> None:
        server = Server(Recorder(), make_config())
        await server.shutdown()
        with pytest.raises(StartupFailed, match="stopped before it was started"):
            await server.wait_started()

    run(main())


# Down.


def test_open_requests_finish_and_new_connections_are_refused(run: Run) -> None:
    app = Recorder()

    async def main() -> None:
        server = Server(app, make_config())
        await server.start()
        address = server.addresses[0]
        request = asyncio.create_task(fetch(address, "/hold"))
        await app.holding.wait()
        stopping = asyncio.create_task(server.shutdown())
        await wait_until(lambda: is_refused(address))
        assert server.started
        assert app.heard == ["lifespan.startup"]
        app.release.set()
        assert await request == (200, b"/hold")
        await stopping

    run(main())
    assert (app.cancelled, app.heard) == ([], ["lifespan.startup", "lifespan.shutdown"])


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_connections_that_nobody_has_accepted_yet_are_served(run: Run, tmp_path: Path, kind: str) -> None:
    """The kernel has them, the loop has not had a turn since: they are not lost (FI-3)."""
    answers: list[bytes] = []

    async def main() -> None:
        server = Server(Recorder(), make_config("127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/app.sock"))
        await server.start()
        clients = [connect_blocking(server.addresses[0]) for _ in range(40)]
        for number, client in enumerate(clients):
            client.sendall(render_request(f"/{number}"))
        stopping = asyncio.create_task(server.shutdown())
        for client in clients:
            client.setblocking(False)
            answers.append(await asyncio.get_running_loop().sock_recv(client, 4096))
            client.close()
        await stopping

    run(main())
    assert [answer.rpartition(b"\r\n\r\n")[2] for answer in answers] == [b"/%d" % n for n in range(40)]
    assert all(b"connection: close\r\n" in answer for answer in answers)


def test_a_client_that_has_connected_may_still_send_its_request(run: Run) -> None:
    """FI-4: connect, wait, then send; served as long as ``timeout_keep_alive_min`` lasts."""

    async def main() -> None:
        server = Server(Recorder(), make_config(timeout_keep_alive_min=5))
        await server.start()
        reader, writer = await open_stream(server.addresses[0])
        await fetch(server.addresses[0])
        stopping = asyncio.create_task(server.shutdown())
        await wait_until(lambda: is_refused(server.addresses[0]))
        writer.write(render_request("/late"))
        assert await read_response(reader) == (200, b"/late")
        assert await reader.read() == b""
        writer.close()
        await stopping

    run(main())


def test_a_tls_handshake_that_has_not_begun_is_waited_for(run: Run, tmp_path: Path) -> None:
    config, client = make_tls(tmp_path)

    async def main() -> None:
        server = Server(Recorder(), config)
        await server.start()
        address = server.addresses[0]
        sock = connect_blocking(address)
        stopping = asyncio.create_task(server.shutdown())
        await wait_until(lambda: is_refused(address))
        reader, writer = await asyncio.open_connection(sock=sock, ssl=client, server_hostname="localhost")
        writer.write(render_request("/tls"))
        assert await read_response(reader) == (200, b"/tls")
        assert not stopping.done()
        writer.close()
        await stopping

    run(main())


def test_idle_connections_do_not_delay_the_end(run: Run) -> None:
    async def main() -> None:
        server = Server(Recorder(), make_config(timeout_keep_alive_min=0.1))
        await server.start()
        reader, writer = await open_stream(server.addresses[0])
        writer.write(render_request("/"))
        await read_response(reader)
        started = time.monotonic()
        await server.shutdown()
        assert time.monotonic() - started < 2
        assert await reader.read() == b""
        writer.close()

    run(main())


def test_at_the_deadline_requests_are_cancelled(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    app = Recorder()

    async def main() -> None:
        server = Server(app, make_config())
        await server.start()
        request = asyncio.create_task(fetch(server.addresses[0], "/hold"))
        await app.holding.wait()
        await server.shutdown(timeout=0.05)
        with pytest.raises((OSError, EOFError, AssertionError)):
            assert (await request)[0] == 200

    run(main())
    assert (app.cancelled, app.heard) == (["/hold"], ["lifespan.startup", "lifespan.shutdown"])


def test_a_request_that_ignores_its_cancellation_does_not_hold_the_server(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Recorder()
    monkeypatch.setattr(server_module, "CANCEL_S", 0.05)

    async def main() -> None:
        server = Server(app, make_config())
        await server.start()
        reader, writer = await open_stream(server.addresses[0])
        writer.write(render_request("/stubborn"))
        await app.holding.wait()
        await server.shutdown(timeout=0)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await read_response(reader)
        assert not server.started
        writer.close()
        app.release.set()
        await wait_until(lambda: len(asyncio.all_tasks()) == 2)

    run(main())
    assert app.cancelled[0] == "/stubborn"


def test_a_second_shutdown_hurries_the_first(run: Run) -> None:
    app = Recorder()

    async def main() -> None:
        server = Server(app, make_config(timeout_graceful_shutdown=600))
        await server.start()
        request = asyncio.create_task(fetch(server.addresses[0], "/hold"))
        await app.holding.wait()
        stopping = asyncio.create_task(server.shutdown())
        await wait_until(lambda: is_refused(server.addresses[0]))
        await server.shutdown(timeout=0)
        await stopping
        await asyncio.wait({request})
        request.exception()

    run(main())
    assert app.cancelled == ["/hold"]


def test_a_cancelled_shutdown_leaves_nothing(run: Run) -> None:
    app = Recorder()

    async def main() -> None:
        server = Server(app, make_config())
        await server.start()
        request = asyncio.create_task(fetch(server.addresses[0], "/hold"))
        await app.holding.wait()
        stopping = asyncio.create_task(server.shutdown())
        await wait_until(lambda: is_refused(server.addresses[0]))
        stopping.cancel()
        await asyncio.wait({stopping, request})
        request.exception()
        assert not server.started

    run(main())
    assert (app.cancelled, app.heard) == (["/hold"], ["lifespan.startup", "lifespan.shutdown"])


def test_a_shared_socket_is_left_to_the_others(run: Run) -> None:
    async def main() -> None:
        (listener,) = open_listeners([parse_bind("127.0.0.1:0")], backlog=10)
        with listener.sock.dup() as theirs:
            server = Server(Recorder(), make_config(), endpoints=[Endpoint(listener)])
            await server.start()
            await server.shutdown(shared=True)
            connect_blocking(theirs.getsockname()).close()
            theirs.accept()[0].close()

    run(main())


# serve().


def test_should_exit_ends_serve(run: Run) -> None:
    async def main() -> None:
        server = Server(Recorder(), make_config())
        serving = asyncio.create_task(server.serve())
        await server.wait_started()
        assert not server.should_exit
        assert await fetch(server.addresses[0]) == (200, b"/")
        server.should_exit = True
        await serving
        assert not server.started

    run(main())


def test_shutdown_ends_serve(run: Run) -> None:
    async def main() -> None:
        server = Server(Recorder(), make_config())
        serving = asyncio.create_task(server.serve())
        await server.wait_started()
        await server.shutdown()
        await serving

    run(main())


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_serve_ends_with_its_trigger(run: Run) -> None:
    app = Recorder()
    port = find_port()
    told = asyncio.Event()

    async def main() -> None:
        serving = asyncio.create_task(
            fastserver.serve(app, make_config(f"127.0.0.1:{port}"), shutdown_trigger=told.wait)
        )
        await wait_until(lambda: not is_refused(("127.0.0.1", port)))
        assert await fetch(("127.0.0.1", port)) == (200, b"/")
        told.set()
        await serving

    run(main())
    assert app.heard == ["lifespan.startup", "lifespan.shutdown"]


def test_serve_raises_what_its_trigger_raises(run: Run) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await fastserver.serve(Recorder(), make_config(), shutdown_trigger=fail)

    run(main())


def test_serve_raises_a_failed_start(run: Run) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        for trigger in (never, None):
            with pytest.raises(StartupFailed, match="no module named"):
                await fastserver.serve("no_such_module:app", make_config(), shutdown_trigger=trigger)
        with pytest.raises(ConfigError, match="mode: 'cgi' is not allowed: want 'asgi' or 'wsgi'"):
            await fastserver.serve(Recorder(), make_config(), mode="cgi")

    run(main())


def test_a_cancelled_serve_is_gone_at_once(run: Run) -> None:
    app = Recorder()
    port = find_port()

    async def main() -> None:
        serving = asyncio.create_task(
            fastserver.serve(app, make_config(f"127.0.0.1:{port}", timeout_graceful_shutdown=600))
        )
        await wait_until(lambda: not is_refused(("127.0.0.1", port)))
        request = asyncio.create_task(fetch(("127.0.0.1", port), "/hold"))
        await app.holding.wait()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        await asyncio.wait({request})
        request.exception()

    run(main())
    assert (app.cancelled, app.heard) == (["/hold"], ["lifespan.startup", "lifespan.shutdown"])


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_without_a_trigger_signals_end_serve_and_a_second_one_cuts(
    run: Run, signum: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastserver.processes.signals.ECHO_S", 0.0)
    app = Recorder()
    port = find_port()
    before = signal.getsignal(signum)

    async def main() -> None:
        serving = asyncio.create_task(
            fastserver.serve(app, make_config(f"127.0.0.1:{port}", timeout_graceful_shutdown=600))
        )
        await wait_until(lambda: not is_refused(("127.0.0.1", port)))
        request = asyncio.create_task(fetch(("127.0.0.1", port), "/hold"))
        await app.holding.wait()
        os.kill(os.getpid(), signum)
        await wait_until(lambda: is_refused(("127.0.0.1", port)))
        assert not serving.done()
        os.kill(os.getpid(), signum)
        await serving
        await asyncio.wait({request})
        request.exception()

    run(main())
    assert app.cancelled == ["/hold"]
    assert signal.getsignal(signum) is before


def test_public_names() -> None:
    assert fastserver.Server is Server
    assert fastserver.Config is Config
    assert {"Config", "Server", "serve", "run", "events", "__version__"} <= set(dir(fastserver))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        fastserver.nothing  # noqa: B018

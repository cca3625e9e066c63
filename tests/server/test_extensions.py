"""Observers and protocol handlers of an embedded server: whatever they do, its clients see what they saw without."""

import asyncio
import functools
import logging
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fastserver
from fastserver import Config, Server, StartupFailed
from fastserver._speedups.connection import LiveConnection
from fastserver.config.errors import ConfigError
from fastserver.events import Closed, ConnectionState, Direction, RawData
from fastserver.logs.errorlog import get_error_log
from tests.fakes import RecordingHandler
from tests.server.applications import Recorder, fetch, open_stream, read_response, render_request
from tests.site import AUTHORITY, LOOPS, Main, run_in_loop, wait_until

Run = Callable[[Main], None]
Entry = tuple[Any, Any, Any]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return lambda main: run_in_loop(LOOPS[request.param], main)


@pytest.fixture
def log() -> Iterator[RecordingHandler]:
    """What the server logs."""
    handler = RecordingHandler()
    get_error_log().addHandler(handler)
    get_error_log().setLevel(logging.DEBUG)
    yield handler
    get_error_log().removeHandler(handler)


def make_config(**settings: Any) -> Config:
    return Config(**{"bind": "127.0.0.1:0", "timeout_keep_alive_min": 0.1, **settings})


class Ear:
    """Keeps what it hears; ``made`` counts the instances of the class."""

    made = 0
    heard: list[Entry] = []  # noqa: RUF012  (of the class, which the server makes the instance of)

    def __init__(self) -> None:
        type(self).made += 1

    def __call__(self, connection: LiveConnection, direction: Direction, event: Any) -> None:
        type(self).heard.append((connection, direction, event))


class AsyncEar(Ear):
    async def __call__(self, connection: LiveConnection, direction: Direction, event: Any) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().__call__(connection, direction, event)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    for ear in (Ear, AsyncEar):
        ear.made, ear.heard = 0, []


def summarise(entries: list[Entry]) -> list[str]:
    """``out idle``, ``in 35``: direction, and what the event is."""
    return [f"{direction.value} {describe(event)}" for _, direction, event in entries]


def describe(event: Any) -> str:
    if isinstance(event, RawData):
        return str(len(event.data))
    return "closed" if isinstance(event, Closed) else "idle" if event.idle else "active"


# What is heard.


@pytest.mark.parametrize("family", ["tcp", "unix", "tls"])
@pytest.mark.parametrize("ear", [Ear, AsyncEar])
def test_an_observer_hears_one_life_of_a_connection(run: Run, family: str, ear: type[Ear], tmp_path: Path) -> None:
    settings: dict[str, Any] = {"bind": f"unix:{tmp_path / 'app.sock'}"} if family == "unix" else {}
    options: dict[str, Any] = {}
    if family == "tls":
        settings["certfile"] = str(tmp_path / "server.pem")
        options = {"ssl": make_tls(tmp_path / "server.pem"), "server_hostname": "localhost"}
    request = render_request("/x")
    answers: list[bytes] = []

    async def main() -> None:
        async with Server(Recorder(), make_config(observers=[ear], **settings)) as server:
            reader, writer = await open_stream(server.addresses[0], **options)
            for _ in range(2):
                writer.write(request)
                answers.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(2))
            writer.close()
            await wait_until(lambda: len(server.connections) == 0)
        # Whoever is asynchronous has heard the end too.
        assert describe(ear.heard[-1][2]) == "closed"

    run(main())
    assert ear.made == 1
    turn = ["in " + str(len(request)), "out active", "out " + str(len(answers[0])), "out idle"]
    assert summarise(ear.heard) == ["out idle", *turn, *turn, "in closed"]
    connections = {entry[0] for entry in ear.heard}
    (connection,) = connections
    assert connection.state is ConnectionState.CLOSED
    assert connection.peer.scheme == ("https" if family == "tls" else "http")  # also when it is closed
    assert (connection.bytes_in, connection.bytes_out) == (2 * len(request), sum(map(len, answers)))
    assert {direction for _, direction, _ in ear.heard} == {"in", "out"}


def make_tls(path: Path) -> ssl.SSLContext:
    path.write_bytes(AUTHORITY.issue_cert("localhost").private_key_and_cert_chain_pem.bytes())
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


def test_observers_of_serve_hear_beside_those_of_the_config(run: Run, log: RecordingHandler) -> None:
    heard: list[str] = []

    async def main() -> None:
        told = asyncio.Event()
        config = make_config(observers=[lambda *entry: heard.append("config")])
        observers: list[Any] = [lambda *entry: heard.append("serve"), f"{__name__}:Ear", "tests.e2e.extensions:fail"]
        serving = asyncio.create_task(
            fastserver.serve(Recorder(), config, observers=observers, shutdown_trigger=told.wait)
        )
        await wait_until(lambda: find_port(log) > 0)
        assert await fetch(("127.0.0.1", find_port(log))) == (200, b"/")
        told.set()
        await serving

    run(main())
    assert heard == ["config", "serve"] * len(Ear.heard)
    assert len(Ear.heard) == 6


class Echo:
    def handle(self, event: Any) -> Any:
        return event if isinstance(event, RawData) else None


def test_handlers_of_serve_are_beside_those_of_the_config(run: Run, tmp_path: Path) -> None:
    paths = [tmp_path / "config.sock", tmp_path / "serve.sock"]
    first, second = ({f"unix:{path}": Echo} for path in paths)

    async def main() -> None:
        told = asyncio.Event()
        config = make_config(protocols=first)
        serving = asyncio.create_task(
            fastserver.serve(Recorder(), config, protocols=second, shutdown_trigger=told.wait)
        )
        await wait_until(lambda: all(path.exists() for path in paths))
        for path in paths:
            reader, writer = await open_stream(str(path))
            writer.write(b"echo")
            assert await reader.readexactly(4) == b"echo"
            writer.close()
        told.set()
        await serving

    run(main())


def find_port(log: RecordingHandler) -> int:
    lines = [record.getMessage() for record in log.records if "listening on" in record.getMessage()]
    return int(lines[0].rpartition(":")[2]) if lines else 0


@pytest.mark.parametrize("observers", ["no_such_module:hear", lambda one: None])
def test_a_lone_observer_needs_no_list(run: Run, observers: Any) -> None:
    async def main() -> None:
        with pytest.raises(StartupFailed, match=r"no module named|with three arguments"):
            await fastserver.serve(
                Recorder(), make_config(), observers=observers, shutdown_trigger=asyncio.Event().wait
            )

    run(main())


# What it cannot do.


def block(connection: Any, direction: Any, event: Any) -> None:
    time.sleep(0.06)


async def crawl(connection: Any, direction: Any, event: Any) -> None:
    await asyncio.sleep(30)


def mutate(connection: Any, direction: Any, event: Any) -> None:
    if isinstance(event, RawData):
        event.data = b"GET /evil HTTP/1.1\r\nhost: evil\r\n\r\n"  # type: ignore[misc]


def delete(connection: Any, direction: Any, event: Any) -> None:
    if isinstance(event, RawData):
        del event.data


def leave(connection: Any, direction: Any, event: Any) -> None:
    sys.exit(5)


async def leave_later(connection: Any, direction: Any, event: Any) -> None:
    sys.exit(5)


def interrupt(connection: Any, direction: Any, event: Any) -> None:
    raise KeyboardInterrupt


async def interrupt_later(connection: Any, direction: Any, event: Any) -> None:
    raise KeyboardInterrupt


def cancel(connection: Any, direction: Any, event: Any) -> None:
    raise asyncio.CancelledError


async def cancel_later(connection: Any, direction: Any, event: Any) -> None:
    raise asyncio.CancelledError


def stop_iteration(connection: Any, direction: Any, event: Any) -> None:
    raise StopIteration


def recurse(connection: Any, direction: Any, event: Any) -> None:
    recurse(connection, direction, event)


def fail(words: str, connection: Any, direction: Any, event: Any) -> None:
    raise ValueError(words)


def give_rubbish(connection: Any, direction: Any, event: Any) -> object:
    return object()


async def give_one(connection: Any, direction: Any, event: Any) -> int:
    return 1


@pytest.mark.parametrize(
    ("observer", "fails"),
    [
        (block, False),
        (crawl, False),
        (mutate, True),
        (delete, True),
        (leave, True),
        (leave_later, True),
        (interrupt, True),
        (interrupt_later, True),
        (cancel, True),
        (cancel_later, True),
        (stop_iteration, True),
        (recurse, True),
        (functools.partial(fail, "100 %s of {}"), True),
        (give_rubbish, False),
        (lambda *entry: give_one(*entry), False),
        (lambda *entry: crawl(*entry), False),
    ],
)
def test_every_request_is_answered_as_without_it(
    run: Run, log: RecordingHandler, observer: Callable[..., object], fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastserver.server.server.OBSERVERS_S", 0.05)

    async def main() -> None:
        async with Server(Recorder(), make_config(observers=[observer, Ear])) as server:
            reader, writer = await open_stream(server.addresses[0])
            for path in ("/a", "/b"):
                writer.write(render_request(path))
                assert await read_response(reader) == (200, path.encode())
            writer.close()
            assert await fetch(server.addresses[0], "/c") == (200, b"/c")
            await wait_until(lambda: len(server.connections) == 0)
            counts = next(iter(server.get_stats()["observers"].values()))
            if fails:
                await wait_until(lambda: next(iter(server.get_stats()["observers"].values()))["errors"] > 1)
            else:
                assert counts["errors"] == 0

    run(main())
    assert len(Ear.heard) == 16  # those behind it hear all the same
    told = [record for record in log.records if "failed" in record.getMessage()]
    assert len(told) == fails
    assert all(record.exc_info is not None for record in told)


def test_an_observer_that_blocks_is_told_of(run: Run, log: RecordingHandler) -> None:
    async def main() -> None:
        async with Server(Recorder(), make_config(observers=[block])) as server:
            assert await fetch(server.addresses[0]) == (200, b"/")

    run(main())
    assert len([record for record in log.records if "took" in record.getMessage()]) == 1


def test_what_a_slow_observer_misses_is_counted(run: Run, log: RecordingHandler) -> None:
    entered = asyncio.Event()
    release = asyncio.Event()

    async def wait(connection: Any, direction: Any, event: Any) -> None:
        entered.set()
        await release.wait()

    async def main() -> None:
        async with Server(Recorder(), make_config(observers=[wait])) as server:
            reader, writer = await open_stream(server.addresses[0])
            for _ in range(300):
                writer.write(render_request("/"))
                assert (await read_response(reader))[0] == 200
            await wait_until(lambda: count_events(server) == 1201)
            assert next(iter(server.get_stats()["observers"].values())) == {"errors": 0, "dropped": 1201 - 1025}
            release.set()
            writer.close()

    run(main())
    assert len([record for record in log.records if "is too slow" in record.getMessage()]) == 1


def count_events(server: Server) -> int:
    return sum(server.get_stats()["event_counts"].values())


def test_an_observer_may_end_the_connection_that_it_hears_of(run: Run) -> None:
    async def main() -> None:
        def judge(connection: LiveConnection, direction: Direction, event: Any) -> None:
            if isinstance(event, RawData) and b"/evil" in event.data and direction is Direction.IN:
                connection.abort()
            elif isinstance(event, RawData) and b"/last" in event.data and direction is Direction.IN:
                connection.close()

        async with Server(Recorder(), make_config(observers=[judge, Ear])) as server:
            evil_reader, evil = await open_stream(server.addresses[0])
            last_reader, last = await open_stream(server.addresses[0])
            evil.write(render_request("/evil"))
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await read_response(evil_reader)
            last.write(render_request("/last"))
            assert (await read_response(last_reader)) == (200, b"/last")
            assert await last_reader.read() == b""
            evil.close()
            last.close()
            await wait_until(lambda: len(server.connections) == 0)
            assert await fetch(server.addresses[0]) == (200, b"/")

    run(main())
    assert summarise(Ear.heard).count("out closed") == 2


# Starts that fail.


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"observers": ["no_such_module:hear"]}, "observer no_such_module:hear: no module named"),
        ({"observers": [lambda one: None]}, "cannot be called with three arguments"),
        ({"protocols": [("127.0.0.1:0", "no_such_module:Handler")]}, "protocol handler no_such_module:Handler: no mod"),
        ({"protocols": [("127.0.0.1:0", int)]}, "protocol handler builtins:int has neither"),
    ],
)
def test_what_cannot_be_used_is_a_failed_start(run: Run, settings: dict[str, Any], reason: str) -> None:
    app = Recorder()

    async def main() -> None:
        server = Server(app, make_config(**settings))
        with pytest.raises(StartupFailed) as failure:
            await server.start()
        assert reason in str(failure.value)
        assert "\n" not in str(failure.value)
        assert not server.started

    run(main())
    assert app.heard == []


def test_a_setting_that_is_no_observer_is_refused() -> None:
    for observers in ("no colon", [3]):
        with pytest.raises(ConfigError, match="observers"):
            make_config(observers=observers)


# Protocol handlers.


class Lines:
    """Answers each read with what it is; raises on ``fail``."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def handle(self, event: Any) -> Any:
        if not isinstance(event, RawData):
            return None
        if event.data == b"fail":
            raise ZeroDivisionError
        return RawData(f"{self.connection.peer.scheme} {self.connection.peer.alpn}".encode())


@pytest.mark.parametrize("alpn", [None, "lines"])
def test_a_handler_under_tls_by_address_and_by_name(run: Run, alpn: str | None, tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    context = make_tls(path)
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    where = "127.0.0.1:0" if alpn is None else f"alpn:{alpn}"

    async def main() -> None:
        async with Server(
            Recorder(), make_config(certfile=str(path), protocols=[(where, Lines)], observers=[Ear])
        ) as server:
            address = server.protocol_addresses.get(where, server.addresses[0])
            reader, writer = await open_stream(address, ssl=context, server_hostname="localhost")
            writer.write(b"who")
            assert await reader.readexactly(len(f"https {alpn}")) == f"https {alpn}".encode()
            await wait_until(lambda: describe(Ear.heard[-1][2]) == "idle")
            (connection,) = server.connections
            assert connection.protocol == f"{__name__}:Lines"
            writer.close()
            await wait_until(lambda: len(server.connections) == 0)

    run(main())
    size = len(f"https {alpn}")
    assert summarise(Ear.heard) == ["out idle", "in 3", "out active", f"out {size}", "out idle", "in closed"]


def test_a_handler_that_raises_costs_its_own_connection(run: Run, log: RecordingHandler) -> None:
    async def main() -> None:
        async with Server(Recorder(), make_config(protocols=[("127.0.0.1:0", Lines)])) as server:
            (address,) = server.protocol_addresses.values()
            reader, writer = await open_stream(address)
            bad_reader, bad = await open_stream(address)
            bad.write(b"fail")
            with pytest.raises(ConnectionError):
                await bad_reader.readexactly(1)
            writer.write(b"who")
            assert await reader.readexactly(9) == b"http None"
            assert await fetch(server.addresses[0]) == (200, b"/")
            bad.close()
            writer.close()

    run(main())
    assert [record.getMessage() for record in log.records if record.levelno >= logging.WARNING] == [
        f"protocol handler {__name__}:Lines failed on RawData"
    ]

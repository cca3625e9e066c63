"""What observers, operators and the access log see of HTTP/3: a server in this loop, and a client by aioquic."""

import asyncio
import json
import logging
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from examples.events.datagrams import Addresses
from fastserver import Server
from fastserver.events import Closed, ConnectionState, RawData, Updated
from tests.e2e.peers import wait_for, wait_up
from tests.e2e.processes import PATIENCE_S, ROOT, ServerProcess
from tests.e2e.test_metrics import wait_samples
from tests.h3live import Answer, H3Client, make_config, make_context, turn_until
from tests.site import LOOPS, run_in_loop

#: An event as an observer hears it: connection, direction, event, and how the connection stood.
Told = tuple[int, str, Any, str, tuple[str, int]]
Main = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    return lambda main: run_in_loop(LOOPS[request.param], main())


class Observer:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    def __call__(self, connection: Any, direction: Any, event: Any) -> None:
        self.told.append((connection.id, direction.value, event, connection.protocol_state, connection.peer.client))

    async def hear(self, connection: Any, direction: Any, event: Any) -> None:
        await asyncio.sleep(0)
        self(connection, direction, event)

    def list_data(self, direction: str) -> list[RawData]:
        return [event for _, way, event, *_ in self.told if way == direction and isinstance(event, RawData)]

    @property
    def kinds(self) -> list[str]:
        """All but the datagrams."""
        return [f"{way} {event}" for _, way, event, *_ in self.told if not isinstance(event, RawData)]


class App:
    """Answers at once, or at ``/wait`` when it is let go."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = 0
        self.clients: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.begun += 1
        self.clients.append(tuple(scope["client"]))
        if scope["path"] == "/wait":
            await self.gate.wait()
        if scope["path"] == "/fail":
            raise RuntimeError("the application's own fault")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"tag", b"a tag")]})
        await send({"type": "http.response.body", "body": b"hello"})


def is_settled(client: H3Client, observer: Observer) -> bool:
    """Whether every datagram has been heard of by now."""
    return [len(event.data) for event in observer.list_data("in")] == client.sent


# Events.


def test_each_datagram_is_heard_with_its_address(run: Callable[[Main], None], tmp_path: Path) -> None:
    """The bytes are those on the way, all of them; the order is that of TCP's events."""
    observer, later = Observer(), Observer()

    async def main() -> None:
        async with Server(App(), make_config(tmp_path, observers=[observer, later.hear])) as server:
            async with H3Client(server) as client:
                for _ in range(2):
                    assert (await client.fetch()).body == b"hello"
                    await turn_until(lambda: is_settled(client, observer))
            await turn_until(lambda: observer.told[-1][2] == Closed())
            where = client.local
            heard = observer.list_data("out")
            assert [len(event.data) for event in heard] == client.received
            assert {event.address for event in heard + observer.list_data("in")} == {where}
            assert all(type(event.address) is tuple for event in heard)
            assert observer.told[0][1:4] == ("out", Updated(idle=True), "handshaking")
            busy = ["out Updated(idle=False)", "out Updated(idle=True)"]
            assert observer.kinds == ["out Updated(idle=True)", *busy, *busy, "in Closed()"]
            stats = server.get_stats()
            assert stats["bytes_in"] == sum(client.sent)
            assert stats["bytes_out"] == sum(client.received)
            assert stats["quic"]["datagrams"] == {
                "in": len(client.sent),
                "out": len(client.received),
                "dropped": 0,
                "forwarded": 0,
            }
        assert [each[:3] for each in later.told] == [each[:3] for each in observer.told]

    run(main)


def test_addresses_are_those_that_user_code_expects(run: Callable[[Main], None], tmp_path: Path) -> None:
    """A tuple of host and port over QUIC, ``None`` over TCP, on one and the same server."""
    said: list[str] = []

    async def handle_raw_data(connection: Any, direction: Any, event: Any) -> None:
        if isinstance(event, RawData) and direction == "in":
            said.append(f"{connection.protocol}: {len(event.data)} bytes from {event.address}")

    async def main() -> None:
        async with Server(App(), make_config(tmp_path, observers=[handle_raw_data])) as server:
            async with H3Client(server) as client:
                await client.fetch()
            await turn_until(lambda: len(said) == len(client.sent))
            assert said == [f"h3: {size} bytes from {client.local}" for size in client.sent]
            said.clear()
            _, writer = await asyncio.open_connection(*server.addresses[0], ssl=make_context())
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await turn_until(lambda: said)
            writer.close()
            assert said == ["http/1.1: 35 bytes from None"]

    run(main)


def test_a_client_that_moves_is_heard_from_where_it_is(run: Callable[[Main], None], tmp_path: Path) -> None:
    """Events, ``peer``, the scope and the access log follow; the connection stays one."""
    observer = Observer()
    app = App()
    log = tmp_path / "access.log"

    async def main() -> None:
        config = make_config(
            tmp_path, observers=[observer], access_log=True, access_logfile=str(log), access_logformat="json"
        )
        async with Server(app, config) as server, H3Client(server) as client:
            await client.fetch("/first")
            old = client.local
            await client.move("127.0.0.2")
            await client.fetch("/second")
            new = client.local
            assert old[0] != new[0]
            (connection,) = server.connections
            assert (connection.peer.client, connection.requests) == (new, 2)
            assert {event.address for event in observer.list_data("in")} == {old, new}
            assert observer.list_data("in")[-1].address == new
            assert app.clients[0] == old
            assert app.clients[1] in (old, new)
            await client.fetch("/third")
            assert app.clients[2] == new
        assert observer.kinds.count("in Closed()") == 1
        assert len({number for number, *_ in observer.told}) == 1

    run(main)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["path"], line["protocol"], line["scheme"]) for line in lines] == [
        ("/first", "HTTP/3", "https"),
        ("/second", "HTTP/3", "https"),
        ("/third", "HTTP/3", "https"),
    ]
    assert [line["client"] for line in lines][::2] == ["127.0.0.1", "127.0.0.2"]


def test_the_example_prints_each_address(
    run: Callable[[Main], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    observer = Addresses()
    places: list[tuple[str, int]] = []

    async def main() -> None:
        async with Server(App(), make_config(tmp_path, observers=[observer])) as server:
            async with H3Client(server) as client:
                for _ in range(2):
                    await client.fetch()
                    places.append(client.local)
                    await client.move()
                await client.fetch()
                places.append(client.local)
            _, writer = await asyncio.open_connection(*server.addresses[0], ssl=make_context())
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            await turn_until(lambda: server.get_stats()["event_counts"]["Closed"] == 2)
            writer.close()
            assert observer.datagrams == len(client.sent)
            assert observer.places == {}

    run(main)
    ports = [port for _, port in places]
    assert capsys.readouterr().out.splitlines() == [
        f"1 opened 127.0.0.1 {ports[0]}",
        f"1 moved 127.0.0.1 {ports[1]}",
        f"1 moved 127.0.0.1 {ports[2]}",
        "1 closed",
    ]


# Ends.


@pytest.mark.parametrize("is_busy", [False, True])
def test_who_has_ended_a_connection(run: Callable[[Main], None], tmp_path: Path, is_busy: bool) -> None:
    observer = Observer()
    app = App()

    async def main() -> None:
        async with Server(app, make_config(tmp_path, observers=[observer], quic_idle_timeout=0.2)) as server:
            async with H3Client(server) as client:
                await client.fetch("/")
                if is_busy:
                    client.begin("/wait")
                    await turn_until(lambda: app.begun == 2)
            await turn_until(lambda: not server.connections)
            assert observer.kinds[-1] == "in Closed()"
            async with H3Client(server) as client:
                await client.fetch("/")
                if is_busy:
                    client.begin("/wait")
                    await turn_until(lambda: app.begun == 4)
                client.vanish()
                await turn_until(lambda: not server.connections)
            assert observer.kinds[-1] == "out Closed()"
            assert observer.kinds.count("in Closed()") == observer.kinds.count("out Closed()") == 1
            snapshot = take_snapshot(server)
            app.gate.set()
            assert snapshot["timeouts"]["idle"] == 1
            assert snapshot["protocol_faults"] == {}

    run(main)


def test_close_of_an_idle_connection(run: Callable[[Main], None], tmp_path: Path) -> None:
    """It is told (CONNECTION_CLOSE, H3_NO_ERROR) and gone at once."""
    observer = Observer()

    async def main() -> None:
        async with Server(App(), make_config(tmp_path, observers=[observer])) as server, H3Client(server) as client:
            await client.fetch()
            await turn_until(lambda: server.connections.count()[ConnectionState.IDLE] == 1)
            (connection,) = server.connections
            assert (connection.protocol, connection.protocol_state) == ("h3", "open")
            assert server.connections.get(connection.id) is connection
            connection.close()
            await turn_until(lambda: not server.connections)
            assert connection.state is ConnectionState.CLOSED
            await turn_until(lambda: client.terminated)
            assert client.terminated is not None
            assert client.terminated.error_code == 0x100
        assert observer.kinds[-1] == "out Closed()"

    run(main)


def test_close_of_a_busy_connection(run: Callable[[Main], None], tmp_path: Path) -> None:
    """GOAWAY, and what is open is finished; then it ends."""
    observer = Observer()

    async def main() -> None:
        app = App()
        async with Server(app, make_config(tmp_path, observers=[observer])) as server, H3Client(server) as client:
            stream = client.begin("/wait")
            await turn_until(lambda: app.begun == 1)
            (connection,) = server.connections
            assert connection.state is ConnectionState.ACTIVE
            assert server.get_stats()["open_streams"] == {"h3": 1}
            connection.close()
            await turn_until(lambda: connection.protocol_state == "draining")
            assert connection.state is ConnectionState.ACTIVE
            app.gate.set()
            answer = await client.finish(stream)
            assert (answer.status, answer.body, answer.reset) == (200, b"hello", None)
            await turn_until(lambda: not server.connections)
            await turn_until(lambda: client.terminated)
            assert client.terminated is not None
            assert client.terminated.error_code == 0x100
        assert observer.kinds[-2:] == ["out Updated(idle=True)", "out Closed()"]

    run(main)


def test_close_idle_takes_connections_of_http3_too(run: Callable[[Main], None], tmp_path: Path) -> None:
    async def main() -> None:
        async with Server(App(), make_config(tmp_path)) as server, H3Client(server) as client:
            await client.fetch()
            await turn_until(lambda: server.connections.count()[ConnectionState.IDLE] == 1)
            assert server.connections.close_idle(0) == 1
            await turn_until(lambda: not server.connections)

    run(main)


@pytest.mark.parametrize("is_busy", [False, True])
def test_a_stop_is_heard_to_the_end(run: Callable[[Main], None], tmp_path: Path, is_busy: bool) -> None:
    """Also of a connection that is not done in time; asynchronous observers hear it too."""
    observer, later = Observer(), Observer()
    app = App()

    async def main() -> None:
        config = make_config(
            tmp_path, observers=[observer, later.hear], timeout_graceful_shutdown=0.2, timeout_keep_alive_min=0.1
        )
        server = Server(app, config)
        await server.start()
        async with H3Client(server) as client:
            await client.fetch()
            if is_busy:
                client.begin("/wait")
                await turn_until(lambda: app.begun == 2)
            await server.shutdown()
            await turn_until(lambda: client.terminated)
        snapshot = take_snapshot(server)
        assert snapshot["connections_opened"] == snapshot["events"]["closed"] == 1
        assert snapshot["requests"]["h3"]["5xx"] == is_busy  # one that was cancelled

    run(main)
    assert observer.kinds[-1] == "out Closed()"
    assert [event for _, _, event, *_ in later.told] == [event for _, _, event, *_ in observer.told]


# Metrics.


def take_snapshot(server: Server) -> dict[str, Any]:
    assert server._monitor is not None
    return server._monitor.snapshot()


async def read_page(server: Server) -> str:
    reader, writer = await asyncio.open_connection(*server.metrics_addresses[0])
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    page = await reader.read()
    writer.close()
    return page.decode()


def test_the_account_of_a_churn(run: Callable[[Main], None], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Clients that are served, leave in the middle, fail their handshakes, and send rubbish: the books balance."""

    async def main() -> None:
        app = App()
        async with Server(app, make_config(tmp_path, metrics_bind="127.0.0.1:0")) as server:
            for _ in range(3):
                async with H3Client(server) as client:
                    await client.fetch()
                    await client.fetch("/fail")
                async with H3Client(server) as client:
                    client.begin("/wait")
                    await turn_until(lambda: server.get_stats()["open_streams"] == {"h3": 1})
                async with H3Client(server, alpn=["spdy"]) as client:
                    await turn_until(client.received.copy)
                async with H3Client(server) as client:
                    client.send_raw(b"\x40" + bytes(60))
                    client.send_raw(b"rubbish")
                    client.send_raw(b"\xc0\x0a\x0a\x0a\x0a\x08" + bytes(8) + b"\x08" + bytes(1200))
                    await client.fetch()
            await turn_until(lambda: not server.connections)
            app.gate.set()
            snapshot = take_snapshot(server)
            assert snapshot["connections_opened"] == snapshot["events"]["closed"] == 12
            assert (snapshot["handshakes_failed"], snapshot["connections_refused"]) == (3, 0)
            requests = snapshot["requests"]["h3"]
            assert (requests["2xx"], requests["5xx"], requests["aborted"]) == (6, 3, 3)
            assert snapshot["latency"]["count"] == 9
            assert snapshot["quic_replies"] == {"retry": 0, "reset": 3, "version": 3, "refusal": 0, "farewell": 0}
            assert snapshot["datagrams"]["dropped"] == 3
            strangers = snapshot["datagrams"]["in"] - snapshot["events"]["raw_data_in"]
            assert strangers >= 9  # and what came behind a close
            assert snapshot["datagrams"]["out"] == snapshot["events"]["raw_data_out"] + 6
            assert snapshot["gauges"]["quic_handshakes"] == 0
            assert snapshot["gauges"]["streams"] == {"h3": 0}
            page = await read_page(server)
            assert 'fastserver_requests_total{protocol="h3",status="2xx"} 6' in page
            assert 'fastserver_connections{protocol="h3",state="idle"} 0' in page
            assert 'fastserver_quic_replies_total{kind="reset"} 3' in page
            assert "fastserver_quic_handshakes 0" in page

    with caplog.at_level(logging.INFO, "fastserver.error"):
        run(main)
    # Of hostile peers the log has nothing; of applications that fail it has.
    lines = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert lines == ["exception in the application: GET /fail"] * 3


def test_a_client_that_breaks_the_protocol_is_a_fault_and_no_line_of_the_log(
    run: Callable[[Main], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Server(App(), make_config(tmp_path)) as server:
            async with H3Client(server) as client:
                await client.fetch()
                client.quic.send_stream_data(client.quic.get_next_available_stream_id(), b"\x00\x01x")  # DATA is first
                client.flush()
                await turn_until(lambda: client.terminated)
                assert client.terminated is not None
                assert client.terminated.error_code == 0x105
            await turn_until(lambda: not server.connections)
            assert take_snapshot(server)["protocol_faults"] == {"h3": {"H3_FRAME_UNEXPECTED": 1}}

    with caplog.at_level(logging.DEBUG, "fastserver.error"):
        run(main)
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_handshakes_and_proofs_are_seen(run: Callable[[Main], None], tmp_path: Path) -> None:
    async def main() -> None:
        async with Server(App(), make_config(tmp_path, quic_retry="always")) as server:
            async with H3Client(server) as client:
                await client.fetch()
            assert take_snapshot(server)["quic_replies"]["retry"] == 1
            (token,) = client.tokens
            async with H3Client(server, token=token) as client:
                await client.fetch()
            assert take_snapshot(server)["quic_replies"]["retry"] == 1
            async with H3Client(server, keeps_silent=True) as client:
                await turn_until(lambda: server.get_stats()["quic"]["handshakes"] == 1)
            await turn_until(lambda: server.get_stats()["quic"]["handshakes"] == 0)
            assert take_snapshot(server)["handshakes_failed"] == 1

    run(main)


def test_a_full_server_refuses_and_says_so(
    run: Callable[[Main], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with Server(App(), make_config(tmp_path, limit_connections=1)) as server, H3Client(server) as first:
            await first.fetch()
            async with H3Client(server) as second:
                await turn_until(lambda: second.received)
            assert server.get_stats()["connections_refused"] == len(second.received) == 1
            assert server.get_stats()["quic"]["replies"]["refusal"] == 1
            assert (await first.fetch()).status == 200

    with caplog.at_level(logging.WARNING, "fastserver.error"):
        run(main)
    assert [record.getMessage() for record in caplog.records] == ["1 connections are open, the limit; more are refused"]


# The access log.

ATOMS = (
    "%(h)s %(l)s %(u)s %(r)s %(m)s %(U)s %(q)s %(H)s %(S)s %(s)s %(st)s %(b)s %(B)s %(f)s %(a)s %({host}i)s %({tag}o)s"
)


def test_every_atom_of_the_access_log(run: Callable[[Main], None], tmp_path: Path) -> None:
    log = tmp_path / "access.log"

    async def main() -> None:
        config = make_config(tmp_path, access_log=True, access_logfile=str(log), access_logformat=ATOMS)
        async with Server(App(), config) as server, H3Client(server) as client:
            fields = [("referer", "there"), ("user-agent", 'a "client"'), ("authorization", "Basic dXNlcjpzZWNyZXQ=")]
            assert (await client.fetch("/a%20b?c=d", *fields)).status == 200
            answer: Answer = await client.fetch("/wait", method="BAD METHOD")
            assert answer.reset is not None  # malformed, and never an application's

    run(main)
    assert log.read_text() == (
        "127.0.0.1 - user GET /a%20b?c=d HTTP/3 GET /a%20b c=d HTTP/3 https 200 OK 5 5 there "
        "a \\x22client\\x22 localhost a tag\n"
    )


def test_operators_of_several_workers_see_it(tmp_path: Path) -> None:
    """Their log, their page and ``fastserver top``, by a client that is none of ours."""
    requests = pytest.importorskip("curl_cffi.requests")
    pytest.importorskip("rich")
    certfile = make_config(tmp_path).certfile
    assert certfile is not None
    flags = ("--certfile", certfile, "--quic-bind", "127.0.0.1:0", "--metrics-bind", "127.0.0.1:0", "--observer")
    with ServerProcess("examples.hello:app", "--workers", "2", *flags, "tests.e2e.extensions:Witness") as server:
        _, found = wait_up(server, 2, 2)
        line = re.compile(r"listening on https://127\.0\.0\.1:(\d+) \(HTTP/3, UDP\)$", re.MULTILINE)
        wait_for(lambda: line.search(server.text) is not None, "line of HTTP/3")
        (port,) = line.findall(server.text)
        metrics = f"127.0.0.1:{found['metrics']}"
        with requests.Session(verify=False) as session:
            for _ in range(5):
                answer = session.get(f"https://127.0.0.1:{port}/", http_version="v3only")
                assert (answer.status_code, answer.http_version) == (200, 30)
            wait_samples(found["metrics"], {"requests_total{protocol=h3,status=2xx}": 5, "quic_handshakes": 0})
            command = [sys.executable, "-m", "fastserver", "top", "--once", "--interval", "0.1", metrics]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(r"^h3 +0 +0 +1 +0 +0 ", done.stdout, re.MULTILINE)
        server.send(signal.SIGTERM)
        assert server.wait_exit() == 0
        told = [line.split()[3:] for line in server.output.splitlines() if line.startswith("heard")]
    assert told[0] == ["out", "idle", "0"]
    assert told[-1][1] == "Closed"
    assert told[1] == ["in", "RawData", "1200"]
    assert "ERROR" not in server.text


def test_the_log_says_where_it_is_served(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with Server(App(), make_config(tmp_path)) as server:
            server.announce()
            (_, port) = server.quic_addresses[0]
            assert f"listening on https://127.0.0.1:{port} (HTTP/3, UDP)" in [
                each.getMessage() for each in caplog.records
            ]

    with caplog.at_level(logging.INFO, "fastserver.error"):
        run_in_loop(asyncio.new_event_loop, main())

"""Metrics of real server processes, held against what a client that counts has done, over all workers."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.peers import Address, Client, connect, fetch, is_closed, wait_for, wait_up
from tests.e2e.processes import PATIENCE_S, ROOT, ServerProcess

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

APP = "tests.e2e.applications:app"
HERE = "tests.e2e.extensions"
METRICS = ("--metrics-bind", "127.0.0.1:0")
#: Seconds in which what has happened is told: two ticks, and what a busy machine adds.
TICK_S = 5.0
one_or_two = pytest.mark.parametrize("workers", [1, 2])

Samples = dict[str, float]


def start(*arguments: str, workers: int = 1, **options: str) -> ServerProcess:
    return ServerProcess(APP, "--workers", str(workers), *arguments, **options)  # type: ignore[arg-type]


def stop(server: ServerProcess) -> None:
    server.send(signal.SIGTERM)
    assert server.wait_exit() == 0


def read_samples(address: Address) -> Samples:
    """Every sample of the page by its name and labels, as ``fastserver_requests_total{protocol=...}``."""
    status, page = fetch(address, "/metrics")
    assert status == 200
    return parse(page)


def parse(page: bytes) -> Samples:
    samples: Samples = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            name = sample.name.removeprefix("fastserver_") + (f"{{{labels}}}" if labels else "")
            assert name not in samples
            samples[name] = sample.value
    return samples


def wait_samples(address: Address, wanted: Samples) -> None:
    """Wait until the page says what is ``wanted``, which has happened already."""
    deadline = time.monotonic() + TICK_S
    while True:
        samples = read_samples(address)
        found = {name: samples.get(name, 0.0) for name in wanted}
        if found == wanted:
            return
        assert time.monotonic() < deadline, (found, wanted)
        time.sleep(0.01)


def is_counter(name: str) -> bool:
    """Whether a sample must never go down; that of a worker goes with it."""
    return not name.startswith("worker_") and name.partition("{")[0].endswith(("_total", "_count", "_sum", "_bucket"))


@one_or_two
def test_the_page_says_what_a_counting_client_has_done(workers: int) -> None:
    with start(*METRICS, "--protocol", f"127.0.0.1:0={HERE}:Lines", workers=workers) as server:
        pids, found = wait_up(server, workers, 3)
        address, metrics = found["http"], found["metrics"]
        clients = []
        for number in range(10):
            with Client(address) as client:
                clients.append(client)
                for _ in range(number):
                    assert client.request("/echo?x")[0] == 200
        for rubbish, status in ((b"rubbish\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nx: " + b"y" * 40000, 431)):
            with Client(address) as client:
                clients.append(client)
                client.send(rubbish)
                assert client.read_response()[0] == status
                assert is_closed(client.sock)
        with Client(found[f"{HERE}:Lines"]) as lines, Client(address) as asleep:
            clients += [lines, asleep]
            assert int(lines.say("pid")) in pids
            asleep.send(b"GET /sleep?0.7 HTTP/1.1\r\nhost: test\r\n\r\n")
            wait_samples(
                metrics,
                {
                    "workers": workers,
                    "requests_total{protocol=http/1.1,status=2xx}": 45,
                    "requests_total{protocol=http/1.1,status=5xx}": 0,
                    "requests_total{protocol=http/1.1,status=aborted}": 0,
                    "request_duration_seconds_count": 45,
                    "request_duration_seconds_bucket{le=+Inf}": 45,
                    "refused_requests_total{protocol=http/1.1,status=400}": 1,
                    "refused_requests_total{protocol=http/1.1,status=431}": 1,
                    "received_bytes_total": sum(client.sent for client in clients),
                    "sent_bytes_total": sum(client.received for client in clients),
                    "connections_opened_total": 14,
                    "connections{protocol=http/1.1,state=active}": 1,
                    "connections{protocol=http/1.1,state=idle}": 0,
                    f"connections{{protocol={HERE}:Lines,state=idle}}": 1,
                    "events_total{event=closed}": 12,
                    "tasks": 1,
                },
            )
            asleep.reset()
        wait_samples(
            metrics,
            {
                "requests_total{protocol=http/1.1,status=aborted}": 1,
                "connections{protocol=http/1.1,state=active}": 0,
                f"connections{{protocol={HERE}:Lines,state=idle}}": 0,
                "events_total{event=closed}": 14,
                "tasks": 0,
            },
        )
        stop(server)
    assert "ERROR" not in server.text


def test_every_worker_answers_for_all_and_for_no_request_of_its_own() -> None:
    with start(*METRICS, workers=2) as server:
        pids, found = wait_up(server, 2, 2)
        for _ in range(20):
            fetch(found["http"])
        wait_samples(found["metrics"], {"requests_total{protocol=http/1.1,status=2xx}": 20})
        for sleeper in pids:
            os.kill(sleeper, signal.SIGSTOP)
            samples = read_samples(found["metrics"])
            os.kill(sleeper, signal.SIGCONT)
            assert samples["requests_total{protocol=http/1.1,status=2xx}"] == 20
            assert samples["connections_opened_total"] == 20
            assert sum(samples[f"worker_requests_total{{pid={pid}}}"] for pid in pids) == 20
        stop(server)


def test_the_page_is_asked_for_like_any_other(tmp_path: Path) -> None:
    path = str(tmp_path / "metrics.sock")
    arguments = (*METRICS, "--metrics-bind", f"unix:{path}", "--metrics-path", "/prom", "--access-log")
    with start(*arguments, workers=0) as server:
        _, found = wait_up(server, 1, 3)
        address = found["metrics"]
        assert fetch(path, "/prom")[0] == 200
        with Client(address) as client:
            size = len(client.request("/prom")[1])
            assert size > 1000
            assert client.request("/prom", "HEAD") == (200, b"")
            assert client.request("/metrics")[0] == 404
            assert client.request("/prom", "POST", "content-length: 0")[0] == 405
            stats = json.loads(client.request("/stats")[1])
            assert stats["total"]["connections_opened"] == 0
            assert stats["total"]["bytes_in"] == 0
            assert [worker["gauges"]["pid"] for worker in stats["workers"]] == [server.process.pid]
        assert fetch(found["http"], "/metrics")[1].split()[0] == str(server.process.pid).encode()  # the application's
        stop(server)
        assert "/prom" not in server.output


@one_or_two
def test_a_keep_alive_scraper_does_not_hold_a_stop(workers: int) -> None:
    with start(*METRICS, workers=workers) as server:
        _, found = wait_up(server, workers, 2)
        with Client(found["metrics"]) as scraper, Client(found["metrics"]) as silent:
            assert scraper.request("/metrics")[0] == 200
            started = time.monotonic()
            stop(server)
            assert time.monotonic() - started < 2
            assert scraper.sock.recv(1) == silent.sock.recv(1) == b""  # a clean end


def test_counters_never_go_down_while_workers_are_killed_and_replaced() -> None:
    with start(*METRICS, workers=2) as server:
        pids, found = wait_up(server, 2, 2)
        address, metrics = found["http"], found["metrics"]
        done = threading.Event()
        answers = Counter[str]()

        def load() -> None:
            while not done.is_set():
                with contextlib.suppress(OSError, EOFError), Client(address) as client:
                    for _ in range(20):
                        answers[str(client.request("/")[0])] += 1

        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            last: Samples = {}
            polls = 0
            for signum in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
                victim = pids.pop(0)
                os.kill(victim, signum)
                ready = wait_in_background(server, r"worker \[(\d+)\] is ready")
                goal = last.get("requests_total{protocol=http/1.1,status=2xx}", 0) + 200
                while not (ready and last.get("requests_total{protocol=http/1.1,status=2xx}", 0) >= goal):
                    with contextlib.suppress(OSError, EOFError):  # the one that answers may be killed at it
                        samples = read_samples(metrics)
                        polls += 1
                        for name, value in last.items():
                            if is_counter(name):
                                assert samples.get(name, 0) >= value, name
                        last = samples
                pids.append(ready[0])
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert polls > 20
        # A killed worker takes with it what it has counted since its last tick, at most.
        counted = read_samples(metrics)["requests_total{protocol=http/1.1,status=2xx}"]
        assert counted >= last["requests_total{protocol=http/1.1,status=2xx}"]
        assert counted <= answers["200"] + 10
        stop(server)


def wait_in_background(server: ServerProcess, pattern: str) -> list[int]:
    """A list that gets the number that a later line of the log holds."""
    found: list[int] = []
    threading.Thread(target=lambda: found.append(int(server.wait_log(pattern)[1])), daemon=True).start()
    return found


def test_a_stopped_worker_leaves_all_that_it_has_counted() -> None:
    with start(*METRICS, workers=2) as server:
        pids, found = wait_up(server, 2, 2)
        for _ in range(30):
            fetch(found["http"])
        for pid in pids:  # at once: the last requests are in no tick
            os.kill(pid, signal.SIGTERM)
        server.wait_log(r"worker \[\d+\] is ready", count=2)
        wait_samples(found["metrics"], {"requests_total{protocol=http/1.1,status=2xx}": 30, "workers": 2})
        stop(server)


def test_handshakes_are_connecting_and_then_failed(tmp_path: Path) -> None:
    authority = trustme.CA()
    path = tmp_path / "server.pem"
    path.write_bytes(authority.issue_cert("localhost").private_key_and_cert_chain_pem.bytes())
    with start(*METRICS, "--certfile", str(path)) as server:
        _, found = wait_up(server, 1, 2)
        metrics = found["metrics"]
        with connect(found["https"]) as mute, connect(found["https"]) as bad:
            wait_samples(metrics, {"connections{protocol=none,state=connecting}": 2, "handshakes_failed_total": 0})
            bad.sendall(b"GET / HTTP/1.1\r\n\r\n")
            wait_samples(metrics, {"connections{protocol=none,state=connecting}": 1, "handshakes_failed_total": 1})
            mute.close()
            wait_samples(metrics, {"connections{protocol=none,state=connecting}": 0, "handshakes_failed_total": 2})
        wait_samples(metrics, {"connections_opened_total": 0, "events_total{event=closed}": 0})
        stop(server)


# StatsD.


class StatsdServer:
    """A real socket; ``counters`` are summed up, of ``gauges`` the last value stays."""

    def __init__(self, path: str = "") -> None:
        self.counters = Counter[str]()
        self.gauges: dict[str, float] = {}
        self._sock = socket.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(path or ("127.0.0.1", 0))
        self._sock.setblocking(False)
        self.target = f"unix://{path}" if path else f"127.0.0.1:{self._sock.getsockname()[1]}"

    def read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while packet := self._sock.recv(65536):
                for line in packet.decode().splitlines():
                    name, _, rest = line.partition(":")
                    value, kind, *_ = rest.split("|")
                    if kind == "c":
                        self.counters[name] += int(value)
                    else:
                        self.gauges[name] = float(value)

    def wait(self, condition: Callable[[], bool]) -> None:
        def is_there() -> bool:
            self.read()
            return condition()

        wait_for(is_there, f"{self.counters} {self.gauges}")

    def close(self) -> None:
        self._sock.close()


@pytest.fixture(params=["udp", "unix"])
def statsd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StatsdServer]:
    server = StatsdServer(str(tmp_path / "statsd.sock") if request.param == "unix" else "")
    yield server
    server.close()


@one_or_two
def test_what_statsd_gets_adds_up_to_the_truth(workers: int, statsd: StatsdServer) -> None:
    with start("--statsd-host", statsd.target, workers=workers) as server:
        _, found = wait_up(server, workers)
        clients = []
        for count in (5, 7):
            for _ in range(count):
                with Client(found["http"]) as client:
                    clients.append(client)
                    assert client.request("/")[0] == 200
            if count == 5:
                statsd.wait(lambda: statsd.counters["fastserver.requests"] == 5)
                statsd.wait(lambda: statsd.gauges.get("fastserver.workers") == workers)
        stop(server)  # the last seven are in no report yet
        statsd.read()
    assert statsd.counters["fastserver.requests"] == 12
    assert statsd.counters["fastserver.request.status.2xx"] == 12
    assert statsd.counters["fastserver.connections.opened"] == 12
    assert statsd.counters["fastserver.events.closed"] == 12
    assert statsd.counters["fastserver.bytes.received"] == sum(client.sent for client in clients)
    assert statsd.counters["fastserver.bytes.sent"] == sum(client.received for client in clients)
    assert "ERROR" not in server.text
    assert "WARNING" not in server.text


@one_or_two
def test_a_statsd_that_cannot_be_found_is_one_warning(workers: int) -> None:
    with start("--statsd-host", "no-such-host.invalid:8125", workers=workers) as server:
        _, found = wait_up(server, workers)
        assert fetch(found["http"])[0] == 200
        stop(server)
    (line,) = [line for line in server.log if "WARNING" in line]
    assert "metrics cannot be sent to no-such-host.invalid:8125" in line
    assert "ERROR" not in server.text


# The rest.


@one_or_two
def test_a_taken_address_is_exit_code_3_and_one_line(workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for flag in (("--metrics-bind", f"127.0.0.1:{port}"), ("--protocol", f"127.0.0.1:{port}={HERE}:Lines")):
            with start(*flag, workers=workers) as server:
                assert server.wait_exit() == 3
            (line,) = server.log
            assert line.endswith(f"startup failed: cannot bind 127.0.0.1:{port}: the address is in use")


def test_top_shows_a_live_server() -> None:
    pytest.importorskip("rich")
    with start(*METRICS, workers=2) as server:
        pids, found = wait_up(server, 2, 2)
        assert fetch(found["http"])[0] == 200
        done = subprocess.run(
            [sys.executable, "-m", "fastserver", "top", "--once", "--interval", "0.1", f"127.0.0.1:{found['metrics']}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        stop(server)
    assert (done.returncode, done.stderr) == (0, "")
    for pid in pids:
        assert str(pid) in done.stdout

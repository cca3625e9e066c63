"""Each example of the event system, run as a user would run it, with live traffic."""

import importlib
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.events.event_metrics import EventMetrics
from examples.events.event_processor import EventCounter
from examples.events.state_machine import Phase, PhaseMachine
from fastserver.events import Closed, Direction, Event, RawData, Updated
from fastserver.states import draw

ROOT = Path(__file__).parents[1]
IN, OUT = Direction.IN, Direction.OUT


class Example:
    """A running example: ``addresses`` of its sockets, which listened before it started; ``stop`` gives its output."""

    def __init__(self, command: Callable[..., list[str]], sockets: list[socket.socket]) -> None:
        self.addresses: list[tuple[str, int]] = [listener.getsockname() for listener in sockets]
        numbers = [listener.fileno() for listener in sockets]
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command(*(f"fd://{number}" for number in numbers))],
            cwd=ROOT,
            pass_fds=numbers,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def get_url(self, place: int = 0) -> str:
        host, port = self.addresses[place]
        return f"http://{host}:{port}"

    def stop(self) -> str:
        """SIGTERM must bring exit code 0, and neither a traceback nor a warning."""
        self.process.send_signal(signal.SIGTERM)
        output, log = self.process.communicate(timeout=20)
        assert (self.process.returncode, "Traceback" in log, "WARNING" in log) == (0, False, False), log
        return output


@contextmanager
def run(command: Callable[..., list[str]], listeners: int = 1) -> Iterator[Example]:
    """The example that ``command`` starts, given the addresses of so many listening sockets."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(listeners)]
        example = Example(command, sockets)
        for listener in sockets:
            listener.close()
        try:
            yield example
        finally:
            example.process.kill()
            example.process.communicate()


def observed(*observers: str) -> Callable[..., list[str]]:
    """The command of a server with observers of ``examples.events``."""
    flags = [flag for name in observers for flag in ("--observer", f"examples.events.{name}")]
    return lambda address: ["fastserver", "examples.hello:app", "--bind", address, *flags]


def embedded(name: str) -> Callable[..., list[str]]:
    return lambda *addresses: [f"examples.events.{name}", *addresses]


EVENTS_OF_ONE_REQUEST = ["out idle", "in  ", "out active", "out ", "out idle"]


@pytest.mark.parametrize(
    "command",
    [observed("event_processor:EventCounter", "event_processor:EventProcessor"), embedded("event_processor")],
    ids=["command", "embedded"],
)
def test_event_processor(command: Callable[..., list[str]]) -> None:
    with run(command) as example:
        with httpx.Client() as client:
            assert client.get(example.get_url()).text == "Hello, world!\n"
        lines = example.stop().splitlines()
    events = [line.removeprefix("connection 1 ") for line in lines if line.startswith("connection 1 ")]
    for event, start in zip(events, EVENTS_OF_ONE_REQUEST, strict=False):
        assert event.startswith(start)
    assert (len(events), events[-1].split()[1]) == (6, "closed")
    assert "bytes, b'GET / HTTP/1.1" in events[1]
    assert "bytes, b'HTTP/1.1 200 OK" in events[3]
    (counted,) = (line for line in lines if line.startswith("counted: "))
    assert "'Updated out': 3, 'RawData in': 1, 'RawData out': 1" in counted


def test_connection_manager() -> None:
    with run(embedded("connection_manager"), 2) as example:
        with ExitStack() as stack:
            talk_to_the_desk(example, stack)
        example.stop()


def talk_to_the_desk(example: Example, stack: ExitStack) -> None:
    desk = stack.enter_context(httpx.Client(base_url=example.get_url(1)))
    peers = [stack.enter_context(httpx.Client(base_url=example.get_url())) for _ in range(3)]
    for peer in peers:
        peer.get("/")
    shown = sorted(desk.get("/").json(), key=lambda each: int(each["id"]))
    assert [each["id"] for each in shown] == [1, 2, 3]
    for each in shown:
        assert (each["state"], each["protocol"], each["requests"]) == ("idle", "http/1.1", 1)
        assert each["client"][0] == "127.0.0.1"
        assert (each["bytes_in"] > 0, each["bytes_out"] > 0) == (True, True)
    assert desk.post("/close/2").json() == {"closing": 2}
    assert sorted(each["id"] for each in desk.get("/").json() if each["state"] == "idle") == [1, 3]
    assert desk.post("/close/2000").status_code == 404
    assert desk.post("/close-idle/3600").json() == {"closing": 0}
    assert desk.post("/close-idle/0").json() == {"closing": 2}
    assert [each["id"] for each in desk.get("/").json() if each["state"] == "idle"] == []
    assert peers[0].get("/").text == "Hello, world!\n", "a client that was closed comes again"


def test_state_watch() -> None:
    with run(observed("state_machine:StateWatch")) as example:
        with httpx.Client() as client:
            client.get(example.get_url())
        lines = example.stop().splitlines()
    assert lines == [
        "connection 1 of http/1.1: waiting_request, receiving_headers, keep_alive, closed",
        "by its events: waiting, receiving, responding, waiting, closed",
    ]


def test_state_diagram() -> None:
    command = [sys.executable, "-m", "examples.events.state_machine"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=20)
    assert shown.stdout == f"{draw()}\n"


def test_phase_machine() -> None:
    machine = PhaseMachine()
    heard: list[tuple[Direction, Event]] = [
        (OUT, Updated(idle=True)),
        (IN, RawData(b"GET")),
        (IN, RawData(b" / HTTP/1.1\r\n\r\n")),
        (OUT, Updated(idle=False)),
        (OUT, RawData(b"HTTP/1.1 200 OK\r\n\r\n")),
        (OUT, Updated(idle=True)),
        (IN, Closed()),
    ]
    phases = [machine.handle_event(direction, event) for direction, event in heard]
    receiving = [Phase.RECEIVING] * 3
    assert phases == [Phase.WAITING, *receiving, Phase.RESPONDING, Phase.WAITING, Phase.CLOSED]


def test_event_metrics() -> None:
    with run(embedded("event_metrics"), 2) as example:
        with httpx.Client(base_url=example.get_url()) as client, httpx.Client(base_url=example.get_url(1)) as tools:
            for _ in range(3):
                client.get("/")
            page = tools.get("/metrics").text
            assert 'fastserver_requests_total{protocol="http/1.1",status="2xx"} 3' in page.splitlines()
            total = tools.get("/stats").json()["total"]
            assert total["gauges"]["connections"]["http/1.1"]["idle"] == 1
            shown = subprocess.run(
                [sys.executable, "-m", "fastserver", "top", "--once", "--interval", "0.1", example.get_url(1)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
                timeout=20,
            )
            assert "1 worker" in shown.stdout
        lines = example.stop().splitlines()
    said = [line.partition(":")[2].split(";")[0].strip() for line in lines[-2:]]
    assert said[0].startswith(f"{total['bytes_in'] + total['bytes_out']} bytes in 6 RawData, 7 Updated")
    assert sorted(split_counts(said[0])) == sorted(split_counts(said[1]))


def split_counts(text: str) -> list[str]:
    return text.replace(" in ", ", ").split(", ")


def test_metrics_of_ones_own_have_the_same_keys() -> None:
    metrics = EventMetrics()
    connection: Any = type("Connection", (), {"id": 1})()
    for direction, event in ((OUT, Updated(True)), (IN, RawData(b"12345")), (OUT, Updated(False))):
        metrics(connection, direction, event)
    stats = metrics.get_stats()
    assert (stats["event_counts"], stats["total_data_bytes"]) == ({"Updated": 2, "RawData": 1}, 5)
    assert (stats["active_connections"], stats["events_per_second"] > 0) == (1, True)
    metrics(connection, IN, Closed())
    assert metrics.get_stats()["active_connections"] == 0


def test_counter_counts_by_direction(capsys: pytest.CaptureFixture[str]) -> None:
    counter = EventCounter()
    connection: Any = None
    counter(connection, IN, RawData(b"12"))
    counter(connection, OUT, RawData(b"123"))
    counter(connection, OUT, Closed())
    assert counter.counts == {"RawData in": 1, "RawData out": 1, "Closed out": 1}
    assert capsys.readouterr().out.startswith("counted: 2 bytes in, 3 out,")


def test_protocol_handler() -> None:
    handlers = "examples.events.protocol_handler"

    def command(http: str, ping: str, echo: str) -> list[str]:
        protocols = [f"{ping}={handlers}:Ping", f"{echo}={handlers}:Echo"]
        flags = [flag for protocol in protocols for flag in ("--protocol", protocol)]
        return ["fastserver", "examples.hello:app", "--bind", http, *flags]

    with run(command, 3) as example:
        assert httpx.get(example.get_url()).text == "Hello, world!\n"
        for place, said, answer in (
            (1, b"PING\r\nQUIT\r\n", b"+PONG\r\n+OK\r\n"),
            (2, b"one\ntwo\n", b"one\ntwo\n"),
        ):
            with socket.create_connection(example.addresses[place], timeout=20) as peer, peer.makefile("rb") as answers:
                peer.sendall(said)
                assert answers.read(len(answer)) == answer
        example.stop()


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "events").glob("*.py")), ids=lambda path: path.stem)
def test_examples_say_how_to_run_them(path: Path) -> None:
    text = importlib.import_module(f"examples.events.{path.stem}").__doc__ or ""
    assert f"examples.events.{path.stem}" in text

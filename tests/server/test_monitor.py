"""What a worker tells of itself: `get_stats`, its snapshot, its place on the scoreboard and its reports."""

import asyncio
import json
import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastserver import Config, Server
from fastserver.metrics.exposition import FAMILIES, WORKER_FAMILIES
from fastserver.metrics.scoreboard import Scoreboard
from fastserver.metrics.snapshot import Snapshot
from fastserver.metrics.statsd import _COUNTERS, _GAUGES, _QUANTILES
from fastserver.server.extensions import load_extensions
from fastserver.server.monitor import Monitor, has_readers
from fastserver.top.facts import CLASSES
from fastserver.top.stats import EMPTY, Counters, parse_stats
from tests.fakes import ignore, make_host
from tests.metrics.samples import make_snapshot
from tests.server.applications import Recorder, fetch, open_stream, read_response, render_request
from tests.site import LOOPS, Main, run_in_loop, wait_until
from tests.top.samples import compose_snapshot

LOG = logging.getLogger("test.monitor")
Run = Callable[[Main], None]

KEYS = {
    "uptime",
    "event_counts",
    "events_per_second",
    "total_data_bytes",
    "bytes_in",
    "bytes_out",
    "active_connections",
    "idle_connections",
    "connections_opened",
    "connections_refused",
    "requests",
    "refused_requests",
    "protocol_faults",
    "open_streams",
    "websocket",
    "quic",
    "latency",
    "loop_lag",
    "observers",
    "resident_bytes",
}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    return lambda main: run_in_loop(LOOPS[request.param], main)


def make_config(**settings: Any) -> Config:
    return Config(**{"bind": "127.0.0.1:0", "timeout_keep_alive_min": 0.1, **settings})


def hear(connection: Any, direction: Any, event: Any) -> None:
    """An observer."""


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [({}, False), ({"metrics_bind": "127.0.0.1:0"}, True), ({"statsd_host": "127.0.0.1"}, True)],
)
def test_only_a_metrics_address_or_statsd_is_a_reader(settings: dict[str, Any], wanted: bool) -> None:
    assert has_readers(make_config(**settings)) is wanted


def test_before_the_start_there_are_no_stats() -> None:
    with pytest.raises(RuntimeError, match="has not started"):
        Server(Recorder(), make_config()).get_stats()


def test_stats_tell_what_a_client_has_done(run: Run) -> None:
    app = Recorder()

    async def main() -> None:
        async with Server(app, make_config(observers=[hear])) as server:
            stats = server.get_stats()
            assert set(stats) == KEYS
            assert stats["event_counts"] == {"RawData": 0, "Updated": 0, "Closed": 0}
            assert (stats["latency"]["count"], stats["latency"]["mean"], stats["requests"]) == (0, 0.0, {})
            reader, writer = await open_stream(server.addresses[0])
            request = render_request("/hold")
            writer.write(request)
            await app.holding.wait()
            assert server.get_stats()["active_connections"] == 1
            assert server.get_stats()["open_streams"] == {"http/1.1": 1}
            await asyncio.sleep(0.02)
            app.release.set()
            size = len(await reader.readuntil(b"/hold"))
            stats = server.get_stats()
            assert (stats["active_connections"], stats["idle_connections"]) == (0, 1)
            assert (stats["bytes_in"], stats["bytes_out"]) == (len(request), size)
            assert stats["total_data_bytes"] == len(request) + size
            assert stats["event_counts"] == {"RawData": 2, "Updated": 3, "Closed": 0}
            assert 0 < stats["events_per_second"] <= 5 / stats["uptime"] + 1e-6
            assert stats["requests"]["http/1.1"]["2xx"] == stats["latency"]["count"] == 1
            assert 0.02 <= stats["latency"]["mean"] < 10
            assert 0.01 < stats["latency"]["p50"] <= stats["latency"]["p99"]
            assert stats["observers"] == {f"{__name__}:hear": {"errors": 0, "dropped": 0}}
            assert stats["resident_bytes"] > 1 << 20
            writer.write(b"rubbish\r\n\r\n")
            assert (await read_response(reader))[0] == 400
            writer.close()
            await wait_until(lambda: server.get_stats()["event_counts"]["Closed"] == 1)
            stats = server.get_stats()
            assert stats["refused_requests"] == {"http/1.1": {"400": 1}}
            assert stats["requests"]["http/1.1"]["4xx"] == 0  # no application has seen it
        assert json.dumps(server.get_stats())  # also afterwards

    run(main())


def test_a_server_that_is_alone_shows_its_metrics_as_they_are_now(run: Run) -> None:
    async def main() -> None:
        async with Server(Recorder(), make_config(metrics_bind="127.0.0.1:0")) as server:
            (metrics,) = server.metrics_addresses
            for number in range(1, 4):
                await fetch(server.addresses[0])
                await wait_until(lambda: len(server.connections) == 0)
                stats = json.loads((await fetch(metrics, "/stats"))[1])
                assert stats["total"]["requests"]["http/1.1"]["2xx"] == number
                assert stats["total"]["connections_opened"] == number
                assert stats["workers"][0]["gauges"]["pid"] == os.getpid()
            families = {
                each.name for each in text_string_to_metric_families((await fetch(metrics, "/metrics"))[1].decode())
            }
            assert {"fastserver_requests", "fastserver_connections", "fastserver_event_loop_lag_seconds"} <= families
            assert server.get_stats()["connections_opened"] == 3
            assert len(server.connections) == 0

    run(main())


def test_a_worker_publishes_at_its_place_and_leaves_its_last_words(run: Run) -> None:
    board = Scoreboard(2, time.time(), LOG)
    slots = [board.claim(), board.claim()]
    assert slots == [0, 1]

    async def main() -> None:
        config = make_config(statsd_host="127.0.0.1:9")
        async with Server(Recorder(), config, place=(board, 1)) as server:
            await wait_until(lambda: len(board.read().workers) == 1)
            assert await fetch(server.addresses[0]) == (200, b"/")
        # At its end, and not a tick later.
        (worker,) = board.read().workers
        assert worker["requests"]["http/1.1"]["2xx"] == 1
        assert worker["events"]["closed"] == 1

    run(main())


def test_a_worker_without_a_slot_shows_what_the_others_do(run: Run) -> None:
    board = Scoreboard(1, time.time(), LOG)
    assert board.claim() == 0
    board.publish(0, {"requests": {"http/1.1": {"2xx": 41}}, "gauges": {"pid": 1}})

    async def main() -> None:
        config = make_config(metrics_bind="127.0.0.1:0")
        async with Server(Recorder(), config, place=(board, None)) as server:
            assert await fetch(server.addresses[0]) == (200, b"/")
            stats = json.loads((await fetch(server.metrics_addresses[0], "/stats"))[1])
            assert stats["total"]["requests"] == {"http/1.1": {"2xx": 41}}
            assert server.get_stats()["requests"]["http/1.1"]["2xx"] == 1

    run(main())


def test_only_who_is_alone_reports_to_statsd(run: Run) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            receiver.setblocking(False)
            config = make_config(statsd_host=f"127.0.0.1:{receiver.getsockname()[1]}")
            board = Scoreboard(1, time.time(), LOG)
            slot = board.claim()
            async with Server(Recorder(), config, place=(board, slot)) as server:
                await fetch(server.addresses[0])
            with pytest.raises(BlockingIOError):
                receiver.recv(65536)
            async with Server(Recorder(), config) as server:
                await fetch(server.addresses[0])
            text = read_all(receiver)
            assert text.count("fastserver.requests:1|c") == 1
            assert text.count("fastserver.events.closed:1|c") == 1

    run(main())


def read_all(receiver: socket.socket) -> str:
    packets = []
    while True:
        try:
            packets.append(receiver.recv(65536).decode())
        except BlockingIOError:
            return "\n".join(packets)


def test_two_observers_of_one_name_share_a_line(run: Run) -> None:
    def fail(connection: Any, direction: Any, event: Any) -> None:
        raise ValueError

    async def main() -> None:
        async with Server(Recorder(), make_config(observers=[fail, fail])) as server:
            _, writer = await open_stream(server.addresses[0])
            await wait_until(lambda: len(server.connections) == 1)
            (counts,) = server.get_stats()["observers"].values()
            assert counts == {"errors": 2, "dropped": 0}
            writer.close()

    run(main())


def test_the_metrics_address_has_the_limits_of_the_server_but_few_connections(run: Run) -> None:
    async def main() -> None:
        async with Server(Recorder(), make_config(metrics_bind="127.0.0.1:0", limit_connections=1)) as server:
            _, writer = await open_stream(server.addresses[0])
            await wait_until(lambda: len(server.connections) == 1)
            assert (await fetch(server.addresses[0]))[0] == 503
            assert (await fetch(server.metrics_addresses[0], "/metrics"))[0] == 200  # also of a server that is full
            assert server.get_stats()["connections_refused"] == 1
            writer.close()

    run(main())


def test_a_monitor_that_nobody_reads_publishes_nothing(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(Monitor, "snapshot", lambda self: pytest.fail("it looked"))

    async def main() -> None:
        async with Server(Recorder(), make_config(timeout_write=0.2)) as server:
            assert await fetch(server.addresses[0]) == (200, b"/")

    run(main())


# The shape of the snapshot.  What is absent counts as 0, so that a misspelt path would be 0 for ever.

PATHS = [
    *(family.at for family in (*FAMILIES[3:], *WORKER_FAMILIES)),
    *(at for _, at in (*_COUNTERS, *_GAUGES)),
    *(f"{key} buckets" for _, key, _ in _QUANTILES),
]

#: Tables whose keys are names of any kind: all of their values have one shape.
NAMED = {
    ("requests",),
    ("refused_requests",),
    ("refused_requests", "*"),
    ("protocol_faults",),
    ("protocol_faults", "*"),
    ("observers",),
    ("gauges", "connections"),
    ("gauges", "streams"),
}


def take_snapshot() -> Snapshot:
    """That of a worker with a protocol, an observer, a refusal and a fault."""
    host = make_host(ignore)
    host.metrics.get_tally("http/1.1").refuse_request(400)
    host.metrics.count_fault("h2", "CANCEL")
    config = make_config(observers=[hear])
    host.observers, observation = load_extensions(config, LOG).observe()
    return Monitor(config, host, observation, LOG, None).snapshot()


def list_at(value: Any, path: list[str]) -> list[Any]:
    """All values at ``path``; a label or a star is any key.  ``KeyError`` where a step is not there."""
    if not path:
        return [value]
    step, *rest = path
    beginning, has_label, _ = step.replace("*", "{").partition("{")
    keys = [key for key in value if key.startswith(beginning)] if has_label else [step]
    return [found for key in keys for found in list_at(value[key], rest)]


def list_paths(value: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """The ways to all that is in ``value``, with a star for a name."""
    if not isinstance(value, dict):
        return {path}
    return {
        found for key, child in value.items() for found in list_paths(child, (*path, "*" if path in NAMED else key))
    }


def fill(value: Any) -> Any:
    """``value`` with each number in it as a 7."""
    if isinstance(value, dict):
        return {key: fill(child) for key, child in value.items()}
    return [fill(child) for child in value] if isinstance(value, list) else 7


def test_the_first_families_are_no_counters_of_a_snapshot() -> None:
    assert [family.path[0] for family in FAMILIES[:3]] == ["build", "started", "workers"]


@pytest.mark.parametrize("at", sorted(set(PATHS)))
def test_what_is_exported_is_in_the_snapshot(at: str) -> None:
    assert list_at(take_snapshot(), at.split())


def test_a_step_that_is_not_there_is_found() -> None:
    with pytest.raises(KeyError):
        list_at(take_snapshot(), ["observers", "{observer}", "error"])


@pytest.mark.parametrize("sample", [make_snapshot(), compose_snapshot()], ids=["metrics", "top"])
def test_the_samples_have_the_keys_of_a_snapshot(sample: Snapshot) -> None:
    assert list_paths(sample) - list_paths(take_snapshot()) == set()


def test_what_top_reads_is_in_the_snapshot() -> None:
    snapshot = fill(take_snapshot())
    counters = parse_stats(json.dumps({"uptime": 1, "total": snapshot, "workers": []}).encode()).total
    assert [name for name in Counters.__slots__ if getattr(counters, name) == getattr(EMPTY, name)] == []
    assert set(counters.observers.values()) == {(7, 7)}
    assert set(counters.requests["http/1.1"]) == set(CLASSES)

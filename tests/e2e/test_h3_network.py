"""HTTP/3 over a network that loses, doubles, reorders and moves: everything arrives whole, and nothing piles up.

``FASTSERVER_LONG=1`` moves 100 MiB instead of 8 and makes 10,000 connections instead of 400.
"""

import hashlib
import os
import signal
import subprocess
import threading
from typing import Any

import pytest

pytest.importorskip("aioquic")

from bench.macro import h3load
from bench.macro.h3load import Plan
from tests.e2e.badnetwork import BadNetwork, Faults
from tests.e2e.conftest import Serve, Served, read_rss
from tests.e2e.h3application import PIECE, hash_flood, make_piece
from tests.e2e.h3clients import Curl

APP = "tests.e2e.h3application:app"
MIB = 1 << 20
IS_LONG = bool(os.environ.get("FASTSERVER_LONG"))
SIZE = (100 if IS_LONG else 8) * MIB
CONNECTIONS = 10_000 if IS_LONG else 400
GROWTH = 32 * MIB
BAD = Faults(loss=0.05, reorder=0.02, duplicate=0.01)
TRANSFER_S = 300.0
WORKERS = 4
CLIENTS = 8

needs_h3load = pytest.mark.skipif(bool(h3load.find_missing()), reason=h3load.find_missing())
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def open_curl(port: int, authority: str) -> Curl:
    client = Curl(port, authority)
    client.session.timeout = TRANSFER_S
    return client


class Meter:
    """The most that a process has held while it was looked at, beyond what it held before."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.before = read_rss(pid)
        self.most = self.before

    def look(self) -> None:
        self.most = max(self.most, read_rss(self.pid))

    @property
    def growth(self) -> int:
        return self.most - self.before


def test_a_large_download_arrives_whole_with_flat_memory(http3: Served, authority: str) -> None:
    found = hashlib.sha256()
    with BadNetwork(http3.port, BAD) as network:
        client = open_curl(network.port, authority)
        client.fetch("/flood?1000000")
        meter = Meter(http3.pids[0])

        def take(piece: bytes) -> None:
            found.update(piece)
            meter.look()

        assert client.stream(f"/flood?{SIZE}", take).status == 200
        client.close()
    assert found.hexdigest() == hash_flood(SIZE)
    assert meter.growth < GROWTH
    assert network.counts["lost"] > network.counts["down"] * 0.02


def test_a_large_upload_arrives_whole_with_flat_memory(http3: Served, authority: str) -> None:
    body = b"".join(make_piece(number) for number in range(SIZE // PIECE))
    with BadNetwork(http3.port, BAD) as network:
        client = open_curl(network.port, authority)
        client.fetch("/digest", "POST", body[:MIB])
        meter = Meter(http3.pids[0])
        answer = client.fetch("/digest", "POST", body)
        meter.look()
        client.close()
    assert answer.body.decode() == f"{SIZE} {hash_flood(SIZE)}"
    assert meter.growth < GROWTH
    assert network.counts["lost"] > network.counts["up"] * 0.02


def test_many_small_answers_arrive(http3: Served, authority: str) -> None:
    with BadNetwork(http3.port, BAD) as network:
        client = open_curl(network.port, authority)
        for number in range(100):
            assert client.fetch(f"/?{number}").body.split()[3] == b"%d" % number
        client.close()


@needs_fork
def test_a_download_goes_on_from_another_port_with_four_workers(serve: Serve, authority: str) -> None:
    """Each client is moved three times: a hash of addresses alone would find its worker again once in 64 times."""
    site = serve(APP, "--http3", tls=True, workers=WORKERS)
    size = 4 * MIB
    digests: dict[int, str] = {}
    workers: dict[int, str] = {}
    ports: dict[int, int] = {}

    def download(number: int) -> None:
        found = hashlib.sha256()
        taken = 0
        seen: set[int] = set()
        with BadNetwork(site.port) as network:

            def take(piece: bytes) -> None:
                nonlocal taken
                found.update(piece)
                taken += len(piece)
                seen.update(network.ports)
                if taken >= len(seen) * MIB and len(seen) < 4:
                    network.rebind()

            client = open_curl(network.port, authority)
            answer = client.stream(f"/flood?{size}", take)
            workers[number] = answer.fields["x-worker"]
            digests[number] = found.hexdigest()
            ports[number] = len(seen)
            # The connection is the same one, and so is its worker.
            assert client.fetch("/").body.split()[2].decode() == workers[number]
            client.close()

    threads = [threading.Thread(target=download, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == dict.fromkeys(range(CLIENTS), hash_flood(size))
    assert ports == dict.fromkeys(range(CLIENTS), 4)
    assert set(workers.values()) <= {str(pid) for pid in site.pids}


def count_failures(summary: dict[str, Any]) -> dict[str, int]:
    kinds = (*h3load.FAILURES, "unfinished")
    return {kind: summary[kind] for kind in kinds if summary[kind]}


@needs_fork
@needs_h3load
def test_four_workers_answer_every_connection(serve: Serve) -> None:
    site = serve(APP, "--http3", tls=True, workers=WORKERS)
    summary = h3load.run_plan(Plan(site.port, "/missing", connections=16, requests=CONNECTIONS, renewal=1, status=404))
    assert count_failures(summary) == {}
    assert summary["whole"] == CONNECTIONS
    assert summary["handshakes"] >= CONNECTIONS


@needs_fork
@needs_h3load
def test_a_worker_that_stops_costs_nobody_a_request(serve: Serve) -> None:
    """Connections come and go all the time, one request on each; one worker is told to stop, and another comes."""
    site = serve(APP, "--http3", tls=True, workers=WORKERS)
    argv = h3load.command(
        Plan(site.port, "/missing", connections=16, requests=CONNECTIONS, renewal=1, status=404, seconds=TRANSFER_S)
    )
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as generator:
        try:
            os.kill(site.pids[1], signal.SIGTERM)
            site.server.wait_log(r"worker \[\d+\] is ready")
            output = generator.communicate(timeout=TRANSFER_S)[0]
        finally:
            generator.kill()
    summary = h3load.parse_summary(output)
    assert count_failures(summary) == {}
    assert summary["whole"] == CONNECTIONS
    assert "Traceback" not in site.server.text


@needs_fork
@needs_h3load
def test_requests_under_way_outlive_the_stop_of_their_worker(serve: Serve) -> None:
    """Long connections with much under way: GOAWAY, then every answer, then the end."""
    site = serve(APP, "--http3", tls=True, workers=WORKERS)
    argv = h3load.command(
        Plan(site.port, "/sleep?0.01", connections=16, streams=8, requests=5 * CONNECTIONS, seconds=TRANSFER_S)
    )
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as generator:
        try:
            os.kill(site.pids[2], signal.SIGTERM)
            site.server.wait_log(r"worker \[\d+\] is ready")
            output = generator.communicate(timeout=TRANSFER_S)[0]
        finally:
            generator.kill()
    summary = h3load.parse_summary(output)
    assert count_failures(summary) == {}
    assert summary["whole"] == 5 * CONNECTIONS

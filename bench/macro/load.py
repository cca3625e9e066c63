"""One burst of load: ``wrk`` on its own core against one server, and what the server spent on it.

A burst is one ``wrk`` process: it connects and warms up, then a window opens in which the server's CPU time and the
number of requests are read at both ends, so that connecting is never part of a figure.  ``wrk`` writes each request
with one ``write``, which the kernel counts (``/proc/PID/io``); SIGINT ends the run early and still prints its summary,
which has the latencies and the errors and has to agree with the count.  (Half a second with the connecting counted in
puts 12 % on uvicorn's sleeping handler, 25 % on hypercorn's plaintext and 1 % on nginx.)
"""

import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.macro.process import ServerProcess, read_cpu_s, read_waited_s, read_writes, set_niceness
from bench.macro.workload import Workload

SCRIPT = Path(__file__).resolve().parent / "load.lua"
GRACE_S = 10.0
#: The most write calls that ``wrk`` makes for its own report.
PRINTED_WRITES = 16


class LoadFailed(Exception):
    """The load generator could not do its work; the text says why."""


@dataclass(frozen=True, slots=True)
class Burst:
    """One window of load: ``requests`` answered in ``wall_s`` for ``cpu_s`` of the server's time.

    ``waited_s`` is how long the server could have run but something else had its core: disturbance, on a server of one
    thread.  ``latency_us`` and ``errors`` are of the whole run of the load generator, warm-up included.  ``fault`` is
    empty for a burst that counts.
    """

    requests: int
    wall_s: float
    cpu_s: float
    waited_s: float
    latency_us: Mapping[str, int]
    errors: Mapping[str, int]
    fault: str = ""

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per request."""
        return self.cpu_s * 1e6 / self.requests if self.requests else math.nan

    @property
    def rate(self) -> float:
        """Requests per second of wall time."""
        return self.requests / self.wall_s if self.wall_s else math.nan


@dataclass(frozen=True, slots=True)
class Load:
    """How hard and how long: the same for every server of a run; times in seconds, ``niceness`` of the generator."""

    connections: int = 64
    warmup_s: float = 0.15
    window_s: float = 0.5
    niceness: int = 0


@dataclass(frozen=True, slots=True)
class _Reading:
    """Server CPU seconds, requests sent, wall time and waiting time, read as one as nearly as can be."""

    cpu_s: float
    requests: int
    wall_s: float
    waited_s: float


def _read(server: Sequence[int], generator: int) -> _Reading:
    """A reading of the processes ``server`` and the load ``generator``; taken again where it was interrupted."""
    for _ in range(5):
        started = time.perf_counter()
        cpu_s = sum(read_cpu_s(pid) for pid in server)
        writes = read_writes(generator)
        wall_s = time.perf_counter()
        if wall_s - started < 0.001:
            break
    return _Reading(cpu_s, writes, wall_s, sum(read_waited_s(pid) for pid in server))


def command(workload: Workload, port: int, load: Load) -> list[str]:
    """The argument vector of ``wrk`` for one burst; it would run far longer than the burst does."""
    duration_s = math.ceil(load.warmup_s + load.window_s + GRACE_S)
    argv = ["wrk", "-t1", f"-c{load.connections}", f"-d{duration_s}s", "--timeout", "5s", "-s", str(SCRIPT)]
    for name, value in workload.fields:
        argv += ["-H", f"{name}: {value}"]
    return [*argv, f"http://127.0.0.1:{port}{workload.path}"]


def parse_summary(output: str) -> dict[str, Any]:
    """The numbers that ``load.lua`` printed; ``LoadFailed`` where there are none."""
    for line in output.splitlines():
        if line.startswith("BENCH "):
            summary: dict[str, Any] = json.loads(line.removeprefix("BENCH "))
            return summary
    raise LoadFailed(f"no summary from wrk: {output.strip()[-200:]!r}")


def find_fault(summary: Mapping[str, Any], writes: int, window: int, connections: int) -> str:
    """Why a burst does not count, or an empty string.

    ``writes`` is what the kernel counted over the whole run, ``window`` within the window.  The summary counts answers
    and ``writes`` counts questions, so they differ by at most what was under way at the end.
    """
    errors = {kind: count for kind, count in summary["errors"].items() if count}
    if errors:
        return "errors: " + ", ".join(f"{count} {kind}" for kind, count in errors.items())
    if window <= 0:
        return "no request answered"
    if not 0 <= writes - summary["requests"] <= connections + PRINTED_WRITES:
        return f"{writes} requests written, {summary['requests']} answered"
    return ""


def _wait_warm(generator: subprocess.Popen[str], load: Load) -> None:
    """Until each connection has asked at least once and ``warmup_s`` has passed; gives up quietly after ``GRACE_S``."""
    started = time.perf_counter()
    while generator.poll() is None:
        passed_s = time.perf_counter() - started
        if passed_s > GRACE_S or (passed_s >= load.warmup_s and read_writes(generator.pid) >= load.connections):
            return
        time.sleep(0.01)


def run_burst(server: ServerProcess, workload: Workload, port: int, load: Load) -> Burst:
    """Load ``server`` once.  A fault of the server is in ``Burst.fault``; ``LoadFailed`` is the generator's own.

    The calling process has to be pinned to the load generator's core already: ``wrk`` inherits that.
    """
    env = {**os.environ, "BENCH_POST_BYTES": str(workload.post_bytes or "")}
    try:
        generator = subprocess.Popen(
            command(workload, port, load),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        raise LoadFailed(f"cannot run wrk: {error}") from error
    try:
        set_niceness(generator.pid, load.niceness)
        _wait_warm(generator, load)
        members = server.members()
        try:
            first = _read(members, generator.pid)
            time.sleep(load.window_s)
            last = _read(members, generator.pid)
        except OSError as error:
            return Burst(0, 0.0, 0.0, 0.0, {}, {}, fault=f"a process ended during the burst ({error})")
        lost = set(members) ^ set(server.members())
        generator.send_signal(signal.SIGINT)
        output = _finish(generator)
    finally:
        generator.kill()
        generator.wait()
    return _conclude(output, first, last, load, "a process came or went during the burst" if lost else "")


def _finish(generator: subprocess.Popen[str]) -> tuple[str, int]:
    """Wait for the end of ``wrk``; its output, and the writes that it made (read before it is reaped)."""
    deadline = time.perf_counter() + GRACE_S
    while os.waitid(os.P_PID, generator.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.perf_counter() > deadline:
            raise LoadFailed("wrk did not stop")
        time.sleep(0.005)
    writes = read_writes(generator.pid)
    return generator.communicate(timeout=GRACE_S)[0], writes


def _conclude(output: tuple[str, int], first: _Reading, last: _Reading, load: Load, fault: str) -> Burst:
    text, writes = output
    summary = parse_summary(text)
    requests = last.requests - first.requests
    return Burst(
        requests=requests,
        wall_s=last.wall_s - first.wall_s,
        cpu_s=last.cpu_s - first.cpu_s,
        waited_s=last.waited_s - first.waited_s,
        latency_us=summary["latency_us"],
        errors=summary["errors"],
        fault=fault or find_fault(summary, writes, requests, load.connections),
    )

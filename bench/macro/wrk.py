"""Bursts of HTTP/1.1 by ``wrk``.

``wrk`` writes each request with one ``write``, which the kernel counts (``/proc/PID/io``); SIGINT ends the run early
and still prints its summary, which has the latencies and the errors and has to agree with the count.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.macro.load import GRACE_S, Burst, Load, LoadFailed, complete, measure, started, wait_end, wait_warm
from bench.macro.process import ServerProcess, read_writes
from bench.macro.workload import Workload

SCRIPT = Path(__file__).resolve().parent / "load.lua"
#: The most write calls that ``wrk`` makes for its own report.
PRINTED_WRITES = 16


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


def run_burst(server: ServerProcess, workload: Workload, port: int, load: Load) -> Burst:
    """Load ``server`` once.  A fault of the server is in ``Burst.fault``; ``LoadFailed`` is the generator's own."""
    env = {"BENCH_POST_BYTES": str(workload.post_bytes or "")}
    with started(command(workload, port, load), load.niceness, env) as generator:
        wait_warm(generator, lambda: read_writes(generator.pid), load.connections, load.warmup_s)
        burst = measure(server, generator, lambda: read_writes(generator.pid), load.window_s)
        if not burst.requests and burst.fault:
            return burst
        wait_end(generator)
        writes = read_writes(generator.pid)  # before it is reaped
        summary = parse_summary(generator.communicate()[0])
    fault = find_fault(summary, writes, burst.requests, load.connections)
    return complete(burst, summary["latency_us"], summary["errors"], fault)

"""Bursts of HTTP/2 by ``h2load`` (nghttp2): by prior knowledge without TLS, by ALPN with it.

``h2load`` says when its warm-up is over and when its time is, and then counts what was answered in between, so the two
readings of the server are taken at these lines.
"""

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Timer
from typing import IO

from bench.macro.load import GRACE_S, Burst, Load, LoadFailed, Reading, complete, failed, span, started, take_reading
from bench.macro.process import ServerProcess
from bench.macro.workload import Wire, Workload, build_body

HOWTO = "h2load is not installed (Debian: apt install nghttp2-client; macOS: brew install nghttp2)"
#: More warm-up for each connection: so long a slow server takes to accept it.
CONNECT_S = 0.002
#: By how much of its length the time between the readings may differ from the window that ``h2load`` counted in.
TOLERANCE = 0.1

_BEGIN, _END = "Main benchmark duration is started", "Main benchmark duration is over"
_REQUESTS = re.compile(r"^requests: .* (\d+) done, .* (\d+) failed, (\d+) errored, (\d+) timeout", re.MULTILINE)
_STATUS = re.compile(r"^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", re.MULTILINE)
_TIMES = re.compile(r"^time for request: +\S+ +([\d.]+)(us|ms|s) +([\d.]+)(us|ms|s)", re.MULTILINE)
_UNITS_US = {"us": 1, "ms": 1_000, "s": 1_000_000}


def find_missing() -> str:
    """Why there can be no burst on this machine, or an empty string."""
    return "" if shutil.which("h2load") else HOWTO


def command(workload: Workload, port: int, load: Load, body: str) -> list[str]:
    """The argument vector of ``h2load`` for one burst; ``body`` is a file, for a workload that posts."""
    warmup_s = load.warmup_s + workload.connections * CONNECT_S
    argv = ["h2load", "-t1", f"-c{workload.connections}", f"-m{workload.streams}"]
    argv += [f"--warm-up-time={warmup_s * 1000:.0f}ms", f"--duration={load.window_s * 1000:.0f}ms"]
    for name, value in workload.fields:
        argv += ["-H", f"{name}: {value}"]
    if workload.post_bytes:
        argv += ["-d", body]
    scheme = "https" if workload.wire is Wire.H2 else "http"
    return [*argv, f"{scheme}://127.0.0.1:{port}{workload.path}"]


def parse_summary(output: str) -> tuple[int, dict[str, int], dict[str, int]]:
    """Requests answered within the window, the errors by kind, mean and greatest latency in microseconds.

    ``LoadFailed`` where ``output`` is not the report of ``h2load``.
    """
    requests, status, times = (pattern.search(output) for pattern in (_REQUESTS, _STATUS, _TIMES))
    if requests is None or status is None or times is None:
        raise LoadFailed(f"no summary from h2load: {output.strip()[-200:]!r}")
    errors = dict(zip(("failed", "errored", "timeout"), map(int, requests.groups()[1:]), strict=True))
    errors |= dict(zip(("3xx", "4xx", "5xx"), map(int, status.groups()[1:]), strict=True))
    most, most_unit, mean, mean_unit = times.groups()
    latency_us = {
        "mean": round(float(mean) * _UNITS_US[mean_unit]),
        "max": round(float(most) * _UNITS_US[most_unit]),
    }
    return int(requests.group(1)), errors, latency_us


def find_fault(requests: int, errors: Mapping[str, int], wall_s: float, window_s: float) -> str:
    """Why a burst does not count, or an empty string."""
    counted = {kind: count for kind, count in errors.items() if count}
    if counted:
        return "errors: " + ", ".join(f"{count} {kind}" for kind, count in counted.items())
    if not requests:
        return "no request answered"
    if abs(wall_s - window_s) > window_s * TOLERANCE:
        return f"read after {wall_s:.3f} s what was counted in {window_s:.3f} s"
    return ""


def _follow(lines: IO[str], take: Callable[[], Reading]) -> tuple[str, list[Reading]]:
    """All that ``h2load`` says, with a reading at the beginning and one at the end of what it counts."""
    output, readings = [], []
    for line in lines:
        if line.startswith((_BEGIN, _END)):
            readings.append(take())
        output.append(line)
    return "".join(output), readings


def run_burst(server: ServerProcess, workload: Workload, port: int, load: Load) -> Burst:
    """Load ``server`` once.  A fault of the server is in ``Burst.fault``; ``LoadFailed`` is the generator's own."""
    with tempfile.NamedTemporaryFile(prefix="bench-") as body:
        body.write(build_body(workload))
        body.flush()
        argv = command(workload, port, load, str(Path(body.name)))
        members = server.members()
        with started(argv, load.niceness) as generator:
            assert generator.stdout is not None
            limit = Timer(load.warmup_s + workload.connections * CONNECT_S + load.window_s + GRACE_S, generator.kill)
            limit.start()
            try:
                output, readings = _follow(generator.stdout, lambda: take_reading(members, generator.pid, lambda: 0))
            except OSError as error:
                return failed(f"a process ended during the burst ({error})")
            finally:
                limit.cancel()
    if len(readings) != 2:
        return failed(f"h2load did not come to its end: {output.strip()[-200:]!r}")
    lost = set(members) ^ set(server.members())
    requests, errors, latency_us = parse_summary(output)
    first, last = readings
    # The second reading is some milliseconds late where the machine is busy: as many requests more, at the same rate.
    answered = round(requests * (last.wall_s - first.wall_s) / load.window_s)
    burst = span(first, replace(last, requests=answered), "a process came or went during the burst" if lost else "")
    return complete(burst, latency_us, errors, find_fault(requests, errors, burst.wall_s, load.window_s))

"""Bursts of HTTP/3 by ``h3load``, the C program beside this module, which is compiled at its first use.

It counts what is answered in eight bytes of a file that both processes have mapped, as ``wsload`` does.  Tests use it
too, for what it says of every single request: ``Plan`` and ``run_plan``.
"""

import json
import mmap
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bench.macro import compilation
from bench.macro.load import GRACE_S, Burst, Load, LoadFailed, complete, failed, measure, started, wait_end, wait_warm
from bench.macro.process import ServerProcess
from bench.macro.workload import Workload, build_body

LIBRARIES = ("ngtcp2_crypto_gnutls", "ngtcp2", "nghttp3", "gnutls")
HEADERS = ("ngtcp2/ngtcp2_crypto_gnutls.h", "nghttp3/nghttp3.h", "gnutls/gnutls.h")
HOWTO = "no ngtcp2 0.12 with GnuTLS (Debian: apt install libngtcp2-dev libngtcp2-crypto-gnutls-dev libnghttp3-dev)"
#: What a request can come to that is no answer.
FAILURES = ("wrong", "reset", "lost", "failed")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask of one server, as the options of ``h3load`` say it; 0 is no limit, but for ``seconds``.

    ``renewal`` is after how many requests a connection gives way to a new one; ``length`` of ``None`` is any.
    """

    port: int
    path: str = "/"
    connections: int = 1
    streams: int = 1
    requests: int = 0
    seconds: float = 60.0
    renewal: int = 0
    status: int = 200
    length: int | None = None
    fields: tuple[tuple[str, str], ...] = ()
    in_kib: bool = False
    version: str = ""
    host: str = "127.0.0.1"


@cache
def find_missing() -> str:
    """Why there can be no burst on this machine, or an empty string."""
    if compilation.find_missing():
        return compilation.HOWTO
    found = " && ".join(f"__has_include(<{header}>)" for header in HEADERS)
    return HOWTO if compilation.find_missing(found) else ""


@cache
def build_program() -> Path:
    """The program; ``LoadFailed`` with what ``cc`` says."""
    return compilation.build_program("h3load", LIBRARIES)


def command(plan: Plan, body: Path | None = None, counter: Path | None = None) -> list[str]:
    """The argument vector of ``h3load``; ``body`` is a file to post, ``counter`` one in which the count grows."""
    argv = [str(build_program()), "-c", str(plan.connections), "-m", str(plan.streams), "-t", str(plan.seconds)]
    argv += ["-s", str(plan.status)]
    argv += [] if plan.length is None else ["-l", str(plan.length)]
    argv += ["-n", str(plan.requests)] if plan.requests else []
    argv += ["-r", str(plan.renewal)] if plan.renewal else []
    argv += ["-V", plan.version] if plan.version else []
    argv += ["-k"] if plan.in_kib else []
    argv += ["-b", str(body)] if body else []
    argv += ["-f", str(counter)] if counter else []
    for name, value in plan.fields:
        argv += ["-H", f"{name}: {value}"]
    return [*argv, plan.host, str(plan.port), plan.path]


def parse_summary(output: str) -> dict[str, Any]:
    """What the program printed: figures, or an ``error`` alone; ``LoadFailed`` where it is neither."""
    try:
        summary: dict[str, Any] = json.loads(output)
    except ValueError:
        raise LoadFailed(f"no summary from h3load: {output.strip()[-200:]!r}") from None
    return summary


def run_plan(plan: Plan, body: Path | None = None) -> dict[str, Any]:
    """All of ``plan`` from beginning to end: the summary.  ``LoadFailed`` where it hangs."""
    argv = command(plan, body)
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=plan.seconds + GRACE_S, check=False)
    except subprocess.TimeoutExpired:
        raise LoadFailed("h3load did not stop") from None
    return parse_summary(done.stdout)


def make_plan(workload: Workload, port: int, load: Load) -> Plan:
    """``workload`` until it is interrupted."""
    expected = workload.post_bytes if workload.answer is None else len(workload.answer)
    return Plan(
        port,
        workload.path,
        workload.connections or load.connections,
        workload.streams,
        seconds=load.warmup_s + load.window_s + GRACE_S,
        renewal=int(workload.renewed),
        length=expected,
        fields=workload.fields,
        in_kib=workload.in_kib,
    )


def find_fault(summary: Mapping[str, Any]) -> str:
    """Why a burst does not count, or an empty string."""
    counted = [f"{summary[kind]} {kind}" for kind in FAILURES if summary[kind]]
    if counted:
        return "errors: " + ", ".join(counted)
    return "" if summary["bytes"] else "no request answered"


def run_burst(server: ServerProcess, workload: Workload, port: int, load: Load) -> Burst:
    """Load ``server`` once.  A fault of the server is in ``Burst.fault``; ``LoadFailed`` is the generator's own."""
    plan = make_plan(workload, port, load)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        body, counter = Path(name, "body"), Path(name, "count")
        body.write_bytes(build_body(workload))
        counter.write_bytes(bytes(8))
        argv = command(plan, body if workload.post_bytes else None, counter)
        with (
            counter.open("rb") as file,
            mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ) as shared,
            started(argv, load.niceness) as generator,
        ):
            wait_warm(generator, lambda: _read(shared), plan.connections, load.warmup_s)
            burst = measure(server, generator, lambda: _read(shared), load.window_s)
            wait_end(generator)
            summary = parse_summary(generator.communicate()[0])
    if "error" in summary:
        return failed(str(summary["error"]))
    fault = find_fault(summary) or ("" if burst.requests > 0 else "no request answered")
    return complete(burst, summary["latency_us"], {kind: summary[kind] for kind in FAILURES}, fault)


def _read(shared: mmap.mmap) -> int:
    return int.from_bytes(shared[:8], "little")

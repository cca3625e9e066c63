"""Bursts of WebSocket messages by ``wsload``, the C program beside this module, which is compiled at its first use.

It counts what comes back in eight bytes of a file that both processes have mapped, so a reading of the server and of
the count is one, as with ``wrk``.
"""

import json
import mmap
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from bench.macro import compilation
from bench.macro.load import GRACE_S, Burst, Load, LoadFailed, complete, failed, measure, started, wait_end, wait_warm
from bench.macro.process import ServerProcess
from bench.macro.workload import Workload, build_body, deflate

_TEXT, _BINARY = 1, 2


def find_missing() -> str:
    """Why there can be no burst on this machine, or an empty string."""
    return compilation.find_missing()


@cache
def build_program() -> Path:
    """The program; ``LoadFailed`` with what ``cc`` says."""
    return compilation.build_program("wsload")


def command(program: Path, workload: Workload, port: int, load: Load, files: tuple[Path, Path]) -> list[str]:
    """The argument vector for one burst; ``files`` are the message and the counter."""
    words = (
        port,
        workload.path,
        workload.connections or load.connections,
        workload.streams,
        _TEXT if workload.text else _BINARY,
        int(workload.deflated),
        load.warmup_s + load.window_s + GRACE_S,
        *files,
    )
    return [str(program), *map(str, words)]


def parse_summary(output: str) -> dict[str, Any]:
    """What the program printed: figures, or an ``error`` alone; ``LoadFailed`` where it is neither."""
    try:
        summary: dict[str, Any] = json.loads(output)
    except ValueError:
        raise LoadFailed(f"no summary from wsload: {output.strip()[-200:]!r}") from None
    return summary


def run_burst(server: ServerProcess, workload: Workload, port: int, load: Load) -> Burst:
    """Load ``server`` once.  A fault of the server is in ``Burst.fault``; ``LoadFailed`` is the generator's own."""
    program = build_program()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        payload, counter = Path(name, "message"), Path(name, "count")
        message = build_body(workload)
        payload.write_bytes(deflate(message) if workload.deflated else message)
        counter.write_bytes(bytes(8))
        with counter.open("rb") as file, mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ) as shared:
            argv = command(program, workload, port, load, (payload, counter))
            with started(argv, load.niceness) as generator:
                connections = workload.connections or load.connections
                wait_warm(generator, lambda: _read(shared), connections, load.warmup_s)
                burst = measure(server, generator, lambda: _read(shared), load.window_s)
                wait_end(generator)
                summary = parse_summary(generator.communicate()[0])
    if "error" in summary:
        return failed(str(summary["error"]))
    return complete(burst, summary["latency_us"], {}, "" if burst.requests > 0 else "no message came back")


def _read(shared: mmap.mmap) -> int:
    return int.from_bytes(shared[:8], "little")

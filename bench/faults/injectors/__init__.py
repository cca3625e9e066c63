"""The faults, each with its criteria: FI-1 and so on of ``docs/threats.md``."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.faults.injectors import (
    applications,
    certificates,
    clocks,
    crashes,
    exhaustion,
    logs,
    peers,
    recycling,
    reloads,
    stops,
)
from bench.faults.rig import Rig


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table."""

    name: str
    title: str
    run: Callable[[Rig], Awaitable[None]]


_TABLE = (
    Fault("FI-1", "a worker is killed", crashes.kill_workers),
    Fault("FI-2", "a worker crashes", crashes.crash_workers),
    Fault("FI-3", "SIGTERM under load", stops.stop_under_load),
    Fault("FI-4", "SIGTERM, clients that connect and ask 200 ms later", stops.stop_with_late_clients),
    Fault("FI-5", "SIGTERM with a request that hangs", stops.stop_with_hanging_request),
    Fault("FI-6", "a second signal", stops.stop_twice),
    Fault("FI-7", "SIGHUP under load", reloads.reload_under_load),
    Fault("FI-8", "workers are recycled", recycling.recycle_under_load),
    Fault("FI-9", "the main process is killed", crashes.kill_main),
    Fault("FI-10", "no file descriptors are left", exhaustion.run_out_of_files),
    Fault("FI-11", "accept fails", exhaustion.fail_accepts),
    Fault("FI-14", "clients reset", peers.reset_clients),
    Fault("FI-15", "clients break off", peers.break_off),
    Fault("FI-16", "logs cannot be written", logs.obstruct_logs),
    Fault("FI-17", "the application raises", applications.raise_everywhere),
    Fault("FI-18", "the application hangs", applications.hang_everywhere),
    Fault("FI-24", "the clock jumps", clocks.jump_clock),
    Fault("FI-25", "everything is suspended for a while", clocks.suspend),
    Fault("FI-26", "certificates change under load", certificates.rotate),
)

FAULTS: dict[str, Fault] = {fault.name: fault for fault in _TABLE}


def choose_faults(names: str) -> list[Fault]:
    """Those of a list with commas, ``all`` for every one.  Raises ``ValueError``."""
    if names == "all":
        return list(_TABLE)
    wanted = [name if name.startswith("FI-") else f"FI-{name}" for name in names.upper().split(",")]
    unknown = [name for name in wanted if name not in FAULTS]
    if unknown:
        raise ValueError(f"no fault {unknown[0]!r}; there are {', '.join(FAULTS)}")
    return [FAULTS[name] for name in wanted]

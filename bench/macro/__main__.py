"""``python -m bench.macro``: the command line of the macro benchmark."""

import argparse
import json
import os
import platform
import shlex
import signal
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path
from typing import Any

from bench.macro import h2load, h3load, wsload
from bench.macro.contest import Contest
from bench.macro.load import Load, LoadFailed
from bench.macro.memory import SPARE_FILES, build_memory, measure_all, raise_file_limit, render_memory
from bench.macro.process import ROOT
from bench.macro.report import build_results, render
from bench.macro.server import SERVERS, Server, parse_server
from bench.macro.workload import WORKLOADS, Wire, choose_workloads

RESULTS = ROOT / "bench" / "results"


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def build_parser() -> argparse.ArgumentParser:
    """The options; ``--help`` is their reference."""
    parser = argparse.ArgumentParser(prog="python -m bench.macro", description=__doc__.partition(":")[2].strip())
    add = parser.add_argument
    usual = [server.name for server in SERVERS.values() if not server.variant]
    add("--servers", type=_names, default=usual, help=f"of {','.join(SERVERS)} ({','.join(usual)})")
    add(
        "--server",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="another server, or another command for one of the table, with {port} and perhaps {python} and {dir}; "
        "repeat it to set several builds side by side",
    )
    wires = ", ".join(f"{wire.value} ({wire.title})" for wire in Wire)
    add("--workloads", type=_names, default=["h1"], help=f"all of {wires}, or 'all', or of {','.join(WORKLOADS)} (h1)")
    add("--rounds", type=int, default=15, help="bursts for each server and workload (15)")
    add("--seconds", type=float, default=0.5, help="length of a burst's window (0.5)")
    add("--warmup", type=float, default=0.15, help="seconds of load before the window opens (0.15)")
    add("--connections", type=int, default=None, help="open connections, HTTP/1.1 (64; 10000 with --memory)")
    references = ["nginx", "uvicorn", "hypercorn"]
    add("--reference", type=_names, default=references, help=f"servers to give ratios to ({','.join(references)})")
    add("--python", default=sys.executable, help="interpreter of the Python servers (this one)")
    add("--server-cpu", type=int, default=None, help="core of the servers (the first that may be used)")
    add("--load-cpu", type=int, default=None, help="core of the load generator (the last that may be used)")
    add("--nice", type=int, default=0, help="niceness of servers and load generator; below 0 needs root (0)")
    add("--memory", action="store_true", help="measure memory per idle connection instead of time per request")
    add("--json", type=Path, default=None, help="where the figures go (bench/results/<time>.json)")
    return parser


def choose_servers(names: Sequence[str], commands: Sequence[str]) -> list[Server]:
    """The rows to run, in order: ``names`` of the table, then each of ``commands`` that the table does not name.

    Raises ``ValueError`` for a name that is not in the table or a command that ``parse_server`` refuses.
    """
    unknown = [name for name in names if name not in SERVERS]
    if unknown:
        raise ValueError(f"no server called {', '.join(unknown)}; there are {', '.join(SERVERS)}")
    chosen = {name: SERVERS[name] for name in names}
    for command in commands:
        server = parse_server(command)
        chosen[server.name] = server
    return list(chosen.values())


def describe_machine(server_cpu: int, load_cpu: int) -> dict[str, Any]:
    """What the figures were taken on."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "server_cpu": server_cpu,
        "load_cpu": load_cpu,
        "kernel": platform.release(),
        "load_average": os.getloadavg(),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def say(line: str) -> None:
    """Progress, beside the report on the standard output."""
    print(line, file=sys.stderr, flush=True)


def describe(contests: Sequence[Contest]) -> dict[str, Any]:
    """What took part, by name: version, command line by wire, and by wire why it did not take part."""
    servers: dict[str, Any] = {}
    for contest in contests:
        for one in contest.contestants:
            name, wire = one.server.name, contest.wire
            if name not in servers:
                servers[name] = {"version": one.version(), "argv": {}, "absent": {}}
            facts = servers[name]
            if wire in one.server.wires:
                facts["argv"][wire.value] = one.argv
            if name in contest.absent:
                facts["absent"][wire.value] = contest.absent[name]
    return servers


def find_missing(wire: Wire) -> str:
    """Why nothing can be measured on ``wire`` with what this machine has, or an empty string."""
    if wire in (Wire.H2C, Wire.H2):
        return h2load.find_missing()
    if wire is Wire.H3:
        return h3load.find_missing()
    return wsload.find_missing() if wire is Wire.WS else ""


def run(options: argparse.Namespace, servers: Sequence[Server], server_cpu: int, load_cpu: int) -> dict[str, Any]:
    """Measure, print the tables and give back the JSON document."""
    connections = options.connections or (10_000 if options.memory else 64)
    document: dict[str, Any] = {"machine": describe_machine(server_cpu, load_cpu), "command": shlex.join(sys.argv[1:])}
    contests: list[Contest] = []
    texts: list[str] = []

    def enter(wire: Wire) -> Contest:
        contests.append(Contest(servers, options.python, server_cpu, say, options.nice, wire))
        return contests[-1]

    if options.memory:
        with enter(Wire.H1) as contest:
            growths = measure_all(contest, connections)
        document["memory"] = {"connections": connections, "servers": build_memory(growths)}
        texts.append(render_memory(growths, options.reference, contest.absent))
    else:
        load = Load(connections, options.warmup, options.seconds, options.nice)
        document["load"] = {"connections": connections, "rounds": options.rounds, "seconds": options.seconds}
        document["workloads"] = {}
        for wire, workloads in groupby(choose_workloads(options.workloads), lambda workload: workload.wire):
            text = find_missing(wire)
            if text:
                say(f"{wire.title} is skipped: {text}")
            else:
                with enter(wire) as contest:
                    outcomes = contest.run(list(workloads), options.rounds, load)
                document["workloads"] |= build_results(outcomes, options.reference)
                text = render(outcomes, options.reference, contest.absent, wire.unit)
            texts.append(f"== {wire.title} ==\n\n{text}")
    document["servers"] = describe(contests)
    for name, facts in document["servers"].items():
        for argv in facts["argv"].values():
            print(f"{name}: {facts['version'] or 'version unknown'}: {shlex.join(argv)}")
    print("", *texts, sep="\n\n")
    return document


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, 2 for a wrong option, 3 where nothing could be measured."""
    parser = build_parser()
    options = parser.parse_args(argv)
    try:
        servers = choose_servers(options.servers, options.server)
        choose_workloads(options.workloads)
    except ValueError as error:
        parser.error(str(error))
    if options.memory and raise_file_limit() < (options.connections or 10_000) + SPARE_FILES:
        parser.error("the hard limit of open files is too low for so many connections")
    cpus = sorted(os.sched_getaffinity(0))
    server_cpu = cpus[0] if options.server_cpu is None else options.server_cpu
    load_cpu = cpus[-1] if options.load_cpu is None else options.load_cpu
    if server_cpu == load_cpu:
        say("only one core: servers and load generator share it, so the figures are not worth much")
    os.sched_setaffinity(0, {load_cpu})
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that no server is left behind
    try:
        document = run(options, servers, server_cpu, load_cpu)
    except LoadFailed as error:
        say(str(error))
        return 3
    path: Path = options.json or RESULTS / f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nfigures in {path}")
    return 0 if any(document.get("workloads", {}).values()) or "memory" in document else 3


if __name__ == "__main__":
    sys.exit(main())

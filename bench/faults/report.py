"""The results as JSON and as a table."""

import os
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.faults.injectors import FAULTS
from bench.faults.server import SERVERS
from bench.faults.verdict import Verdict, Word


def find_version(server: str) -> str:
    """Of what is installed, or an empty string."""
    try:
        return version(SERVERS[server].distribution)
    except PackageNotFoundError:
        return ""


def describe_run(command: str, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The JSON document of a run."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "",
    )
    return {
        "command": command,
        "machine": {
            "cpu": model,
            "cpus": os.cpu_count(),
            "kernel": platform.release(),
            "python": platform.python_version(),
        },
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {name: find_version(name) for name in dict.fromkeys(verdict.server for verdict in verdicts)},
        "verdicts": [verdict.as_dict() for verdict in verdicts],
    }


def tell(verdict: dict[str, Any]) -> str:
    """One cell: the word, and in few words why."""
    word, brief = verdict["verdict"], verdict["brief"]
    if word == Word.PASS.value:
        return "pass"
    return f"**fails**: {brief}" if word == Word.FAIL.value else f"{word}: {brief}" if brief else word


def render(document: dict[str, Any]) -> str:
    """A Markdown table, a fault a row, a server a column."""
    verdicts = {(verdict["fault"], verdict["server"]): verdict for verdict in document["verdicts"]}
    servers = list(document["versions"])
    lines = ["| | fault | " + " | ".join(f"{name} {document['versions'][name]}" for name in servers) + " |"]
    lines.append("| --- " * (len(servers) + 2) + "|")
    for name, fault in FAULTS.items():
        cells = [tell(verdicts[name, server]) if (name, server) in verdicts else "" for server in servers]
        if any(cells):
            lines.append(f"| {name} | {fault.title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """A document with the verdicts of both; of those on the same server and fault the newer."""
    verdicts = {(verdict["fault"], verdict["server"]): verdict for verdict in (*old["verdicts"], *new["verdicts"])}
    return {**new, "versions": {**old["versions"], **new["versions"]}, "verdicts": list(verdicts.values())}

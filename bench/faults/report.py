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
from fastserver.version import VERSION

#: A pass over fewer requests says nothing about their number.
COUNTED = 100
#: Where the table stands in ``docs/reliability.md``.
BEGIN, END = "<!-- table -->", "<!-- end of table -->"


def find_version(server: str) -> str:
    """Of what is installed, for this server of this checkout, or an empty string."""
    if SERVERS[server].distribution == "fastserver":
        return VERSION
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
    """One cell: the word, and in few words why, or of how many requests none has failed."""
    word, brief = verdict["verdict"], verdict["brief"]
    if word == Word.PASS.value:
        requests = verdict["figures"].get("requests", 0)
        return f"0 of {requests:,}" if requests >= COUNTED else "pass"
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


def place(text: str, table: str) -> str:
    """``text`` with ``table`` in the place of what stands between the two marks; ``ValueError`` where they are not."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("no marks for the table")
    return f"{before}{begin}\n{table}\n{end}{after}"


def describe_machine(document: dict[str, Any]) -> str:
    """One line above the table."""
    machine, versions = document["machine"], document["versions"]
    names = ", ".join(f"{name} {version}".strip() for name, version in versions.items())
    return (
        f"{machine['cpu']}, {machine['cpus']} cores, Linux {machine['kernel'].partition('-')[0]}, "
        f"CPython {machine['python']}; {names}; {document['time'][:10]}, `make faults ARGS='{document['command']}'`."
    )


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """A document with the verdicts of both; of those on the same server and fault the newer."""
    verdicts = {(verdict["fault"], verdict["server"]): verdict for verdict in (*old["verdicts"], *new["verdicts"])}
    return {**new, "versions": {**old["versions"], **new["versions"]}, "verdicts": list(verdicts.values())}

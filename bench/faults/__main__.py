"""``python -m bench.faults``: break servers, and tell what their clients saw of it.  Linux only."""

import argparse
import asyncio
import json
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.faults.injectors import FAULTS, Fault, choose_faults
from bench.faults.report import describe_machine, describe_run, merge, place, render
from bench.faults.rig import NotStarted, Rig, find_faketime, scratch
from bench.faults.server import SERVERS, Lacking, Server, choose_servers
from bench.faults.verdict import Skip, Verdict, Word

RESULTS = Path(__file__).resolve().parents[1] / "results"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
#: One fault on one server may take so long; a server that hangs must not hold up the others.
FAULT_S = 420.0
CYCLES, QUICK_CYCLES = 20, 2


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument(
        "--servers", default="fastserver", help=f"with commas, of {', '.join(SERVERS)}; or all (default: fastserver)"
    )
    parser.add_argument("--faults", default="all", help=f"with commas, of {', '.join(FAULTS)} (default: all)")
    parser.add_argument(
        "--cycles", type=int, help=f"of kills, stops and reloads (default: {CYCLES}, quick {QUICK_CYCLES})"
    )
    parser.add_argument("--quick", action="store_true", help="few cycles and short waits: a look, and no proof")
    parser.add_argument("--scale", type=float, default=1.0, help="how many lanes the load has, 1 is 30 (default: 1)")
    parser.add_argument("--json", type=Path, help="where the figures go (default: bench/results/faults-TIME.json)")
    parser.add_argument(
        "--resume", type=Path, help="a file of figures: what is in it is not run again, and is in the report"
    )
    parser.add_argument("--apart", action="store_true", help="never cleartext and TLS in one server, even where it can")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    parser.add_argument("--keep", action="store_true", help="keep logs and certificates of each server, and say where")
    return parser


def say(text: str) -> None:
    """Progress, beside the report on the standard output."""
    print(text, file=sys.stderr, flush=True)


async def try_fault(fault: Fault, server: Server, options: argparse.Namespace, directory: Path) -> Verdict:
    """The verdict on one server under one fault, whatever comes."""
    verdict = Verdict(fault.name, server.name)
    rig = Rig(
        server,
        directory,
        verdict,
        cycles=options.cycles or (QUICK_CYCLES if options.quick else CYCLES),
        quick=options.quick,
        scale=options.scale,
        apart=options.apart,
        faketime=find_faketime(),
        say=lambda text: say(f"  {text}"),
    )
    began = time.monotonic()
    try:
        await asyncio.wait_for(fault.run(rig), FAULT_S)
    except Lacking as error:
        verdict.lack(str(error))
    except Skip as error:
        verdict.word, verdict.brief = Word.SKIPPED, str(error)
    except NotStarted as error:
        verdict.check(False, f"it does not start: {error}", "does not start")
    except asyncio.TimeoutError:
        verdict.check(False, f"not done after {FAULT_S:.0f} s", "hangs")
    except Exception as error:
        verdict.word, verdict.brief = Word.ERROR, f"{type(error).__name__}: {error}"
        verdict.reasons.append(traceback.format_exc())
    verdict.seconds = time.monotonic() - began
    return verdict


def run(options: argparse.Namespace, servers: Sequence[Server], faults: Sequence[Fault]) -> list[Verdict]:
    """All verdicts, each as soon as it is there in the file of figures."""
    verdicts: list[Verdict] = []
    done = {(verdict["fault"], verdict["server"]) for verdict in options.before.get("verdicts", ())}
    for server in servers:
        if find_spec(server.module) is None:
            say(f"{server.name} is not installed (pip install -r bench/requirements.txt)")
            continue
        for fault in faults:
            if (fault.name, server.name) in done:
                continue
            say(f"{fault.name} {server.name}: {fault.title}")
            with scratch(options.keep) as directory:
                verdict = asyncio.run(try_fault(fault, server, options, directory))
                if options.keep:
                    say(f"  kept: {directory}")
            verdicts.append(verdict)
            _tell(verdict)
            _write(options, verdicts)
    return verdicts


def _tell(verdict: Verdict) -> None:
    figures = ", ".join(f"{name}: {value}" for name, value in verdict.figures.items())
    brief = f" ({verdict.brief})" if verdict.brief else ""
    say(f"  {verdict.word.value}{brief} in {verdict.seconds:.0f} s; {figures}")
    for reason in verdict.reasons:
        say(f"  - {reason}")
    for line in verdict.evidence[:6]:
        say(f"    . {line}")


def _write(options: argparse.Namespace, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    document = describe_run(options.command, verdicts)
    if options.before:
        document = merge(options.before, document)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(document, indent=1) + "\n")
    return document


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 where this server has passed, 1 where it has not, 2 for a wrong option, 3 where nothing was run."""
    parser = build_parser()
    options = parser.parse_args(argv)
    if not sys.platform.startswith("linux"):
        parser.error("it needs Linux: /proc, and Linux's signals and sockets")
    try:
        servers, faults = choose_servers(options.servers), choose_faults(options.faults)
    except ValueError as error:
        parser.error(str(error))
    options.command = shlex.join(sys.argv[1:] if argv is None else argv)
    resumed = options.resume is not None and options.resume.exists()
    options.before = json.loads(options.resume.read_text()) if resumed else {}
    if options.json is None:
        options.json = options.resume or RESULTS / f"faults-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}.json"
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that no server is left behind
    verdicts = run(options, servers, faults)
    document = _write(options, verdicts)
    print(render(document))
    if options.write:
        text = PAGE.read_text()
        PAGE.write_text(place(text, f"{describe_machine(document)}\n\n{render(document)}"))
    print(f"\nfigures in {options.json}")
    if not verdicts:
        return 3
    bad = {Word.FAIL, Word.ERROR}
    return 1 if any(verdict.word in bad and verdict.server.startswith("fastserver") for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())

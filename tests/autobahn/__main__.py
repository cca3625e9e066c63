"""``python -m tests.autobahn``: start a server, run the suite against it, judge the report.

Exit code 0 where every case is OK or INFORMATIONAL, 1 where one is not, 2 for a wrong option, 3 where nothing could be
run.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from bench.macro.__main__ import choose_servers
from bench.macro.contest import Contestant, Unavailable
from bench.macro.process import ROOT
from bench.macro.server import SERVERS, Server
from bench.macro.workload import Wire
from tests.autobahn import suite
from tests.autobahn.verdict import count_verdicts, find_faults, parse_index, render, write

DOCUMENT = ROOT / "docs" / "conformance.md"


def build_parser() -> argparse.ArgumentParser:
    """The options; ``--help`` is their reference."""
    parser = argparse.ArgumentParser(prog="python -m tests.autobahn", description="Run the Autobahn test suite.")
    add = parser.add_argument
    known = ",".join(name for name, server in SERVERS.items() if Wire.WS in server.wires)
    add(
        "--server",
        action="append",
        metavar="NAME[=COMMAND]",
        help=f"of {known}, or another command with {{port}}; may be repeated (fastserver)",
    )
    add("--cases", default="*", help="ids or patterns with commas between them, such as 1.*,6.4.1 (all)")
    add("--timeout", type=float, default=3600.0, help="seconds for the suite against one server (3600)")
    add("--python", default=sys.executable, help="interpreter of the servers (this one)")
    add("--write", action="store_true", help=f"put the summary into {DOCUMENT.relative_to(ROOT)}")
    return parser


def examine(server: Server, options: argparse.Namespace, python2: str, directory: Path) -> bool:
    """Run the suite against ``server`` and print what it says: whether all is good.

    Raises ``Unavailable`` where the server does not start, ``SuiteFailed`` where the suite does not come to its end.
    """
    contestant = Contestant(server, options.python, min(os.sched_getaffinity(0)), directory, wire=Wire.WS)
    try:
        contestant.launch()
        contestant.wait_ready()
        url = f"ws://127.0.0.1:{contestant.port}/ws"
        index, expected = suite.run(python2, server.name, url, options.cases.split(","), options.timeout)
        state = contestant.state()
    finally:
        contestant.stop()
    cases = parse_index(index.read_text("utf-8"))
    faults = find_faults(cases, expected) + ([f"the server has {state}"] if state else [])
    print(f"{server.name}: {len(cases)} cases: {count_verdicts(cases)} ({index.with_suffix('.html')})")
    for fault in faults:
        print(f"  {fault}")
    if options.write:
        facts = [
            f"{contestant.version() or server.name}, {platform.python_implementation()} {platform.python_version()}",
            f"autobahntestsuite {suite.VERSION}, {datetime.now(timezone.utc):%Y-%m-%d}",
        ]
        write(DOCUMENT, server.name, render(server.name, facts, cases, expected))
    return not faults


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code that the module's text tells."""
    parser = build_parser()
    options = parser.parse_args(argv)
    words: list[str] = options.server or ["fastserver"]
    if options.write and options.cases != "*":
        parser.error("--write is for all cases")
    try:
        servers = choose_servers([word for word in words if "=" not in word], [word for word in words if "=" in word])
    except ValueError as error:
        parser.error(str(error))
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that no server is left behind
    good = True
    try:
        python2 = suite.find_python2()
        suite.install(python2)
        with tempfile.TemporaryDirectory(prefix="autobahn-") as directory:
            for server in servers:
                good &= examine(server, options, python2, Path(directory))
    except (Unavailable, suite.SuiteFailed) as error:
        print(error, file=sys.stderr)
        return 3
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""``python -m bench.micro``: the command line of the micro benchmarks."""

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

from bench.macro.report import render_table
from bench.micro import datagrams, events, exchange, frames, h3, hpack, kernels, qpack, websocket
from bench.micro.rooms import open_rooms
from bench.micro.timing import REPEATS, Effort, Row

SUITES = {
    "events": events.measure,
    "kernels": kernels.measure,
    "hpack": hpack.measure,
    "qpack": qpack.measure,
    "frames": frames.measure,
    "websocket": websocket.measure,
    "exchange": exchange.measure,
    "datagrams": datagrams.measure,
    "h3": h3.measure,
}
if find_spec("aioquic") is not None:
    from bench.micro import dispatch, quic

    SUITES["dispatch"] = dispatch.measure
    SUITES["quic"] = quic.measure


def render(title: str, rows: Sequence[Row]) -> str:
    """One suite as a table of nanoseconds; with several variants a column divides the last by the first."""
    variants = list(dict.fromkeys(variant for row in rows for variant in row.ns))
    lines = []
    for row in rows:
        cells = [f"{row.ns[variant]:,.0f}" if variant in row.ns else "-" for variant in variants]
        if len(variants) > 1:
            first, last = row.ns.get(variants[0]), row.ns.get(variants[-1])
            cells.append(f"{last / first:.1f}x" if first and last else "-")
        lines.append([row.name, *cells])
    quotient = [f"{variants[-1]}/{variants[0]}"] if len(variants) > 1 else []
    return render_table([f"{title}, ns", *variants, *quotient], lines)


def build_parser() -> argparse.ArgumentParser:
    """The options; ``--help`` is their reference."""
    parser = argparse.ArgumentParser(prog="python -m bench.micro", description="Time single functions in memory.")
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"{', '.join(SUITES)} (all)")
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"repeats, the least counts ({REPEATS})")
    parser.add_argument("--json", type=Path, default=None, help="also write the figures there")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, 2 for a wrong option."""
    parser = build_parser()
    options = parser.parse_args(argv)
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        parser.error(f"no suite called {', '.join(unknown)}; there are {', '.join(SUITES)}")
    rooms = open_rooms()
    print(f"{platform.python_implementation()} {platform.python_version()}; {', '.join(room.name for room in rooms)}")
    document = {}
    for name in options.suites or SUITES:
        rows = SUITES[name](rooms, Effort(repeats=options.repeats))
        document[name] = [asdict(row) for row in rows]
        print(f"\n{render(name, rows)}", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

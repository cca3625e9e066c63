"""``python -m bench [macro|micro] [options]``: one of the two benchmarks, ``macro`` where none is named."""

import sys
from collections.abc import Sequence

from bench.macro.__main__ import main as macro
from bench.micro.__main__ import main as micro

BENCHMARKS = {"macro": macro, "micro": micro}


def main(argv: Sequence[str]) -> int:
    """Run the benchmark that the first word names, with the rest as its options; its exit code."""
    if argv and argv[0] in BENCHMARKS:
        return BENCHMARKS[argv[0]](argv[1:])
    return macro(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

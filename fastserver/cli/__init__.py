"""The command line: flags out of the configuration's model, other servers' flags beside them, one line for an error.

It decides nothing that the model does not say: each argument becomes a key with the text as it was typed, and
``config.load`` makes the ``Config``.  Exit codes: 0 for a clean end, 2 for usage, 3 for a failed start (from ``run``).
"""

import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from fastserver.cli.flags import UsageError, create_parser, describe_version
from fastserver.cli.launch import Launch
from fastserver.cli.line import CommandLine, parse
from fastserver.config.errors import ConfigError
from fastserver.config.printout import render
from fastserver.errors import ExitCode

__all__ = ["CommandLine", "UsageError", "create_parser", "describe_version", "main", "parse"]

#: Words in the first place that stand for no application (which has a colon), and the module whose ``main`` takes the
#: rest of the line.  They are imported late: who serves does not need them.
COMMANDS: Final[Mapping[str, str]] = {"top": "fastserver.top", "ctl": "fastserver.ctl"}


def main(argv: Sequence[str] | None = None) -> int:
    """Do what ``argv`` (``sys.argv[1:]``) says, and come back with the exit code when the server has ended."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        return int(importlib.import_module(COMMANDS[argv[0]]).main(argv[1:]))
    try:
        return _start(Launch(argv))
    except (UsageError, ConfigError) as error:
        _tell(f"error: {error}")
        return ExitCode.USAGE
    except SystemExit as stop:  # argparse, after --help and --version
        return stop.code if isinstance(stop.code, int) else 0


def _start(launch: Launch) -> int:
    line = launch.read()
    for warning in line.loaded.warnings:
        _tell(f"warning: {warning}")
    if line.start.print_config:
        sys.stdout.write(render(line.loaded))
        if not line.start.check_config:
            return ExitCode.OK
        if not line.app:
            raise UsageError("no application is given, so none can be checked")
    launch.enter(line)
    if line.start.check_config:
        from fastserver.cli.check import check

        return check(line)
    from fastserver.processes.run import run  # late: --help and a usage error need no server

    return run(line.app, line.config, reread=launch.reread)


def _tell(text: str) -> None:
    """One line on standard error, whatever a user has typed."""
    line = "".join(character if character.isprintable() else "?" for character in text)
    print(f"fastserver: {line}", file=sys.stderr)

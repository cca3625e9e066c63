"""The command line of ``fastserver top``: arguments, the choice of how to show, one line for an error."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from fastserver.config.bind import METRICS_PORT
from fastserver.config.units import parse_duration
from fastserver.errors import ExitCode
from fastserver.top.client import Client, Unreachable, parse_client

_DEFAULT: Final = f"127.0.0.1:{METRICS_PORT}"
_SHORTEST_S: Final = 0.1
_LONGEST_S: Final = 86400.0
_STDIN: Final = 0


class _Refused(Exception):
    """The command cannot be carried out; the text is one line."""


def main(argv: Sequence[str]) -> int:
    """Show what ``argv`` (without the word ``top``) says until the user ends it; the exit code.

    0 for a clean end; 1 where ``--once`` found no server, or nobody reads the lines any more; 2 for usage, and where
    rich is not installed.
    """
    try:
        arguments = _create_parser().parse_args(argv)
        _show(arguments.url, arguments.interval, arguments.once, arguments.plain)
    except _Refused as error:
        return _complain(str(error), ExitCode.USAGE)
    except Unreachable as error:
        return _complain(f"{arguments.url}: {error}", ExitCode.FAULT)
    except KeyboardInterrupt:
        return ExitCode.OK
    except SystemExit as stop:  # argparse, after --help; rich, when the reader of the lines is gone
        return stop.code if isinstance(stop.code, int) else ExitCode.OK
    return ExitCode.OK


def _show(client: Client, interval_s: float, once: bool, plain: bool) -> None:
    try:
        from fastserver.top import screen  # late: it imports rich, an extra
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "rich":
            raise
        raise _Refused("it draws with rich, which is not installed: pip install 'fastserver[top]'") from None
    plain = plain or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb"
    console = screen.create_console(plain)
    if once:
        screen.show_once(client, interval_s, console)
    elif plain:
        screen.show_lines(client, interval_s, console)
    else:
        screen.show_screen(client, interval_s, console, _STDIN)


def _create_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fastserver top",
        description="Show a live server: start it with --metrics-bind ADDRESS, and give that address here. q ends it.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        type=_take_client,
        default=_DEFAULT,
        help=f"host:port, :port, unix:PATH or http://host:port [{_DEFAULT}]",
    )
    parser.add_argument(
        "--interval", metavar="SECONDS", type=_take_interval, default="1", help="the time between two readings [1]"
    )
    parser.add_argument("--once", action="store_true", help="show one picture, of two readings, and end")
    parser.add_argument(
        "--plain", action="store_true", help="write lines without escape codes, as is done where no terminal is"
    )
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Refused(message.removeprefix("argument "))


def _take_client(text: str) -> Client:
    try:
        return parse_client(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def _take_interval(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = 0.0
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r}: want seconds from {_SHORTEST_S:g} to a day, such as 1 or 500ms")
    return seconds


def _complain(line: str, code: ExitCode) -> ExitCode:
    print(f"fastserver top: error: {line}", file=sys.stderr)
    return code

"""The command line of ``fastserver ctl``: arguments, where the socket is, one line for an error."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

from fastserver.config.errors import ConfigError
from fastserver.config.load import load
from fastserver.config.sources.layer import Layer
from fastserver.config.units import parse_duration
from fastserver.ctl.client import Result, Unreachable, ask
from fastserver.ctl.table import render_span, render_status
from fastserver.errors import ExitCode

#: How long an answer may take that needs no waiting for workers.
TIMEOUT_S: Final = 10.0

_PATIENT: Final = frozenset({"reload", "drain"})
_NO_SOCKET: Final = (
    "it is not known where the control socket is: want --socket PATH, FASTSERVER_CONTROL_SOCKET, or control_socket in "
    "a configuration file"
)


class _Refused(Exception):
    """The command cannot be carried out; the text is one line."""


def main(argv: Sequence[str]) -> int:
    """Do what ``argv`` (without the word ``ctl``) says; the exit code.

    0 where the server has done it; 1 where it has not, or there is none; 2 for usage.
    """
    try:
        arguments = _create_parser().parse_args(argv)
        path = _find_socket(arguments.socket, arguments.config)
    except (_Refused, ConfigError) as error:
        return _complain(str(error), ExitCode.USAGE)
    except SystemExit as stop:  # argparse, after --help
        return stop.code if isinstance(stop.code, int) else ExitCode.OK
    timeout_s = arguments.timeout
    if timeout_s is None and arguments.command not in _PATIENT:
        timeout_s = TIMEOUT_S
    try:
        result = ask(path, _compose(arguments), None if arguments.json else _tell, timeout_s)
        if arguments.json:
            print(result.line)
        elif result.ok:
            print(_SHOW[arguments.command](result))
        else:
            return _complain(f"{arguments.command}: {result.error}", ExitCode.FAULT)
        sys.stdout.flush()
    except Unreachable as error:
        return _complain(f"{path}: {error}", ExitCode.FAULT)
    except KeyboardInterrupt:
        return ExitCode.FAULT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end of the process
        return ExitCode.FAULT
    return ExitCode.OK if result.ok else ExitCode.FAULT


def _find_socket(given: str | None, config: str | None) -> str:
    """Its path: as it was given, or as the server's own configuration has it in this directory."""
    if given:
        return given
    typed = {} if config is None else {"config": config}
    loaded = load(Layer(typed, {"config": "--config"}))
    if loaded.config.control_socket is None:
        raise _Refused(_NO_SOCKET)
    return os.path.join(loaded.directory, loaded.config.control_socket)


def _compose(arguments: argparse.Namespace) -> dict[str, Any]:
    request: dict[str, Any] = {"command": arguments.command}
    if arguments.command == "scale":
        request["count"] = arguments.count
    elif arguments.command == "dump" and arguments.pid is not None:
        request["pid"] = arguments.pid
    return request


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _show_status(result: Result) -> str:
    return render_status(result.data, time.time())


def _show_reload(result: Result) -> str:
    return f"reloaded in {render_span(result.data.get('took'))}: {result.data.get('text', '')}"


def _show_scale(result: Result) -> str:
    return f"workers: {result.data.get('workers', '?')}, there were {result.data.get('before', '?')}"


_SHOW: Final[Mapping[str, Callable[[Result], str]]] = {
    "status": _show_status,
    "reload": _show_reload,
    "drain": lambda result: "the server has stopped",
    "scale": _show_scale,
    "dump": lambda result: str(result.data.get("text", "")),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Refused(message.removeprefix("argument "))


def _create_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fastserver ctl",
        description="Ask or order a live server that has a --control-socket.",
        epilog="Exit codes: 0 it is done, 1 it is not, or no server answers, 2 wrong usage.",
        allow_abbrev=False,
    )
    common = _Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for each in (parser, common):
        each.add_argument("--socket", metavar="PATH", help="the control socket; without it as the configuration has it")
        each.add_argument("-c", "--config", metavar="FILE", help="the server's configuration file")
        each.add_argument("--json", action="store_true", help="print the server's answer as it comes, a line of JSON")
        each.add_argument(
            "--timeout",
            metavar="SECONDS",
            type=_take_timeout,
            help=f"how long to wait for the result [{TIMEOUT_S:g}; for reload and drain as long as it takes]",
        )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, parents=[common], allow_abbrev=False)

    add("status", "Show the server and its workers.")
    add("reload", "Replace all workers by new ones, and wait for the result.")
    add("drain", "Stop the server gracefully, and wait for its end.")
    add("scale", "Set the number of workers.").add_argument("count", metavar="N", type=_take_number)
    dump = add("dump", "Show what workers are doing: the stacks of their threads and tasks; the log gets it too.")
    dump.add_argument("pid", metavar="PID", type=_take_number, nargs="?", help="one worker; without it all")
    return parser


def _take_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: want a whole number, at least 1")
    return int(text)


def _take_timeout(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: want seconds, such as 30 or 2m")
    return seconds


def _complain(line: str, code: ExitCode) -> ExitCode:
    print(f"fastserver ctl: error: {line}", file=sys.stderr)
    return code

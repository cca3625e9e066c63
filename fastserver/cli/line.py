"""What one command line asks for, with the environment and the files that it is read with."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fastserver.cli.flags import Typed, UsageError, create_parser
from fastserver.cli.words import respell, take_app
from fastserver.config.load import Loaded, load
from fastserver.config.model import Config
from fastserver.config.sources.layer import Layer
from fastserver.config.topics.start import Start

#: gunicorn's variable with arguments.
CMD_ARGS: Final = "GUNICORN_CMD_ARGS"
#: What the application on a command line is called.
_APP: Final = "the command line"


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What was asked for: the application's spec as it was written, and everything else as it was ``loaded``."""

    app: str
    loaded: Loaded

    @property
    def config(self) -> Config:
        return self.loaded.config

    @property
    def start(self) -> Start:
        return self.loaded.start


def parse(argv: Sequence[str], environ: Mapping[str, str] | None = None, directory: str = ".") -> CommandLine:
    """What ``argv`` means over ``environ`` (``os.environ``) over a file in ``directory`` over the defaults.

    It changes nothing, and reads everything anew each time.  ``UsageError`` or ``ConfigError`` where it cannot be
    carried out; ``SystemExit`` after ``--help`` and ``--version``.
    """
    environ = os.environ if environ is None else environ
    typed, app = _read(argv)
    if app is not None:
        typed.given["app"], typed.names["app"] = app, _APP
    loaded = load(Layer(typed.given, typed.names), environ, tuple(_read_cmd_args(environ)), directory)
    if loaded.start.app is None and not loaded.start.print_config:
        raise UsageError("no application is given: want module:attribute, such as main:app")
    return CommandLine(loaded.start.app or "", loaded)


def _read(argv: Sequence[str]) -> tuple[Typed, str | None]:
    parser = create_parser()
    typed = Typed()
    _, rest = parser.parse_known_args(respell(argv), typed)
    return typed, take_app(rest, parser.flags)


def _read_cmd_args(environ: Mapping[str, str]) -> Iterator[Layer]:
    """The arguments that gunicorn would take from the environment, with a warning."""
    text = environ.get(CMD_ARGS, "").strip()
    if not text:
        return
    try:
        typed, _ = _read(shlex.split(text))
    except SystemExit:
        raise UsageError(f"{CMD_ARGS}: --help and --version are for the command line") from None
    except ValueError as error:
        raise UsageError(f"{CMD_ARGS}: {error}") from None
    names = {key: f"{CMD_ARGS}: {flag}" for key, flag in typed.names.items()}
    yield Layer(typed.given, names, warnings=(f"{CMD_ARGS} is gunicorn's, and read for now: write FASTSERVER_<KEY>",))

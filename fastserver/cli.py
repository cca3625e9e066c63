"""The command line: flags out of the configuration's model, other servers' flags beside them, one line for an error.

It decides nothing that the model does not say: each argument becomes a key with the text as it was typed, and
``config.load`` makes the ``Config``.  Exit codes: 0 for a clean end, 2 for usage, 3 for a failed start (from ``run``).
"""

import argparse
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NoReturn

from fastserver.config.aliases import DENIALS, LISTENERS, METRICS_LISTENERS, QUIC_PORT, suggest
from fastserver.config.errors import ConfigError
from fastserver.config.load import PREFIX, WEB_CONCURRENCY, load_config
from fastserver.config.model import DEFAULTS, SETTINGS, Config
from fastserver.config.rivals import RIVALS, Rival
from fastserver.config.setting import Kind, Setting, denials_of, deny, flags_of, spell_flag
from fastserver.config.units import SWITCH_WORDS
from fastserver.config.versions import KEYS, SWITCHES
from fastserver.errors import ExitCode

_EPILOG: Final = (
    f"Each setting is also read from the environment, as {PREFIX}<SETTING> (such as {PREFIX}WORKERS); a flag goes over "
    f"it. {WEB_CONCURRENCY} is the default of --workers. uvicorn's and hypercorn's flags for these settings work too. "
    "A live server is shown by: fastserver top [--help]."
)


class UsageError(Exception):
    """A command line that cannot be carried out; the text is one line for the user."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What was asked for: the application's spec as it was typed, and the configuration."""

    app: str
    config: Config


def main(argv: Sequence[str] | None = None) -> int:
    """Serve what ``argv`` (``sys.argv[1:]``) says, and come back with the exit code when the server has ended.

    The word ``top`` in the first place stands for no application (that has a colon), but for ``fastserver.top``.
    """
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] == "top":
        from fastserver import top  # late: who serves does not need it

        return top.main(argv[1:])
    try:
        line = parse(argv)
        from fastserver.processes.run import run  # late: --help and a usage error need no server

        return run(line.app, line.config)
    except (UsageError, ConfigError) as error:
        print(f"fastserver: error: {error}", file=sys.stderr)
        return ExitCode.USAGE
    except SystemExit as stop:  # argparse, after --help and --version
        return stop.code if isinstance(stop.code, int) else 0


def parse(argv: Sequence[str], environ: Mapping[str, str] | None = None) -> CommandLine:
    """The application and the configuration of a command line over ``environ`` (``os.environ``) over the defaults.

    ``UsageError`` or ``ConfigError`` where that cannot be; ``SystemExit`` after ``--help`` and ``--version``.
    """
    parser = create_parser()
    typed = _Typed()
    _, rest = parser.parse_known_args(_respell(argv), typed)
    app = _take_app(rest, parser.flags)
    return CommandLine(app, load_config(typed.given, environ, typed.names))


def describe_version() -> str:
    """The line of ``--version``."""
    from fastserver import __version__
    from fastserver._speedups import is_compiled

    build = "compiled" if is_compiled() else "pure Python"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    parts = ", ".join((f"fastserver {__version__} ({build})", python, *map(_describe_package, ("uvloop", "httptools"))))
    return f"{parts} on {platform.system()}"


def create_parser() -> "Parser":
    """The parser with a flag for every setting, alias and known setting of another server."""
    parser = Parser(
        prog="fastserver",
        usage="fastserver [options] module:attribute",
        description="Serve the ASGI or WSGI application that attribute names in module.",
        epilog=_EPILOG,
        add_help=False,
        allow_abbrev=False,
    )
    general = parser.add_argument_group("general")
    general.add_argument("-h", "--help", action="help", help="Show this text and exit.")
    general.add_argument("--version", action=_Version, nargs=0, help="Show the version and exit.")
    parser.flags.update(("-h", "--help", "--version"))
    groups: dict[str, argparse._ArgumentGroup] = {}
    for key, fact in SETTINGS.items():
        if fact.group not in groups:
            groups[fact.group] = parser.add_argument_group(fact.group)
        parser.add_setting(groups[fact.group], key, fact)
    for name in (*LISTENERS, *METRICS_LISTENERS, QUIC_PORT, *KEYS):
        parser.add_flag(parser, name, (spell_flag(name),), switch=name in SWITCHES, help=argparse.SUPPRESS)
    for name in DENIALS:
        parser.add_flag(parser, name, (spell_flag(name),), switch=True, help=argparse.SUPPRESS)
    for rival in dict.fromkeys(RIVALS.values()):
        parser.add_rival(rival)
    return parser


class Parser(argparse.ArgumentParser):
    """An argument parser that raises ``UsageError`` and keeps the list of its flags for suggestions."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(**facts)
        self.flags: set[str] = set()

    def error(self, message: str) -> NoReturn:
        raise UsageError(message.removeprefix("argument "))

    def add_flag(self, group: Any, key: str, flags: Sequence[str], **facts: Any) -> None:
        group.add_argument(*flags, action=_Option, dest=key, **facts)
        self.flags.update(flags)

    def add_setting(self, group: Any, key: str, fact: Setting) -> None:
        """The flag of a setting with its help, and a flag without help for each of its aliases."""
        is_switch = fact.kind is Kind.BOOL
        facts: dict[str, Any] = {"switch": is_switch and not fact.takes_word, "repeat": fact.repeats}
        shown = fact.render(DEFAULTS[key])
        text = (fact.help + (f" [{shown}]" if shown else "")).replace("%", "%%")
        if fact.takes_word:
            facts.update(nargs="?", metavar="yes|no")
        elif not is_switch:
            facts["metavar"] = fact.metavar or "|".join(fact.choices) or fact.kind.value
        named = [(group, flags_of(key, fact), denials_of(key, fact), text)]
        for alias in map(spell_flag, fact.aliases):
            named.append((self, (alias,), (deny(alias),) if is_switch else (), argparse.SUPPRESS))
        for where, flags, denials, help in named:
            if fact.takes_word:  # its denials take none
                self.add_flag(self, key, denials, denials=denials, switch=True, help=argparse.SUPPRESS)
                denials = ()
            self.add_flag(where, key, (*flags, *denials), denials=denials, help=help, **facts)

    def add_rival(self, rival: Rival) -> None:
        """Flags without help for a setting that only other servers have; ``aliases.translate`` judges their values."""
        names = tuple(map(spell_flag, (rival.key, *rival.aliases)))
        denials = tuple(deny(name) for name in names if rival.switch and not name.startswith("--no-"))
        flags = (*rival.flags, *names, *denials)
        self.add_flag(self, rival.key, flags, denials=denials, switch=rival.switch, help=argparse.SUPPRESS)


@dataclass
class _Typed(argparse.Namespace):
    """What was typed: by key the value (text, truth or a list of texts), and the flag that gave it."""

    given: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


class _Option(argparse.Action):
    """Puts a flag's text into ``_Typed`` as it is; a ``switch`` takes none and is true unless the flag is a denial."""

    def __init__(
        self,
        option_strings: Sequence[str],
        dest: str,
        *,
        switch: bool = False,
        repeat: bool = False,
        denials: Iterable[str] = (),
        nargs: str | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(option_strings, dest, nargs=0 if switch else nargs, default=argparse.SUPPRESS, **facts)
        self.switch = switch
        self.repeat = repeat
        self.denials = frozenset(denials)

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        assert isinstance(namespace, _Typed)
        assert option is not None
        namespace.names[self.dest] = option
        if self.switch:
            namespace.given[self.dest] = option not in self.denials
        elif self.repeat:
            namespace.given.setdefault(self.dest, []).append(values)
        else:
            namespace.given[self.dest] = values


class _Version(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        print(describe_version())
        parser.exit()


def _describe_package(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"no {name}"


#: The flags of switches that may be followed by a word, and the words of each.
_WORDED: Final[Mapping[str, frozenset[str]]] = {
    spell_flag(name): frozenset((*SWITCH_WORDS, *fact.spellings, *fact.planned, *fact.refused))
    for key, fact in SETTINGS.items()
    if fact.takes_word
    for name in (key, *fact.aliases)
}


def _respell(argv: Sequence[str]) -> list[str]:
    """``argv`` with dashes for underscores in names, and hypercorn's old ``--access-log FILE`` as ``--access-logfile``.

    To uvicorn and to this server ``--access-log`` takes no value; so a value is one only where no application could be
    meant by it: ``-``, a path without a colon, a name that ends in ``.log``.  In the same way a switch such as ``--ws``
    takes the word after it only where it is one of its own; it then has its value behind ``=``, as it always has here.
    """
    tokens: list[str] = []
    worded = False  # whether the last token is such a switch, with a value that a word may still replace
    for token in argv:
        last, worded = tokens[-1].partition("=")[0] if worded else "", False
        if last and token.lower() in _WORDED[last]:
            tokens[-1] = f"{last}={token}"
            continue
        if tokens and tokens[-1] == "--access-log" and _is_log_file(token):
            tokens[-1] = f"--access-logfile={token}"
            continue
        if token.startswith("--"):
            name, equals, value = token.partition("=")
            name = name.replace("_", "-")
            if name in _WORDED and not equals:
                worded, equals, value = True, "=", "yes"
            token = ("--access-logfile" if name == "--access-log" and equals else name) + equals + value
        tokens.append(token)
    return tokens


def _is_log_file(token: str) -> bool:
    return token == "-" or (not token.startswith("-") and ":" not in token and ("/" in token or token.endswith(".log")))


def _take_app(rest: Sequence[str], flags: Iterable[str]) -> str:
    """The one positional argument of what the parser left over."""
    for token in rest:
        if token.startswith("-") and token != "--":
            name = token.partition("=")[0]
            raise UsageError(f"there is no flag {name}{suggest(name, sorted(flags))}")
    words = [token for token in rest if token != "--"]
    if not words:
        raise UsageError("no application is given: want module:attribute, such as main:app")
    app, *others = words
    if others:
        raise UsageError(f"only one application can be served: {app!r} is given, then {others[0]!r}")
    return app

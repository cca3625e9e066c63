"""The flags of the command line, out of the model: every setting, its aliases, and what other servers have.

Each argument becomes a key with the text as it was typed; what it means is for ``config`` to say.
"""

import argparse
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NoReturn

from fastserver.config.aliases import DENIALS, LISTENERS, METRICS_LISTENERS, QUIC_PORT
from fastserver.config.dialect import CONVERSIONS
from fastserver.config.model import DEFAULTS, SETTINGS
from fastserver.config.rivals import RIVALS, Rival
from fastserver.config.setting import Kind, Setting, denials_of, deny, flags_of, spell_flag
from fastserver.config.sources.environment import PREFIX, WEB_CONCURRENCY
from fastserver.config.topics.start import NO_FLAG, START
from fastserver.config.versions import KEYS, SWITCHES

_EPILOG: Final = (
    "Each setting is also a key of fastserver.toml, or of [tool.fastserver] in pyproject.toml, and a variable of the "
    f"environment, {PREFIX}<SETTING> (such as {PREFIX}WORKERS): a flag goes over the environment, the environment over "
    f"the file. {WEB_CONCURRENCY} is the default of --workers. The flags of uvicorn, hypercorn and gunicorn work too, "
    "or are answered with what to write. A live server is shown by: fastserver top [--help], and takes orders from: "
    "fastserver ctl [--help]."
)


class UsageError(ValueError):
    """A command line that cannot be carried out; the text is one line for the user."""


@dataclass
class Typed(argparse.Namespace):
    """What was typed: by key the value (text, truth or a list of texts), and the flag that gave it."""

    given: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


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
    general.add_argument("-v", "--version", action=_Version, nargs=0, help="Show the version and exit.")
    parser.flags.update(("-h", "--help", "-v", "--version"))
    for key, fact in START.items():
        if key not in NO_FLAG:
            parser.add_setting(general, key, fact)
    groups: dict[str, argparse._ArgumentGroup] = {}
    for key, fact in SETTINGS.items():
        if fact.group not in groups:
            groups[fact.group] = parser.add_argument_group(fact.group)
        parser.add_setting(groups[fact.group], key, fact)
    for name in (*LISTENERS, *METRICS_LISTENERS, QUIC_PORT, *KEYS):
        parser.add_flag(parser, name, (spell_flag(name),), switch=name in SWITCHES, help=argparse.SUPPRESS)
    for name in DENIALS:
        flag = spell_flag(name)
        denials = () if name.startswith("no_") else (deny(flag),)
        parser.add_flag(parser, name, (flag, *denials), denials=denials, switch=True, help=argparse.SUPPRESS)
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
        shown = fact.render(DEFAULTS[key]) if key in DEFAULTS else ""
        text = (fact.help + (f" [{shown}]" if shown else "")).replace("%", "%%")
        if fact.takes_word:
            facts.update(nargs="?", metavar="yes|no")
        elif not is_switch:
            facts["metavar"] = fact.metavar or "|".join(fact.choices) or fact.kind.value
        named = [(group, key, flags_of(key, fact), denials_of(key, fact), text)]
        for alias in fact.aliases:
            flag, dest = spell_flag(alias), alias if alias in CONVERSIONS else key
            named.append((self, dest, (flag,), (deny(flag),) if is_switch else (), argparse.SUPPRESS))
        for where, dest, flags, denials, help in named:
            if fact.takes_word:  # its denials take none
                self.add_flag(self, dest, denials, denials=denials, switch=True, help=argparse.SUPPRESS)
                denials = ()
            self.add_flag(where, dest, (*flags, *denials), denials=denials, help=help, **facts)

    def add_rival(self, rival: Rival) -> None:
        """Flags without help for a setting that only other servers have; ``aliases.translate`` judges their values."""
        names = tuple(map(spell_flag, (rival.key, *rival.aliases)))
        denials = tuple(deny(name) for name in names if rival.switch and not name.startswith("--no-"))
        flags = (*rival.flags, *names, *denials)
        facts: dict[str, Any] = {"nargs": "?", "const": "yes"} if rival.bare else {}
        self.add_flag(self, rival.key, flags, denials=denials, switch=rival.switch, help=argparse.SUPPRESS, **facts)


class _Option(argparse.Action):
    """Puts a flag's text into ``Typed`` as it is; a ``switch`` takes none and is true unless the flag is a denial."""

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
        assert isinstance(namespace, Typed)
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

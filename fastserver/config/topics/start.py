"""What the start itself needs, before there is a configuration: where to read it, and what to serve.

These stand in no ``Config``: the command line, the environment and files have them, and what they say is done once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from fastserver.config.setting import Kind, Setting, setting, setting_of


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the start needs; like ``Config`` it takes values as people write them."""

    app: str | None = setting(
        None,
        Kind.TEXT,
        "start",
        "The application, as module:attribute, where the command line names none.",
        metavar="MODULE:ATTR",
        aliases=("wsgi_app", "application_path"),
        optional=True,
    )
    config: str | None = setting(
        None,
        Kind.TEXT,
        "start",
        "File with settings: x.toml, pyproject.toml, x.py (also file:x.py) or python:module. Without it "
        "fastserver.toml, or [tool.fastserver] in pyproject.toml, of the working directory.",
        short="-c",
        metavar="FILE",
        optional=True,
    )
    env_file: tuple[str, ...] = setting(
        (),
        Kind.REPEAT,
        "start",
        "File of lines NAME=value that go into the environment of the server and the application, below what is there; "
        "may be given several times.",
        metavar="FILE",
        aliases=("env_files",),
    )
    env: tuple[str, ...] = setting(
        (),
        Kind.REPEAT,
        "start",
        "Variable that goes into the environment, over what is there; may be given several times.",
        short="-e",
        metavar="NAME=VALUE",
        aliases=("raw_env",),
    )
    chdir: str | None = setting(
        None,
        Kind.PATH,
        "start",
        "Directory that the server changes to; on the command line and in the environment before any file is read.",
        metavar="DIRECTORY",
        aliases=("working_dir",),
        optional=True,
    )
    check_config: bool = setting(
        False,
        Kind.BOOL,
        "start",
        "Whether everything is read, the certificates and the application are loaded, and that is all.",
    )
    print_config: bool = setting(
        False,
        Kind.BOOL,
        "start",
        "Whether all settings are printed as a fastserver.toml, with where each comes from, and that is all.",
    )

    def __post_init__(self) -> None:
        for declared in fields(self):
            value = setting_of(declared).coerce(declared.name, getattr(self, declared.name))
            object.__setattr__(self, declared.name, value)


#: Every such setting by its key.
START: Final[Mapping[str, Setting]] = {declared.name: setting_of(declared) for declared in fields(Start)}
#: The default of each.
START_DEFAULTS: Final[Mapping[str, Any]] = {declared.name: declared.default for declared in fields(Start)}
#: Those that are no flag, that no variable gives, and that no file may hold.
NO_FLAG: Final = frozenset({"app"})
NO_VARIABLE: Final = frozenset({"env", "check_config", "print_config"})
NOT_IN_FILES: Final = frozenset({"config", "check_config", "print_config"})
#: Every name of them: the canonical key.
START_NAMES: Final[Mapping[str, str]] = {
    name: key for key, fact in START.items() for name in (key, *fact.aliases, fact.singular) if name
}

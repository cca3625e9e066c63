"""The start that a command line asks for, and the same again for each reload.

Invariant: ``read`` goes by the arguments, the environment and the directory of the first moment, whatever the process
has made of them since; only files may have changed.
"""

import os
from collections.abc import Sequence

from fastserver.cli.line import CommandLine, parse
from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.logs.errorlog import get_error_log


class Launch:
    """One command line of this process, which can be read as often as it is asked for."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = tuple(argv)
        self._environ = dict(os.environ)
        self._directory = find_directory()
        self._entered = False
        self._variables: frozenset[str] = frozenset()

    def read(self) -> CommandLine:
        """What the command line means now.  ``UsageError``, ``ConfigError`` or ``SystemExit``, as ``parse`` has it."""
        return parse(self._argv, self._environ, self._directory)

    def enter(self, line: CommandLine) -> None:
        """Take the directory and the environment of ``line`` for this process."""
        directory = line.loaded.directory
        if self._entered or line.start.chdir is not None:
            try:
                os.chdir(directory)
            except OSError as error:
                raise ConfigError("chdir", f"{directory!r} cannot be entered: {error.strerror}") from None
        self._entered = True
        variables = line.loaded.environment
        for name in self._variables - variables.keys():
            if name in self._environ:
                os.environ[name] = self._environ[name]
            else:
                os.environ.pop(name, None)
        os.environ.update(variables)
        self._variables = frozenset(variables)

    def reread(self) -> tuple[str, Config]:
        """The application and the configuration as they are now, for a reload.  ``ValueError`` of one line."""
        line = self.read()
        for warning in line.loaded.warnings:
            get_error_log().warning("%s", warning)
        self.enter(line)
        return line.app, line.config


def find_directory() -> str:
    """The working directory by the name under which it was entered.

    A release that is swapped by a symbolic link is found anew so; ``getcwd`` would name the old one for ever.
    """
    here, named = os.getcwd(), os.environ.get("PWD", "")
    try:
        return named if os.path.isabs(named) and os.path.samefile(named, here) else here
    except OSError:
        return here

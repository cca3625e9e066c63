"""What a process has from its parent that a reload may change: the working directory and the environment.

A reload reads the command line again, and takes the directory and the variables that it then finds for the supervisor.
Where its workers do not start, those of the generation before go on, and one of them that is replaced must find what it
has always had: else it would import the very code that has just failed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Surroundings:
    """``directory`` is ``None`` where it was gone already."""

    directory: str | None
    environ: Mapping[str, str]

    def enter(self) -> None:
        """Take them for this process.  A directory that is gone is left as it is: an import will tell."""
        if self.directory is not None:
            with contextlib.suppress(OSError):
                os.chdir(self.directory)
        for name in os.environ.keys() - self.environ.keys():
            del os.environ[name]
        os.environ.update(self.environ)


def take_surroundings() -> Surroundings:
    """Those of this process, as they are now."""
    directory = None
    with contextlib.suppress(OSError):
        directory = os.getcwd()
    return Surroundings(directory, dict(os.environ))

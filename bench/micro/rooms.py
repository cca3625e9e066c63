"""The two builds of the hot rooms side by side in one process: as they are installed, and always as plain Python."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

import fastserver._speedups

PLAIN_PACKAGE = "_fastserver_plain"


class _PlainFinder(MetaPathFinder):
    """Finds the modules of ``PLAIN_PACKAGE`` among the sources of the hot rooms, never among the extensions."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None or not fullname.startswith(f"{PLAIN_PACKAGE}."):
            return None
        (directory,) = path  # of the package that the module stands in
        return FileFinder(directory, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(fullname, target)


class Room:
    """One build of the hot rooms: ``name`` for the table, ``module`` to get one of them."""

    def __init__(self, name: str, package: str) -> None:
        self.name = name
        self._package = package

    def module(self, name: str) -> ModuleType:
        """The module ``name`` of this build; ``ImportError`` where it has none."""
        return importlib.import_module(f"{self._package}.{name}")


def _make_plain_package() -> None:
    if PLAIN_PACKAGE not in sys.modules:
        directory = str(Path(fastserver._speedups.__file__).parent)
        sys.meta_path.insert(0, _PlainFinder())
        package = ModuleType(PLAIN_PACKAGE)
        package.__path__ = [directory]
        sys.modules[PLAIN_PACKAGE] = package


def open_rooms() -> list[Room]:
    """The compiled build, where there is one, then the plain one."""
    _make_plain_package()
    plain = Room("plain", PLAIN_PACKAGE)
    if not fastserver._speedups.is_compiled():
        return [plain]
    return [Room("compiled", "fastserver._speedups"), plain]

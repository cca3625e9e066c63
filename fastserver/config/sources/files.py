"""Configuration files: which one is meant, and what it says.

A TOML file has the keys at its top, ``pyproject.toml`` in ``[tool.fastserver]``.  ``python`` reads the other kinds.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from fastserver.config import rivals
from fastserver.config.aliases import list_names, suggest
from fastserver.config.errors import ConfigError
from fastserver.config.model import SETTINGS
from fastserver.config.sources.layer import Layer
from fastserver.config.sources.python import Site, read_module, read_python
from fastserver.config.sources.reading import read_text
from fastserver.config.topics.start import NOT_IN_FILES, START_NAMES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OWN: Final = "fastserver.toml"
PYPROJECT: Final = "pyproject.toml"
WANT: Final = "x.toml, x.py, file:x.py or python:module"
_HERE: Final = Site()


def find_file(directory: str) -> str | None:
    """The name of the file in ``directory`` that is read where none is named; ``None`` where there is none."""
    if os.path.isfile(os.path.join(directory, OWN)):
        return OWN
    path = os.path.join(directory, PYPROJECT)
    if os.path.isfile(path) and _find_section(_read_toml(path, PYPROJECT)) is not None:
        return PYPROJECT
    return None


def read_file(spec: str, there: Site = _HERE) -> Layer:
    """What the file or module says that ``spec`` names (see ``WANT``), relative to the directory ``there``.

    ``ConfigError`` names the file, and the key where one is at fault.
    """
    if not spec:
        raise ConfigError("config", f"is empty: want {WANT}")
    kind, colon, rest = spec.partition(":")
    if colon and kind in ("python", "module"):
        return read_module(rest, there)
    name = rest if colon and kind == "file" else spec
    path = os.path.join(there.directory, name)
    if name.endswith(".py") or (name is rest and not name.endswith(".toml")):
        return read_python(path, name, there)
    if name.endswith((".json", ".yaml", ".yml", ".ini", ".cfg")):
        raise ConfigError(name, f"is of no kind that can be read: want {WANT}")
    table = _read_toml(path, name)
    if os.path.basename(name) == PYPROJECT:
        section = _find_section(table)
        if section is None:
            raise ConfigError(name, "has no section [tool.fastserver]")
        table = section
    _check_keys(table, name)
    return Layer(table, place=name, lenient=rivals.HYPERCORN)


def _read_toml(path: str, name: str) -> dict[str, Any]:
    try:
        table: dict[str, Any] = tomllib.loads(read_text(path, name))
        return table
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(name, f"is no TOML: {error}") from None
    except RecursionError:
        raise ConfigError(name, "is no TOML: it is nested too deeply") from None


def _find_section(table: Mapping[str, Any]) -> dict[str, Any] | None:
    tool = table.get("tool")
    section = tool.get("fastserver") if isinstance(tool, dict) else None
    return section if isinstance(section, dict) else None


def _check_keys(table: Mapping[str, Any], place: str) -> None:
    """Whether each key of a file may stand in one; ``translate`` knows what the keys mean."""
    known = (*START_NAMES, *list_names(SETTINGS))
    for name, value in table.items():
        if START_NAMES.get(name) in NOT_IN_FILES:
            raise ConfigError(f"{place}: {name}", "is for the command line alone")
        if name in known:
            continue
        if isinstance(value, dict):
            raise ConfigError(f"{place}: [{name}]", "there is no such section: settings stand at the top")
        raise ConfigError(f"{place}: {name}", f"there is no such setting{suggest(name, known)}")

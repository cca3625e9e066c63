"""Files of environment variables (``--env-file``): ``NAME=value`` as python-dotenv, Docker and systemd share it.

A parser of our own, and strict: what those three read in different ways is refused with its line, never guessed.
"""

import re
from collections.abc import Mapping
from typing import Final

from fastserver.config.errors import ConfigError
from fastserver.config.sources.reading import read_text

_LINE: Final = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)", re.ASCII | re.DOTALL)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SINGLE: Final = re.compile(r"'([^']*)'\s*(?:#.*)?")
_DOUBLE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?:#.*)?')
_ESCAPE: Final = re.compile(r"\\(.)")
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$", "'": "'"}
_COMMENT: Final = re.compile(r"\s+#.*")


def read_env_file(path: str, name: str) -> dict[str, str]:
    """The variables of the file at ``path``.  ``ConfigError`` calls it ``name``, and tells the line."""
    return parse_env_file(read_text(path, name), name)


def parse_env_file(text: str, place: str) -> dict[str, str]:
    """The variables of ``text``; a later line goes over an earlier one.  ``place`` names it in a ``ConfigError``.

    Blank lines and lines that begin with ``#`` say nothing.  A plain value ends at a blank before ``#``; in single
    quotes it stands as it is, in double quotes ``\\n``, ``\\t``, ``\\"``, ``\\\\`` and ``\\$`` are escapes.  Nothing is
    put in the place of ``$NAME``, and no value spans two lines.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(f"{place}, line {number}", "is not NAME=value")
        try:
            found[match["name"]] = _parse_value(match["value"])
        except ValueError as error:
            raise ConfigError(f"{place}, line {number}", f"{match['name']} {error}") from None
    return found


def parse_assignments(items: tuple[str, ...], place: str) -> Mapping[str, str]:
    """The variables of texts ``NAME=value``, each value as it stands; ``place`` names them in a ``ConfigError``."""
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or _NAME.fullmatch(name) is None or "\0" in value:
            raise ConfigError(place, f"{item.partition('=')[0]!r} is no variable: want NAME=value")
        found[name] = value
    return found


def _parse_value(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a null character")
    if text[:1] == "'":
        match = _SINGLE.fullmatch(text)
        if match is None:
            raise ValueError("has a quote that does not end, or text after it")
        return match[1]
    if text[:1] == '"':
        match = _DOUBLE.fullmatch(text)
        if match is None:
            raise ValueError("has a quote that does not end, or text after it")
        return _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[0]), match[1])
    return "" if text.startswith("#") else _COMMENT.sub("", text)

"""The settings of one place, in its own words, and how to name each in a message."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastserver.config.errors import ConfigError
from fastserver.config.topics.start import START_NAMES


@dataclass(frozen=True, slots=True)
class Layer:
    """What one place says.

    ``given`` has its keys and values as they stand there.  A key is called ``names[key]`` in messages (``--bind``), or
    by itself after ``place`` (``fastserver.toml: bind``).  What is refused of ``lenient`` keys is only warned of, and
    ``warnings`` are lines about the place itself.
    """

    given: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    lenient: Collection[str] = ()
    warnings: tuple[str, ...] = ()

    def spell(self, name: str) -> str:
        """What a message calls the key ``name``."""
        if name in self.names:
            return self.names[name]
        return f"{self.place}: {name}" if self.place else name

    def split(self) -> "tuple[dict[str, tuple[str, Any]], dict[str, Any]]":
        """The settings of the start, by canonical key with the name that each has here; and all others as they are."""
        start: dict[str, tuple[str, Any]] = {}
        rest: dict[str, Any] = {}
        for name, value in self.given.items():
            key = START_NAMES.get(name)
            if key is None:
                rest[name] = value
            elif value is not None:
                if key in start:
                    raise ConfigError(
                        self.spell(name), f"is the same setting as {self.spell(start[key][0])}: give one of them"
                    )
                start[key] = name, value
        return start, rest

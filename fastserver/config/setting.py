"""What a setting is: the facts that ``--help``, ``docs/settings.md``, the environment and validation all derive from.

A field of ``model.Config`` carries one ``Setting`` in its metadata.  Nothing here knows a particular key.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field
from enum import Enum
from typing import Any, Final

from fastserver.config import units
from fastserver.config.errors import ConfigError
from fastserver.config.logsettings import LogSettings

#: No setting needs more, and the wire keeps sizes and counts as 64-bit numbers.
MAXIMUM: Final = 1 << 60


class Kind(Enum):
    """How a setting's value is written; the value is the placeholder in ``--help``."""

    DURATION = "SECONDS"
    SIZE = "BYTES"
    INT = "N"
    BOOL = ""
    CHOICE = "NAME"
    PATH = "PATH"
    TEXT = "TEXT"
    ACCOUNT = "USER"
    OCTAL = "MODE"
    REPEAT = "ITEM"
    OBJECTS = "MODULE:ATTR"
    LOGGING = "FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The facts of one setting.

    ``singular`` is what one item of a list is called: the flag is spelled so, and it is a keyword beside the key.
    ``aliases`` are other servers' keys for it; each is also a flag, with dashes.  ``negations`` are flags that switch
    a boolean off beside its ``--no-`` form.  ``spellings`` maps lower-case words to the value that they mean; the flag
    of a boolean that has some may be given a value.  ``planned`` are values that other servers know and this one does
    not yet, ``refused`` such as it will never know, with the reason.  ``words`` are allowed beside numbers.
    ``exclusive`` says that ``minimum`` itself is not allowed.  ``optional`` allows ``None``; ``secret`` values are
    never printed.
    """

    kind: Kind
    group: str
    help: str
    short: str = ""
    singular: str = ""
    metavar: str = ""
    aliases: tuple[str, ...] = ()
    negations: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    spellings: Mapping[str, str] = field(default_factory=dict)
    planned: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int = MAXIMUM
    exclusive: bool = False
    optional: bool = False
    secret: bool = False

    @property
    def repeats(self) -> bool:
        """Whether the value is a list, and its flag may be given several times."""
        return self.kind in (Kind.REPEAT, Kind.OBJECTS)

    @property
    def takes_word(self) -> bool:
        """Whether it is a switch whose flag may be followed by a value."""
        return self.kind is Kind.BOOL and bool(self.spellings)

    def describe(self) -> str:
        """What is allowed, in words that follow "want"."""
        return _WANT[self.kind](self)

    def coerce(self, key: str, value: object) -> Any:
        """The canonical value of ``value``, or ``ConfigError`` for ``key``."""
        if value is None and self.optional:
            return None
        try:
            return _PARSERS[self.kind](self, value)
        except ValueError:
            pass
        word = value.strip().lower() if isinstance(value, str) else ""
        if word in self.planned:
            raise ConfigError(key, f"{quote(value)} is not supported yet: want {self.describe()}")
        if word in self.refused:
            raise ConfigError(key, f"{quote(value)} is not supported, {self.refused[word]}: want {self.describe()}")
        shown = "this value" if self.secret else quote(value)
        raise ConfigError(key, f"{shown} is not allowed: want {self.describe()}")

    def render(self, value: Any) -> str:
        """``value`` as a user would write it, for ``--help`` and the reference; empty for nothing."""
        if value is None or value == ():
            return ""
        if self.kind is Kind.DURATION:
            return units.render_duration(value)
        if self.kind is Kind.SIZE:
            return units.render_size(value)
        if self.kind is Kind.BOOL:
            return "yes" if value else "no"
        if self.kind is Kind.OCTAL:
            return f"{value:o}"
        return ", ".join(map(str, value)) if self.repeats else str(value)


def setting(default: Any, kind: Kind, group: str, help: str, **facts: Any) -> Any:
    """A dataclass field with ``default`` whose metadata holds ``Setting(kind, group, help, **facts)``."""
    described = Setting(kind=kind, group=group, help=help, **facts)
    return field(default=default, repr=not described.secret, metadata={Setting: described})


def setting_of(declared: "Field[Any]") -> Setting:
    """The ``Setting`` of a field made by ``setting``."""
    found = declared.metadata[Setting]
    assert isinstance(found, Setting)
    return found


def spell_flag(key: str) -> str:
    """The long flag of a key."""
    return f"--{key.replace('_', '-')}"


def deny(flag: str) -> str:
    """The flag that switches off what the long ``flag`` switches on."""
    return f"--no-{flag[2:]}"


def flags_of(key: str, fact: Setting) -> tuple[str, ...]:
    """The flags of a setting under its own name, the short one first; a boolean's negations are not among them."""
    long = spell_flag(fact.singular or key)
    return (fact.short, long) if fact.short else (long,)


def denials_of(key: str, fact: Setting) -> tuple[str, ...]:
    """The flags that switch a boolean setting off; none for other kinds."""
    return (deny(spell_flag(key)), *fact.negations) if fact.kind is Kind.BOOL else ()


def quote(value: object) -> str:
    """``repr`` of a user's value on one line of at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."


def _parse_number(fact: Setting, value: object) -> Any:
    if isinstance(value, str) and value.lower() in fact.words:
        return value.lower()
    number = _NUMBERS[fact.kind](value)
    if not fact.minimum <= number <= fact.maximum or (fact.exclusive and number == fact.minimum):
        raise ValueError
    return number


def _parse_switch(fact: Setting, value: object) -> bool:
    return units.parse_switch(fact.spellings.get(value.strip().lower(), value) if isinstance(value, str) else value)


def _parse_choice(fact: Setting, value: object) -> str:
    # Two callers' ints are choices in disguise: logging levels, and ssl.VerifyMode (an IntEnum).
    word = str(int(value)) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(word, str):
        raise ValueError
    word = word.strip().lower()
    word = fact.spellings.get(word, word)
    if word not in fact.choices:
        raise ValueError
    return word


def _parse_path(fact: Setting, value: object) -> str:
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError
    return path


def _parse_text(fact: Setting, value: object) -> str:
    if not isinstance(value, str) or any(character in value for character in "\r\n\0"):
        raise ValueError
    return value


def _parse_account(fact: Setting, value: object) -> str:
    """A user's or group's name, or its number, which a program may give as one."""
    text = _parse_text(fact, str(value) if isinstance(value, int) and not isinstance(value, bool) else value).strip()
    if not text or text.startswith("-"):
        raise ValueError
    return text


def _parse_repeat(fact: Setting, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Iterable) or isinstance(value, (bytes, Mapping)):
        raise ValueError
    items = tuple(value)
    if not all(isinstance(item, str) for item in items):
        raise ValueError
    return items


def _parse_objects(fact: Setting, value: object) -> tuple[object, ...]:
    """Texts and objects as they are; what each may be is for the setting itself to say."""
    if isinstance(value, str) or callable(value):
        return (value,)
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise ValueError
    return tuple(value.items() if isinstance(value, Mapping) else value)


def _parse_logging(fact: Setting, value: object) -> str | LogSettings:
    if isinstance(value, LogSettings):
        return value
    return LogSettings(value) if isinstance(value, Mapping) else _parse_path(fact, value)


_NUMBERS: Final[Mapping[Kind, Callable[[object], float]]] = {
    Kind.DURATION: units.parse_duration,
    Kind.SIZE: units.parse_size,
    Kind.INT: units.parse_whole,
}

_PARSERS: Final[Mapping[Kind, Callable[[Setting, object], Any]]] = {
    Kind.DURATION: _parse_number,
    Kind.SIZE: _parse_number,
    Kind.INT: _parse_number,
    Kind.BOOL: _parse_switch,
    Kind.CHOICE: _parse_choice,
    Kind.PATH: _parse_path,
    Kind.TEXT: _parse_text,
    Kind.ACCOUNT: _parse_account,
    Kind.OCTAL: lambda fact, value: units.parse_octal(value),
    Kind.REPEAT: _parse_repeat,
    Kind.OBJECTS: _parse_objects,
    Kind.LOGGING: _parse_logging,
}


def _describe_bounds(fact: Setting) -> str:
    low = f"above {fact.minimum}" if fact.exclusive else f"{fact.minimum} or more"
    high = "" if fact.maximum == MAXIMUM else f" and at most {fact.maximum}"
    return low + high + "".join(f', or "{word}"' for word in fact.words)


def _describe_switch(fact: Setting) -> str:
    yes, no = (", ".join(word for word, meant in fact.spellings.items() if meant == side) for side in ("yes", "no"))
    return f"yes or no (also true, on, 1{yes and f', {yes}'}; false, off, 0{no and f', {no}'})"


_WANT: Final[Mapping[Kind, Callable[[Setting], str]]] = {
    Kind.DURATION: lambda fact: f"a duration such as 5, 2.5, 500ms or 2m, {_describe_bounds(fact)}",
    Kind.SIZE: lambda fact: f"a size in bytes such as 8190, 64k, 16m or 1g, {_describe_bounds(fact)}",
    Kind.INT: lambda fact: f"a whole number, {_describe_bounds(fact)}",
    Kind.BOOL: _describe_switch,
    Kind.CHOICE: lambda fact: f"one of {', '.join(fact.choices)}",
    Kind.PATH: lambda fact: "a path",
    Kind.TEXT: lambda fact: "text without line breaks",
    Kind.ACCOUNT: lambda fact: "a name or a number",
    Kind.OCTAL: lambda fact: "permission bits in octal such as 660, at most 777",
    Kind.REPEAT: lambda fact: "text, or a list of texts",
    Kind.OBJECTS: lambda fact: f"{fact.metavar or fact.kind.value}, an object in its place, or a list of these",
    Kind.LOGGING: lambda fact: "a path, or a dictionary as logging.config takes it",
}

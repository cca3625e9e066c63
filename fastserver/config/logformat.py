"""The format of the access log: the atoms of gunicorn, hypercorn and granian, and a check that they can be rendered."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

#: The formats of these names: those of Apache and nginx.
COMMON: Final = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s'
COMBINED: Final = f'{COMMON} "%(f)s" "%(a)s"'
#: What ``auto`` means for files and pipes: combined, then the seconds that the request took.
TIMED: Final = f"{COMBINED} %(L)s"
PRESETS: Final[Mapping[str, str]] = {"common": COMMON, "combined": COMBINED}

#: Formats that are no text of atoms: ``auto`` is ``json`` where the error log is, else ``short`` on a terminal and
#: ``TIMED`` elsewhere.
AUTO: Final = "auto"
SHORT: Final = "short"
JSON: Final = "json"
SPECIAL: Final = frozenset((AUTO, SHORT, JSON))

#: The atoms whose values are numbers, so that ``%(s)d`` can be written too; by the type of the value.
INTEGERS: Final = frozenset("s B T D M status".split())
FLOATS: Final = frozenset(("dt_ms",))
#: Those that may be any text.
TEXTS: Final = frozenset(
    "h l u t r R m U Uq q H S st b f a L p "
    "addr time path query_string method scheme protocol "
    "host id trace_id span_id".split()
)

_ATOM: Final = re.compile(r"%(?:%|\(([^)]+)\)([-#0 +]*\d*(?:\.\d+)?[a-zA-Z]))")
_FIELD_ATOM: Final = re.compile(r"\{([^}]+)\}([ioe])")


class Atom(NamedTuple):
    """``%(D)8d`` is ``Atom("D", "8d")``."""

    name: str
    conversion: str


def parse_format(text: str) -> tuple[str | Atom, ...]:
    """The parts of a format, in order: texts and atoms; a name such as ``combined`` stands for its format.

    Raises ``ValueError`` for what could not be rendered.
    """
    if not text:
        raise ValueError("nothing would be logged")
    text = PRESETS.get(text, text)
    parts: list[str | Atom] = []
    at = 0
    for match in _ATOM.finditer(text):
        parts.append(_check_text(text[at : match.start()]))
        parts.append(_check_atom(Atom(match[1], match[2])) if match[1] else "%")
        at = match.end()
    parts.append(_check_text(text[at:]))
    return tuple(part for part in parts if part)


def split_field(name: str) -> tuple[str, str] | None:
    """``("x-id", "i")`` for ``{x-id}i``, an atom of a request header (``i``), response header (``o``) or variable."""
    match = _FIELD_ATOM.fullmatch(name)
    return (match[1], match[2]) if match is not None else None


def _check_text(text: str) -> str:
    if "%" in text:
        raise ValueError("a per cent sign begins no atom (itself it is %%)")
    return text


def _check_atom(atom: Atom) -> Atom:
    if atom.name in INTEGERS:
        value: Any = 0
    elif atom.name in FLOATS:
        value = 0.0
    elif atom.name in TEXTS or split_field(atom.name) is not None:
        value = "-"
    else:
        raise ValueError(f"there is no atom %({atom.name})s")
    try:
        f"%{atom.conversion}" % value
    except (TypeError, ValueError) as error:
        raise ValueError(str(error)) from None
    return atom

"""The format of the access log in gunicorn's atoms: which there are, and a check that a format can be rendered."""

import re
from typing import Final

#: The format of that name: that of Apache and nginx.
COMBINED: Final = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'

#: The atoms whose values are numbers, so that ``%(s)d`` can be written too, and those that may be any text.
NUMBERS: Final = frozenset("s B T D M".split())
TEXTS: Final = frozenset("h l u t r R m U Uq q H S st b f a L p".split())

_ATOM: Final = re.compile(r"%(?:%|\(([^)]+)\)([-#0 +]*\d*(?:\.\d+)?[a-zA-Z]))")
_FIELD_ATOM: Final = re.compile(r"\{([^}]+)\}([ioe])")


def parse_format(text: str) -> tuple[str, tuple[str, ...]]:
    """A template for ``%`` and the atoms whose values fill it, in order; ``combined`` stands for its format.

    Raises ``ValueError`` for what could not be rendered.
    """
    names: list[str] = []

    def replace(match: re.Match[str]) -> str:
        name, conversion = match.groups()
        if name is None:
            return "%%"
        if name not in NUMBERS and name not in TEXTS and split_field(name) is None:
            raise ValueError(f"there is no atom %({name})s")
        names.append(name)
        return f"%{conversion}"

    if not text:
        raise ValueError("nothing would be logged")
    text = COMBINED if text == "combined" else text
    template = _ATOM.sub(replace, text)
    if "%" in _ATOM.sub("", text):
        raise ValueError("a per cent sign begins no atom (itself it is %%)")
    try:
        template % tuple(0 if name in NUMBERS else "-" for name in names)
    except (TypeError, ValueError) as error:
        raise ValueError(str(error)) from None
    return template, tuple(names)


def split_field(name: str) -> tuple[str, str] | None:
    """``("x-id", "i")`` for ``{x-id}i``, an atom of a request header (``i``), response header (``o``) or variable."""
    match = _FIELD_ATOM.fullmatch(name)
    return (match[1], match[2]) if match is not None else None

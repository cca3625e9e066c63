"""Certificates by host name (SNI, RFC 6066 section 3): what ``sni_cert`` says, and which of them a client gets.

Names are A-labels in lower case; ``*.name`` stands for each name one label longer (RFC 6125 section 6.4.3), and a name
itself goes before it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

#: What the error messages offer.
WANT_SNI_CERT: Final = "NAME=CERTFILE or NAME=CERTFILE,KEYFILE, where NAME is a host name or *.name"

_LABEL: Final = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_NAME: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NAME_CHARACTERS: Final = 253
_WILD: Final = "*."

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class SNICert:
    """Clients that ask for ``name`` are shown ``certfile``, whose key is in ``keyfile``, or in ``certfile`` too."""

    name: str
    certfile: str
    keyfile: str | None


def parse_sni_cert(text: str) -> SNICert:
    """The fact of a text; ``ValueError`` says what is wrong."""
    name, equals, files = text.partition("=")
    if not equals:
        raise ValueError("there is no =")
    certfile, comma, keyfile = files.partition(",")
    if not certfile or (comma and not keyfile) or "\0" in files:
        raise ValueError("a file is missing")
    return SNICert(normalise_name(name.strip()), certfile, keyfile or None)


def normalise_name(name: str) -> str:
    """A host name, or ``*.name``, as clients send it; ``ValueError`` where none can."""
    wild = _WILD if name.startswith(_WILD) else ""
    bare = name[len(wild) :].rstrip(".").lower()
    if not bare.isascii():
        try:
            bare = bare.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError(f"{name!r} is no host name") from None
    if len(bare) > _NAME_CHARACTERS or not _NAME.fullmatch(bare):
        raise ValueError(f"{name!r} is no host name")
    return wild + bare


def choose_by_name(table: Mapping[str, Found], name: str | None) -> Found | None:
    """What ``table``, by normalised names, has for a client that asks for ``name``; ``None`` where it has nothing.

    ``name`` is whatever a client has sent.
    """
    if not name:
        return None
    name = name.lower().rstrip(".")
    found = table.get(name)
    return found if found is not None else table.get(f"*.{name.partition('.')[2]}")

"""A response header of the configuration: ``"Name: value"`` as a checked pair.

What passes here can be written into every response as it is: no line break, no field that frames or routes a message.
"""

from typing import Final

from fastserver._speedups.fields import is_token, is_value

#: What the error messages offer.
WANT_HEADER: Final = '"Name: value"'

#: Fields that say where a message ends or how the connection goes on; the server alone writes them (RFC 9110 7.6.1).
FRAMING: Final = frozenset(
    {"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)


def parse_header(text: str) -> tuple[str, str]:
    """Name and value of ``"Name: value"``, blanks around the value removed; ``ValueError`` says what is wrong."""
    name, colon, value = text.partition(":")
    value = value.strip(" \t")
    if not colon:
        raise ValueError("there is no colon")
    if is_token(_encode(name)) is None:
        raise ValueError("the name before the colon is not a header name")
    if is_value(_encode(value)) is None:
        raise ValueError("the value has a character that no header may have")
    if name.lower() in FRAMING:
        raise ValueError("the server itself writes that header")
    return name, value


def _encode(text: str) -> bytes:
    """``text`` in Latin-1, as it goes over the wire; where it does not fit, a NUL, which no field may have."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return b"\0"

"""A response header of the configuration: ``"Name: value"`` as a checked pair.

What passes here can be written into every response as it is: no line break, no field that frames or routes a message.
"""

import re
from typing import Final

#: What the error messages offer.
WANT_HEADER: Final = '"Name: value"'

# RFC 9110 section 5.6.2, token; section 5.5, field-value: visible characters, obs-text, inner blanks and tabs.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

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
    if _NAME.fullmatch(name) is None:
        raise ValueError("the name before the colon is not a header name")
    if _VALUE.fullmatch(value) is None:
        raise ValueError("the value has a character that no header may have")
    if name.lower() in FRAMING:
        raise ValueError("the server itself writes that header")
    return name, value

"""Origins of web pages, as browsers send them (RFC 6454 section 7.1): ``https://example.org``, ``http://a:8080``."""

import re
from typing import Final

WANT_ORIGIN: Final = "scheme://host or scheme://host:port, such as https://example.org, or null"

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+", re.ASCII)


def parse_origin(text: str) -> str:
    """``text`` as a browser would write it: in lower case, without the slash that people add.

    ``ValueError`` says what is wrong.
    """
    origin = text.strip().lower().removesuffix("/")
    if origin != "null" and _ORIGIN.fullmatch(origin) is None:
        raise ValueError("no page can have this origin")
    return origin

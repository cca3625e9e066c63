"""Where and under which name statistics go to StatsD.  It resolves no name and opens no socket."""

import re
from dataclasses import dataclass
from typing import Final

from fastserver.config.bind import TCPBind, parse_bind

STATSD_PORT: Final = 8125
#: Both stand in every line, and leave 397 bytes of a packet of 1,400 to the line's own name and number.
PREFIX_BYTES: Final = 200
TAGS_BYTES: Final = 800
#: What the error messages offer.
WANT_STATSD: Final = "host, host:port, [ipv6]:port or unix:///PATH"
WANT_PREFIX: Final = "a name such as fastserver"
WANT_TAGS: Final = "tags such as env:live,zone:a"

#: What ends a name in StatsD's lines, or would not be one character of it.
_NO_NAME = re.compile(r"[^!-~]|[:|@#]")
#: What ends the tags in a line, or has no bytes in UTF-8.  Blanks are allowed: they end nothing.
_NO_TAG = re.compile(r"[\x00-\x1f\x7f|#\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class StatsdTarget:
    """Where datagrams go: to ``host`` and ``port`` over UDP, or to the Unix socket ``path`` where there is one."""

    host: str = ""
    port: int = STATSD_PORT
    path: str = ""

    @property
    def address(self) -> tuple[str, int] | str:
        """What a socket connects to: host and port, or the path."""
        return self.path or (self.host, self.port)

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.path else str(TCPBind(self.host, self.port))


def parse_statsd_target(text: str) -> StatsdTarget:
    """The fact of one address; ``str()`` of it parses back.  ``ValueError`` says what is wrong."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/") or "\0" in path:
            raise ValueError("an absolute path follows unix://")
        return StatsdTarget(path=path)
    bind = parse_bind(text, STATSD_PORT)
    if not isinstance(bind, TCPBind) or not bind.host:
        raise ValueError("there is no host")
    if not bind.port:
        raise ValueError("the port is a number from 1 to 65535")
    return StatsdTarget(bind.host, bind.port)


def parse_statsd_prefix(text: str) -> str:
    """``text`` without the dots at its end; empty is no prefix.  ``ValueError`` says what is wrong."""
    if _NO_NAME.search(text) is not None:
        raise ValueError("it has a blank, or a character that ends a name")
    return _limit(text.rstrip("."), PREFIX_BYTES)


def parse_dogstatsd_tags(text: str) -> str:
    """``text`` without empty tags and blanks around them.  ``ValueError`` says what is wrong."""
    if _NO_TAG.search(text) is not None:
        raise ValueError("it has a character that no tag may have")
    return _limit(",".join(tag for tag in (part.strip() for part in text.split(",")) if tag), TAGS_BYTES)


def _limit(text: str, limit_bytes: int) -> str:
    if len(text.encode()) > limit_bytes:
        raise ValueError(f"it is longer than {limit_bytes} bytes")
    return text

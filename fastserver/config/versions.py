"""The versions of HTTP in other servers' words: one key of theirs says several of this server's.

It validates no canonical value; ``model.Config`` does.
"""

from collections.abc import Mapping
from typing import Any, Final

from fastserver.config import units
from fastserver.config.errors import ConfigError
from fastserver.config.setting import quote

#: HTTP/2 and nothing else, with and without TLS.
_HTTP2_ALONE: Final[Mapping[str, bool]] = {"http1": False, "http2": True, "h2c": True}

#: ``http`` as granian (the versions) and uvicorn (its implementations) have it.
_MODES: Final[Mapping[str, Mapping[str, bool]]] = {
    "auto": {},
    "httptools": {},
    "h11": {},
    "zttp": {},
    "1": {"http2": False},
    "2": _HTTP2_ALONE,
}
#: What a list of protocols may hold, in the order that the server prefers them, and the setting of each.
_NAMES: Final[Mapping[str, str]] = {"h3": "http3", "h2": "http2", "http/1.1": "http1", "h1": "http1"}


def _read_mode(key: str, value: Any) -> Mapping[str, bool]:
    """granian's and uvicorn's ``http``."""
    try:
        return _MODES[str(value).strip().lower()]
    except KeyError:
        raise ConfigError(key, f"{quote(value)} is not supported yet: want auto, 1 or 2") from None


def _read_alone(key: str, value: Any) -> Mapping[str, bool]:
    """peregrine's ``http2_only``."""
    try:
        return _HTTP2_ALONE if units.parse_switch(value) else {}
    except ValueError:
        raise ConfigError(key, f"{quote(value)} is not allowed: want yes or no") from None


def _read_list(key: str, value: Any) -> Mapping[str, bool]:
    """hypercorn's ``alpn_protocols`` and gunicorn's ``http_protocols``, a list or one text with commas.

    HTTP/3 is switched on by its name and not off by its absence: it is no choice of a TLS handshake over TCP.
    """
    items = value.split(",") if isinstance(value, str) else value
    words = [str(item).strip().lower() for item in items] if isinstance(items, (list, tuple)) else []
    if not words or any(word not in _NAMES for word in words):
        raise ConfigError(key, f"{quote(value)} is not supported: want h2 or http/1.1 (also h1), or both, and h3")
    over_tcp = [word for word in words if word != "h3"]
    if len(over_tcp) > 1 and over_tcp[0] != "h2":
        raise ConfigError(key, f"{quote(value)} is not supported, HTTP/2 is always preferred: want h2 before it")
    if not over_tcp:
        raise ConfigError(key, f"{quote(value)} is not supported, clients learn of HTTP/3 over TCP: want h2,h3 or more")
    named = {_NAMES[word] for word in words}
    return {setting: setting in named for setting in ("http1", "http2")} | dict.fromkeys(named & {"http3"}, True)


_READERS: Final = {
    "http": _read_mode,
    "http2_only": _read_alone,
    "http_protocols": _read_list,
    "alpn_protocols": _read_list,
}

#: The keys that ``read_versions`` knows; those that are switches on a command line.
KEYS: Final = tuple(_READERS)
SWITCHES: Final = frozenset({"http2_only"})


def read_versions(key: str, value: Any) -> Mapping[str, bool]:
    """What ``key=value`` says of ``http1``, ``http2``, ``h2c`` and ``http3``.

    ``ConfigError`` where nobody could do that.
    """
    return _READERS[key](key, value)

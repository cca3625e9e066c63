"""Values that mean something else under another server's name: other units, other words, more than one setting.

It validates no value; ``model.Config`` does.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from fastserver.config.errors import ConfigError
from fastserver.config.setting import quote

#: What gunicorn and peregrine mean by ``protocol``; all else is this server's ``protocols``.
_WIRES: Final = ("http",)
_REFUSED_WIRES: Final = ("uwsgi", "fastcgi")
_INTERFACES: Final = ("asgi", "wsgi")
#: gunicorn's worker class for applications that bear one request at a time.
_SYNC: Final = ("sync", "gunicorn.workers.sync.syncworker")


def _from_milliseconds(value: Any) -> Any:
    return f"{value}ms" if _is_plain(value) else value


def _from_mebibytes(value: Any) -> Any:
    return f"{value}m" if _is_plain(value) else value


def _from_path_list(value: Any) -> Any:
    if isinstance(value, str) and "," in value:
        raise ConfigError(
            "pythonpath", f"{quote(value)} is not supported: want one directory; PYTHONPATH takes several"
        )
    return value


def _from_dictionary(value: Any) -> Any:
    return None if value == {} else value  # gunicorn's default


#: What to make of a value under a name of which the unit is not ours: granian's are MiB and milliseconds.
CONVERSIONS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "workers_max_rss": _from_mebibytes,
    "reload_tick": _from_milliseconds,
    "http1_header_read_timeout": _from_milliseconds,
    "pythonpath": _from_path_list,
    "logconfig_dict": _from_dictionary,
}


def convert(name: str, value: Any) -> Any:
    """``value`` as the setting that ``name`` stands for takes it."""
    return CONVERSIONS[name](value) if name in CONVERSIONS else value


def read_protocols(values: dict[str, Any], names: dict[str, str]) -> None:
    """Take the words of gunicorn and peregrine out of ``protocols``: a wire protocol, or an interface."""
    given = values.get("protocols")
    items = [given] if isinstance(given, str) else given
    if not isinstance(items, (list, tuple)):
        return
    name, left = names["protocols"], []
    for item in items:
        word = item.strip().lower() if isinstance(item, str) else ""
        if word in _REFUSED_WIRES:
            raise ConfigError(name, f"{quote(item)} is not supported: want http, and a proxy in front that speaks it")
        if word in _INTERFACES:
            if "interface" in values:
                raise ConfigError(name, f"{quote(item)} is given beside {names['interface']}: give one of them")
            values["interface"], names["interface"] = word, name
        elif word not in _WIRES:
            left.append(item)
    if left:
        values["protocols"] = tuple(left)
    else:
        del values["protocols"], names["protocols"]


def read_worker_class(values: dict[str, Any], names: dict[str, str], beneath: Mapping[str, Any]) -> None:
    """One thread for gunicorn's ``sync``, which promises one request at a time, unless threads are given."""
    word = values.get("loop")
    if isinstance(word, str) and word.strip().lower() in _SYNC and "threads" not in {**beneath, **values}:
        values["threads"], names["threads"] = 1, names["loop"]


def _is_plain(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value.isdigit())

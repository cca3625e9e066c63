"""Other servers' keys and values in this server's words: a mapping in, canonical keys out.

It validates no value; ``model.Config`` does.  It refuses what nobody could carry out: unknown keys, one setting under
two names, and what ``rivals`` lists.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from fastserver.config import rivals, units, versions
from fastserver.config.bind import DEFAULT_PORT, METRICS_PORT, FDBind, TCPBind, compose_bind, parse_bind
from fastserver.config.errors import ConfigError
from fastserver.config.setting import Setting, quote

#: Keys that together make one bind, as uvicorn has them: a socket path before a descriptor before host and port.
LISTENERS: Final = ("uds", "unix", "fd", "host", "port")
#: Keys that together make one metrics_bind, as granian and peregrine have them.
METRICS_LISTENERS: Final = ("metrics_address", "metrics_host", "metrics_port")
#: The key that makes a quic_bind of each host of bind, as peregrine has it.
QUIC_PORT: Final = "quic_port"
#: Keys that say no to a boolean-like setting: the canonical key, and its value where the key is true.
DENIALS: Final[Mapping[str, tuple[str, Any]]] = {
    "no_lifespan": ("lifespan", "off"),
    "no_server_name": ("server_header", False),
}
#: What ``None`` says of a setting that others switch off with it; elsewhere it is the default.
NONE_IS: Final[Mapping[str, Any]] = {"ws_ping_interval": 0, "ws_ping_timeout": 0}

DEFAULT_HOST: Final = "127.0.0.1"


def translate(
    given: Mapping[str, Any], settings: Mapping[str, Setting], beneath: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """``given`` under canonical keys, ready for ``Config(**...)``; ``None`` where none is allowed means the default.

    A log file that is given switches the access log on, unless ``access_log`` is given as well.  ``beneath`` is what
    the result will go over.
    """
    canonical = {alias: key for key, fact in settings.items() for alias in (*fact.aliases, fact.singular) if alias}
    values: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, value in given.items():
        key, meant = _resolve(name, value, settings, canonical)
        if key is not None and meant is None:
            meant = NONE_IS.get(key)
        if key is None or (meant is None and not settings[key].optional):
            continue
        if key in values:
            raise ConfigError(name, f"is the same setting as {names[key]}: give one of them")
        values[key], names[key] = meant, name
    for key, parts, compose in (
        ("bind", LISTENERS, _compose_listener),
        ("metrics_bind", METRICS_LISTENERS, _compose_metrics_listener),
    ):
        listener = {name: given[name] for name in parts if given.get(name) is not None}
        if not listener:
            continue
        if key in values:
            raise ConfigError(next(iter(listener)), f"is given beside {names[key]}: give one of them")
        values[key] = (compose(listener),)
    if given.get(QUIC_PORT) is not None:
        _add_quic_port(given[QUIC_PORT], {**(beneath or {}), **values}.get("bind"), values, names)
    for name in versions.KEYS:
        if given.get(name) is not None:
            _add_versions(name, versions.read_versions(name, given[name]), values, names, settings)
    if "header" in values:
        values["header"] = _join_headers(values["header"])
    if "access_logfile" in values:
        values.setdefault("access_log", True)
    return values


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of an error line that offers the nearest of ``known``; empty where none is near."""
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _resolve(
    name: str, value: Any, settings: Mapping[str, Setting], canonical: Mapping[str, str]
) -> tuple[str | None, Any]:
    """The canonical key and value of one entry; no key where there is nothing to set."""
    if name in settings:
        return name, value
    if name in canonical:
        return canonical[name], value
    if name in LISTENERS or name in METRICS_LISTENERS or name in versions.KEYS or name == QUIC_PORT:
        return None, None
    if name in DENIALS:
        key, denied = DENIALS[name]
        return (key, denied) if _is_true(name, value) else (None, None)
    if name in rivals.RIVALS:
        problem = rivals.check(name, value)
        if problem is not None:
            raise ConfigError(name, problem)
        return None, None
    known = (*settings, *canonical, *LISTENERS, *METRICS_LISTENERS, QUIC_PORT, *versions.KEYS, *rivals.RIVALS)
    raise ConfigError(name, f"there is no such setting{suggest(name, known)}")


def _is_true(name: str, value: Any) -> bool:
    try:
        return value is not None and units.parse_switch(value)
    except ValueError:
        raise ConfigError(name, f"{quote(value)} is not allowed: want yes or no") from None


def _add_versions(
    name: str,
    meant: Mapping[str, bool],
    values: dict[str, Any],
    names: dict[str, str],
    settings: Mapping[str, Setting],
) -> None:
    """Put what the key ``name`` has ``meant`` among ``values``; what another key says must be the same."""
    for key, value in meant.items():
        if key in values and settings[key].coerce(names[key], values[key]) != value:
            raise ConfigError(name, f"does not go with {names[key]}: give one of them")
        values[key] = value
        names.setdefault(key, name)


def _add_quic_port(value: Any, bind: Any, values: dict[str, Any], names: dict[str, str]) -> None:
    """Put a ``quic_bind`` for each TCP address of ``bind`` among ``values``; ``http3`` beside it says no more."""
    if "quic_bind" in values:
        raise ConfigError(QUIC_PORT, f"is given beside {names['quic_bind']}: give one of them")
    port = _parse_number(QUIC_PORT, value, "a number from 0 to 65535")
    hosts = dict.fromkeys(_list_hosts(bind))
    if not hosts:
        raise ConfigError(QUIC_PORT, "takes the hosts of bind, and there is none: want quic_bind instead")
    try:
        values["quic_bind"] = tuple(str(compose_bind(host, port)) for host in hosts)
    except ValueError as error:
        raise ConfigError(QUIC_PORT, f"{quote(value)} is not allowed, {error}") from None
    names["quic_bind"] = QUIC_PORT
    values.pop("http3", None)


def _list_hosts(bind: Any) -> list[str]:
    """The hosts of the TCP addresses of ``bind``; a text that is none is for the model to refuse."""
    if bind is None or isinstance(bind, str):
        bind = (bind or DEFAULT_HOST,)
    hosts = []
    for text in bind if isinstance(bind, Iterable) else ():
        try:
            fact = parse_bind(text)
        except (AttributeError, TypeError, ValueError):
            continue
        if isinstance(fact, TCPBind):
            hosts.append(fact.host)
    return hosts


def _compose_listener(listener: Mapping[str, Any]) -> str:
    """The one bind text of the given ``LISTENERS``, checked here so that an error names the key that was given."""
    name = next(key for key in LISTENERS if key in listener)
    if name == "fd":
        return str(FDBind(_parse_number(name, listener[name], "a descriptor number")))
    if name in ("uds", "unix"):
        try:
            return str(parse_bind(f"unix:{listener[name]}"))
        except ValueError as error:
            raise ConfigError(name, f"{quote(listener[name])} is not allowed, {error}") from None
    return _compose_address(listener, "host", "port", DEFAULT_PORT)


def _compose_metrics_listener(listener: Mapping[str, Any]) -> str:
    """The one bind text of the given ``METRICS_LISTENERS``."""
    host = "metrics_address" if "metrics_address" in listener else "metrics_host"
    return _compose_address(listener, host, "metrics_port", METRICS_PORT)


def _compose_address(listener: Mapping[str, Any], host: str, port: str, default_port: int) -> str:
    """The bind text of the entries ``host`` and ``port``, each of which may be missing."""
    number = _parse_number(port, listener.get(port, default_port), "a number from 0 to 65535")
    try:
        return str(compose_bind(str(listener.get(host, DEFAULT_HOST)), number))
    except ValueError as error:
        name = port if number > 65535 else host
        raise ConfigError(name, f"{quote(listener[name])} is not allowed, {error}") from None


def _parse_number(name: str, value: Any, want: str) -> int:
    try:
        number = units.parse_whole(value)
    except ValueError:
        number = -1
    if number < 0:
        raise ConfigError(name, f"{quote(value)} is not allowed: want {want}")
    return number


def _join_headers(items: Any) -> Any:
    """Headers given as pairs, as uvicorn takes them, in the form ``Name: value``; anything else as it is."""
    if not isinstance(items, (list, tuple)):
        return items
    return tuple(
        f"{item[0]}: {item[1]}" if isinstance(item, (list, tuple)) and len(item) == 2 else item for item in items
    )

"""Other servers' keys and values in this server's words: a mapping in, canonical keys out.

It validates no value; ``model.Config`` does.  It refuses what nobody could carry out: unknown keys, one setting under
two names, and what ``rivals`` lists.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from fastserver.config import dialect, rivals, units, versions
from fastserver.config.bind import DEFAULT_PORT, METRICS_PORT, FDBind, TCPBind, compose_bind, parse_bind
from fastserver.config.errors import ConfigError
from fastserver.config.setting import Setting, quote
from fastserver.config.topics.start import START_NAMES

#: Keys that together make one bind, as uvicorn has them: a socket path before a descriptor before host and port.
LISTENERS: Final = ("uds", "unix", "unix_socket", "fd", "host", "port")
#: Keys that together make one metrics_bind, as granian and peregrine have them.
METRICS_LISTENERS: Final = ("metrics_address", "metrics_host", "metrics_port")
#: The key that makes a quic_bind of each host of bind, as peregrine has it.
QUIC_PORT: Final = "quic_port"
#: Keys that say no to a boolean-like setting: the canonical key, and its value where the key is true.
DENIALS: Final[Mapping[str, tuple[str, Any]]] = {
    "no_lifespan": ("lifespan", "off"),
    "no_server_name": ("server_header", False),
    "no_control_socket": ("control_socket", None),
    "control_socket_disable": ("control_socket", None),
    "ssl_client_verify": ("verify_mode", "required"),
}
#: What ``None`` says of a setting that others switch off with it; elsewhere it is the default.
NONE_IS: Final[Mapping[str, Any]] = {"ws_ping_interval": 0, "ws_ping_timeout": 0}

DEFAULT_HOST: Final = "127.0.0.1"


@dataclass(slots=True)
class Meaning:
    """What a mapping says: ``values`` under canonical keys, ready for ``Config(**...)``.

    ``names`` has for each the key that gave it, and ``notes`` are keys with what to warn of.
    """

    values: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)

    def put(self, key: str, value: Any, name: str) -> None:
        self.values[key], self.names[key] = value, name


def translate(
    given: Mapping[str, Any],
    settings: Mapping[str, Setting],
    beneath: Mapping[str, Any] | None = None,
    lenient: Collection[str] = (),
) -> Meaning:
    """What ``given`` says; ``None`` where none is allowed means the default.

    A log file that is given switches the access log on, unless ``access_log`` is given as well.  ``beneath`` is what
    the result will go over.  What is asked for under a ``lenient`` key and refused elsewhere is only warned of.
    """
    canonical = {alias: key for key, fact in settings.items() for alias in (*fact.aliases, fact.singular) if alias}
    meaning = Meaning()
    beneath = beneath or {}
    for name, value in given.items():
        key, meant = _resolve(name, value, settings, canonical, meaning, lenient)
        if key is not None and meant is None:
            meant = NONE_IS.get(key)
        if key is None or (meant is None and not settings[key].optional):
            continue
        if key in meaning.values:
            raise ConfigError(name, f"is the same setting as {meaning.names[key]}: give one of them")
        meaning.put(key, meant, name)
    _add_listeners(given, beneath, meaning)
    if given.get(QUIC_PORT) is not None:
        bind = {**beneath, **meaning.values}.get("bind")
        _add_quic_port(given[QUIC_PORT], bind, meaning.values, meaning.names)
    for name in versions.KEYS:
        if given.get(name) is not None:
            _add_versions(name, versions.read_versions(name, given[name]), meaning.values, meaning.names, settings)
    if "header" in meaning.values:
        meaning.values["header"] = _join_headers(meaning.values["header"])
    dialect.read_protocols(meaning.values, meaning.names)
    dialect.read_worker_class(meaning.values, meaning.names, beneath)
    if "access_logfile" in meaning.values and meaning.values.get("access_log") is None:
        meaning.put("access_log", True, meaning.names["access_logfile"])
    return meaning


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of an error line that offers the nearest of ``known``; empty where none is near."""
    names = list(known)
    near = [name.replace("-", "_")] if name.replace("-", "_") in names else get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _resolve(
    name: str,
    value: Any,
    settings: Mapping[str, Setting],
    canonical: Mapping[str, str],
    meaning: Meaning,
    lenient: Collection[str],
) -> tuple[str | None, Any]:
    """The canonical key and value of one entry; no key where there is nothing to set."""
    if name in settings:
        return name, value
    if name in canonical:
        return canonical[name], dialect.convert(name, value)
    if name in LISTENERS or name in METRICS_LISTENERS or name in versions.KEYS or name == QUIC_PORT:
        return None, None
    if name in DENIALS:
        key, denied = DENIALS[name]
        return (key, denied) if _is_true(name, value) else (None, None)
    if name in rivals.RIVALS:
        problem, note = rivals.check(name, value), rivals.note(name, value)
        if problem is not None and name in lenient:
            problem, note = None, f"is passed over: {problem}"
        if problem is not None:
            raise ConfigError(name, problem)
        if note is not None:
            meaning.notes.append((name, note))
        return None, None
    if name in START_NAMES and (value is None or value is False):
        return None, None
    if name in START_NAMES:
        raise ConfigError(name, "is for the command line and its files: what the start needs stands in no Config")
    raise ConfigError(name, f"there is no such setting{suggest(name, list_names(settings))}")


def list_names(settings: Mapping[str, Setting]) -> tuple[str, ...]:
    """Every key that ``translate`` knows."""
    own = (name for key, fact in settings.items() for name in (key, *fact.aliases, fact.singular) if name)
    return (*own, *LISTENERS, *METRICS_LISTENERS, QUIC_PORT, *versions.KEYS, *DENIALS, *rivals.RIVALS)


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


def _add_listeners(given: Mapping[str, Any], beneath: Mapping[str, Any], meaning: Meaning) -> None:
    """Put the ``bind`` and the ``metrics_bind`` that several keys make together where they belong.

    A host or a port that is given alone goes into the one TCP address that is beneath, if that is what there is.
    """
    for key, parts, compose in (
        ("bind", LISTENERS, _compose_listener),
        ("metrics_bind", METRICS_LISTENERS, _compose_metrics_listener),
    ):
        listener = {name: given[name] for name in parts if given.get(name) is not None}
        if not listener:
            continue
        first = next(iter(listener))
        if key in meaning.values:
            raise ConfigError(first, f"is given beside {meaning.names[key]}: give one of them")
        if key == "bind":
            listener = {**_part_address(beneath.get("bind")), **listener}
        meaning.put(key, (compose(listener),), first)


def _part_address(bind: Any) -> dict[str, Any]:
    """Host and port of the one TCP address that ``bind`` is, else nothing."""
    texts = (bind,) if isinstance(bind, str) else tuple(bind or ())
    try:
        facts = [parse_bind(text) for text in texts]
    except (AttributeError, TypeError, ValueError):
        return {}
    if len(facts) != 1 or not isinstance(facts[0], TCPBind):
        return {}
    return {"host": facts[0].host, "port": facts[0].port}


def _compose_listener(listener: Mapping[str, Any]) -> str:
    """The one bind text of the given ``LISTENERS``, checked here so that an error names the key that was given."""
    name = next(key for key in LISTENERS if key in listener)
    if name == "fd":
        return str(FDBind(_parse_number(name, listener[name], "a descriptor number")))
    if name in ("uds", "unix", "unix_socket"):
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

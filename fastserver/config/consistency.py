"""What the settings must be beyond their kinds: the form of each text, and how settings go together.

Whatever cannot be is a ``ConfigError`` for the key that is at fault.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from fastserver.config.bind import (
    LIVE_PATH,
    READY_PATH,
    STATS_PATH,
    WANT_BIND,
    WANT_QUIC_BIND,
    Bind,
    TCPBind,
    parse_bind,
    parse_quic_bind,
)
from fastserver.config.errors import ConfigError
from fastserver.config.extension import WANT_OBSERVER, WANT_PROTOCOL, parse_observer, parse_protocol
from fastserver.config.header import WANT_HEADER, parse_header
from fastserver.config.logformat import SPECIAL, parse_format
from fastserver.config.origin import WANT_ORIGIN, parse_origin
from fastserver.config.setting import quote
from fastserver.config.sni import WANT_SNI_CERT, parse_sni_cert
from fastserver.config.statsd import (
    WANT_PREFIX,
    WANT_STATSD,
    WANT_TAGS,
    parse_dogstatsd_tags,
    parse_statsd_prefix,
    parse_statsd_target,
)

if TYPE_CHECKING:
    from fastserver.config.model import Config

Item = TypeVar("Item")
Fact = TypeVar("Fact")

_WANT_FORMAT = "atoms such as %(h)s, or one of auto, short, common, combined, json"
_METRICS_PATHS = (STATS_PATH, READY_PATH, LIVE_PATH)
_WANT_METRICS_PATH = (
    f"a path that starts with /, has no blank, ? or #, and is not one that is taken: {', '.join(_METRICS_PATHS)}"
)
_WANT_HEALTH_PATH = "a path that starts with /, is decoded, and has no blank, ?, # or %"


def canonicalise(config: "Config") -> dict[str, Any]:
    """The canonical values of the settings whose kind does not give it, each text checked for its form."""
    _parse_each("bind", config.bind, parse_bind, WANT_BIND)
    _parse_each("insecure_bind", config.insecure_bind, parse_bind, WANT_BIND)
    _parse_each("metrics_bind", config.metrics_bind, parse_bind, WANT_BIND)
    _parse_each("quic_bind", config.quic_bind, parse_quic_bind, WANT_QUIC_BIND)
    _parse_each("sni_cert", config.sni_cert, parse_sni_cert, WANT_SNI_CERT)
    _parse_each("observers", config.observers, parse_observer, WANT_OBSERVER)
    if config.statsd_host is not None:
        _parse("statsd_host", config.statsd_host, parse_statsd_target, WANT_STATSD)
    if config.access_logformat not in SPECIAL:
        _parse("access_logformat", config.access_logformat, parse_format, _WANT_FORMAT)
    _check_metrics_path(config.metrics_path)
    if config.health_check_path is not None and not _is_path(config.health_check_path, " ?#%"):
        raise ConfigError(
            "health_check_path", f"{quote(config.health_check_path)} is not allowed: want {_WANT_HEALTH_PATH}"
        )
    headers = {name.lower() for name, _ in _parse_each("header", config.header, parse_header, WANT_HEADER)}
    protocols: Iterable[object] = config.protocols
    return {
        "log_level": "debug" if config.debug else config.log_level,
        "root_path": _normalise_root_path(config.root_path),
        "server_header": config.server_header and "server" not in headers,
        "date_header": config.date_header and "date" not in headers,
        "alt_svc": config.alt_svc and "alt-svc" not in headers,
        "ws_allowed_origins": _parse_each("ws_allowed_origins", config.ws_allowed_origins, parse_origin, WANT_ORIGIN),
        "protocols": _parse_each("protocols", protocols, parse_protocol, WANT_PROTOCOL),
        "statsd_prefix": _parse("statsd_prefix", config.statsd_prefix, parse_statsd_prefix, WANT_PREFIX),
        "dogstatsd_tags": _parse("dogstatsd_tags", config.dogstatsd_tags, parse_dogstatsd_tags, WANT_TAGS),
    }


def check(config: "Config") -> None:
    """Whether the settings of ``config``, each canonical, go together."""
    _check_addresses(config)
    _check_clashes(config)
    _check_versions(config)
    _check_tls(config)
    _check_quic(config)


def _parse(key: str, item: Item, reader: Callable[[Item], Fact], want: str) -> Fact:
    """What ``reader`` makes of ``item``; its ``ValueError`` says what is wrong."""
    try:
        return reader(item)
    except ValueError as error:
        raise ConfigError(key, f"{quote(item)} is not allowed, {error}: want {want}") from None


def _parse_each(key: str, items: Iterable[Item], reader: Callable[[Item], Fact], want: str) -> tuple[Fact, ...]:
    return tuple(_parse(key, item, reader, want) for item in items)


def _normalise_root_path(path: str) -> str:
    """``path`` without slashes at its end; ASGI's ``root_path`` is empty or starts with a slash."""
    if path and not path.startswith("/"):
        raise ConfigError("root_path", f"{quote(path)} is not allowed: want a path that starts with /")
    return path.rstrip("/")


def _check_addresses(config: "Config") -> None:
    """Nothing is served twice: not at one address, and not under one ALPN name.  Port 0 is another port each time."""
    if not config.bind:
        raise ConfigError("bind", f"is empty: want at least one of {WANT_BIND}")
    taken: dict[Bind | str, str] = {bind: "bind" for bind in config.binds if not _is_any_port(bind)}
    places: list[tuple[str, Bind | str]] = [("insecure_bind", bind) for bind in config.insecure_binds]
    places += [("protocols", each.bind or each.where) for each in config.protocols]
    places += [("metrics_bind", bind) for bind in config.metrics_binds]
    for key, place in places:
        if place in taken:
            where = "is given twice" if taken[place] == key else f"stands in {taken[place]} too"
            raise ConfigError(key, f"{quote(str(place))} {where}: want another address or name")
        if not _is_any_port(place):
            taken[place] = key


def _check_clashes(config: "Config") -> None:
    """Short flags that mean something else to daphne: it would be served at another place than was asked for."""
    if config.pid is not None and config.pid.isdigit():
        raise ConfigError("pid", f"{quote(config.pid)} is no file but a number: want port for the port")
    if config.user is not None and "/" in config.user:
        raise ConfigError("user", f"{quote(config.user)} is no user but a path: want uds for the socket")


def _is_any_port(place: Bind | str) -> bool:
    return isinstance(place, TCPBind) and not place.port


def _check_versions(config: "Config") -> None:
    """Every client can be served in one version of HTTP at least."""
    if config.h2c and not config.http2:
        raise ConfigError("h2c", "is HTTP/2, and http2 is off: want both, or neither")
    if config.http1:
        return
    if not config.http2:
        tail = ", since clients learn of HTTP/3 over TCP" if config.quic_bind or config.http3 else ""
        raise ConfigError("http1", f"is off, and http2 is off too: want at least one of them{tail}")
    if config.insecure_bind and not config.h2c:
        raise ConfigError("insecure_bind", "has no TLS, http1 is off, and HTTP/2 needs h2c then: want h2c, or http1")
    if not config.has_tls and not config.h2c:
        raise ConfigError("http1", "is off, and without certfile HTTP/2 needs h2c: want certfile, or h2c, or http1")


def _check_tls(config: "Config") -> None:
    if config.dev_cert:
        for key in ("certfile", "keyfile", "keyfile_password"):
            if getattr(config, key) is not None:
                raise ConfigError("dev_cert", f"brings a certificate of its own, and {key} is given: want one of them")
    if not config.has_tls:
        for key in ("keyfile", "keyfile_password", "ca_certs", "ciphers"):
            if getattr(config, key) is not None:
                raise ConfigError(key, "is given without certfile: want both, or neither")
        if config.sni_cert:
            raise ConfigError("sni_cert", "is given without certfile, which other clients get: want both, or neither")
        for binding in config.protocols:
            if binding.alpn is not None:
                raise ConfigError("protocols", f"{quote(binding.where)} is not allowed without certfile")
    names = set()
    for each in config.sni_certs:
        if each.name in names:
            raise ConfigError("sni_cert", f"{quote(each.name)} is given twice: want each name once")
        names.add(each.name)
    if config.verify_mode != "none" and config.ca_certs is None:
        raise ConfigError("verify_mode", f"{quote(config.verify_mode)} is not allowed without ca_certs")


def _check_quic(config: "Config") -> None:
    """QUIC is served at addresses that there are, each once, and with TLS."""
    for key in ("quic_bind", "http3"):
        if getattr(config, key) and not config.has_tls:
            raise ConfigError(key, "is given without certfile: want both, or neither")
    taken = set()
    for text in config.quic_bind:
        place = parse_quic_bind(text)
        if place in taken:
            raise ConfigError("quic_bind", f"{quote(str(place))} is given twice: want another address")
        if place.port:
            taken.add(place)
    if config.http3 and not any(isinstance(bind, TCPBind) for bind in config.binds):
        raise ConfigError("http3", "takes the addresses of bind, and none of them has a port: want quic_bind instead")
    if config.quic_initial_connection_window < config.quic_initial_stream_window:
        raise ConfigError(
            "quic_initial_connection_window", "is less than quic_initial_stream_window: want at least as much"
        )


def _is_path(path: str, excluded: str) -> bool:
    return path.startswith("/") and path.isprintable() and not any(each in path for each in excluded)


def _check_metrics_path(path: str) -> None:
    if not _is_path(path, " ?#") or path in _METRICS_PATHS:
        raise ConfigError("metrics_path", f"{quote(path)} is not allowed: want {_WANT_METRICS_PATH}")

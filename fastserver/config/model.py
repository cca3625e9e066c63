"""Every setting of the server in one frozen dataclass; key, default, meaning and bounds of each stand in ``topics``.

This is the one list.  ``--help``, ``docs/settings.md``, the environment variables and the flags derive from it.  The
constructor takes canonical keys and values as people write them (``"2m"``, ``"64k"``, a plain text where a list is
meant) and keeps canonical values.  It reads no environment and no file; ``load`` and ``from_file`` do.

Invariant: a ``Config`` that exists is usable, as far as can be known without opening a file or a socket.
"""

import inspect
import os
import ssl
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from fastserver.config.aliases import Meaning, translate
from fastserver.config.bind import METRICS_PORT, Bind, TCPBind, parse_bind
from fastserver.config.consistency import canonicalise, check
from fastserver.config.errors import ConfigError
from fastserver.config.header import parse_header
from fastserver.config.setting import Setting, setting_of
from fastserver.config.sni import SNICert, parse_sni_cert
from fastserver.config.statsd import StatsdTarget, parse_statsd_target
from fastserver.config.topics.bounds import Limits, Timeouts
from fastserver.config.topics.extensions import Extensions, Metrics
from fastserver.config.topics.operation import TLS, Logging, Responses
from fastserver.config.topics.processes import Development, Processes, Recycling, Supervision
from fastserver.config.topics.protocols import HTTP2, Protocols, WebSockets
from fastserver.config.topics.quic import HTTP3
from fastserver.config.topics.serving import WSGI, Application, Listening

if TYPE_CHECKING:
    from fastserver.config.sources.layer import Layer


# The bases stand in reverse: a dataclass has the fields of its last base first.
@dataclass(frozen=True, kw_only=True)
class Config(
    Metrics,
    Extensions,
    Logging,
    Responses,
    TLS,
    WebSockets,
    HTTP3,
    HTTP2,
    Protocols,
    Limits,
    Timeouts,
    Development,
    Supervision,
    Recycling,
    WSGI,
    Application,
    Processes,
    Listening,
):
    """The settings of one server.  A value that cannot be used raises ``ConfigError``, one line that says why.

    ``dataclasses.replace(config, ...)`` gives a changed copy, checked again.
    """

    if TYPE_CHECKING:
        # What the constructor takes is wider than what the fields hold, which a dataclass cannot say by itself.
        def __init__(
            self,
            *,
            bind: str | Sequence[str] = ...,
            insecure_bind: str | Sequence[str] = ...,
            backlog: int | str = ...,
            dual_stack: bool | str = ...,
            uds_permissions: int | str | None = ...,
            workers: int | str = ...,
            preload: bool | str = ...,
            loop: str = ...,
            factory: bool | str = ...,
            app_dir: str = ...,
            root_path: str = ...,
            interface: str = ...,
            lifespan: str = ...,
            threads: int | str = ...,
            limit_queue: int | str = ...,
            timeout_queue: float | str = ...,
            wsgi_spool_size: int | str = ...,
            max_requests: int | str = ...,
            max_requests_jitter: int | str = ...,
            worker_lifetime: float | str = ...,
            worker_lifetime_jitter: float | str = ...,
            worker_max_rss: int | str = ...,
            worker_max_rss_jitter: int | str = ...,
            timeout_worker_healthcheck: float | str = ...,
            control_socket: str | None = ...,
            pid: str | None = ...,
            name: str | None = ...,
            user: str | int | None = ...,
            group: str | int | None = ...,
            umask: int | str | None = ...,
            reload: bool | str = ...,
            reload_dirs: str | Sequence[str] = ...,
            reload_includes: str | Sequence[str] = ...,
            reload_excludes: str | Sequence[str] = ...,
            reload_delay: float | str = ...,
            debug: bool | str = ...,
            timeout_lifespan_startup: float | str = ...,
            timeout_lifespan_shutdown: float | str = ...,
            timeout_keep_alive: float | str = ...,
            timeout_keep_alive_min: float | str = ...,
            timeout_request_header: float | str = ...,
            timeout_request_body_idle: float | str = ...,
            timeout_write: float | str = ...,
            timeout_handshake: float | str = ...,
            timeout_graceful_shutdown: float | str = ...,
            timeout_stream_shutdown: float | str = ...,
            drain_delay: float | str = ...,
            keep_alive_max_requests: int | str = ...,
            limit_request_line: int | str = ...,
            limit_request_fields: int | str = ...,
            limit_request_field_size: int | str = ...,
            limit_request_head_size: int | str = ...,
            limit_request_body: int | str = ...,
            limit_request_body_rate: int | str = ...,
            limit_connections: int | str = ...,
            http1: bool | str = ...,
            http2: bool | str = ...,
            h2c: bool | str = ...,
            ws: bool | str = ...,
            h2_max_concurrent_streams: int | str = ...,
            h2_max_header_list_size: int | str = ...,
            h2_max_frame_size: int | str = ...,
            h2_initial_stream_window: int | str = ...,
            h2_initial_connection_window: int | str = ...,
            h2_max_resets: int | str = ...,
            quic_bind: str | Sequence[str] = ...,
            http3: bool | str = ...,
            alt_svc: bool | str = ...,
            alt_svc_max_age: float | str = ...,
            quic_retry: str = ...,
            quic_max_half_open: int | str = ...,
            quic_handshake_timeout: float | str = ...,
            quic_idle_timeout: float | str = ...,
            quic_initial_stream_window: int | str = ...,
            quic_initial_connection_window: int | str = ...,
            h3_max_concurrent_streams: int | str = ...,
            h3_max_field_section_size: int | str = ...,
            h3_max_resets: int | str = ...,
            ws_max_size: int | str = ...,
            ws_max_queue: int | str = ...,
            ws_ping_interval: float | str = ...,
            ws_ping_timeout: float | str = ...,
            ws_per_message_deflate: bool | str = ...,
            ws_allowed_origins: str | Sequence[str] = ...,
            certfile: str | None = ...,
            keyfile: str | None = ...,
            dev_cert: bool | str = ...,
            keyfile_password: str | None = ...,
            ca_certs: str | None = ...,
            verify_mode: str | ssl.VerifyMode = ...,
            tls_min_version: str = ...,
            sni_cert: str | Sequence[str] = ...,
            cert_reload: bool | str = ...,
            ciphers: str | None = ...,
            server_header: bool | str = ...,
            date_header: bool | str = ...,
            header: str | Sequence[str] = ...,
            access_log: bool | str | None = ...,
            access_logfile: str = ...,
            access_logformat: str = ...,
            access_log_exclude: str | Sequence[str] = ...,
            error_logfile: str = ...,
            log_level: str | int = ...,
            log_format: str = ...,
            log_config: str | Mapping[str, Any] | None = ...,
            use_colors: bool | str | None = ...,
            request_id: bool | str = ...,
            observers: str | Callable[..., object] | Sequence[str | Callable[..., object]] = ...,
            protocols: str | Mapping[str, object] | Sequence[object] = ...,
            metrics_bind: str | Sequence[str] = ...,
            metrics_path: str = ...,
            statsd_host: str | None = ...,
            statsd_prefix: str = ...,
            dogstatsd_tags: str = ...,
            health_check_path: str | None = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        for declared in fields(self):
            value = setting_of(declared).coerce(declared.name, getattr(self, declared.name))
            object.__setattr__(self, declared.name, value)
        for key, value in canonicalise(self).items():
            object.__setattr__(self, key, value)
        check(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any] | None = None, /, **keywords: Any) -> "Config":
        """A ``Config`` of canonical keys or of hypercorn's and uvicorn's names for them (``host``, ``ssl_certfile``).

        Keywords go over ``mapping``.  A key that is unknown, given under two names, or that asks for what this server
        does not do raises ``ConfigError``; one that makes no difference gives a ``UserWarning``.
        """
        return cls._mean(translate({**(mapping or {}), **keywords}, SETTINGS))

    @classmethod
    def from_file(cls, spec: str, /, **keywords: Any) -> "Config":
        """A ``Config`` of what ``--config`` takes: ``x.toml``, ``pyproject.toml``, ``x.py`` or ``python:module``.

        ``keywords``, as ``from_mapping`` takes them, go over the file.  What it says of the start itself (``app``,
        ``env_file``, ``env``, ``chdir``) is the command line's, and passed over here.  Raises ``ConfigError``, which
        names the file.
        """
        from fastserver.config.sources.files import read_file  # late: it knows the model

        return cls._lay(read_file(spec), keywords)

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], /, **keywords: Any) -> "Config":
        """``from_file`` for a TOML file, as hypercorn calls it."""
        return cls.from_file(os.fspath(path), **keywords)

    @classmethod
    def from_pyfile(cls, path: str | os.PathLike[str], /, **keywords: Any) -> "Config":
        """``from_file`` for a file of Python, which is run; as hypercorn calls it."""
        return cls.from_file(f"file:{os.fspath(path)}", **keywords)

    @classmethod
    def from_object(cls, found: object, /, **keywords: Any) -> "Config":
        """``from_file`` for a module, a class or an object whose attributes are settings, or the name of one."""
        if isinstance(found, str):
            return cls.from_file(f"python:{found}", **keywords)
        from fastserver.config.sources.python import select

        names = {name: getattr(found, name) for name in dir(found)}
        return cls._lay(select(names, type(found).__name__), keywords)

    @classmethod
    def _lay(cls, layer: "Layer", keywords: Mapping[str, Any]) -> "Config":
        """A ``Config`` of ``keywords`` over ``layer``."""
        try:
            beneath = translate(layer.split()[1], SETTINGS, lenient=layer.lenient)
        except ConfigError as error:
            raise ConfigError(layer.spell(error.key), error.problem) from None
        for line in layer.warnings:
            _warn(line)
        meaning = translate(keywords, SETTINGS, beneath.values)
        own = frozenset(meaning.values)
        meaning.values = {**beneath.values, **meaning.values}
        meaning.notes[:0] = [(layer.spell(name), note) for name, note in beneath.notes]
        try:
            return cls._mean(meaning)
        except ConfigError as error:
            name = error.key if error.key in own else layer.spell(beneath.names.get(error.key, error.key))
            raise ConfigError(name, error.problem) from None

    @classmethod
    def _mean(cls, meaning: Meaning) -> "Config":
        for name, note in meaning.notes:
            _warn(f"{name} {note}")
        return cls(**meaning.values)

    @property
    def binds(self) -> tuple[Bind, ...]:
        """``bind`` as facts, in the same order."""
        return tuple(parse_bind(text) for text in self.bind)

    @property
    def insecure_binds(self) -> tuple[Bind, ...]:
        """``insecure_bind`` as facts, in the same order."""
        return tuple(parse_bind(text) for text in self.insecure_bind)

    @property
    def sni_certs(self) -> tuple[SNICert, ...]:
        """``sni_cert`` as facts, in the same order."""
        return tuple(parse_sni_cert(text) for text in self.sni_cert)

    @property
    def metrics_binds(self) -> tuple[Bind, ...]:
        """``metrics_bind`` as facts, in the same order."""
        return tuple(parse_bind(text, METRICS_PORT) for text in self.metrics_bind)

    @property
    def http3_binds(self) -> tuple[TCPBind, ...]:
        """What ``http3`` adds to ``quic_bind``: the TCP addresses of ``bind``.

        Port 0 stands for the port that the TCP socket has got.
        """
        return tuple(bind for bind in self.binds if isinstance(bind, TCPBind)) if self.http3 else ()

    @property
    def statsd_target(self) -> StatsdTarget | None:
        """``statsd_host`` as a fact."""
        return None if self.statsd_host is None else parse_statsd_target(self.statsd_host)

    @property
    def header_fields(self) -> tuple[tuple[str, str], ...]:
        """``header`` as pairs of name and value, in the same order."""
        return tuple(parse_header(text) for text in self.header)


def _warn(line: str) -> None:
    """A ``UserWarning`` at the place outside this module that has asked for the configuration."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals is globals():
        level, frame = level + 1, frame.f_back
    warnings.warn(line, stacklevel=level)


#: Every setting by its key, in the order of the model.
SETTINGS: Final[Mapping[str, Setting]] = {declared.name: setting_of(declared) for declared in fields(Config)}
#: The default of every setting by its key.
DEFAULTS: Final[Mapping[str, Any]] = {declared.name: declared.default for declared in fields(Config)}

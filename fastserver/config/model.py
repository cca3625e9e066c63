"""Every setting of the server: its key, default, meaning and bounds, in one frozen dataclass.

This is the one list.  ``--help``, ``docs/settings.md``, the environment variables and the flags derive from it.  The
constructor takes canonical keys and values as people write them (``"2m"``, ``"64k"``, a plain text where a list is
meant) and keeps canonical values.  It reads no environment and no file: that is ``load``.

Invariant: a ``Config`` that exists is usable, as far as can be known without opening a file or a socket.
"""

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal

from fastserver.config.aliases import translate
from fastserver.config.bind import DEFAULT_PORT, METRICS_PORT, STATS_PATH, WANT_BIND, Bind, parse_bind
from fastserver.config.consistency import canonicalise, check
from fastserver.config.extension import ProtocolBinding
from fastserver.config.header import WANT_HEADER, parse_header
from fastserver.config.logformat import COMBINED
from fastserver.config.setting import Kind, Setting, setting, setting_of
from fastserver.config.spellings import BOOLEANS, LEVELS, LOOPS, PRIOR_KNOWLEDGE, VERIFY_MODES
from fastserver.config.spellings import WEBSOCKETS as WEBSOCKET_WORDS
from fastserver.config.statsd import STATSD_PORT, WANT_STATSD, StatsdTarget, parse_statsd_target

DURATION, SIZE, INT, BOOL = Kind.DURATION, Kind.SIZE, Kind.INT, Kind.BOOL
CHOICE, PATH, TEXT, OCTAL = Kind.CHOICE, Kind.PATH, Kind.TEXT, Kind.OCTAL
REPEAT, OBJECTS = Kind.REPEAT, Kind.OBJECTS

LISTENING, PROCESSES, APPLICATION, TIMEOUTS = "listening", "processes", "application", "timeouts"
LIMITS, TLS, RESPONSES, LOGGING = "limits", "TLS", "responses", "logging"
EXTENSIONS, METRICS = "extensions", "metrics"
PROTOCOLS, HTTP2, WEBSOCKETS = "protocols", "HTTP/2", "WebSockets"

#: The combined log format of Apache and nginx, then the seconds that the request took.
ACCESS_LOGFORMAT: Final = f"{COMBINED} %(L)s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The settings of one server.  A value that cannot be used raises ``ConfigError``, one line that says why.

    ``dataclasses.replace(config, ...)`` gives a changed copy, checked again.
    """

    bind: tuple[str, ...] = setting(
        ("127.0.0.1:8000",),
        REPEAT,
        LISTENING,
        f"Where to listen: {WANT_BIND}; may be given several times. The default port is {DEFAULT_PORT}, port 0 "
        "lets the system choose, an empty host is every interface.",
        short="-b",
        metavar="ADDRESS",
    )
    backlog: int = setting(
        2048,
        INT,
        LISTENING,
        "How many connections the system may hold that are not yet accepted.",
        minimum=1,
        maximum=(1 << 31) - 1,
    )
    dual_stack: bool = setting(
        True,
        BOOL,
        LISTENING,
        "Whether a socket on [::] takes IPv4 connections too.",
        negations=("--ipv6-only",),
    )
    uds_permissions: int | None = setting(
        None,
        OCTAL,
        LISTENING,
        "Permission bits of Unix sockets, in octal such as 660. Without it the umask decides.",
        optional=True,
    )

    workers: int | Literal["auto"] = setting(
        1,
        INT,
        PROCESSES,
        'Number of worker processes; "auto" is one for each usable CPU. 0 and 1 serve in this process.',
        short="-w",
        words=("auto",),
        maximum=4096,
    )
    loop: Literal["auto", "asyncio", "uvloop"] = setting(
        "auto",
        CHOICE,
        PROCESSES,
        "Event loop; auto is uvloop where it is installed, asyncio elsewhere.",
        short="-k",
        aliases=("worker_class", "asgi_loop"),
        choices=("auto", "asyncio", "uvloop"),
        spellings=LOOPS,
        planned=("trio", "zuvloop"),
    )

    factory: bool = setting(
        False, BOOL, APPLICATION, "The application is a function without arguments that returns the application."
    )
    app_dir: str = setting(
        ".",
        PATH,
        APPLICATION,
        "Directory that goes to the front of the import path.",
        metavar="DIRECTORY",
        aliases=("pythonpath", "python_path"),
    )
    root_path: str = setting(
        "",
        TEXT,
        APPLICATION,
        "Path below which a proxy serves the application (ASGI root_path), such as /api.",
        metavar="PATH",
        aliases=("url_path_prefix",),
    )
    interface: Literal["auto", "asgi3"] = setting(
        "auto",
        CHOICE,
        APPLICATION,
        "Interface of the application.",
        choices=("auto", "asgi3"),
        planned=("asgi2", "wsgi"),
    )
    lifespan: Literal["auto", "on", "off"] = setting(
        "auto",
        CHOICE,
        APPLICATION,
        "Whether the application gets lifespan events; with auto one that does not take them is served all the same.",
        aliases=("asgi_lifespan",),
        choices=("auto", "on", "off"),
    )

    timeout_lifespan_startup: float = setting(
        60.0,
        DURATION,
        TIMEOUTS,
        "Seconds for the application's startup; after that the start has failed.",
        aliases=("startup_timeout",),
        exclusive=True,
    )
    timeout_lifespan_shutdown: float = setting(
        30.0,
        DURATION,
        TIMEOUTS,
        "Seconds for the application's shutdown; after that it is given up.",
        aliases=("shutdown_timeout",),
        exclusive=True,
    )
    timeout_keep_alive: float = setting(
        75.0,
        DURATION,
        TIMEOUTS,
        "Seconds that an idle connection stays open; 0 is no limit. Keep it above the idle time of a load balancer in "
        "front.",
        aliases=("keep_alive_timeout", "keep_alive", "keepalive"),
    )
    timeout_keep_alive_min: float = setting(
        2.0,
        DURATION,
        TIMEOUTS,
        "Seconds that an idle connection still waits for one last request when the server is stopping.",
    )
    timeout_request_header: float = setting(
        10.0, DURATION, TIMEOUTS, "Seconds for a whole request head, from its first byte; then 408.", exclusive=True
    )
    timeout_request_body_idle: float = setting(
        30.0,
        DURATION,
        TIMEOUTS,
        "Seconds without any byte of a body that the application is waiting for; then the request is given up.",
        aliases=("read_timeout",),
        exclusive=True,
    )
    timeout_write: float = setting(
        30.0,
        DURATION,
        TIMEOUTS,
        "Seconds in which a client takes no byte of a response; then the connection is dropped.",
        exclusive=True,
    )
    timeout_handshake: float = setting(
        10.0,
        DURATION,
        TIMEOUTS,
        "Seconds for a TLS handshake.",
        aliases=("ssl_handshake_timeout",),
        exclusive=True,
    )
    timeout_graceful_shutdown: float = setting(
        25.0,
        DURATION,
        TIMEOUTS,
        "Seconds that open requests get to finish when the server is stopping; then they are cancelled.",
        aliases=("graceful_timeout", "workers_kill_timeout"),
    )

    keep_alive_max_requests: int = setting(
        0, INT, LIMITS, "Requests on one connection, after which the response says close; 0 is no limit."
    )
    limit_request_line: int = setting(8190, SIZE, LIMITS, "Bytes of a request line; beyond it 414.", minimum=1)
    limit_request_fields: int = setting(100, INT, LIMITS, "Header fields of a request; beyond it 431.", minimum=1)
    limit_request_field_size: int = setting(
        16384, SIZE, LIMITS, "Bytes of one header field, name and value; beyond it 431.", minimum=1
    )
    limit_request_head_size: int = setting(
        32768,
        SIZE,
        LIMITS,
        "Bytes of a whole request head; beyond it 431.",
        aliases=("h11_max_incomplete_size", "h11_max_incomplete_event_size", "max_header_size"),
        minimum=1,
    )
    limit_request_body: int = setting(
        1 << 30,
        SIZE,
        LIMITS,
        "Bytes of a request body; beyond it 413. 0 is no limit.",
        aliases=("max_body", "max_request_body_size", "wsgi_max_body_size"),
    )
    limit_request_body_rate: int = setting(
        240,
        SIZE,
        LIMITS,
        "Bytes a second that a body must bring on average once 10 seconds have passed; then 408. 0 is no limit.",
    )
    limit_connections: int = setting(
        0,
        INT,
        LIMITS,
        "Open connections of a worker. 0 is as many as descriptors allow: their limit less 128, at most 16384.",
        aliases=("max_connections", "worker_connections"),
    )

    http1: bool = setting(True, BOOL, PROTOCOLS, "Whether HTTP/1.0 and HTTP/1.1 are served.")
    http2: bool = setting(
        True,
        BOOL,
        PROTOCOLS,
        "Whether HTTP/2 is served: to the TLS clients that ask for it, and to others as h2c says.",
    )
    h2c: bool = setting(
        False,
        BOOL,
        PROTOCOLS,
        "Whether clients without TLS may begin in HTTP/2 (prior knowledge), beside HTTP/1.",
        aliases=("http2_cleartext",),
        spellings=PRIOR_KNOWLEDGE,
        refused=dict.fromkeys(("upgrade", "both"), "RFC 9113 took the upgrade from HTTP/1.1 out of HTTP/2"),
    )
    ws: bool = setting(
        True,
        BOOL,
        PROTOCOLS,
        "Whether WebSockets are served.",
        aliases=("websockets",),
        spellings=WEBSOCKET_WORDS,
    )

    h2_max_concurrent_streams: int = setting(
        100,
        INT,
        HTTP2,
        "Requests that may be open at once on one connection.",
        aliases=("http2_max_concurrent_streams",),
        minimum=1,
        maximum=(1 << 31) - 1,
    )
    h2_max_header_list_size: int = setting(
        32768,
        SIZE,
        HTTP2,
        "Bytes of a request's header fields, decoded, with 32 more for each field; beyond it the connection ends.",
        aliases=("http2_max_headers_size", "http2_max_header_list_size"),
        minimum=1,
        maximum=(1 << 31) - 1,
    )
    h2_max_frame_size: int = setting(
        16384,
        SIZE,
        HTTP2,
        "Bytes of one frame that a client may send.",
        aliases=("h2_max_inbound_frame_size", "http2_max_frame_size"),
        minimum=16384,
        maximum=(1 << 24) - 1,
    )
    h2_initial_stream_window: int = setting(
        256 * 1024,
        SIZE,
        HTTP2,
        "Bytes of one request's body that may be under way before the application has taken them.",
        aliases=("http2_initial_stream_window_size", "http2_initial_window_size", "h2_initial_stream_window_size"),
        minimum=1,
        maximum=(1 << 31) - 1,
    )
    h2_initial_connection_window: int = setting(
        1024 * 1024,
        SIZE,
        HTTP2,
        "Bytes of all bodies of one connection that may be under way before the applications have taken them.",
        aliases=("http2_initial_connection_window_size", "h2_initial_connection_window_size"),
        minimum=65535,
        maximum=(1 << 31) - 1,
    )
    h2_max_resets: int = setting(
        200,
        INT,
        HTTP2,
        "Requests of one connection that may be reset within 30 seconds before their responses are whole; beyond it "
        "the connection ends.",
        minimum=1,
    )

    ws_max_size: int = setting(
        16 * 1024 * 1024,
        SIZE,
        WEBSOCKETS,
        "Bytes of one message from a client; beyond it the session closes with 1009.",
        aliases=("websocket_max_message_size", "ws_max_message"),
        minimum=1,
    )
    ws_max_queue: int = setting(
        32,
        INT,
        WEBSOCKETS,
        "Messages that wait for the application before no more is read.",
        minimum=1,
    )
    ws_ping_interval: float = setting(
        20.0,
        DURATION,
        WEBSOCKETS,
        "Seconds between the server's pings; 0 is none.",
        aliases=("websocket_ping_interval",),
    )
    ws_ping_timeout: float = setting(
        20.0,
        DURATION,
        WEBSOCKETS,
        "Seconds in which a client has to answer a ping, else it counts as gone; 0 is no limit.",
        aliases=("websocket_ping_timeout",),
    )
    ws_per_message_deflate: bool = setting(
        False,
        BOOL,
        WEBSOCKETS,
        "Whether messages are compressed where the client offers it (permessage-deflate).",
        aliases=("websocket_per_message_deflate", "ws_compress"),
        spellings=BOOLEANS,
    )
    ws_allowed_origins: tuple[str, ...] = setting(
        (),
        REPEAT,
        WEBSOCKETS,
        "Origin of a page that may open WebSockets, such as https://example.org; may be given several times. Without "
        "it the application decides.",
        singular="ws_allowed_origin",
        metavar="ORIGIN",
    )

    certfile: str | None = setting(
        None,
        PATH,
        TLS,
        "Certificate chain (PEM), the server's own first. It switches TLS on.",
        aliases=("ssl_certfile", "tls_cert", "ssl_certificate"),
        optional=True,
    )
    keyfile: str | None = setting(
        None,
        PATH,
        TLS,
        "Private key (PEM). Without it the key is read from certfile.",
        aliases=("ssl_keyfile", "tls_key"),
        optional=True,
    )
    keyfile_password: str | None = setting(
        None,
        TEXT,
        TLS,
        "Password of the private key; better given in the environment than on the command line.",
        metavar="PASSWORD",
        aliases=("ssl_keyfile_password",),
        optional=True,
        secret=True,
    )
    ca_certs: str | None = setting(
        None,
        PATH,
        TLS,
        "Certificates (a PEM file, or a hashed directory) that client certificates are checked against.",
        aliases=("ssl_ca_certs", "ssl_ca"),
        optional=True,
    )
    verify_mode: Literal["none", "optional", "required"] = setting(
        "none",
        CHOICE,
        TLS,
        "Whether clients are asked for a certificate; optional refuses only a bad one, required a missing one too.",
        aliases=("cert_reqs", "ssl_cert_reqs"),
        choices=("none", "optional", "required"),
        spellings=VERIFY_MODES,
    )
    ciphers: str | None = setting(
        None,
        TEXT,
        TLS,
        "TLS 1.2 ciphers in OpenSSL's notation. Without it: ECDHE with AES-GCM or ChaCha20.",
        metavar="LIST",
        aliases=("ssl_ciphers", "tls_ciphers"),
        optional=True,
    )

    server_header: bool = setting(
        True, BOOL, RESPONSES, "Whether responses have a server header.", aliases=("include_server_header",)
    )
    date_header: bool = setting(
        True, BOOL, RESPONSES, "Whether responses have a date header.", aliases=("include_date_header",)
    )
    header: tuple[str, ...] = setting(
        (),
        REPEAT,
        RESPONSES,
        f"{WANT_HEADER} that every response gets; may be given several times. A server or date header given so takes "
        "the place of the server's own.",
        metavar="HEADER",
        aliases=("headers",),
    )

    access_log: bool = setting(False, BOOL, LOGGING, "Whether requests are logged, one line each.")
    access_logfile: str = setting(
        "-",
        PATH,
        LOGGING,
        "File of the access log, - is standard output. Given as a flag or in the environment, it switches the access "
        "log on.",
        metavar="FILE",
        aliases=("accesslog",),
    )
    access_logformat: str = setting(
        ACCESS_LOGFORMAT,
        TEXT,
        LOGGING,
        "Format of the access log in gunicorn's atoms, or combined, or json.",
        metavar="FORMAT",
        aliases=("access_log_format",),
    )
    error_logfile: str = setting(
        "-",
        PATH,
        LOGGING,
        "File of the error log, - is standard error.",
        metavar="FILE",
        aliases=("errorlog", "error_log", "log_file"),
    )
    log_level: Literal["debug", "info", "warning", "error", "critical"] = setting(
        "info",
        CHOICE,
        LOGGING,
        "Least level of the error log.",
        aliases=("loglevel",),
        choices=("debug", "info", "warning", "error", "critical"),
        spellings=LEVELS,
        planned=("trace",),
    )

    observers: tuple[str | Callable[..., object], ...] = setting(
        (),
        OBJECTS,
        EXTENSIONS,
        "A callable that hears the events of every connection, as (connection, direction, event), or a class of such; "
        "may be given several times.",
        singular="observer",
    )
    protocols: tuple[ProtocolBinding, ...] = setting(
        (),
        OBJECTS,
        EXTENSIONS,
        "A protocol handler and where it serves: at an address of its own, as in bind, or, as alpn:NAME, to the TLS "
        "clients that ask for that protocol; may be given several times.",
        singular="protocol",
        metavar="WHERE=MODULE:ATTR",
    )

    metrics_bind: tuple[str, ...] = setting(
        (),
        REPEAT,
        METRICS,
        f"Where the metrics of all workers can be read: addresses as in bind, the default port is {METRICS_PORT}; may "
        "be given several times. Without it nowhere.",
        metavar="ADDRESS",
    )
    metrics_path: str = setting(
        "/metrics",
        TEXT,
        METRICS,
        f"Path of the metrics in Prometheus' format; they are at {STATS_PATH} as JSON.",
        metavar="PATH",
    )
    statsd_host: str | None = setting(
        None,
        TEXT,
        METRICS,
        f"Where metrics are sent to StatsD: {WANT_STATSD}. The default port is {STATSD_PORT}.",
        metavar="ADDRESS",
        optional=True,
    )
    statsd_prefix: str = setting(
        "fastserver",
        TEXT,
        METRICS,
        "What the names of metrics start with at StatsD; a dot follows by itself.",
        metavar="NAME",
    )
    dogstatsd_tags: str = setting(
        "",
        TEXT,
        METRICS,
        "Tags of all metrics at DogStatsD, with commas between, such as env:live,zone:a.",
        metavar="TAGS",
    )

    if TYPE_CHECKING:
        # What the constructor takes is wider than what the fields hold, which a dataclass cannot say by itself.
        def __init__(
            self,
            *,
            bind: str | Sequence[str] = ...,
            backlog: int | str = ...,
            dual_stack: bool | str = ...,
            uds_permissions: int | str | None = ...,
            workers: int | str = ...,
            loop: str = ...,
            factory: bool | str = ...,
            app_dir: str = ...,
            root_path: str = ...,
            interface: str = ...,
            lifespan: str = ...,
            timeout_lifespan_startup: float | str = ...,
            timeout_lifespan_shutdown: float | str = ...,
            timeout_keep_alive: float | str = ...,
            timeout_keep_alive_min: float | str = ...,
            timeout_request_header: float | str = ...,
            timeout_request_body_idle: float | str = ...,
            timeout_write: float | str = ...,
            timeout_handshake: float | str = ...,
            timeout_graceful_shutdown: float | str = ...,
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
            ws_max_size: int | str = ...,
            ws_max_queue: int | str = ...,
            ws_ping_interval: float | str = ...,
            ws_ping_timeout: float | str = ...,
            ws_per_message_deflate: bool | str = ...,
            ws_allowed_origins: str | Sequence[str] = ...,
            certfile: str | None = ...,
            keyfile: str | None = ...,
            keyfile_password: str | None = ...,
            ca_certs: str | None = ...,
            verify_mode: str | ssl.VerifyMode = ...,
            ciphers: str | None = ...,
            server_header: bool | str = ...,
            date_header: bool | str = ...,
            header: str | Sequence[str] = ...,
            access_log: bool | str = ...,
            access_logfile: str = ...,
            access_logformat: str = ...,
            error_logfile: str = ...,
            log_level: str | int = ...,
            observers: str | Callable[..., object] | Sequence[str | Callable[..., object]] = ...,
            protocols: str | Mapping[str, object] | Sequence[object] = ...,
            metrics_bind: str | Sequence[str] = ...,
            metrics_path: str = ...,
            statsd_host: str | None = ...,
            statsd_prefix: str = ...,
            dogstatsd_tags: str = ...,
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
        does not do raises ``ConfigError``.
        """
        return cls(**translate({**(mapping or {}), **keywords}, SETTINGS))

    @property
    def binds(self) -> tuple[Bind, ...]:
        """``bind`` as facts, in the same order."""
        return tuple(parse_bind(text) for text in self.bind)

    @property
    def metrics_binds(self) -> tuple[Bind, ...]:
        """``metrics_bind`` as facts, in the same order."""
        return tuple(parse_bind(text, METRICS_PORT) for text in self.metrics_bind)

    @property
    def statsd_target(self) -> StatsdTarget | None:
        """``statsd_host`` as a fact."""
        return None if self.statsd_host is None else parse_statsd_target(self.statsd_host)

    @property
    def header_fields(self) -> tuple[tuple[str, str], ...]:
        """``header`` as pairs of name and value, in the same order."""
        return tuple(parse_header(text) for text in self.header)


#: Every setting by its key, in the order of the model.
SETTINGS: Final[Mapping[str, Setting]] = {declared.name: setting_of(declared) for declared in fields(Config)}
#: The default of every setting by its key.
DEFAULTS: Final[Mapping[str, Any]] = {declared.name: declared.default for declared in fields(Config)}

"""How long the server waits, and how much it takes."""

from dataclasses import dataclass

from fastserver.config.setting import Kind, setting


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long it waits."""

    timeout_lifespan_startup: float = setting(
        60.0,
        Kind.DURATION,
        "timeouts",
        "Seconds for the application's startup; after that the start has failed.",
        aliases=("startup_timeout",),
        exclusive=True,
    )
    timeout_lifespan_shutdown: float = setting(
        30.0,
        Kind.DURATION,
        "timeouts",
        "Seconds for the application's shutdown; after that it is given up.",
        aliases=("shutdown_timeout",),
        exclusive=True,
    )
    timeout_keep_alive: float = setting(
        75.0,
        Kind.DURATION,
        "timeouts",
        "Seconds that an idle connection stays open; 0 is no limit. Keep it above the idle time of a load balancer in "
        "front.",
        aliases=("keep_alive_timeout", "keep_alive", "keepalive"),
    )
    timeout_keep_alive_min: float = setting(
        2.0,
        Kind.DURATION,
        "timeouts",
        "Seconds that an idle connection still waits for one last request when the server is stopping.",
    )
    timeout_request_header: float = setting(
        10.0,
        Kind.DURATION,
        "timeouts",
        "Seconds for a whole request head, from its first byte; then 408.",
        aliases=("http1_header_read_timeout",),
        exclusive=True,
    )
    timeout_request_body_idle: float = setting(
        30.0,
        Kind.DURATION,
        "timeouts",
        "Seconds without any byte of a body that the application is waiting for; then the request is given up.",
        aliases=("read_timeout",),
        exclusive=True,
    )
    timeout_write: float = setting(
        30.0,
        Kind.DURATION,
        "timeouts",
        "Seconds in which a client takes no byte of a response; then the connection is dropped.",
        exclusive=True,
    )
    timeout_handshake: float = setting(
        10.0,
        Kind.DURATION,
        "timeouts",
        "Seconds for a TLS handshake.",
        aliases=("ssl_handshake_timeout",),
        exclusive=True,
    )
    timeout_graceful_shutdown: float = setting(
        25.0,
        Kind.DURATION,
        "timeouts",
        "Seconds that open requests get to finish when the server is stopping; then they are cancelled.",
        aliases=("graceful_timeout", "workers_kill_timeout"),
    )
    timeout_stream_shutdown: float = setting(
        10.0,
        Kind.DURATION,
        "timeouts",
        "Seconds of timeout_graceful_shutdown after which event streams and WebSockets that are still open are told to "
        "end.",
    )
    drain_delay: float = setting(
        0.0,
        Kind.DURATION,
        "timeouts",
        "Seconds that the server still takes new connections after a stop signal, while its readiness is off.",
    )


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much it takes, in every version of HTTP."""

    keep_alive_max_requests: int = setting(
        0, Kind.INT, "limits", "Requests on one connection, after which the response says close; 0 is no limit."
    )
    limit_request_line: int = setting(8190, Kind.SIZE, "limits", "Bytes of a request line; beyond it 414.", minimum=1)
    limit_request_fields: int = setting(
        100, Kind.INT, "limits", "Header fields of a request; beyond it 431.", minimum=1
    )
    limit_request_field_size: int = setting(
        16384, Kind.SIZE, "limits", "Bytes of one header field, name and value; beyond it 431.", minimum=1
    )
    limit_request_head_size: int = setting(
        32768,
        Kind.SIZE,
        "limits",
        "Bytes of a whole request head; beyond it 431.",
        aliases=("h11_max_incomplete_size", "h11_max_incomplete_event_size", "max_header_size"),
        minimum=1,
    )
    limit_request_body: int = setting(
        1 << 30,
        Kind.SIZE,
        "limits",
        "Bytes of a request body; beyond it 413. 0 is no limit.",
        aliases=("max_body", "max_request_body_size", "wsgi_max_body_size"),
    )
    limit_request_body_rate: int = setting(
        240,
        Kind.SIZE,
        "limits",
        "Bytes a second that a body must bring on average once 10 seconds have passed; then 408. 0 is no limit.",
    )
    limit_connections: int = setting(
        0,
        Kind.INT,
        "limits",
        "Open connections of a worker. 0 is as many as descriptors allow: their limit less 128, at most 16384.",
        aliases=("max_connections", "worker_connections"),
    )

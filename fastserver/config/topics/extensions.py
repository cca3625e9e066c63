"""What users put into the server, and who reads its figures."""

from collections.abc import Callable
from dataclasses import dataclass

from fastserver.config.bind import LIVE_PATH, METRICS_PORT, READY_PATH, STATS_PATH
from fastserver.config.extension import ProtocolBinding
from fastserver.config.setting import Kind, setting
from fastserver.config.statsd import STATSD_PORT, WANT_STATSD


@dataclass(frozen=True, kw_only=True)
class Extensions:
    """What users put into it."""

    observers: tuple[str | Callable[..., object], ...] = setting(
        (),
        Kind.OBJECTS,
        "extensions",
        "A callable that hears the events of every connection, as (connection, direction, event), or a class of such; "
        "may be given several times.",
        singular="observer",
    )
    protocols: tuple[ProtocolBinding, ...] = setting(
        (),
        Kind.OBJECTS,
        "extensions",
        "A protocol handler and where it serves: at an address of its own, as in bind, or, as alpn:NAME, to the TLS "
        "clients that ask for that protocol; may be given several times.",
        singular="protocol",
        metavar="WHERE=MODULE:ATTR",
    )


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Who reads its figures."""

    metrics_bind: tuple[str, ...] = setting(
        (),
        Kind.REPEAT,
        "metrics",
        f"Where the metrics of all workers can be read: addresses as in bind, the default port is {METRICS_PORT}; may "
        "be given several times. Without it nowhere.",
        metavar="ADDRESS",
    )
    metrics_path: str = setting(
        "/metrics",
        Kind.TEXT,
        "metrics",
        f"Path of the metrics in Prometheus' format; they are at {STATS_PATH} as JSON, and {READY_PATH} and "
        f"{LIVE_PATH} answer probes.",
        metavar="PATH",
    )
    statsd_host: str | None = setting(
        None,
        Kind.TEXT,
        "metrics",
        f"Where metrics are sent to StatsD: {WANT_STATSD}. The default port is {STATSD_PORT}.",
        metavar="ADDRESS",
        optional=True,
    )
    statsd_prefix: str = setting(
        "fastserver",
        Kind.TEXT,
        "metrics",
        "What the names of metrics start with at StatsD; a dot follows by itself.",
        metavar="NAME",
    )
    dogstatsd_tags: str = setting(
        "",
        Kind.TEXT,
        "metrics",
        "Tags of all metrics at DogStatsD, with commas between, such as env:live,zone:a.",
        metavar="TAGS",
    )
    health_check_path: str | None = setting(
        None,
        Kind.TEXT,
        "metrics",
        "Path at which the server itself answers whether it is ready, beside the application: 200, or 503 from a stop "
        "signal on.",
        metavar="PATH",
        aliases=("health_path",),
        optional=True,
    )

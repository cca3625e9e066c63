"""What a worker's connections share, made: the host of the users' connections, and that of the metrics' readers."""

from __future__ import annotations

import asyncio
import resource
import time
from dataclasses import replace
from logging import Logger
from typing import Any, Final

from fastserver._speedups.clock import Clock
from fastserver._speedups.contract import Application, Host, Limits
from fastserver._speedups.health import HealthCheck
from fastserver._speedups.http import HTTPApplication
from fastserver._speedups.identity import IdentifyingApplication
from fastserver._speedups.websocket.settings import WebSocketSettings
from fastserver._speedups.wsgi.exchange import WSGIApplication
from fastserver._speedups.wsgi.pool import ThreadPool
from fastserver.config.count import count_workers
from fastserver.config.model import Config
from fastserver.exchange.pathsend import send_path
from fastserver.exchange.spool import Spool
from fastserver.exchange.wsgifile import open_file
from fastserver.exchange.wsgifile import send_file as send_wrapped_file
from fastserver.logs.accesslog import AccessLog
from fastserver.logs.delegation import DelegatedAccessLog
from fastserver.server.interface import WSGIApp
from fastserver.server.monitor import has_readers
from fastserver.transport.sendfile import send_file
from fastserver.typing import App
from fastserver.version import VERSION

#: What ``limit_connections = 0`` leaves of the descriptors to the application, and its own upper bound.
RESERVED_DESCRIPTORS: Final = 128
CONNECTIONS_MAX: Final = 16384

#: Connections to the metrics' address; its readers are few.
METRICS_CONNECTIONS: Final = 64


def make_host(
    config: Config,
    app: App | WSGIApp,
    state: dict[str, Any] | None,
    log: Logger,
    access_log: AccessLog | DelegatedAccessLog | None,
    timed: bool,
) -> tuple[Host, ThreadPool | None]:
    """The host of the connections to ``app``, in the running loop, and the threads of ``app`` where it has some.

    ``state`` is what its lifespan has left behind.

    ``timed`` asks for the timing of requests also where no metrics do; the access log sees to that itself.
    """
    loop = asyncio.get_running_loop()
    if isinstance(app, WSGIApp):
        config = replace(config, ws=False)
    host = Host(
        loop=loop,
        clock=Clock(loop.time(), time.time()),
        limits=Limits.from_config(config, config.limit_connections or get_connections_max()),
        error_log=log,
        access_log=access_log,
        server_field=b"server: fastserver\r\n" if config.server_header else b"",
        date_header=config.date_header,
        extra_fields=b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in config.header_fields),
    )
    host.send_file = send_file
    host.timed = timed or has_readers(config)
    pool = None
    if isinstance(app, WSGIApp):
        pool = ThreadPool(host, config.threads, config.limit_queue, config.timeout_queue) if config.threads else None
        application: Application = make_wsgi_application(config, app, host, pool)
    else:
        application = HTTPApplication(app, host, config.root_path, send_path, WebSocketSettings.from_config(config))
        application.state = state
    path = config.health_check_path
    host.application = application if path is None else HealthCheck(application, host, path)
    if config.request_id:
        host.has_request_ids = True
        host.application = IdentifyingApplication(host.application)
    return host, pool


def make_wsgi_application(config: Config, app: WSGIApp, host: Host, pool: ThreadPool | None) -> WSGIApplication:
    """What serves ``app``, in ``pool`` or, without, in the event loop's own thread."""
    return WSGIApplication(
        app.call,
        host,
        pool,
        config.root_path,
        multiprocess=count_workers(config) > 1,
        spool_size=config.wsgi_spool_size,
        make_spool=Spool,
        open_file=open_file,
        send_file=send_wrapped_file,
        software=f"fastserver/{VERSION}",
    )


def make_metrics_host(config: Config, host: Host, app: App) -> Host:
    """The host of the connections to the metrics' ``app``, beside ``host``: they are no users', and not counted."""
    metrics_host = Host(
        loop=host.loop,
        clock=host.clock,
        limits=Limits.from_config(config, METRICS_CONNECTIONS),
        error_log=host.error_log,
        server_field=host.server_field,
    )
    metrics_host.application = HTTPApplication(app, metrics_host)
    return metrics_host


def get_connections_max() -> int:
    """How many connections one process may hold: what its descriptors allow, less what the application needs."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(1, min(soft - RESERVED_DESCRIPTORS, CONNECTIONS_MAX))

"""The two ways to serve: ``run`` in processes of its own, ``serve`` in the caller's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from logging import Logger
from typing import Any

from fastserver.config.count import count_workers
from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.errors import ExitCode
from fastserver.logs.errorlog import configure_error_log
from fastserver.logs.setup import configure_logs
from fastserver.processes.generation import open_generation
from fastserver.processes.reloading import Reread
from fastserver.processes.service import Service, take_service
from fastserver.processes.signals import STOP_SIGNALS, SignalWatch
from fastserver.processes.standard import fill_standard
from fastserver.processes.supervisor import Supervisor
from fastserver.processes.worker import Worker, log_startup_failure
from fastserver.server.quic import open_place
from fastserver.server.server import Server
from fastserver.server.tls import get_certificates
from fastserver.transport.sockets import BindError
from fastserver.typing import AnyApp


def run(app: AnyApp | str, config: Config | None = None, *, reread: Reread | None = None, **settings: Any) -> int:
    """Serve ``app``, an ASGI or WSGI callable or ``module:attr``, until a signal ends it; gives the exit code.

    ``settings`` make a ``Config`` in place of ``config`` (``Config.from_mapping``).  With one worker or more this
    process only supervises; a callable then serves in forked copies of what it is now.  Exit codes: 0 stopped as asked,
    3 not started (the log says why), 128 and a signal's number when a second signal ended it.

    ``reread`` gives application and configuration anew for a reload by SIGHUP, and raises with one line that says why
    not; without it a reload has the same again.  Raises ``ConfigError`` for settings that cannot be used.
    """
    if settings and config is not None:
        raise TypeError("run() takes a config or settings, not both")
    if config is None:
        config = Config.from_mapping(settings)
    _refuse_running_loop()
    fill_standard()
    try:
        service = take_service(config)
        log = configure_logs(config)
    except ConfigError as error:
        log_startup_failure(configure_error_log(), str(error))
        return ExitCode.NOT_STARTED
    code: int = ExitCode.FAULT
    try:
        code = _serve(app, config, reread, service, log)
    finally:
        service.close(code)
    return code


def _serve(app: AnyApp | str, config: Config, reread: Reread | None, service: Service, log: Logger) -> int:
    """In the order that ``service`` explains; the exit code."""
    count, place = count_workers(config), None
    try:
        with contextlib.ExitStack() as opened:
            if count >= 1 and not hasattr(os, "fork"):
                raise ConfigError("workers", "a supervisor needs fork, which this system lacks")
            generation = open_generation(app, service.adopt(config, log), log, owner=service.owner)
            opened.callback(generation.close)
            if count == 0:
                place = open_place(generation.config, generation.endpoints, log, get_certificates(generation.tls))
            if place is not None:
                opened.callback(place.group.close)
            service.establish(config, log)
            opened.pop_all()  # who serves takes them over
    except (ConfigError, BindError) as error:
        log_startup_failure(log, str(error))
        return ExitCode.NOT_STARTED
    if count >= 1:
        supervisor = Supervisor(generation, log, service.wrap_reread(reread, log))
        service.attach(supervisor)
        return _supervise(supervisor)
    try:
        return Worker(
            app,
            generation.config,
            generation.endpoints,
            generation.tls,
            quic=place,
            notifier=service.notifier,
        ).run()
    finally:
        if place is not None:
            place.group.close()  # the worker has not, where it did not come so far


def _supervise(supervisor: Supervisor) -> int:
    if not supervisor.generation.config.reload:
        return supervisor.run()
    from fastserver.processes.restarting import Restarter  # what is for development is imported there

    restarter = Restarter(supervisor)
    try:
        return supervisor.run()
    finally:
        restarter.close()


async def serve(
    app: AnyApp | str,
    config: Config | None = None,
    *,
    observers: str | Callable[..., object] | Iterable[str | Callable[..., object]] = (),
    protocols: Mapping[str, object] | None = None,
    shutdown_trigger: Callable[[], Awaitable[object]] | None = None,
    mode: str | None = None,
) -> None:
    """Serve ``app`` in the running loop, in this process alone, until ``shutdown_trigger()`` returns.

    Without a trigger SIGINT and SIGTERM end it, where the loop runs in the main thread; a second one cuts what is open.
    ``observers``, one or several, hear its events beside those of ``config``; ``protocols`` are handlers by where they
    serve, likewise.
    ``mode`` is there for hypercorn's signature: ``"asgi"`` or ``"wsgi"``, else ``config.interface`` says it.
    Raises ``StartupFailed``, and what the trigger raises.  A cancelled ``serve`` cuts open requests and is gone at
    once.
    """
    if mode not in (None, "asgi", "wsgi"):
        raise ConfigError("mode", f"{mode!r} is not allowed: want 'asgi' or 'wsgi'")
    config = config if config is not None else Config()
    if mode == "wsgi":
        config = replace(config, interface="wsgi")
    if isinstance(observers, str) or callable(observers):
        observers = (observers,)
    bindings: tuple[Any, ...] = (*config.protocols, *(protocols or {}).items())
    server = Server(app, replace(config, observers=(*config.observers, *observers), protocols=bindings))
    loop = asyncio.get_running_loop()
    jobs: set[asyncio.Future[Any]] = set()

    def on_signal(signum: int) -> None:
        loop.call_soon_threadsafe(stop)

    def stop() -> None:
        if server.should_exit:
            jobs.add(asyncio.ensure_future(server.shutdown(timeout=0)))
        server.should_exit = True

    if shutdown_trigger is None:
        with SignalWatch(STOP_SIGNALS, on_signal):
            await server.serve()
            if jobs:
                await asyncio.wait(jobs)
        return
    trigger = asyncio.ensure_future(_pull(shutdown_trigger, server))
    try:
        await server.serve()
    finally:
        trigger.cancel()
        await asyncio.wait({trigger})
    with contextlib.suppress(asyncio.CancelledError):
        trigger.result()


async def _pull(shutdown_trigger: Callable[[], Awaitable[object]], server: Server) -> None:
    try:
        await shutdown_trigger()
    finally:
        server.should_exit = True


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("run() blocks, so it cannot be called in a running event loop: use 'await serve()'")

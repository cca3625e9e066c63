"""One application served by the running event loop: what a worker process runs, and what a program embeds.

    async with Server(app, Config(bind="127.0.0.1:0")) as server:
        host, port = server.addresses[0]

A server installs no signal handlers, starts no process and leaves nothing behind: no task, no timer, no socket.
It goes through ``State`` once, from ``NEW`` to ``STOPPED``; to serve again, make another.

Nothing is lost on the way down.  The health check says so first, for as long as ``drain_delay``.  Then new connections
are turned away, those that the kernel has queued are accepted, and only then do the sockets close; streams that have no
end of their own are told to end; requests get until the deadline to finish; the application is shut down last.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections.abc import Callable, Sequence
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from fastserver._speedups.connection import abort, drain, end_streams
from fastserver._speedups.contract import Host
from fastserver._speedups.tcp import TCPConnection
from fastserver._speedups.wsgi.pool import ThreadPool
from fastserver.config.credentials import Certificates
from fastserver.config.devcert import resolve_dev_cert
from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.config.tls import ServerContext
from fastserver.errors import StartupFailed
from fastserver.exchange.lifespan import Lifespan
from fastserver.logs.accesslog import AccessLog, make_access_logger
from fastserver.logs.delegation import DelegatedAccessLog
from fastserver.logs.errorlog import find_handlers, get_error_log, revive
from fastserver.logs.setup import configure_logs
from fastserver.observe import Observation
from fastserver.server.connections import ConnectionTable
from fastserver.server.ebb import Ebb
from fastserver.server.endpoints import Endpoint, Purpose, describe_endpoint, open_endpoints
from fastserver.server.extensions import Extensions, load_extensions
from fastserver.server.host import make_host, make_metrics_host
from fastserver.server.interface import WSGIApp
from fastserver.server.loader import load_app
from fastserver.server.monitor import Monitor, Place
from fastserver.server.pipeline import Pipeline
from fastserver.server.quic import QUICService, Unavailable, open_place, render_alt_svc
from fastserver.server.renewal import Renewal, warn_of_expired
from fastserver.server.schedule import StopSchedule
from fastserver.server.ticker import Ticker, get_tick_s
from fastserver.server.tls import TLSMaterial, get_certificates, load_tls
from fastserver.transport.acceptor import Acceptor, accept_rest
from fastserver.transport.sockets import BindError, seal
from fastserver.transport.tls import describe_tls
from fastserver.typing import AnyApp, App

if TYPE_CHECKING:
    from fastserver.transport.udpgroup import QUICPlace

#: Seconds that cancelled requests get for their ``finally`` blocks.
CANCEL_S: Final = 1.0

#: Seconds that asynchronous observers get for what they have not heard yet.
OBSERVERS_S: Final = 1.0

#: Seconds between two looks at what a stop still waits for.
DRAIN_POLL_S: Final = 0.02

#: Seconds after which the streams are told again that they shall end: those that have begun since have not heard it.
TELL_S: Final = 0.25

#: Seconds that a peer gets to answer the end of TLS.
SSL_SHUTDOWN_S: Final = 5.0


class State(Enum):
    NEW = "new"
    STARTING = "starting"
    STARTED = "started"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Server:
    """Serves ``app``, an ASGI or WSGI callable or ``module:attr``, in the loop that runs ``start``.

    ``endpoints`` and ``tls`` are given by a process that has made them already.  The server closes given
    sockets too, but seals them only in ``shutdown``: others may share them.  ``place`` is where to publish what is
    counted: a scoreboard and the slot on it that was claimed for this server.  ``timed=False`` spares the timing of
    requests where nobody can read it: no metrics, and a caller who does not ask ``get_stats``.
    ``quic`` is where HTTP/3 is served; with given ``endpoints`` it is served there or not at all.  ``on_tick`` is
    called at every tick, once a second or more often, while requests are answered, ``on_left`` when a stop has closed
    the sockets.
    """

    def __init__(
        self,
        app: AnyApp | str,
        config: Config | None = None,
        *,
        endpoints: Sequence[Endpoint] | None = None,
        tls: TLSMaterial | None = None,
        place: Place | None = None,
        quic: QUICPlace | None = None,
        timed: bool = True,
        on_tick: Callable[[Host], None] | None = None,
        on_left: Callable[[], None] | None = None,
    ) -> None:
        self.config = config if config is not None else Config()
        self.addresses: list[tuple[str, int] | str] = []
        self.protocol_addresses: dict[str, tuple[str, int] | str] = {}
        self.quic_addresses: list[tuple[str, int]] = []
        self.metrics_addresses: list[tuple[str, int] | str] = []
        self.urls: list[str] = []
        self._spec = app
        self._app: App | WSGIApp | None = None
        self._pool: ThreadPool | None = None
        self._extensions: Extensions | None = None
        self._place = place
        self._quic_place = quic
        self._quic: QUICService | None = None
        self._timed = timed
        self._on_tick = on_tick
        self._on_left = on_left
        self._endpoints = list(endpoints or [])
        self._borrowed = endpoints is not None
        self._tls = tls
        self._log = get_error_log()
        self._state = State.NEW
        self._failure: BaseException | None = None
        self._starting: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()  # started, or stopped without
        self._stopped = asyncio.Event()
        self._exit = asyncio.Event()
        self._wake = asyncio.Event()
        self._schedule = StopSchedule()
        self._is_withdrawn = False
        self._host: Host | None = None
        self._metrics_host: Host | None = None
        self._monitor: Monitor | None = None
        self._observation = Observation(())
        self._ebb = Ebb()
        self._lifespan: Lifespan | None = None
        self._access_log: AccessLog | DelegatedAccessLog | None = None
        self._acceptors: list[Acceptor] = []
        self._tls_acceptors: list[Acceptor] = []
        self._renewal: Renewal | None = None
        self._ticker: Ticker | None = None

    @property
    def started(self) -> bool:
        """Whether requests are answered: true from the end of ``start`` to the end of ``shutdown``."""
        return self._state in (State.STARTED, State.STOPPING)

    @property
    def should_exit(self) -> bool:
        """Setting it ends ``serve``, from any code that runs in the loop."""
        return self._exit.is_set()

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        (self._exit.set if value else self._exit.clear)()

    @property
    def connections(self) -> ConnectionTable:
        """The open connections, to look at and to close; without those to the metrics' address."""
        return ConnectionTable(self._host)

    def get_stats(self) -> dict[str, Any]:
        """What this process has counted since it started: events, bytes, connections, requests, latency, lag.

        Durations are in seconds.  Raises ``RuntimeError`` before the server has started.
        """
        if self._monitor is None:
            raise RuntimeError("the server has not started")
        return self._monitor.get_stats()

    def reload_certificates(self) -> bool:
        """Read the certificates again, whatever their files look like: whether what they hold can be served.

        What cannot be served changes nothing, and the log says why.
        """
        return self._renewal is None or self._renewal.reload(time.time())

    def load(self) -> App | WSGIApp:
        """Import the application, its observers and protocol handlers now, for a loop that is not running yet.

        Else ``start`` does it.  Raises ``StartupFailed``.
        """
        config = self.config
        self._app = load_app(self._spec, app_dir=config.app_dir, factory=config.factory, interface=config.interface)
        self._extensions = load_extensions(config, self._log)
        return self._app

    def adopt(self, other: Server) -> None:
        """Serve what ``other`` has loaded, which was to have the same application and settings."""
        self._app, self._extensions = other._app, other._extensions

    async def start(self) -> None:
        """Bind, start the application, accept.  Raises ``StartupFailed``, with everything taken back."""
        if self._state is not State.NEW:
            raise RuntimeError(f"a server starts once; this one is {self._state.value}")
        self._state = State.STARTING
        self._starting = asyncio.create_task(self._start(), name="fastserver-start")
        try:
            await asyncio.wait({self._starting})
        except asyncio.CancelledError:
            self._starting.cancel()
            await asyncio.wait({self._starting})
            raise
        if self._failure is not None:
            raise self._failure

    async def wait_started(self) -> None:
        """Wait until another task's ``start`` is done.  Raises ``StartupFailed`` where it has failed."""
        await self._settled.wait()
        if self._failure is not None:
            raise self._failure

    def announce(self) -> None:
        """Log where clients connect."""
        for url in self.urls:
            self._log.info("listening on %s", url)

    async def serve(self) -> None:
        """Start, wait for ``should_exit`` or ``shutdown``, and be gone when this returns."""
        await self.start()
        self.announce()
        try:
            await self._exit.wait()
        except asyncio.CancelledError:
            await self.shutdown(timeout=0)
            raise
        await self.shutdown()

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        await self.shutdown(timeout=0 if kind is not None else None)

    def withdraw(self) -> None:
        """Have the health check say that no new client shall come; everything is served as before.

        ``shutdown`` does it by itself.
        """
        self._is_withdrawn = True
        if self._host is not None:
            self._host.ready = False

    async def shutdown(self, timeout: float | None = None, *, shared: bool = False, delay: float | None = None) -> None:
        """Stop without loss: open requests get ``timeout`` seconds to finish, then they are cancelled.

        Before that everything is served as before for ``delay`` seconds, while the health check says 503.  Without
        these two it is the configuration's ``timeout_graceful_shutdown`` and ``drain_delay``; with a ``timeout`` of 0
        there is no delay.  Streams without an end of their own are told after ``timeout_stream_shutdown``.

        Safe to call twice; a second call with shorter times hurries the first.  ``shared`` says that other processes go
        on accepting from the same sockets: these are left unsealed, the health check goes on saying 200, since the
        server is ready, and there is no delay.
        """
        self._exit.set()
        config = self.config
        grace_s = config.timeout_graceful_shutdown if timeout is None else timeout
        if delay is None:
            delay = 0.0 if shared or grace_s <= 0 else config.drain_delay
        self._schedule.plan(delay, config.timeout_stream_shutdown, grace_s)
        if self._state is State.NEW:
            self._state = State.STOPPED
            self._failure = StartupFailed("the server was stopped before it was started")
            self._settled.set()
            self._stopped.set()
        elif self._state is State.STARTING and self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        elif self._state is State.STARTED:
            self._state = State.STOPPING
            try:
                if not shared:
                    self.withdraw()
                await self._wait_for_drain()
                await self._drain(shared)
            finally:
                await self._finish()
        elif self._state is State.STOPPING:
            self._wake.set()
            await self._stopped.wait()

    async def _start(self) -> None:
        try:
            await self._open()
        except BaseException as error:
            self._failure = _explain(error)
            await self._finish()
        else:
            self._state = State.STARTED
            self._settled.set()

    async def _open(self) -> None:
        """Every step of the start, in the order that fails cheaply and loses nothing."""
        config = self.config
        self._log = configure_logs(config, embedded=True)
        if self._app is None:
            self._app = self.load()
        revive(self._log)
        self.config = config = resolve_dev_cert(config, time.time(), self._log.info)
        if not self._borrowed:
            self._tls = load_tls(config)
            warn_of_expired(self._tls, self._log, time.time())
            self._endpoints = open_endpoints(config)
            self._quic_place = open_place(config, self._endpoints, self._log, get_certificates(self._tls))
        self._access_log = make_access_logger(config, asyncio.get_running_loop())
        state = await self._start_application(self._app)
        host, self._pool = make_host(config, self._app, state, self._log, self._access_log, self._timed)
        self._host = host
        host.ready = not self._is_withdrawn
        assert self._extensions is not None
        host.observers, self._observation = self._extensions.observe()
        self._monitor = Monitor(config, host, self._observation, self._log, self._place)
        if config.metrics_bind:
            self._metrics_host = make_metrics_host(config, host, self._monitor.make_app())
        self._accept(host, self._serve_quic(host))
        self._renew_certificates(host)
        hosts = [each for each in (host, self._metrics_host) if each is not None]
        self._ticker = Ticker(hosts, get_tick_s(config), self._work)
        self._ticker.start()

    async def _start_application(self, app: App | WSGIApp) -> dict[str, Any] | None:
        """The lifespan's startup, where there is a lifespan: the state that it leaves."""
        config = self.config
        if isinstance(app, WSGIApp):
            if config.lifespan == "on":
                raise StartupFailed("a WSGI application has no lifespan: leave --lifespan out, or say off")
            return None
        self._lifespan = Lifespan(
            app, config.lifespan, config.timeout_lifespan_startup, config.timeout_lifespan_shutdown, self._log
        )
        await self._lifespan.startup()
        return self._lifespan.state

    def _serve_quic(self, host: Host) -> bytes:
        """Serve HTTP/3 where there are sockets for it: the line that tells clients of it, or nothing."""
        if self._quic_place is None or self._tls is None:
            return b""
        try:
            self._quic = QUICService(self._quic_place, self.config, self._tls.certificates, host)
        except Unavailable as obstacle:  # it was not, when the sockets were bound
            self._log.warning("HTTP/3 is not served: %s", obstacle)
            return b""
        self._quic.start()
        self.quic_addresses = self._quic.addresses
        return render_alt_svc(self.config, self.quic_addresses)

    def _accept(self, host: Host, alt_svc: bytes) -> None:
        """Accept from all listeners; ``alt_svc`` is for the responses to those who come by TLS."""
        assert self._extensions is not None
        context = None if self._tls is None else self._tls.context
        options: dict[str, Any] = {}
        if context is not None:
            options = {"ssl": context, "ssl_handshake_timeout": self.config.timeout_handshake}
            if sys.version_info >= (3, 11) or type(host.loop).__module__.startswith("uvloop"):
                options["ssl_shutdown_timeout"] = SSL_SHUTDOWN_S
        for endpoint in self._endpoints:
            if endpoint.purpose is Purpose.METRICS:
                factory = functools.partial(TCPConnection, self._metrics_host, Pipeline())
                acceptor = Acceptor(host.loop, endpoint.listener, factory, self._log)
            else:
                has_tls = endpoint.has_tls(self.config)
                pipeline = self._extensions.make_pipeline(self.config, endpoint.binding, describe_tls, has_tls=has_tls)
                if alt_svc and has_tls:
                    pipeline = pipeline.announce(alt_svc)
                factory = functools.partial(TCPConnection, host, pipeline)
                acceptor = Acceptor(host.loop, endpoint.listener, factory, self._log, options if has_tls else None)
                if has_tls:
                    self._tls_acceptors.append(acceptor)
            self._acceptors.append(acceptor)
            acceptor.start()
            self._note_address(endpoint)
        if self._quic is not None:
            self.urls += self._quic.urls

    def _renew_certificates(self, host: Host) -> None:
        """Take new certificates into use as their files change, from now on."""
        if self._tls is not None:
            self._renewal = Renewal(self._tls, self._adopt, self._log, looks_at_files=self.config.cert_reload)
            self._renewal.start(host.loop)

    def _adopt(self, certificates: Certificates, context: ServerContext) -> None:
        """Show ``certificates``, by ``context`` over TCP, to all who come from now on.  Raises ``ConfigError``."""
        assert self._tls is not None
        if self._quic is not None and certificates is not self._tls.certificates:
            try:
                self._quic.use_certificates(certificates)
            except Unavailable as obstacle:
                raise ConfigError("certfile", f"HTTP/3 cannot be served with it: {obstacle}") from None
        self._tls.renew(certificates, context)
        for acceptor in self._tls_acceptors:
            acceptor.use_tls(context)

    def _note_address(self, endpoint: Endpoint) -> None:
        address = endpoint.listener.address
        if endpoint.purpose is Purpose.METRICS:
            self.metrics_addresses.append(address)
        elif endpoint.binding is not None:
            self.protocol_addresses[endpoint.binding.where] = address
        else:
            self.addresses.append(address)
        self.urls.append(describe_endpoint(endpoint, self.config))

    def _work(self, wall_s: float) -> None:
        """What is due at each tick beside the connections' deadlines."""
        if self._monitor is not None:
            self._monitor.tick(wall_s)
        if self._host is not None:
            self._ebb.watch(len(self._host.connections))
            if self._pool is not None:
                self._pool.sweep(self._host.clock.now)
            if self._on_tick is not None:
                self._on_tick(self._host)
        if self._access_log is not None:
            self._access_log.tick()
        for handler in find_handlers(self._log):
            handler.write_pending()

    async def _wait_for_drain(self) -> None:
        """Serve as before while whoever sends clients here learns that none shall come."""
        while (left_s := self._schedule.drain_at - time.monotonic()) > 0:
            await self._pause(left_s)

    async def _pause(self, seconds: float) -> None:
        """Wait for so long, or until something of the stop has changed."""
        self._wake.clear()
        timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    async def _drain(self, shared: bool) -> None:
        """Accept what is queued, close the sockets, and let what is open finish until the deadline."""
        host = self._host
        if host is None:
            return
        host.on_empty = self._wake.set
        host.draining = True  # what is accepted from now on is told to close after its first response
        if not shared:
            self._seal()
        going = [each for each in self._acceptors if not shared or each.listener.sealed]
        await accept_rest(going, self._schedule.cut_at)
        self._close_sockets()
        if self._quic is not None:
            self._quic.stop_admitting(is_retiring=shared)
        if self._on_left is not None:
            self._on_left()
        drain(host)
        schedule, told_at = self._schedule, 0.0
        while self._is_busy(host) and (now := time.monotonic()) < schedule.cut_at:
            if now >= max(schedule.streams_at, told_at + TELL_S):
                end_streams(host)
                told_at = now
            # The last connection wakes this at once; tasks that outlive their connections are looked for.
            await self._pause(min(schedule.cut_at - now, DRAIN_POLL_S))
        end_streams(host)
        await _turn_loop()
        await self._cut(host)

    def _is_busy(self, host: Host) -> bool:
        return bool(
            host.connections
            or host.tasks
            or any(acceptor.arriving for acceptor in self._acceptors)
            or (self._pool is not None and (self._pool.busy or self._pool.waiting))
        )

    async def _cut(self, host: Host) -> None:
        """Cancel the requests that are still open, give their ``finally`` blocks a moment, drop the connections."""
        tasks = list(host.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            self._log.warning("cancelled %d requests that were not finished in time", len(tasks))
            _, left = await asyncio.wait(tasks, timeout=CANCEL_S)
            if left:
                self._log.error("%d requests ignore their cancellation", len(left))
        for each in (host, self._metrics_host):
            ConnectionTable(each).close_idle(0)  # a reset could destroy the answer before it is read
        await _turn_loop()
        self._drop_connections(host)
        await _turn_loop()

    async def _end_threads(self) -> None:
        """Have the application's threads end; one that is stuck is given up, and ends with the process."""
        if self._pool is None:
            return
        self._pool.close()
        deadline = time.monotonic() + CANCEL_S
        while (left := self._pool.alive) and time.monotonic() < deadline:
            await asyncio.sleep(DRAIN_POLL_S / 4)
        if left:
            self._log.error("%d threads are still in the application and are given up", len(left))

    async def _finish_observation(self) -> None:
        """Let the observers hear the end of the last connections, and account for all of it."""
        await _turn_loop()
        await self._observation.stop(OBSERVERS_S)
        if self._monitor is not None:
            self._monitor.close()

    def _drop_connections(self, host: Host) -> None:
        for acceptor in self._acceptors:
            acceptor.abort()
        abort(host)
        if self._metrics_host is not None:
            abort(self._metrics_host)

    def _seal(self) -> None:
        seal(endpoint.listener for endpoint in self._endpoints)

    def _close_sockets(self) -> None:
        for acceptor in self._acceptors:
            acceptor.close()
        for endpoint in self._endpoints:
            endpoint.listener.close()

    async def _finish(self) -> None:
        """Give back whatever ``start`` has taken, however far it came."""
        self._state = State.STOPPING
        try:
            if not self._borrowed:
                self._seal()
            self._close_sockets()
            if self._lifespan is not None:
                await self._lifespan.shutdown()
        finally:
            if self._renewal is not None:
                self._renewal.stop()
            if self._ticker is not None:
                self._ticker.stop()
            if self._host is not None:
                self._host.on_empty = None
                for task in list(self._host.tasks):
                    task.cancel()
                self._drop_connections(self._host)
                await self._end_threads()
                await self._finish_observation()
            if self._quic is not None:
                self._quic.close()
            elif self._quic_place is not None:
                self._quic_place.group.close()
            if self._access_log is not None:
                self._access_log.close()
            self._state = State.STOPPED
            self._settled.set()
            self._stopped.set()
            self._exit.set()


async def _turn_loop() -> None:
    for _ in range(3):  # the loop reports a closed transport in a later turn
        await asyncio.sleep(0)


def _explain(error: BaseException) -> BaseException:
    """What ``start`` raises for ``error``: one line for all that a user can put right, the error itself for a bug."""
    if isinstance(error, asyncio.CancelledError):
        return StartupFailed("the server was stopped while it was starting")
    if isinstance(error, (BindError, ConfigError, OSError)):
        failure = StartupFailed(str(error))
        failure.__cause__ = error
        return failure
    return error

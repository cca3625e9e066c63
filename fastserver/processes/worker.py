"""One process with one loop: loads the application, runs a ``Server`` and stops it when it is told to.

It is told by signals where it is alone, and by its supervisor, through a ``Channel``, where it has one.  The end of the
channel means that the supervisor is dead: the worker seals the sockets itself and drains.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from fastserver._speedups.contract import Host
from fastserver._speedups.metrics import Metrics
from fastserver.config.model import Config
from fastserver.errors import ExitCode, StartupFailed
from fastserver.logs.errorlog import find_handlers, get_error_log
from fastserver.logs.reopen import reopen_logs
from fastserver.metrics.process import read_resident_bytes
from fastserver.processes.channel import Channel, Message
from fastserver.processes.heartbeat import Pulse
from fastserver.processes.signals import STOP_SIGNALS, SignalWatch, Terminal, name_signal
from fastserver.processes.systemd import Notifier
from fastserver.processes.title import set_title
from fastserver.reference import format_error, summarise
from fastserver.server.ebb import keep_tide
from fastserver.server.endpoints import Endpoint
from fastserver.server.monitor import Place
from fastserver.server.server import Server
from fastserver.server.tls import TLSMaterial
from fastserver.transport.sockets import seal
from fastserver.transport.tls import ignore_bad_names
from fastserver.typing import AnyApp

if TYPE_CHECKING:
    from fastserver.transport.udpgroup import QUICPlace

#: Seconds from a second signal to the end of the process, whatever the application does.
FORCED_EXIT_S: Final = 0.8

#: Seconds that a supervisor gets to take a message.
TELL_S: Final = 1.0

#: Seconds for tasks that the application has left behind, once they are cancelled.
LEFTOVER_S: Final = 1.0

#: Seconds from the death of its supervisor to a worker's own, and how many of them open requests get.
ORPHAN_S: Final = 5.0
ORPHAN_GRACE_S: Final = 3.0

#: What is told of an application's traceback.
_DETAILS_LIMIT: Final = 32768


class Interrupted(BaseException):
    """A stop signal arrived before there was a loop to take it to."""


class Worker:
    """Serves ``app`` until it is told to stop.

    ``channel`` leads to a supervisor; ``pulse`` is where it looks for signs of life, ``place``
    where it wants the counters, and ``quic`` has the UDP sockets and
    the number with which QUIC is served (see ``Server``).  ``notifier`` is for a process that has no supervisor.
    """

    def __init__(
        self,
        app: AnyApp | str,
        config: Config,
        endpoints: Sequence[Endpoint],
        tls: TLSMaterial | None,
        channel: Channel | None = None,
        place: Place | None = None,
        quic: QUICPlace | None = None,
        pulse: Pulse | None = None,
        loaded: Server | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self._config = config
        self._listeners = [endpoint.listener for endpoint in endpoints]
        self._channel = channel
        self._pulse = pulse
        self._loaded = loaded
        self._grace_s: float | None = None
        self._is_orphaned = False
        self._log = get_error_log()
        self._server = Server(
            app,
            config,
            endpoints=endpoints,
            tls=tls,
            place=place,
            quic=quic,
            timed=False,
            on_tick=self._on_tick if pulse is not None else None,
            on_left=self._on_left if channel is not None else None,
        )
        self._notifier = notifier if notifier is not None else Notifier()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._serving = False
        self._shared = False
        self._signals = 0
        self._forced = 0
        self._ending = False
        self._must_reopen = False
        self._terminal = Terminal()
        self._jobs: set[asyncio.Task[None]] = set()

    def run(self) -> int:
        """Blocks until the server is down, and gives the exit code."""
        if self._channel is not None and self._config.name is not None:
            set_title(f"{self._config.name}: worker")
        names = ("SIGQUIT", "SIGUSR1", "SIGHUP") if self._channel is None else ("SIGQUIT", "SIGUSR1")
        others = (getattr(signal, name, None) for name in names)
        signals = [*STOP_SIGNALS, *(signum for signum in others if signum is not None)]
        with SignalWatch(signals, self._on_signal):
            try:
                if self._channel is not None:
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)  # the supervisor has blocked them for the fork
                return self._run()
            except Interrupted:
                return self._forced or ExitCode.OK
            except StartupFailed as error:
                self._report_failure(error)
                return ExitCode.NOT_STARTED
            finally:
                if self._channel is None:
                    seal(self._listeners)
                # logging.shutdown knows our handlers no more after a dictConfig of the application.
                for handler in find_handlers(self._log):
                    handler.flush()

    def _run(self) -> int:
        keep_tide()
        if self._config.sni_cert:
            ignore_bad_names()
        loop = new_event_loop(self._config.loop)
        asyncio.set_event_loop(loop)
        executor = ThreadPoolExecutor(thread_name_prefix="fastserver")
        loop.set_default_executor(executor)
        loop.set_exception_handler(self._on_loop_fault)
        if self._config.debug:
            debug_loop(loop, self._log)
        try:
            if self._loaded is not None:
                self._server.adopt(self._loaded)
            else:
                self._load()
            if self._channel is not None:
                self._channel.send(Message.LOADED, TELL_S)
            asyncio.set_event_loop(loop)  # an asyncio.run() at import time has taken it away
            self._loop = loop
            loop.run_until_complete(self._serve())
        finally:
            self._ending = True
            self._loop = None
            _close_loop(loop, executor, patient=not self._forced)
        return self._forced or ExitCode.OK

    def _load(self) -> None:
        try:
            self._server.load()
        except (Exception, Interrupted):
            raise
        except BaseException as error:
            # KeyboardInterrupt too: signals raise Interrupted here, so it is the application's own.
            reason = f"the application raised {summarise(error)} while it was imported"
            raise StartupFailed(reason, format_error(error)) from error

    async def _serve(self) -> None:
        if self._stop.is_set():
            return
        loop = asyncio.get_running_loop()
        if self._must_reopen:
            reopen_logs()
        if self._channel is not None:
            loop.add_reader(self._channel.fileno(), self._on_message)
        self._serving = True
        try:
            await self._server.start()
            self._report_ready()
            await self._stop.wait()
            # A supervisor has waited for drain_delay itself.
            delay = None if self._channel is None else 0
            await self._server.shutdown(self._grace_s, shared=self._shared, delay=delay)
        except StartupFailed:
            if not self._stop.is_set():
                raise
        finally:
            if self._channel is not None:
                loop.remove_reader(self._channel.fileno())
        if self._channel is None:
            self._log.info("stopped")

    def _request_stop(self, shared: bool) -> None:
        """In the loop: begin the graceful stop, or give up a start that is under way."""
        if self._stop.is_set():
            return
        self._shared = shared
        self._stop.set()
        self._notifier.stopping("stopping")
        if self._serving and not self._server.started:
            self._hurry()

    def _hurry(self, grace_s: float = 0) -> None:
        """In the loop: whatever phase the server is in, end it now."""
        job = asyncio.ensure_future(self._server.shutdown(timeout=grace_s))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    def _on_signal(self, signum: int) -> None:
        """In the main thread, between any two instructions of it."""
        if self._channel is not None and signum == signal.SIGINT:
            return  # the terminal's Ctrl-C goes to the whole process group; the supervisor decides
        loop = self._loop
        if signum == getattr(signal, "SIGUSR1", None):
            self._on_reopen_signal(loop)
            return
        if signum == getattr(signal, "SIGHUP", None) and not self._terminal.has_gone():
            if loop is not None and not self._ending:
                loop.call_soon_threadsafe(self._renew)
            return
        self._signals += 1
        if self._ending:
            # Nothing is left to stop, and what is left (a failure to report, threads to join) must not be interrupted
            # but by one who insists.
            if signum == getattr(signal, "SIGQUIT", None) or (self._signals > 1 and self._channel is None):
                os._exit(128 + signum)
            return
        if loop is None:
            raise Interrupted
        if signum == getattr(signal, "SIGQUIT", None) or (self._signals > 1 and self._channel is None):
            self._force(loop, signum)
        elif self._channel is not None:
            loop.call_soon_threadsafe(self._channel.send, Message.LEAVING, TELL_S)
        else:
            self._log.info("%s: %s", name_signal(signum), describe_stop(self._config))
            loop.call_soon_threadsafe(self._request_stop, False)

    def _on_reopen_signal(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Files are reopened in the loop, where nothing is written meanwhile; before there is one, once there is."""
        if loop is None:
            self._must_reopen = True
        elif not self._ending:
            loop.call_soon_threadsafe(reopen_logs)

    def _renew(self) -> None:
        """In the loop, of a server that is alone: as much of a reload as a process can do to itself."""
        self._notifier.reloading("reloading")
        reopen_logs()
        if self._server.reload_certificates():
            self._log.info("SIGHUP: certificates are read anew; for new code and settings start with --workers")
        self._notifier.ready("serves")

    def _force(self, loop: asyncio.AbstractEventLoop, signum: int) -> None:
        if self._forced:
            return
        self._forced = 128 + signum
        if self._channel is None:
            self._log.warning("%s: stopping at once", name_signal(signum))
        self._watch_end(FORCED_EXIT_S, self._forced)
        loop.call_soon_threadsafe(self._stop.set)
        loop.call_soon_threadsafe(self._hurry)

    def _watch_end(self, seconds: float, code: int) -> None:
        """The application may be blocking the loop, or the end of the process: then a thread ends it."""
        watchdog = threading.Timer(seconds, os._exit, (code,))
        watchdog.daemon = True
        watchdog.start()

    def _on_message(self) -> None:
        """In the loop: the supervisor has said something, or is no more."""
        if self._channel is None:
            return
        for message, facts in self._channel.receive():
            if message is Message.WITHDRAW:
                self._server.withdraw()
            elif message is Message.RETIRE:
                for index in facts.get("sealed", ()):
                    self._listeners[index].seal()  # once more, so that it is known here: what is queued is accepted
                self._request_stop(shared=True)
            elif message is Message.REOPEN:
                reopen_logs()
            elif message is Message.STOP:
                self._request_stop(shared=False)
        if self._channel.ended:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self._on_orphaned()

    def _on_orphaned(self) -> None:
        """In the loop: the supervisor is dead, so nobody would end this process but itself."""
        if self._is_orphaned:
            return
        self._is_orphaned = True
        self._log.error("the supervisor is gone: stopping")
        self._watch_end(ORPHAN_S, ExitCode.FAULT)
        self._grace_s = min(ORPHAN_GRACE_S, self._config.timeout_graceful_shutdown)
        if self._stop.is_set():
            self._hurry(self._grace_s)
        self._request_stop(shared=False)

    def _on_tick(self, host: Host) -> None:
        if self._pulse is not None:
            self._pulse.beat(count_requests(host.metrics), read_resident_bytes())

    def _on_left(self) -> None:
        if self._channel is not None:
            self._channel.send(Message.LEFT, TELL_S)

    def _report_ready(self) -> None:
        if self._channel is None:
            self._server.announce()
            self._notifier.ready("serves")
            self._watch()
        else:
            self._channel.send(Message.READY, TELL_S)

    def _watch(self) -> None:
        """In the loop, to the end: tell the service manager, where it wants to hear it, that the loop turns."""
        loop = asyncio.get_running_loop()
        due = self._notifier.tick(time.monotonic())
        if due != math.inf:
            loop.call_later(max(0.0, due - time.monotonic()), self._watch)

    def _report_failure(self, error: StartupFailed) -> None:
        if self._channel is None:
            log_startup_failure(self._log, str(error), error.details)
        else:
            details = error.details[-_DETAILS_LIMIT:]
            self._channel.send(Message.FAILED, TELL_S, reason=str(error), details=details)

    def _on_loop_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What asyncio would print: tasks that nobody awaited, callbacks that raised."""
        self._log.error("%s", context.get("message", "fault in the event loop"), exc_info=context.get("exception"))


def describe_stop(config: Config) -> str:
    """What a stop signal begins, for the log."""
    grace = f"open requests get {config.timeout_graceful_shutdown:g} s; a second signal stops at once"
    if config.drain_delay > 0:
        return f"not ready any more, stopping in {config.drain_delay:g} s, then {grace}"
    return f"stopping, {grace}"


def count_requests(metrics: Metrics) -> int:
    """Requests that an application has answered, and WebSocket sessions that have begun."""
    counts: dict[str, Any] = metrics.snapshot()
    answered = sum(sum(classes.values()) for classes in counts["requests"].values())
    return int(answered + counts["websocket"]["opened"] - counts["websocket"]["closed"])


def log_startup_failure(log: logging.Logger, reason: str, details: str = "") -> None:
    """One clear line, below the application's traceback where there is one."""
    log_details(log, details)
    log.error("startup failed: %s", reason)


def log_details(log: logging.Logger, details: str) -> None:
    """The application's traceback, where there is one."""
    if details:
        log.error("the application's error:\n%s", details.rstrip())


def debug_loop(loop: asyncio.AbstractEventLoop, log: logging.Logger) -> None:
    """Have asyncio tell of what takes long or was never awaited, where nobody else listens to it."""
    loop.set_debug(True)
    logger = logging.getLogger("asyncio")
    if not logger.hasHandlers():
        for handler in log.handlers:
            logger.addHandler(handler)


def new_event_loop(name: str) -> asyncio.AbstractEventLoop:
    """A loop of the kind that the configuration names; ``auto`` is uvloop where it is installed.

    Raises ``StartupFailed``.
    """
    if name != "asyncio":
        try:
            import uvloop
        except ImportError:
            if name == "uvloop":
                raise StartupFailed("uvloop is not installed: install it, or choose --loop asyncio") from None
        else:
            return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def _close_loop(loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor, patient: bool) -> None:
    """End what the application has left in the loop; threads that are still at work are not waited for."""
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks and patient:
            loop.run_until_complete(asyncio.wait(tasks, timeout=LEFTOVER_S))
        if patient:
            ending = loop.create_task(loop.shutdown_asyncgens())
            loop.run_until_complete(asyncio.wait({ending}, timeout=LEFTOVER_S))
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        asyncio.set_event_loop(None)
        loop.close()

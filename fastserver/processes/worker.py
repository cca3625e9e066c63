"""One process with one loop: loads the application, runs a ``Server`` and stops it when it is told to.

It is told by signals where it is alone, and by its supervisor, through a ``Channel``, where it has one.  The end of the
channel means that the supervisor is dead: the worker seals the sockets itself and drains.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from fastserver.config.model import Config
from fastserver.errors import ExitCode, StartupFailed
from fastserver.logs.errorlog import find_handlers, get_error_log
from fastserver.processes.channel import Channel, Message
from fastserver.processes.signals import STOP_SIGNALS, SignalWatch, name_signal
from fastserver.server.ebb import keep_tide
from fastserver.server.endpoints import Endpoint
from fastserver.server.monitor import Place
from fastserver.server.server import Server
from fastserver.transport.sockets import seal
from fastserver.typing import AnyApp

if TYPE_CHECKING:
    from fastserver.transport.udpgroup import QUICPlace

#: Seconds from a second signal to the end of the process, whatever the application does.
FORCED_EXIT_S: Final = 0.8

#: Seconds that a supervisor gets to take a message.
TELL_S: Final = 1.0

#: Seconds for tasks that the application has left behind, once they are cancelled.
LEFTOVER_S: Final = 1.0

#: What is told of an application's traceback.
_DETAILS_LIMIT: Final = 32768


class Interrupted(BaseException):
    """A stop signal arrived before there was a loop to take it to."""


class Worker:
    """Serves ``app`` until it is told to stop.

    ``channel`` leads to a supervisor; ``place`` is where it wants the counters, and ``quic`` has the UDP sockets and
    the number with which QUIC is served (see ``Server``).
    """

    def __init__(
        self,
        app: AnyApp | str,
        config: Config,
        endpoints: Sequence[Endpoint],
        ssl_context: ssl.SSLContext | None,
        channel: Channel | None = None,
        place: Place | None = None,
        quic: QUICPlace | None = None,
    ) -> None:
        self._config = config
        self._listeners = [endpoint.listener for endpoint in endpoints]
        self._channel = channel
        self._log = get_error_log()
        self._server = Server(
            app, config, endpoints=endpoints, ssl_context=ssl_context, place=place, quic=quic, timed=False
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._serving = False
        self._shared = False
        self._signals = 0
        self._forced = 0
        self._ending = False
        self._jobs: set[asyncio.Task[None]] = set()

    def run(self) -> int:
        """Blocks until the server is down, and gives the exit code."""
        signals = [*STOP_SIGNALS, signal.SIGQUIT] if hasattr(signal, "SIGQUIT") else [*STOP_SIGNALS]
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
        loop = new_event_loop(self._config.loop)
        asyncio.set_event_loop(loop)
        executor = ThreadPoolExecutor(thread_name_prefix="fastserver")
        loop.set_default_executor(executor)
        loop.set_exception_handler(self._on_loop_fault)
        try:
            self._server.load()
            asyncio.set_event_loop(loop)  # an asyncio.run() at import time has taken it away
            self._loop = loop
            loop.run_until_complete(self._serve())
        finally:
            self._ending = True
            self._loop = None
            _close_loop(loop, executor, patient=not self._forced)
        return self._forced or ExitCode.OK

    async def _serve(self) -> None:
        if self._stop.is_set():
            return
        loop = asyncio.get_running_loop()
        if self._channel is not None:
            loop.add_reader(self._channel.fileno(), self._on_message)
        self._serving = True
        try:
            await self._server.start()
            self._report_ready()
            await self._stop.wait()
            await self._server.shutdown(shared=self._shared)
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
        if self._serving and not self._server.started:
            self._hurry()

    def _hurry(self) -> None:
        """In the loop: whatever phase the server is in, end it now."""
        job = asyncio.ensure_future(self._server.shutdown(timeout=0))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    def _on_signal(self, signum: int) -> None:
        """In the main thread, between any two instructions of it."""
        if self._channel is not None and signum == signal.SIGINT:
            return  # the terminal's Ctrl-C goes to the whole process group; the supervisor decides
        self._signals += 1
        loop = self._loop
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
            wait_s = self._config.timeout_graceful_shutdown
            self._log.info(
                "%s: stopping, open requests get %g s; a second signal stops at once", name_signal(signum), wait_s
            )
            loop.call_soon_threadsafe(self._request_stop, False)

    def _force(self, loop: asyncio.AbstractEventLoop, signum: int) -> None:
        if self._forced:
            return
        self._forced = 128 + signum
        if self._channel is None:
            self._log.warning("%s: stopping at once", name_signal(signum))
        # The application may be blocking the loop, or the end of the process: then this thread ends it.
        watchdog = threading.Timer(FORCED_EXIT_S, os._exit, (self._forced,))
        watchdog.daemon = True
        watchdog.start()
        loop.call_soon_threadsafe(self._stop.set)
        loop.call_soon_threadsafe(self._hurry)

    def _on_message(self) -> None:
        """In the loop: the supervisor has said something, or is no more."""
        if self._channel is None:
            return
        for message, _ in self._channel.receive():
            if message in (Message.STOP, Message.RETIRE):
                self._request_stop(shared=message is Message.RETIRE)
        if self._channel.ended:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            if not self._stop.is_set():
                self._log.error("the supervisor is gone: stopping")
            self._request_stop(shared=False)

    def _report_ready(self) -> None:
        if self._channel is None:
            self._server.announce()
        else:
            self._channel.send(Message.READY, TELL_S)

    def _report_failure(self, error: StartupFailed) -> None:
        if self._channel is None:
            log_startup_failure(self._log, str(error), error.details)
        else:
            details = error.details[-_DETAILS_LIMIT:]
            self._channel.send(Message.FAILED, TELL_S, reason=str(error), details=details)

    def _on_loop_fault(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What asyncio would print: tasks that nobody awaited, callbacks that raised."""
        self._log.error("%s", context.get("message", "fault in the event loop"), exc_info=context.get("exception"))


def log_startup_failure(log: logging.Logger, reason: str, details: str = "") -> None:
    """One clear line, below the application's traceback where there is one."""
    if details:
        log.error("the application's error:\n%s", details.rstrip())
    log.error("startup failed: %s", reason)


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

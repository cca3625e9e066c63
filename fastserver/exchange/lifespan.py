"""The application's lifespan (ASGI lifespan 2.0): started before the first connection, shut down after the last.

The application runs in one task, in a context of its own, from ``startup`` to ``shutdown``.  Every wait here ends: by
an answer, by the end of the task, or by a timeout.  An application that does not know the protocol is served all the
same, unless the mode is ``on``.
"""

from __future__ import annotations

import asyncio
import traceback
from enum import Enum
from logging import Logger
from typing import Any, Final

from fastserver.errors import StartupFailed
from fastserver.typing import App, Message, Scope

#: How long a task that is no longer wanted may take to end after it was cancelled.
CANCEL_S: Final = 1.0


class LifespanFailed(StartupFailed):
    """The application did not start."""


class Phase(Enum):
    """Where the protocol stands, by what has been said last."""

    NEW = "not running"
    STARTING = "starting"  # the task runs; startup.complete or startup.failed is awaited
    STARTED = "started"
    FAILED = "failed"  # startup.failed was sent
    STOPPING = "stopping"  # lifespan.shutdown was given; shutdown.complete or shutdown.failed is awaited
    ENDED = "over"  # nothing more will be said: shut down, unsupported, off or failed


#: Which message moves which phase where; every other message is the application's error.
_ANSWERS: Final = {
    (Phase.STARTING, "lifespan.startup.complete"): Phase.STARTED,
    (Phase.STARTING, "lifespan.startup.failed"): Phase.FAILED,
    (Phase.STOPPING, "lifespan.shutdown.complete"): Phase.ENDED,
    (Phase.STOPPING, "lifespan.shutdown.failed"): Phase.ENDED,
}
_KNOWN: Final = frozenset(kind for _, kind in _ANSWERS)


class Lifespan:
    """One application's lifespan in the running loop.  ``mode`` is ``auto``, ``on`` or ``off``; timeouts in seconds.

    ``state`` is the namespace that the application may fill during startup; ``None`` where lifespan is not supported.
    """

    def __init__(self, app: App, mode: str, startup_timeout: float, shutdown_timeout: float, log: Logger) -> None:
        self._app = app
        self._mode = mode
        self._startup_timeout_s = startup_timeout
        self._shutdown_timeout_s = shutdown_timeout
        self._log = log
        self._phase = Phase.NEW
        self._task: asyncio.Task[None] | None = None
        self._answer: asyncio.Future[None] | None = None
        self._stop = asyncio.Event()
        self._startup_given = False
        self._failure = ""
        self.state: dict[str, Any] | None = None

    async def startup(self) -> None:
        """Start the application and wait for its answer.  Raises ``LifespanFailed``; cancelling it stops the task."""
        if self._mode == "off":
            self._phase = Phase.ENDED
            return
        self.state = {}
        self._phase = Phase.STARTING
        self._task = task = asyncio.create_task(self._run(self.state), name="fastserver-lifespan")
        try:
            in_time = await self._wait_for_answer(task, self._startup_timeout_s)
        except asyncio.CancelledError:
            self._phase = Phase.ENDED
            await self._end_task(task)
            raise
        if self._phase is Phase.STARTED:
            return
        grace_s = CANCEL_S if self._phase is Phase.FAILED else 0.0
        self._phase = Phase.ENDED
        self.state = None
        await self._end_task(task, grace_s)
        if self._failure:
            lines = self._failure.splitlines()  # frameworks send a whole traceback; its last line is the exception
            details = self._failure if len(lines) > 1 else ""
            raise LifespanFailed(f"the application refused to start: {lines[-1].strip()}", details)
        if not in_time:
            raise LifespanFailed(f"the application's startup took longer than {self._startup_timeout_s:g} s")
        self._go_without(task)

    async def shutdown(self) -> None:
        """Tell the application to shut down, and wait.  What goes wrong in the application is logged, never raised."""
        task = self._task
        if task is None or self._phase is not Phase.STARTED:
            return
        if task.done():
            self._phase = Phase.ENDED
            return
        self._phase = Phase.STOPPING
        self._stop.set()
        in_time = False
        try:
            in_time = await self._wait_for_answer(task, self._shutdown_timeout_s)
        finally:
            self._phase = Phase.ENDED
            await self._end_task(task, CANCEL_S if in_time else 0.0)
        if not in_time:
            self._log.error("the application's shutdown took longer than %g s", self._shutdown_timeout_s)
        elif self._failure:
            self._log.error("the application's shutdown failed: %s", self._failure)

    async def _wait_for_answer(self, task: asyncio.Task[None], timeout_s: float) -> bool:
        """Whether the application answered, or its task ended, within ``timeout_s`` (0 waits for ever)."""
        self._answer = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait(
            {self._answer, task}, timeout=timeout_s or None, return_when=asyncio.FIRST_COMPLETED
        )
        return bool(done)

    async def _end_task(self, task: asyncio.Task[None], grace_s: float = 0.0) -> None:
        """Let the task end by itself for ``grace_s``, then cancel it, and leave it if it will not go."""
        if grace_s and not task.done():
            await asyncio.wait({task}, timeout=grace_s)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_S)
        if not task.done():
            self._log.error("the application's lifespan ignores its cancellation")

    def _go_without(self, task: asyncio.Task[None]) -> None:
        """The task ended before it answered: fail where lifespan is demanded, else serve without it."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            reason, details = "the application's lifespan returned before its startup was complete", ""
        else:
            reason = f"the application's lifespan raised {type(error).__name__}: {error}".splitlines()[0]
            frames = error.__traceback__.tb_next if error.__traceback__ else None  # the first frame is our own
            details = "".join(traceback.format_exception(type(error), error, frames))
        if self._mode == "on":
            raise LifespanFailed(reason, details) from error
        if error is not None and self._startup_given:
            # It took the startup message, so it knows the protocol, and its startup went wrong.
            self._log.warning("%s; serving without lifespan\n%s", reason, details.rstrip())
        else:
            self._log.debug("the application does not support lifespan")

    async def _run(self, state: dict[str, Any]) -> None:
        scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
        try:
            await self._app(scope, self._receive, self._send)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except (SystemExit, KeyboardInterrupt) as error:
            # Out of a task these would go straight through the event loop and end the process without a word.
            what = f"called sys.exit({error.code!r})" if isinstance(error, SystemExit) else "raised KeyboardInterrupt"
            self._failure = f"the application {what}"
            if self._phase is Phase.STARTED:
                self._log.error("the application's lifespan ended: %s", self._failure)
        except BaseException as error:
            if self._phase is Phase.STARTING:
                raise  # for startup(), which reads it from the task
            # After startup.failed, and when it was given up, an exception only repeats what is known.
            if self._phase is Phase.STARTED:
                self._log.error("the application's lifespan ended with an exception", exc_info=error)
            elif self._phase is Phase.STOPPING:
                self._log.error("the application's shutdown raised an exception", exc_info=error)

    async def _receive(self) -> Message:
        if not self._startup_given:
            self._startup_given = True
            return {"type": "lifespan.startup"}
        await self._stop.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        phase = _ANSWERS.get((self._phase, kind))
        if phase is None:
            if self._phase is Phase.ENDED and kind in _KNOWN:
                return  # an answer that comes too late is no error (ASGI: sends after the end do nothing)
            raise RuntimeError(f"unexpected ASGI message {kind!r}: the lifespan is {self._phase.value}")
        if kind.endswith(".failed"):
            self._failure = str(message.get("message", "")).strip() or "the application gave no reason"
        self._phase = phase
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

"""Fork, and become a worker."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from fastserver.errors import ExitCode
from fastserver.logs.errorlog import find_handlers
from fastserver.processes.blackbox import DUMP_SIGNAL, BlackBox
from fastserver.processes.channel import Channel
from fastserver.processes.generation import Generation
from fastserver.processes.heartbeat import Pulse
from fastserver.processes.parent import FUSE_SIGNAL, arm_fuse, follow_parent
from fastserver.processes.signals import STOP_SIGNALS
from fastserver.processes.standard import flush_standard
from fastserver.processes.worker import Worker
from fastserver.server.monitor import Place
from fastserver.server.server import Server

if TYPE_CHECKING:
    from fastserver.transport.udpgroup import QUICPlace

#: Threads of the application may delay the end of a worker for so long.
THREADS_S: Final = 3.0

#: Signals by which an operator says something to the supervisor; it tells the workers what is theirs of it.
ORDERS: Final = (signal.SIGHUP, signal.SIGUSR1, signal.SIGTTIN, signal.SIGTTOU)

#: What the supervisor acts upon; its children get handlers of their own.
WATCHED: Final = (*STOP_SIGNALS, signal.SIGQUIT, signal.SIGCHLD, *ORDERS, DUMP_SIGNAL)


@dataclass(frozen=True, slots=True)
class Post:
    """What a worker gets that no other has.  ``parent`` is the process at the other end of the channel."""

    channel: Channel
    parent: int
    pulse: Pulse | None = None
    box: BlackBox | None = None
    place: Place | None = None
    quic: QUICPlace | None = None


@contextlib.contextmanager
def hold_signals() -> Iterator[None]:
    """Block what the supervisor watches: a signal before a child has handlers of its own would reach the parent, by the
    wakeup descriptor that they share, or end the child."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def fork_worker(generation: Generation, post: Post, log: logging.Logger, shed: Callable[[], None]) -> int:
    """The process id of a new worker; ``shed`` closes in it what is the parent's alone."""
    with hold_signals():
        flush_standard()
        pid = os.fork()
        if pid == 0:
            drop_parent_state(log)
            if generation.surroundings is not None:
                generation.surroundings.enter()
            serve_and_exit(generation, post, log, shed)
    return pid


def serve_and_exit(
    generation: Generation, post: Post, log: logging.Logger, shed: Callable[[], None], loaded: Server | None = None
) -> NoReturn:
    """In the child, with its signals blocked: shed what is the parent's, serve, and end without returning.

    ``loaded`` is a server that has imported the application already.
    """
    code: int = ExitCode.FAULT
    try:
        if post.box is not None:
            post.box.watch()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {DUMP_SIGNAL, signal.SIGCHLD, *ORDERS})
        if not follow_parent(post.parent, FUSE_SIGNAL if arm_fuse() else signal.SIGTERM):
            os._exit(ExitCode.OK)
        shed()
        worker = Worker(
            generation.app,
            generation.config,
            generation.endpoints,
            generation.tls,
            channel=post.channel,
            place=post.place,
            quic=post.quic,
            pulse=post.pulse,
            loaded=loaded,
        )
        code = worker.run()
    except BaseException:
        log.critical("worker failed\n%s", traceback.format_exc())
    finally:
        exit_worker(code)


def drop_parent_state(log: logging.Logger) -> None:
    """In a child: forget the parent's handlers of signals and of the end, and the lines that it is about to write."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A group may be signalled as a whole.  Not SIG_IGN, which the application's own children would inherit; those that
    # stop a worker are for the time when it has no handlers, at its very end.
    for signum in (*STOP_SIGNALS, *ORDERS):
        signal.signal(signum, lambda signum, frame: None)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # it ends orphans: see parent.arm_fuse
    for handler in find_handlers(log):
        handler.forget_pending()
    atexit._clear()  # what the parent's program has registered is the parent's to do


def exit_worker(code: int) -> NoReturn:
    """End a worker: the application's threads, exit handlers and buffers, all in bounded time."""
    watchdog = threading.Timer(THREADS_S, os._exit, (code,))
    watchdog.daemon = True
    watchdog.start()
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        logging.shutdown()
        flush_standard()
    finally:
        os._exit(code)

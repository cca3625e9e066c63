"""``--preload``: a process that imports the application once, and of which the workers are forked.

The supervisor itself never imports it, so that a reload can have new code: it starts a new template.  A template forks
twice, so that a worker is nobody's child but the supervisor's, which adopts orphans (``parent.adopt_orphans``), waits
for it and is followed by it.  Linux alone has that.

Between the two runs a socket of packets, JSON with descriptors: up ``{"loaded": true}``, ``{"failed": ...,
"details": ...}``, ``{"pid": ...}``; down what a worker gets of its own.  Its end ends the template.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from logging import Logger
from typing import Any, Final, NoReturn

from fastserver.errors import ExitCode, StartupFailed
from fastserver.processes.generation import Generation
from fastserver.processes.parent import follow_parent
from fastserver.processes.spawning import (
    WATCHED,
    Post,
    drop_parent_state,
    hold_signals,
    serve_and_exit,
)
from fastserver.processes.standard import flush_standard
from fastserver.processes.title import set_title
from fastserver.server.server import Server

#: Seconds that a template gets for a fork; a large process takes some hundredths.
FORK_S: Final = 10.0

#: Seconds in which a worker has become the supervisor's child.
ADOPTION_S: Final = 5.0

_PACKET_BYTES: Final = 1 << 16
_DETAILS_LIMIT: Final = 32768


class TemplateState(Enum):
    LOADING = "loading"
    READY = "ready"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Order:
    """Which places a worker gets: numbers that mean the same in the supervisor and in what is forked from it."""

    pulse: int | None
    place: int | None
    quic: int | None


class Template:
    """The supervisor's side.  ``shed`` closes in a child what is not for it; ``make_post`` makes there what an order
    and the descriptors of a channel and of a black box stand for."""

    def __init__(
        self,
        generation: Generation,
        log: Logger,
        shed: Callable[[Generation], None],
        make_post: Callable[[Generation, Order, int, int, int], Post],
    ) -> None:
        self.generation = generation
        self.state = TemplateState.LOADING
        self.reason = ""
        self.details = ""
        self._log = log
        self._parent = os.getpid()
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with hold_signals():
            flush_standard()
            self.pid = os.fork()
            if self.pid == 0:
                self.sock.close()
                self._become(theirs, shed, make_post)
        theirs.close()
        self.sock.setblocking(False)

    def fileno(self) -> int:
        return self.sock.fileno()

    @property
    def is_ready(self) -> bool:
        return self.state is TemplateState.READY

    @property
    def has_ended(self) -> bool:
        return self.state is TemplateState.GONE

    def receive(self) -> None:
        """Take in what it has said: it has loaded the application, could not, or is gone."""
        answer = self._read()
        if answer is None:
            return
        if "loaded" in answer and self.state is TemplateState.LOADING:
            self.state = TemplateState.READY
        elif "failed" in answer:
            self.reason, self.details = answer["failed"], answer["details"]
            self.state = TemplateState.GONE
        elif not answer:
            self.reason = self.reason or f"the template process [{self.pid}] has died"
            self.state = TemplateState.GONE

    def spawn(self, order: Order, channel: int, box: int) -> int:
        """The process id of a new worker, which gets copies of both descriptors.  ``OSError``: the template is gone."""
        packet = json.dumps({"pulse": order.pulse, "place": order.place, "quic": order.quic}).encode()
        try:
            self.sock.settimeout(FORK_S)
            socket.send_fds(self.sock, [packet], [channel, box])
            answer = self._read()
        except OSError:
            answer = None
        finally:
            with contextlib.suppress(OSError):
                self.sock.setblocking(False)
        if not answer or "pid" not in answer:
            self.state = TemplateState.GONE
            self.reason = f"the template process [{self.pid}] does not answer"
            raise OSError(self.reason)
        return int(answer["pid"])

    def close(self) -> None:
        """End it; it has nothing to finish."""
        self.state = TemplateState.GONE
        self.sock.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _read(self) -> dict[str, Any] | None:
        """One packet; empty at the end, ``None`` where nothing has come."""
        try:
            data = self.sock.recv(_PACKET_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return {}
        return json.loads(data) if data else {}

    # In the template itself.

    def _become(
        self,
        sock: socket.socket,
        shed: Callable[[Generation], None],
        make_post: Callable[[Generation, Order, int, int, int], Post],
    ) -> NoReturn:
        """In the child: load, then fork a worker for each order, until the socket ends."""
        try:
            drop_parent_state(self._log)
            if self.generation.config.name is not None:
                set_title(f"{self.generation.config.name}: template")
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
            if follow_parent(self._parent, signal.SIGKILL):
                shed(self.generation)
                server = self._load(sock)
                if server is not None:
                    self._serve_orders(sock, server, make_post)
        except BaseException:
            self._log.critical("the template process failed\n%s", traceback.format_exc())
        finally:
            os._exit(ExitCode.OK)

    def _load(self, sock: socket.socket) -> Server | None:
        generation = self.generation
        server = Server(
            generation.app, generation.config, endpoints=generation.endpoints, tls=generation.tls, timed=False
        )
        try:
            server.load()
        except StartupFailed as error:
            _send(sock, {"failed": str(error), "details": error.details[-_DETAILS_LIMIT:]})
            return None
        if threading.active_count() > 1:
            self._log.warning(
                "preload: the application has started %d threads while it was imported; they do not run in workers",
                threading.active_count() - 1,
            )
        # What is alive now is shared by all workers for good: the collector shall not write into it.
        gc.collect()
        gc.freeze()
        _send(sock, {"loaded": True})
        return server

    def _serve_orders(
        self, sock: socket.socket, server: Server, make_post: Callable[[Generation, Order, int, int, int], Post]
    ) -> None:
        while True:
            data, fds, _, _ = socket.recv_fds(sock, _PACKET_BYTES, 2)
            if not data or len(fds) != 2:
                return
            order = Order(**json.loads(data))
            with hold_signals():
                flush_standard()
                middle = os.fork()
                if middle == 0:
                    self._fork_worker(sock, server, order, fds, make_post)
            os.waitpid(middle, 0)
            for fd in fds:
                os.close(fd)

    def _fork_worker(
        self,
        sock: socket.socket,
        server: Server,
        order: Order,
        fds: list[int],
        make_post: Callable[[Generation, Order, int, int, int], Post],
    ) -> NoReturn:
        """In a process between template and worker: by its end the worker becomes an orphan, and the supervisor's."""
        middle = os.getpid()
        try:
            pid = os.fork()
            if pid == 0:
                sock.close()
                deadline = time.monotonic() + ADOPTION_S
                while os.getppid() == middle and time.monotonic() < deadline:
                    time.sleep(0.001)
                post = make_post(self.generation, order, fds[0], fds[1], self._parent)
                serve_and_exit(self.generation, post, self._log, lambda: None, server)
            _send(sock, {"pid": pid})
        finally:
            os._exit(ExitCode.OK)


def _send(sock: socket.socket, answer: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        sock.send(json.dumps(answer).encode())

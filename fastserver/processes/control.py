"""The control socket: where an operator asks the supervisor, and where it answers, one line of JSON each way.

    -> {"version": 1, "command": "reload"}
    <- {"version": 1, "type": "progress", "text": "reloading"}
    <- {"version": 1, "type": "result", "ok": true, "data": {...}}

One request for each connection; lines of progress, then one result, then the end.  ``docs/deploy.md`` has the protocol.

It lives in the supervisor's loop and must not hold it up: nothing here waits, and clients are bounded in number, in
bytes and in time.  The file has mode 0600 before anybody can connect, and the kernel says who a client is.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from logging import DEBUG, INFO, Logger
from typing import Any, Final, Protocol

from fastserver.config.setting import quote
from fastserver.transport.sockets import BindError, Owner, bind_unix, explain, unlink_socket

VERSION: Final = 1

#: Clients at one time; one more is turned away with the reason.
CLIENTS_MAX: Final = 8
#: A request, its line end included.
REQUEST_LIMIT_BYTES: Final = 4096
#: Answers that a client has not read yet; with more of them it is cut.
ANSWER_LIMIT_BYTES: Final = 4 << 20
#: From the connection to the end of the request.
REQUEST_S: Final = 5.0
#: Without a byte read by a client for whom there is something.
ANSWER_S: Final = 10.0
#: For all clients to read what is left when the server ends.
FAREWELL_S: Final = 1.0

#: How long nobody is accepted once that has failed, as it does without descriptors.
PAUSE_S: Final = 1.0

_MODE: Final = 0o600
_CHUNK_BYTES: Final = 65536
_CREDENTIALS: Final = struct.Struct("iII")


class Refused(Exception):
    """A request that cannot be carried out; the text is one line for its client."""


class Reply:
    """What becomes of one request.  The client may be gone: then what is said is lost, and the work goes on."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.is_over = False

    def tell(self, text: str) -> None:
        """A line of progress."""
        if not self.is_over:
            self._client.put({"version": VERSION, "type": "progress", "text": text})

    def finish(self, **data: Any) -> None:
        """It is done."""
        self._end({"version": VERSION, "type": "result", "ok": True, "data": data})

    def fail(self, reason: str) -> None:
        """It is not done; ``reason`` is one line."""
        self._end({"version": VERSION, "type": "result", "ok": False, "error": reason})

    def _end(self, line: Mapping[str, Any]) -> None:
        if not self.is_over:
            self.is_over = True
            self._client.put(line, is_last=True)


#: Carries out a request, whose fields it gets: at once, or by what it keeps of the reply.  It may raise ``Refused``.
Command = Callable[[Mapping[str, Any], Reply], None]


class Watcher(Protocol):
    """A loop that calls ``act`` whenever ``readable`` can be read."""

    def watch(self, readable: Any, act: Callable[[], None]) -> None: ...


class _State(Enum):
    ASKING = "asking"  # the request is not whole yet
    WAITING = "waiting"  # it is being carried out
    ENDING = "ending"  # the last line is on its way
    GONE = "gone"


class Client:
    """One connection."""

    def __init__(self, control: ControlSocket, sock: socket.socket, uid: int | None, now: float) -> None:
        self.uid = uid
        self._control = control
        self._sock = sock
        self._request = b""
        self._answer = bytearray()
        self._events = selectors.EVENT_READ
        self._state = _State.ASKING
        self.due = now + REQUEST_S

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def is_pending(self) -> bool:
        """Whether there is something that it has not read."""
        return bool(self._answer) and self._state is not _State.GONE

    def act(self) -> None:
        """It can be read, or written to."""
        if self._state is _State.ASKING:
            self._read()
        elif self._events & selectors.EVENT_READ:
            self._skip()
        self._write()

    def put(self, line: Mapping[str, Any], is_last: bool = False) -> None:
        """Send a line as soon as it can be."""
        if self._state in (_State.ENDING, _State.GONE):
            return
        if not self._answer:
            self.due = time.monotonic() + ANSWER_S
        self._answer += json.dumps(line, separators=(",", ":"), default=str).encode() + b"\n"
        if is_last:
            self._state = _State.ENDING
        if len(self._answer) > ANSWER_LIMIT_BYTES:
            self.close()
        else:
            self._write()

    def expire(self) -> None:
        """Its time is over."""
        if self._state is _State.ASKING:
            Reply(self).fail(f"the request was not whole within {REQUEST_S:g} s")
        if self._state is not _State.GONE:
            self.close()

    def close(self) -> None:
        if self._state is not _State.GONE:
            self._state = _State.GONE
            self._control.forget_client(self)
            self._sock.close()

    def abandon(self) -> None:
        """In a child: close the descriptor, and leave the rest to the parent."""
        self._sock.close()

    def _read(self) -> None:
        try:
            data = self._sock.recv(REQUEST_LIMIT_BYTES + 1 - len(self._request))
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self._request += data
        line, end, _ = self._request.partition(b"\n")
        if end or len(line) > REQUEST_LIMIT_BYTES or (not data and line):
            self._state = _State.WAITING
            self.due = math.inf
            self._control.carry_out(line, Reply(self), self.uid)
        elif not data:
            self.close()

    def _skip(self) -> None:
        """What comes after the request has no meaning; its end need not be the client's: it may still read."""
        try:
            if not self._sock.recv(_CHUNK_BYTES):
                self._events &= ~selectors.EVENT_READ
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def _write(self) -> None:
        if self._state is _State.GONE:
            return
        try:
            while self._answer:
                sent = self._sock.send(memoryview(self._answer)[:_CHUNK_BYTES])
                del self._answer[:sent]
                self.due = time.monotonic() + ANSWER_S
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if not self._answer:
            if self._state is _State.ENDING:
                self.close()
                return
            if self._state is _State.WAITING:
                self.due = math.inf
        events = self._events | selectors.EVENT_WRITE if self._answer else self._events
        self._control.watch_client(self, events)


class ControlSocket:
    """Listens at ``path`` from its making on; ``attach`` says who carries out what.  Raises ``BindError``."""

    def __init__(self, path: str, log: Logger, owner: Owner | None = None) -> None:
        self.path = os.path.abspath(path)
        self._log = log
        self._clients: set[Client] = set()
        self._commands: Mapping[str, Command] = {}
        self._quiet: Collection[str] = ()
        self._selector = selectors.DefaultSelector()
        self._resume_at = math.inf
        mask = os.umask(0o177)  # beside fchmod, which only Linux heeds before bind
        try:
            self._sock, self._inode = bind_unix(self.path, _MODE, owner, f"control_socket {self.path}")
        except BaseException:
            self._selector.close()
            raise
        finally:
            os.umask(mask)
        try:
            self._sock.listen(CLIENTS_MAX)
        except OSError as error:
            self.close()
            raise BindError(f"cannot listen on control_socket {self.path}: {explain(error)}") from None

    def attach(self, watcher: Watcher, commands: Mapping[str, Command], quiet: Collection[str] = ()) -> None:
        """Serve ``commands``, by name, in the loop of ``watcher``; who has connected until now is served too.

        The log has a line for each that is carried out, but for those that are ``quiet``.
        """
        self._commands = commands
        self._quiet = quiet
        self._selector.register(self._sock, selectors.EVENT_READ, self._accept)
        watcher.watch(self, self.act)

    def fileno(self) -> int:
        """Readable when there is something to do: the selector of all its sockets is a descriptor itself."""
        selector: Any = self._selector
        return int(selector.fileno())

    def act(self) -> None:
        """Do what can be done now."""
        for key, _ in self._selector.select(0):
            act: Callable[[], None] = key.data
            act()

    def tick(self, now: float) -> float:
        """Drop clients whose time is over: when the next one's is; both are monotonic seconds."""
        for client in [client for client in self._clients if client.due <= now]:
            client.expire()
        if self._resume_at <= now:
            self._resume_at = math.inf
            self._selector.register(self._sock, selectors.EVENT_READ, self._accept)
        return min(self._resume_at, *(client.due for client in self._clients), math.inf)

    def close(self) -> None:
        """Let clients read what is left, for ``FAREWELL_S`` at most, and remove the file; safe to repeat."""
        if self._sock.fileno() < 0:
            return
        unlink_socket(self.path, self._inode)
        with contextlib.suppress(KeyError):
            self._selector.unregister(self._sock)
        self._sock.close()
        deadline = time.monotonic() + FAREWELL_S
        while any(client.is_pending for client in self._clients) and (left_s := deadline - time.monotonic()) > 0:
            for key, _ in self._selector.select(left_s):
                key.data()
        for client in list(self._clients):
            client.close()
        self._selector.close()

    def forget(self) -> None:
        """In a child: close what is the parent's.  The selector is shared with it, so nothing is taken out of that."""
        self._selector.close()
        self._sock.close()
        for client in self._clients:
            client.abandon()
        self._clients.clear()

    # What its clients call.

    def carry_out(self, line: bytes, reply: Reply, uid: int | None) -> None:
        """Have a request of the user ``uid`` carried out; whatever is wrong with it is its client's to hear."""
        try:
            name, request = _parse(line)
            command = self._commands.get(name)
            if command is None:
                raise Refused(f"there is no command {quote(name)}: want one of {', '.join(sorted(self._commands))}")
            level = DEBUG if name in self._quiet else INFO
            self._log.log(level, "control socket: %s, by user %s", name, "unknown" if uid is None else uid)
            command(request, reply)
        except Refused as error:
            reply.fail(str(error))
        except Exception:
            self._log.exception("control socket: a request failed")
            reply.fail("it failed; the log of the server says why")

    def watch_client(self, client: Client, events: int) -> None:
        """Wait for ``events`` of a client, none at all included."""
        known = self._selector.get_map().get(client)
        if known is None and events:
            self._selector.register(client, events, client.act)
        elif known is not None and not events:
            self._selector.unregister(client)
        elif known is not None and known.events != events:
            self._selector.modify(client, events, client.act)

    def forget_client(self, client: Client) -> None:
        self._clients.discard(client)
        with contextlib.suppress(KeyError):
            self._selector.unregister(client)

    def _accept(self) -> None:
        try:
            sock = self._sock.accept()[0]
        except (BlockingIOError, ConnectionError):
            return  # it has gone again
        except OSError as error:
            self._log.warning("control socket: a client cannot be accepted: %s", error.strerror)
            self._selector.unregister(self._sock)  # else it would be tried without end
            self._resume_at = time.monotonic() + PAUSE_S
            return
        sock.setblocking(False)
        uid = get_peer_uid(sock)
        client = Client(self, sock, uid, time.monotonic())
        is_full = len(self._clients) >= CLIENTS_MAX
        self._clients.add(client)
        if uid not in (None, 0, os.geteuid()):
            self._log.warning("control socket: user %d was turned away", uid)
            Reply(client).fail(f"user {uid} is not allowed: want root, or user {os.geteuid()}")
        elif is_full:
            Reply(client).fail(f"{CLIENTS_MAX} clients are served already")
        else:
            self.watch_client(client, selectors.EVENT_READ)
        if uid not in (None, 0, os.geteuid()) or is_full:
            client.close()  # what did not fit at once is not waited for


def get_peer_uid(sock: socket.socket) -> int | None:
    """The user at the other end; ``None`` where the system does not say, and the mode of the file has to do."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    _, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(uid)


def _parse(line: bytes) -> tuple[str, Mapping[str, Any]]:
    """The command and the fields of a request."""
    if len(line) > REQUEST_LIMIT_BYTES:
        raise Refused(f"the request is longer than {REQUEST_LIMIT_BYTES} bytes")
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict) or not isinstance(request.get("command"), str):
        raise Refused('the request is no JSON object with a "command"')
    version = request.get("version", VERSION)
    if version != VERSION:
        raise Refused(f"version {quote(version)} is not spoken here: want {VERSION}")
    return request["command"], request

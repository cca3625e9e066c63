"""Listening sockets: made, owned and given up here, the same for one process and for many.

A socket is bound before anything else starts, so that a taken port is known before an application runs.  A TCP socket
listens only once a worker can serve (``Listener.listen``); a Unix socket listens from the bind on, since a socket file
that nobody listens on is what a crashed server leaves behind and may be replaced.

Giving up without loss has three steps, in this order: ``seal`` turns away new connections, what the kernel has queued
is accepted (``acceptor.accept_rest``), and only then are the sockets closed.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from fastserver.config.bind import Bind, FDBind, TCPBind, UnixBind
from fastserver.transport.sealing import seal_tcp

#: ``sun_path`` has 108 bytes on Linux (104 elsewhere), the last of them a NUL.
UNIX_PATH_LIMIT_BYTES: Final = 107 if sys.platform == "linux" else 103

#: How long a sealed TCP socket is still read: a handshake that had begun may need one more round trip to end.
SETTLE_S: Final = 0.5

#: Attempts to find one port that is free on every address of a host name, for port 0.
_PORT_ATTEMPTS: Final = 8

_REASONS: Final = {
    errno.EADDRINUSE: "the address is in use",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.EACCES: "permission denied",
    errno.ENOENT: "its directory does not exist",
    errno.EBADF: "no such file descriptor is open",
    errno.ENOTSOCK: "not a socket",
}

#: An address family and what ``bind`` takes for it, as ``getaddrinfo`` gives them.
Target: TypeAlias = tuple[int, tuple[object, ...]]

#: User and group of a file, by number.
Owner: TypeAlias = tuple[int, int]

#: Makes a socket of a family, bound to an address; the last argument is whether an IPv6 wildcard stands for IPv4 too.
OpenSocket: TypeAlias = Callable[[int, tuple[object, ...], bool], socket.socket]


class BindError(Exception):
    """An address that cannot be listened on.  The message is one line that names the address and the reason."""


@dataclass(eq=False)
class Listener:
    """One socket to accept from.  ``inherited`` is one that was handed to this process and may outlive it.

    ``sealed`` once ``seal`` was called here.
    """

    sock: socket.socket
    name: str
    backlog: int
    inherited: bool = False
    path: str | None = None
    inode: tuple[int, int] | None = None
    sealed: bool = False

    @property
    def address(self) -> tuple[str, int] | str:
        """Where clients connect: ``(host, port)`` with the real port, or the path of a Unix socket."""
        bound = self.sock.getsockname()
        if self.sock.family in (socket.AF_INET, socket.AF_INET6):
            return bound[0], bound[1]
        return bound.decode() if isinstance(bound, bytes) else str(bound)

    def get_url(self, scheme: str) -> str:
        """The address as people write it: ``http://[::1]:8000``, ``http+unix:/run/app.sock``."""
        address = self.address
        if isinstance(address, str):
            return f"{scheme}+unix:{address}"
        host, port = address
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def listen(self) -> None:
        """Let clients connect; safe to repeat.  Raises ``BindError`` where somebody else was quicker."""
        try:
            self.sock.listen(self.backlog)
        except OSError as error:
            raise BindError(f"cannot listen on {self.name}: {explain(error)}") from None

    def seal(self) -> None:
        """Turn away new connections and keep those that the kernel has queued; safe to repeat.

        On TCP the kernel ignores new SYNs from now on, in every process that shares the socket, until the last of them
        closes it; then clients are refused.  A Unix socket loses its path.  An inherited socket is left as it is:
        whoever handed it out may hand it to the next server.
        """
        self.sealed = True
        if not self.is_sealable():
            return
        if self.path is not None:
            self._unlink()
        elif self.sock.fileno() >= 0:
            seal_tcp(self.sock)

    def is_sealable(self) -> bool:
        """Whether ``seal`` does anything: not where the socket is another's, nor on TCP outside of Linux."""
        return not self.inherited and (self.path is not None or sys.platform == "linux")

    def close(self) -> None:
        """Close this process's file descriptor; the path of a Unix socket stays (``seal`` takes it away)."""
        self.sock.close()

    def get_settle_s(self) -> float:
        """Seconds after ``seal`` in which a connection may still enter the queue."""
        if self.path is not None or not self.is_sealable():
            return 0.0
        host = self.address[0]
        return 0.0 if host == "::1" or host.startswith("127.") else SETTLE_S

    def _unlink(self) -> None:
        if self.path is not None and self.inode is not None:
            unlink_socket(self.path, self.inode)


def unlink_socket(path: str, inode: tuple[int, int]) -> None:
    """Remove the socket file if it is still the one that this server made; see ``bind_unix``."""
    try:
        found = os.lstat(path)
        if (found.st_dev, found.st_ino) == inode:
            os.unlink(path)
    except OSError:
        pass  # gone already, or its directory is, or that is not ours any more since privileges were dropped


def open_listeners(
    binds: Iterable[Bind],
    *,
    backlog: int,
    dual_stack: bool = True,
    uds_permissions: int | None = None,
    owner: Owner | None = None,
) -> list[Listener]:
    """Bind every address, all or none; Unix sockets get ``uds_permissions`` and ``owner``.

    Names are looked up here, which may block.  Raises ``BindError``.
    """
    binds = list(binds)
    plans = resolve([bind for bind in binds if isinstance(bind, TCPBind)], dual_stack)
    listeners: list[Listener] = []
    taken: set[tuple[str, int]] = set()
    try:
        for bind in binds:
            if isinstance(bind, UnixBind):
                listeners.append(_open_unix(bind, backlog, uds_permissions, owner))
            elif isinstance(bind, FDBind):
                listeners.append(_open_fd(bind, backlog))
            else:
                targets, both = plans[bind]
                found = bind_targets(bind, targets, both, taken, _bind_tcp)
                listeners.extend(Listener(sock, str(bind), backlog) for sock in found)
    except BaseException:
        release(listeners)
        raise
    return listeners


def seal(listeners: Iterable[Listener]) -> None:
    """Turn away new connections on all of them; see ``Listener.seal``."""
    for listener in listeners:
        listener.seal()


def release(listeners: Iterable[Listener]) -> None:
    """Seal and close: for a process that gives up its sockets without having served."""
    for listener in listeners:
        listener.seal()
        listener.close()


def resolve(
    binds: Iterable[TCPBind], dual_stack: bool, kind: socket.SocketKind = socket.SOCK_STREAM
) -> dict[TCPBind, tuple[list[Target], bool]]:
    """The addresses of each bind, and whether an IPv6 wildcard among them is to stand for IPv4 too.

    The empty host is the wildcard of every family.  Raises ``BindError`` for a name that is unknown.
    """
    targets = {bind: _resolve(bind, kind) for bind in binds}
    # An IPv6 wildcard shares its port with an IPv4 socket only if it leaves IPv4 alone.
    v4_ports = {bind.port for bind, found in targets.items() if any(family == socket.AF_INET for family, _ in found)}
    return {
        bind: (found, dual_stack and not (bind.port in v4_ports and (bind.port != 0 or len(found) > 1)))
        for bind, found in targets.items()
    }


def _resolve(bind: TCPBind, kind: socket.SocketKind) -> list[Target]:
    try:
        found = socket.getaddrinfo(bind.host or None, bind.port, type=kind, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise BindError(f"cannot bind {bind}: unknown host ({error.strerror or error})") from None
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def bind_targets(
    bind: TCPBind, targets: Sequence[Target], dual_stack: bool, taken: set[tuple[str, int]], open_socket: OpenSocket
) -> list[socket.socket]:
    """A socket for each address, all on one port; ``taken`` holds what this server has bound already, so that names
    may overlap.  Raises ``BindError``."""
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        try:
            return _try_targets(bind.port, targets, dual_stack, taken, open_socket)
        except OSError as error:
            retry = bind.port == 0 and len(targets) > 1 and error.errno == errno.EADDRINUSE
            if not retry or attempt == _PORT_ATTEMPTS:
                raise BindError(f"cannot bind {bind}: {explain(error)}") from None
    raise AssertionError("unreachable")


def _try_targets(
    port: int, targets: Sequence[Target], dual_stack: bool, taken: set[tuple[str, int]], open_socket: OpenSocket
) -> list[socket.socket]:
    """Bind all addresses of a name to one port, but for those that this machine lacks while it has another."""
    found: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in targets:
            host = str(address[0])
            if (host, port) in taken:
                continue
            try:
                sock = open_socket(family, (host, port, *address[2:]), dual_stack)
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
                continue
            found.append(sock)
            port = sock.getsockname()[1]
    except OSError:
        for sock in found:
            sock.close()
        raise
    if not found and missing is not None:
        raise missing
    taken.update((str(sock.getsockname()[0]), port) for sock in found)
    return found


def _bind_tcp(family: int, address: tuple[object, ...], dual_stack: bool) -> socket.socket:
    # asyncio switches Nagle's algorithm off only where the protocol is named, and not left to be the default.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        # Connections of a former server in TIME_WAIT do not hold the port; a socket that listens still does.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        set_v6only(sock, address, dual_stack)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def set_v6only(sock: socket.socket, address: tuple[object, ...], dual_stack: bool) -> None:
    """Before ``bind``: whether an IPv6 socket is for IPv4 too, as only a wildcard and a mapped address can be."""
    if sock.family == socket.AF_INET6:
        both = (dual_stack and address[0] == "::") or str(address[0]).startswith("::ffff:")
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)


def _open_unix(bind: UnixBind, backlog: int, permissions: int | None, owner: Owner | None) -> Listener:
    sock, inode = bind_unix(bind.path, permissions, owner, str(bind))
    listener = Listener(sock, str(bind), backlog, path=bind.path, inode=inode)
    try:
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def bind_unix(
    path: str, permissions: int | None = None, owner: Owner | None = None, name: str = ""
) -> tuple[socket.socket, tuple[int, int]]:
    """A stream socket bound at ``path``, not yet listening, and what tells its file from others (device and inode).

    The file has ``permissions`` and ``owner`` before anybody can connect.  A socket file without a listener is
    replaced.  Raises ``BindError``, which calls it ``name`` (``path`` where that is empty).
    """
    name = name or path
    if len(os.fsencode(path)) > UNIX_PATH_LIMIT_BYTES:
        raise BindError(f"cannot bind {name}: a socket path has at most {UNIX_PATH_LIMIT_BYTES} bytes")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.setblocking(False)
        if permissions is not None:
            os.fchmod(sock.fileno(), permissions)  # the file is born with this mode less the umask, never wider
        sock.bind(path)
        found = os.lstat(path)
        if permissions is not None:
            os.chmod(path, permissions)
        if owner is not None:
            os.lchown(path, *owner)
    except OSError as error:
        sock.close()
        raise BindError(f"cannot bind {name}: {explain(error)}") from None
    return sock, (found.st_dev, found.st_ino)


def _remove_stale(path: str) -> None:
    """Remove a socket file that nobody listens on.  Raises ``OSError`` where the path is in use or no socket."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "the path exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # its queue is full, so somebody listens
    raise OSError(errno.EADDRINUSE, "a server is listening on it")


def _open_fd(bind: FDBind, backlog: int) -> Listener:
    """Adopt a socket that another process has opened (systemd, a parent): TCP or Unix, bound, listening or not yet."""
    if isinstance(bind.fd, str):
        raise BindError(f"cannot use {bind}: no socket of that name was handed over")
    try:
        sock = socket.socket(fileno=bind.fd)  # finds family and type
    except OSError as error:
        raise BindError(f"cannot use {bind}: {explain(error)}") from None
    try:
        if sock.type == socket.SOCK_DGRAM:
            raise OSError(errno.EINVAL, "a datagram socket; QUIC binds its own, at quic_bind")
        if sock.type != socket.SOCK_STREAM:
            raise OSError(errno.EINVAL, "not a stream socket")
        if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            raise OSError(errno.EINVAL, "neither a TCP nor a Unix socket")
        try:
            sock.getpeername()
        except OSError:
            pass
        else:
            raise OSError(errno.EINVAL, "a connected socket, not a listening one")
        sock.setblocking(False)
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.listen(backlog)
    except OSError as error:
        sock.detach()  # it is not ours to close
        raise BindError(f"cannot use {bind}: {explain(error)}") from None
    return Listener(sock, str(bind), backlog, inherited=True)


def explain(error: OSError) -> str:
    """The reason of a failure in words, ours in place of the system's where ours are clearer."""
    text = error.strerror or str(error)
    if error.errno is not None and text == os.strerror(error.errno):
        return _REASONS.get(error.errno, text)
    return text

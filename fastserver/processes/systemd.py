"""What systemd and its like hand to a service, and what they want to hear: sockets and notifications.

Both are variables of the environment.  They are taken out of it, so that neither workers nor the application and its
subprocesses act on what was meant for this process: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeGuard

from fastserver.config.bind import Bind, FDBind, parse_bind
from fastserver.config.errors import ConfigError
from fastserver.config.extension import ProtocolBinding
from fastserver.config.model import DEFAULTS, Config
from fastserver.config.setting import quote

#: The first descriptor that is handed over (SD_LISTEN_FDS_START).
FIRST_FD: Final = 3
#: More are refused: it is the kernel's default limit of open files, and a wrong number must not be counted through.
MOST_FDS: Final = 1024

_LISTEN_KEYS: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
_NOTIFY_KEYS: Final = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
#: Settings that name sockets, each a list of texts.
_BIND_KEYS: Final = ("bind", "insecure_bind", "metrics_bind")


@dataclass(frozen=True, slots=True)
class Activation:
    """The sockets that were handed over: each descriptor and its name, in the order of the socket units."""

    sockets: tuple[tuple[int, str], ...] = ()

    def apply(self, config: Config, log: logging.Logger | None = None) -> Config:
        """``config`` with numbers for the names of descriptors, and with all sockets in place of a ``bind`` that is
        the default.  What nothing uses is told to ``log``.  Raises ``ConfigError``; safe to repeat after a reload.
        """
        changes: dict[str, Any] = {}
        for key in _BIND_KEYS:
            texts: tuple[str, ...] = getattr(config, key, ())
            found = tuple(text for each in texts for text in self._resolve(key, each))
            if found != texts:
                changes[key] = found
        bindings = tuple(self._resolve_binding(each) for each in config.protocols)
        if bindings != config.protocols:
            changes["protocols"] = bindings
        wanted = replace(config, **changes) if changes else config
        unused = self._list_unused(wanted)
        if not unused:
            return wanted
        if config.bind == DEFAULTS["bind"]:
            return replace(wanted, bind=tuple(f"fd://{fd}" for fd, _ in unused))
        if log is not None:
            names = ", ".join(f"fd://{fd} ({name})" if name else f"fd://{fd}" for fd, name in unused)
            log.warning("sockets that were handed over are not used, since bind is given: %s", names)
        return wanted

    def _resolve(self, key: str, text: str) -> list[str]:
        bind = parse_bind(text)
        return [f"fd://{fd}" for fd in self._find(key, bind.fd)] if is_named(bind) else [text]

    def _resolve_binding(self, binding: ProtocolBinding) -> ProtocolBinding:
        if not is_named(binding.bind):
            return binding
        fds = self._find("protocols", binding.bind.fd)
        if len(fds) > 1:
            raise ConfigError("protocols", f"{quote(binding.where)} is the name of {len(fds)} sockets: want a number")
        return replace(binding, bind=FDBind(fds[0]), where=f"fd://{fds[0]}")

    def _find(self, key: str, name: int | str) -> list[int]:
        fds = [fd for fd, known in self.sockets if known == name]
        if not fds:
            known = ", ".join(dict.fromkeys(known for _, known in self.sockets if known))
            tail = f": those that were have the names {known}" if known else ": none was"
            raise ConfigError(key, f"no socket with the name {quote(name)} was handed over{tail}")
        return fds

    def _list_unused(self, config: Config) -> list[tuple[int, str]]:
        texts = [text for key in _BIND_KEYS for text in getattr(config, key, ())]
        binds: list[Bind | None] = [*map(parse_bind, texts), *(each.bind for each in config.protocols)]
        used = {bind.fd for bind in binds if isinstance(bind, FDBind)}
        return [(fd, name) for fd, name in self.sockets if fd not in used]


def is_named(bind: Bind | None) -> TypeGuard[FDBind]:
    """Whether ``bind`` is an inherited socket by its name."""
    return isinstance(bind, FDBind) and isinstance(bind.fd, str)


def take_sockets(environ: MutableMapping[str, str] | None = None) -> Activation:
    """The sockets that were handed to this process, whose variables leave ``environ`` (``os.environ``).

    The descriptors are not passed on to programs that this process executes.  Raises ``ConfigError`` where the
    variables are for this process and make no sense, or a descriptor is not open.
    """
    environ = os.environ if environ is None else environ
    pid, count, names = (environ.get(key, "") for key in _LISTEN_KEYS[:3])
    for key in _LISTEN_KEYS:
        environ.pop(key, None)
    if not count or pid != str(os.getpid()):
        return Activation()
    if not count.isdecimal() or not count.isascii() or not 0 <= int(count[:9]) <= MOST_FDS:
        raise ConfigError("LISTEN_FDS", f"{quote(count)} is not allowed: want a number of sockets, at most {MOST_FDS}")
    fds = range(FIRST_FD, FIRST_FD + int(count))
    labels = names.split(":") if names else []
    if labels and len(labels) != len(fds):
        raise ConfigError("LISTEN_FDNAMES", f"has {len(labels)} names for {len(fds)} sockets")
    for fd in fds:
        try:
            os.set_inheritable(fd, False)
        except OSError as error:
            raise ConfigError("LISTEN_FDS", f"descriptor {fd} cannot be used: {error.strerror}") from None
    return Activation(tuple(zip(fds, labels or [""] * len(fds), strict=True)))


@dataclass(eq=False)
class Notifier:
    """Tells the service manager what this process is doing; without an address it tells nobody.

    It never waits and never raises: whoever does not listen misses it.  ``watchdog_s`` is the time between two signs of
    life that the service manager wants, 0 where it wants none.
    """

    address: str = ""
    watchdog_s: float = 0.0
    _due: float = field(default=-math.inf, init=False)

    def ready(self, status: str = "") -> None:
        """The server serves: at its start, and after each reload.  MAINPID is who says so."""
        self._send(READY=1, MAINPID=os.getpid(), STATUS=status)

    def reloading(self, status: str = "") -> None:
        """A reload begins; ``ready`` ends it, however it went (systemd.service(5), Type=notify-reload)."""
        self._send(RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000, STATUS=status)

    def stopping(self, status: str = "") -> None:
        self._send(STOPPING=1, STATUS=status)

    def tell(self, status: str) -> None:
        """One line for people: ``systemctl status`` shows it."""
        self._send(STATUS=status)

    def tick(self, now: float) -> float:
        """Give a sign of life where it is due: when the next is; both are monotonic seconds."""
        if not self.address or self.watchdog_s <= 0:
            return math.inf
        if now >= self._due:
            self._due = now + self.watchdog_s / 2
            self._send(WATCHDOG=1)
        return self._due

    def _send(self, **facts: object) -> None:
        if not self.address:
            return
        lines = (f"{key}={' '.join(str(value).split())}" for key, value in facts.items() if value != "")
        address = b"\0" + os.fsencode(self.address[1:]) if self.address[0] == "@" else os.fsencode(self.address)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto("\n".join(lines).encode("utf-8", "replace"), address)
        except OSError:
            pass  # nobody is there, or does not read: serving goes on


def take_notifier(environ: MutableMapping[str, str] | None = None) -> Notifier:
    """What the service manager wants to hear and where, whose variables leave ``environ`` (``os.environ``)."""
    environ = os.environ if environ is None else environ
    address, pid, interval = (environ.get(key, "") for key in _NOTIFY_KEYS)
    for key in _NOTIFY_KEYS:
        environ.pop(key, None)
    if address[:1] not in {"/", "@"} or len(address) < 2 or not hasattr(socket, "AF_UNIX"):
        return Notifier()
    watched = pid in {"", str(os.getpid())} and interval.isascii() and interval.isdecimal()
    return Notifier(address, int(interval) / 1e6 if watched else 0.0)

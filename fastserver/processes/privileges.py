"""Who the server is to the system: the user and group that it becomes once root is no longer needed.

Order is everything.  Sockets are bound, certificates read and logs opened as root; then this process becomes the user,
for good, and only then it forks workers and they import the application.  What has to be opened again later (logs after
SIGUSR1, certificates on a reload) must be within that user's reach.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from dataclasses import dataclass
from typing import Final, NoReturn

from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.config.setting import quote

#: (uid_t)-1 and (gid_t)-1 mean "leave it" to the kernel.
_MOST: Final = (1 << 32) - 2


@dataclass(frozen=True, slots=True)
class Identity:
    """User and group by number; ``name`` and ``home`` are empty where the user is known by number alone."""

    uid: int
    gid: int
    name: str = ""
    home: str = ""
    changes_user: bool = True

    @property
    def owner(self) -> tuple[int, int]:
        """What ``chown`` takes."""
        return self.uid, self.gid

    def __str__(self) -> str:
        return f"user {self.name or self.uid}, group {self.gid}"


def resolve_identity(user: str | None, group: str | None) -> Identity | None:
    """Who ``user`` and ``group`` are, each a name or a number; ``None`` where neither is given, or both are so already.

    Raises ``ConfigError`` for one that is unknown, and where this process may not become it.
    """
    if user is None and group is None:
        return None
    uid, gid, name, home = os.geteuid(), os.getegid(), "", ""
    if user is not None:
        uid, gid, name, home = _find_user(user, group)
    if group is not None:
        gid = _find_group(group)
    identity = Identity(uid, gid, name, home, changes_user=user is not None)
    if os.geteuid() != 0:
        if (uid, gid) == (os.geteuid(), os.getegid()):
            return None
        key, given = ("user", user) if user is not None and uid != os.geteuid() else ("group", group)
        raise ConfigError(key, f"only root can become {quote(given)}: start as root, or leave it out")
    return identity


def drop_privileges(identity: Identity) -> None:
    """Become ``identity`` for good: groups first, since only root may change them, the user last.

    HOME, USER and LOGNAME follow, as a login would set them: an application that looks for its caches must not find
    root's.  Raises ``ConfigError`` where the system refuses, and where there would be a way back.
    """
    try:
        if identity.name and identity.changes_user:
            os.initgroups(identity.name, identity.gid)
        else:
            os.setgroups([identity.gid])
        os.setgid(identity.gid)
        if identity.changes_user:
            os.setuid(identity.uid)
    except OSError as error:
        raise ConfigError("user", f"the system does not let this process become {identity}: {error.strerror}") from None
    _verify(identity)
    if identity.changes_user:
        if identity.name:
            os.environ.update(HOME=identity.home, USER=identity.name, LOGNAME=identity.name)
        _check_library(identity)


def _verify(identity: Identity) -> None:
    """Nothing of root is left: neither numbers nor groups, and the way back is closed."""
    uid = identity.uid if identity.changes_user else os.geteuid()
    groups, users = {os.getgid(), os.getegid()}, {os.getuid(), os.geteuid()}
    if hasattr(os, "getresuid"):  # the saved numbers too
        groups.update(os.getresgid())
        users.update(os.getresuid())
    if groups != {identity.gid} or users != {uid}:
        _refuse(identity)
    if uid == 0:
        return
    if identity.gid != 0 and 0 in os.getgroups():
        with contextlib.suppress(KeyError):
            if identity.name in grp.getgrgid(0).gr_mem:
                return  # the user is a member of root's group, by the operator's will
        _refuse(identity)
    # A capability that has survived (securebits, ambient sets) would let it.
    for become in (os.seteuid, os.setuid):
        try:
            become(0)
        except PermissionError:
            continue
        _refuse(identity)


def _refuse(identity: Identity) -> NoReturn:
    raise ConfigError("user", f"after becoming {identity} the way back to root is open")


def _check_library(identity: Identity) -> None:
    """Say at once that Python itself is out of reach, as it is below /root: imports would fail one by one."""
    for path in (os.__file__, __file__):
        if not os.access(path, os.R_OK):
            who, place = quote(identity.name or identity.uid), os.path.dirname(path)
            raise ConfigError("user", f"{who} cannot read the Python modules in {place}")


def hand_over_logs(config: Config, identity: Identity) -> None:
    """Make the log files that are not there yet, for ``identity`` to own, so that it can open them again later.

    A file that is there stays whose it is: it may be a link into other hands by now (CVE-2016-1247).  What cannot be
    made is told by who opens it.
    """
    for path in (config.error_logfile, config.access_logfile if config.access_log else "-"):
        if path == "-":
            continue
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            try:
                os.fchown(fd, *identity.owner)
            finally:
                os.close(fd)


def _find_user(user: str, group: str | None) -> tuple[int, int, str, str]:
    number = _read_number(user)
    try:
        known = pwd.getpwnam(user) if number is None else pwd.getpwuid(number)
    except KeyError:
        if number is None:
            raise ConfigError("user", f"there is no user {quote(user)}") from None
        if group is None:
            raise ConfigError("user", f"number {number} is no user that is known here, so want group too") from None
        return number, 0, "", ""
    return known.pw_uid, known.pw_gid, known.pw_name, known.pw_dir


def _find_group(group: str) -> int:
    number = _read_number(group)
    if number is not None:
        return number
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigError("group", f"there is no group {quote(group)}") from None


def _read_number(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= _MOST):
        return None
    return int(text)

"""The pid file: the number of the main process, for as long as it runs.

Whether the process that a file names still lives is not asked by its number, which another process may have by now,
but by a record lock on the file (fcntl(2)): it dies with the process, and no child inherits it, so that workers which
outlive a killed supervisor do not hold up the next one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from typing import Final

from fastserver.config.errors import ConfigError
from fastserver.config.setting import quote

_MODE: Final = 0o644
#: More than any number of a process; longer files are none of ours.
_LIMIT_BYTES: Final = 64
#: What a filesystem without hard links says.
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
#: Attempts to get hold of a file that others remove or replace at the same time.
_ATTEMPTS: Final = 8


class PidFile:
    """A pid file that is ours; made by ``claim_pidfile``."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._pid = os.getpid()

    def remove(self) -> None:
        """Remove it if it is still the one that this process has made; safe to repeat, and harmless in a child.

        Where the directory is not ours to change any more, since privileges were dropped, the file is emptied: an empty
        one is stale, and the next server replaces it.
        """
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            if os.getpid() == self._pid and _is_at(self.path, fd):
                try:
                    os.unlink(self.path)
                except OSError:
                    os.ftruncate(fd, 0)
        except OSError:
            pass  # a disk that fails: nothing is left to do
        finally:
            os.close(fd)


def claim_pidfile(path: str) -> PidFile:
    """Write the number of this process into the file ``path``, atomically: it is never there in part.

    A file that a living server holds is left alone; what else is found there is replaced, if it looks like a pid file.
    Raises ``ConfigError`` for the key ``pid``.
    """
    path = os.path.abspath(path)
    temporary = f"{path}.{os.getpid()}"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)  # of a process of the same number, long gone
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        try:
            os.write(fd, f"{os.getpid()}\n".encode())
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _place(temporary, path)
        except BaseException:
            os.close(fd)
            raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as error:
        raise ConfigError("pid", f"{quote(path)} cannot be written: {error.strerror or error}") from None
    return PidFile(path, fd)


def _place(temporary: str, path: str) -> None:
    """Put the file ``temporary`` at ``path`` where nobody is, or one who is gone."""
    for _ in range(_ATTEMPTS):
        try:
            os.link(temporary, path)  # unlike rename it does not replace what came there in the meantime
            return
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in _NO_LINKS or os.path.lexists(path):
                raise
            os.rename(temporary, path)  # two that start in the same instant are told apart by their sockets
            return
        try:
            old = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            continue
        try:
            text = _read(old, path)
            try:
                fcntl.lockf(old, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise
                raise ConfigError("pid", f"{quote(path)} is held by a server that runs, process {text}") from None
            if _is_at(path, old):  # and it stays so: who would replace it needs this lock
                os.rename(temporary, path)
                return
        finally:
            os.close(old)
    raise OSError(errno.EBUSY, "others write it at the same time")


def _read(fd: int, path: str) -> str:
    """What a pid file holds; whatever else it may be is not ours to replace."""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(errno.EEXIST, "it exists and is not a file")
    text = os.read(fd, _LIMIT_BYTES).decode("latin-1").strip()
    if text and not text.isdecimal():
        raise OSError(errno.EEXIST, "it exists and holds something else")
    return text or "unknown"


def _is_at(path: str, fd: int) -> bool:
    """Whether ``fd`` is the file that is at ``path``."""
    try:
        found, own = os.lstat(path), os.fstat(fd)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)

"""The text of a file that a user has named, or one line about why there is none."""

import os
import stat
from typing import Final

from fastserver.config.errors import ConfigError

#: Bytes of a file with settings or variables; a longer one was named by mistake.
LIMIT_BYTES: Final = 1 << 20


def read_bytes(path: str, name: str) -> bytes:
    """What the file at ``path`` holds.  ``ConfigError`` calls it ``name``: missing, too long, or no regular file.

    A pipe would give nothing when it is read again for a reload, and may block.
    """
    if not path or "\0" in path:
        raise ConfigError(repr(name), "is no path")
    try:
        with open(path, "rb", opener=_open) as file:
            is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(LIMIT_BYTES + 1) if is_file else b""
    except OSError as error:
        raise ConfigError(name, f"cannot be read: {error.strerror}") from None
    if not is_file:
        raise ConfigError(name, "is no regular file")
    if len(content) > LIMIT_BYTES:
        raise ConfigError(name, f"is longer than {LIMIT_BYTES >> 20} MiB")
    return content


def read_text(path: str, name: str) -> str:
    """The same as text with ``\\n`` for line breaks; ``ConfigError`` where it is not UTF-8."""
    try:
        return read_bytes(path, name).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ConfigError(name, "is not text in UTF-8") from None


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))

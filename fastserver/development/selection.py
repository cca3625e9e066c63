"""Which files are watched: those of an application, and none of what lies beside them by the thousand."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Final

from fastserver.config.errors import ConfigError
from fastserver.config.model import Config
from fastserver.config.setting import quote

#: What is watched beside ``reload_includes``.
SOURCES: Final = ("*.py",)
#: Directories that hold what others have written; those whose names start with a dot are left out too.
SKIPPED: Final = ("__pycache__", "node_modules", "site-packages", "__pypackages__")
#: What makes a directory a virtual environment (PEP 405).
VENV_MARK: Final = "pyvenv.cfg"


@dataclass(frozen=True)
class Selection:
    """Below ``roots`` the files whose name, or path below the root, is among ``includes`` and not among ``excludes``.

    ``files`` are watched wherever they are, and whatever they are called.
    """

    roots: tuple[str, ...]
    files: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    def takes(self, path: str) -> bool:
        """Whether a change of the file ``path`` counts."""
        if path in self.files:
            return True
        name = os.path.basename(path)
        for root in self.roots:
            below = _cut(path, root)
            if below is None:
                continue
            folders = below.split(os.sep)[:-1]
            if any(self._skips_name(folder) for folder in folders) or self._is_excluded(name, below, path):
                return False
            # A name with a dot in front is an editor's lock or draft, unless it is asked for.
            usual = not name.startswith((".", "~")) and _matches(SOURCES, name)
            return usual or _matches(self.includes, name, below)
        return False

    def enters(self, folder: str) -> bool:
        """Whether the directory ``folder``, below a root, is looked into."""
        name = os.path.basename(folder)
        if self._skips_name(name) or os.path.exists(os.path.join(folder, VENV_MARK)):
            return False
        below = next((below for root in self.roots if (below := _cut(folder, root)) is not None), name)
        return not self._is_excluded(name, below, folder)

    def _skips_name(self, folder: str) -> bool:
        return folder.startswith(".") or folder in SKIPPED or _matches(self.excludes, folder)

    def _is_excluded(self, name: str, below: str, path: str) -> bool:
        return _matches(self.excludes, name, below, path) or any(
            os.path.isabs(pattern) and _cut(path, pattern) is not None for pattern in self.excludes
        )


def select(config: Config) -> Selection:
    """What ``config`` has watched.  Raises ``ConfigError`` for a directory that there is not.

    As elsewhere, ``reload_includes`` takes a directory or a file too, wherever it is.
    """
    roots = [_resolve("reload_dirs", folder) for folder in config.reload_dirs or (config.app_dir,)]
    files, patterns = [], []
    for item in config.reload_includes:
        path = os.path.realpath(item)
        if os.path.isdir(path):
            roots.append(path)
        elif os.path.exists(path):
            files.append(path)
        else:
            patterns.append(item)
    excludes = [os.path.realpath(item) if os.path.exists(item) else item for item in config.reload_excludes]
    return Selection(_drop_nested(roots), tuple(files), tuple(patterns), tuple(excludes))


def _resolve(key: str, folder: str) -> str:
    path = os.path.realpath(folder)
    if not os.path.isdir(path):
        raise ConfigError(key, f"{quote(folder)} is no directory")
    return path


def _drop_nested(roots: Iterable[str]) -> tuple[str, ...]:
    """Each directory once, and none below another."""
    unique = list(dict.fromkeys(roots))
    return tuple(path for path in unique if not any(path != other and _cut(path, other) for other in unique))


def _cut(path: str, root: str) -> str | None:
    """``path`` as seen from ``root``; ``None`` where it is not below it."""
    if path == root:
        return ""
    start = root if root.endswith(os.sep) else root + os.sep
    return path[len(start) :] if path.startswith(start) else None


def _matches(patterns: Sequence[str], *names: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns for name in names)

"""Runs a function of the tests in a process of its own in which the hot rooms are plain Python.

    python -m tests._speedups.plain tests.some_module:function

prints as JSON what the function returns.  A test can reach into the plain build where it has no way into the other.
"""

import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
ROOMS = "fastserver._speedups"


class PlainFinder(MetaPathFinder):
    """Finds the hot rooms among their sources, never among the extensions."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None or not fullname.startswith(f"{ROOMS}."):
            return None
        (directory,) = path  # of the package that the module stands in
        return FileFinder(directory, (SourceFileLoader, SOURCE_SUFFIXES)).find_spec(fullname, target)


def call(spec: str) -> Any:
    """The result of `module:function` in the plain build."""
    done = subprocess.run(
        [sys.executable, "-m", "tests._speedups.plain", spec], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.meta_path.insert(0, PlainFinder())
    module, _, function = sys.argv[1].partition(":")
    print(json.dumps(getattr(importlib.import_module(module), function)()))

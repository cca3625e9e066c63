"""Programs in C beside these modules: each is compiled at its first use, and again where its source is newer."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.macro.load import LoadFailed
from bench.macro.process import ROOT

HERE = Path(__file__).resolve().parent
HOWTO = "no C compiler: cc is not installed (Debian: apt install gcc libc6-dev)"


def find_missing(condition: str = "1") -> str:
    """Empty where ``cc`` is there and its preprocessor finds ``condition`` true; otherwise what to do about it."""
    if shutil.which("cc") is None:
        return HOWTO
    source = f"#if !({condition})\n#error\n#endif\n"
    done = subprocess.run(["cc", "-E", "-"], input=source, text=True, capture_output=True, check=False)
    return f"not so for cc: {condition}" if done.returncode else ""


def build_program(name: str, libraries: Sequence[str] = ()) -> Path:
    """The program of ``name``.c, linked with ``libraries``; ``LoadFailed`` with what ``cc`` says."""
    source, program = HERE / f"{name}.c", ROOT / "build" / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        program.parent.mkdir(exist_ok=True)
        new = program.with_suffix(f".{os.getpid()}")
        argv = ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(new), str(source)]
        done = subprocess.run(
            [*argv, *(f"-l{library}" for library in libraries)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise LoadFailed(f"cannot compile {source.name}: {done.stderr.strip()}")
        new.replace(program)
    return program

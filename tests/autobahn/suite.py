"""The suite itself: find its old Python, install it once in a directory of its own, run it as the fuzzing client."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.macro.process import ROOT

VERSION = "25.10.1"
HOME = ROOT / "build" / "autobahn"
PACKAGES = HOME / f"packages-{VERSION}"
#: Packages of a directory that is no environment: only ``site`` reads their ``.pth`` files.
_START = "import site, sys; site.addsitedir(sys.argv.pop(1)); from autobahntestsuite.wstest import run; run()"
_COUNT = re.compile(r"^Ok, will run (\d+) test cases", re.MULTILINE)
_RUNNING = re.compile(r"^Running test case ID (\S+)", re.MULTILINE)


class SuiteFailed(Exception):
    """The suite cannot be installed or does not come to its end; the text says why."""


def _find_candidates() -> Iterator[str]:
    named = os.environ.get("PYTHON2")
    if named:
        yield named
        return
    for name in ("python2.7", "python2", "pypy2.7", "pypy2", "pypy"):
        found = shutil.which(name)
        if found:
            yield found
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from map(str, sorted(versions.glob("2.7*/bin/python2.7")))


def find_python2() -> str:
    """An interpreter of Python 2.7 with pip: ``PYTHON2``, else one on ``PATH`` or of pyenv.  Raises ``SuiteFailed``."""
    for candidate in _find_candidates():
        question = [candidate, "-c", "import sys, pip; sys.exit(sys.version_info[:2] != (2, 7))"]
        try:
            if subprocess.run(question, capture_output=True, timeout=30, check=False).returncode == 0:
                return candidate
        except (OSError, subprocess.TimeoutExpired):
            continue
    raise SuiteFailed(
        "the Autobahn test suite needs Python 2.7 with pip: set PYTHON2=/path/to/python2.7, or get one with "
        "`pyenv install 2.7.18` or from https://downloads.python.org/pypy/ (pypy2.7, then `pypy -m ensurepip`)"
    )


def install(python: str) -> None:
    """Install the suite below ``HOME``, unless that was done; ``SuiteFailed`` with the end of what pip says."""
    done = PACKAGES / ".installed"
    if done.exists():
        return
    shutil.rmtree(PACKAGES, ignore_errors=True)
    argv = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--target", str(PACKAGES)]
    result = subprocess.run([*argv, f"autobahntestsuite=={VERSION}"], capture_output=True, text=True, check=False)
    if result.returncode:
        raise SuiteFailed(f"cannot install autobahntestsuite {VERSION}: {result.stderr.strip()[-500:]}")
    done.touch()


def write_spec(directory: Path, agent: str, url: str, cases: Sequence[str]) -> Path:
    """What the fuzzing client is to do: ``cases`` are ids or patterns like ``6.*``."""
    spec = {
        "outdir": str(directory),
        "servers": [{"agent": agent, "url": url, "options": {"version": 18}}],
        "cases": list(cases),
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    path = directory / "spec.json"
    path.write_text(json.dumps(spec, indent=1))
    return path


def run(python: str, agent: str, url: str, cases: Sequence[str], timeout_s: float) -> tuple[Path, int]:
    """Run ``cases`` against the server at ``url``: the report's ``index.json`` and how many cases belong in it.

    The report in HTML is beside it.  ``SuiteFailed`` where it takes longer than ``timeout_s`` or writes no report.
    """
    directory = HOME / agent
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    spec = write_spec(directory, agent, url, cases)
    log = directory / "log.txt"
    argv = [python, "-u", "-c", _START, str(PACKAGES), "-m", "fuzzingclient", "-s", str(spec)]
    with log.open("w") as output:
        try:
            subprocess.run(argv, stdout=output, stderr=subprocess.STDOUT, cwd=HOME, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            last = _RUNNING.findall(log.read_text(errors="replace"))
            at = f", it was at case {last[-1]}" if last else ""
            raise SuiteFailed(f"{agent}: not at its end after {timeout_s:.0f} s{at} (see {log})") from None
    text = log.read_text(errors="replace")
    count = _COUNT.search(text)
    index = directory / "index.json"
    if count is None or not index.exists():
        raise SuiteFailed(f"{agent}: no report: {text.strip()[-500:]}")
    return index, int(count.group(1))

"""A look at what ``make faults`` proves: this server under some of the faults, in few cycles."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from bench.faults.__main__ import build_parser, try_fault
from bench.faults.injectors import FAULTS
from bench.faults.server import SERVERS
from bench.faults.verdict import Word

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and Linux's sockets"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed"),
]


@pytest.mark.parametrize("name", ["FI-1", "FI-3", "FI-7", "FI-9", "FI-14", "FI-15", "FI-24", "FI-26"])
def test_this_server_stands_it(name: str, tmp_path: Path) -> None:
    options = build_parser().parse_args(["--quick", "--scale", "0.5"])
    verdict = asyncio.run(try_fault(FAULTS[name], SERVERS["fastserver"], options, tmp_path))
    if verdict.word is Word.SKIPPED:
        pytest.skip(verdict.brief)
    assert verdict.word is Word.PASS, "\n".join([*verdict.reasons, *verdict.evidence, str(verdict.figures)])

"""Titles, in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from fastserver.processes import title

SHOW = """
import os, sys
from fastserver.processes.title import set_title
set_title(sys.argv[1])
print(ascii(open("/proc/self/comm").read()), ascii(open("/proc/self/cmdline").read().rstrip(chr(0))))
print(sys.argv[1], os.environ["MARK"], flush=True)
os.execlp("env", "env")
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux")


def show(text: str) -> list[str]:
    command = [sys.executable, "-c", SHOW, text]
    done = subprocess.run(
        command, env={"MARK": "kept", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_a_title_is_shown_and_nothing_else_is_touched() -> None:
    names, kept, *environ = show("shop: worker")
    assert names == r"'shop: worker\n' 'shop: worker'"
    assert kept == "shop: worker kept"
    assert "MARK=kept" in environ


def test_a_title_has_the_room_of_the_command_line() -> None:
    text = "x" * 2000
    names, _, *environ = show(text)
    short, long = names.split(" ")
    assert short == rf"'{'x' * 15}\n'"
    assert len(long) > 2000  # the argument itself made room
    assert "MARK=kept" in environ
    assert show("ä") != []


def test_where_the_kernel_does_not_tell_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = Path("/proc/self/cmdline").read_bytes()
    name = Path("/proc/self/comm").read_text().rstrip()
    for found in ((0, 0), (1, 100)):
        monkeypatch.setattr(title, "_find_arguments", lambda found=found: (found[0], 0))
        title.set_title(name)
    assert not title._is_writable(0, 10)
    assert Path("/proc/self/cmdline").read_bytes() == before

"""Releases behind a symbolic link: what a reload reads again, and what serves on where the new one is broken."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.processes import PATIENCE_S, ServerProcess
from tests.e2e.test_processes import ask

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

APP = """
import os
{extra}
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise ValueError("none")
    here = os.path.basename(os.getcwd())
    body = " ".join((str(os.getpid()), here, os.environ["RELEASE"], os.environ.get("ONCE", "-"))).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": body}})
"""


def release(site: Path, name: str, extra: str = "", variables: str = "") -> None:
    """Write a release, and let the link lead to it."""
    folder = site / name
    folder.mkdir()
    (folder / "main.py").write_text(APP.format(extra=extra))
    (folder / "fastserver.toml").write_text("app = 'main:app'\nenv_file = '.env'\nworkers = 1\n")
    (folder / ".env").write_text(f"RELEASE={name}-variable\n{variables}")
    (site / "next").symlink_to(name)
    (site / "next").replace(site / "current")


def read(server: ServerProcess) -> tuple[int, str]:
    pid, _, rest = ask(server.port).decode().partition(" ")
    return int(pid), rest


def wait_for(server: ServerProcess, text: str) -> int:
    """Until that is the answer; the worker that gives it."""
    deadline = time.monotonic() + PATIENCE_S
    while (answer := read(server))[1] != text:
        assert time.monotonic() < deadline, answer
    return answer[0]


@pytest.mark.parametrize(
    "preload",
    [
        (),
        pytest.param(("--preload",), marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux alone preloads")),
    ],
    ids=["", "preload"],
)
def test_a_release_that_is_broken_leaves_the_one_before(tmp_path: Path, preload: tuple[str, ...]) -> None:
    release(tmp_path, "one", variables="ONCE=1")
    with ServerProcess("--chdir", str(tmp_path / "current"), *preload) as server:
        server.wait_ready(1)
        assert read(server)[1] == "one one-variable 1"
        release(tmp_path, "two")
        server.send(signal.SIGHUP)
        server.wait_log("reloaded in")
        worker = wait_for(server, "two two-variable -")
        for name, extra in (("three", "raise ValueError"), ("four", "")):
            release(tmp_path, name, extra)
            if name == "four":
                (tmp_path / name / "fastserver.toml").write_text("workers = 'x'")
            server.send(signal.SIGHUP)
            server.wait_log("reload failed")
            os.kill(worker, signal.SIGKILL)  # its successor is of the same release
            server.wait_log(rf"\[{worker}\]|{worker}")
            deadline = time.monotonic() + PATIENCE_S
            while True:
                try:
                    found, text = read(server)
                except (ConnectionError, ValueError):
                    found, text = worker, ""
                if found != worker:
                    break
                assert time.monotonic() < deadline
            assert text == "two two-variable -"
            worker = found
        release(tmp_path, "five")
        server.send(signal.SIGHUP)
        server.wait_log("reloaded in")
        wait_for(server, "five five-variable -")

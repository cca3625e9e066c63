"""Descriptors 0 to 2 that are closed, and streams that cannot be written."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastserver.processes import standard
from tests.e2e.processes import PATIENCE_S

ROOT = Path(__file__).parents[2]

FILL = """
import os
os.close(0); os.close(2)
from fastserver.processes.standard import fill_standard
fill_standard()
null = os.stat("/dev/null")
print([os.fstat(fd).st_rdev == null.st_rdev for fd in range(3)], os.open("/", os.O_RDONLY) > 2)
"""


def test_what_is_closed_is_filled_and_the_rest_left() -> None:
    result = subprocess.run([sys.executable, "-c", FILL], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "[True, False, True] True\n"


@pytest.mark.parametrize("workers", [0, 2])
def test_it_serves_without_standard_descriptors(workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = f"exec {sys.executable} -m fastserver tests.e2e.applications:app -b 127.0.0.1:{port} -w {workers}"
    server = subprocess.Popen(["/bin/sh", "-c", f"{command} 0<&- 1>&- 2>&-"], cwd=ROOT, start_new_session=True)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                client = socket.create_connection(("127.0.0.1", port), 5)
                break
            except OSError:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        with client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert client.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE_S) == 0
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


class Broken(io.StringIO):
    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_stream_that_cannot_be_flushed_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Broken())
    monkeypatch.setattr(sys, "stderr", None)
    standard.flush_standard()

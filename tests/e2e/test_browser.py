"""HTTP/2 and WebSockets as headless Chromium speaks them."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Serve

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")

#: Seconds for the browser to start and run the page.
PATIENCE_S = 60.0


def test_a_page_tries_everything_over_tls(serve: Serve, tmp_path: Path) -> None:
    site = serve("tests.e2e.browser:app", "--ws-per-message-deflate", "true", tls=True)
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    command += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path}"]
    command += ["--ignore-certificate-errors", "--remote-debugging-port=0", site.url()]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        found = httpx.get(site.url("/report"), verify=False, timeout=PATIENCE_S).json()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()
    sockets = {found.pop("socket"), found.pop("second socket")}
    assert found == {
        "page": "h2",
        "fetch": "h2",
        "many": True,
        "upload": "".join(f"part {turn}," for turn in range(20)),
        "large upload": 5_000_000,
        "events": "0 1 2 3 4",
        "aborted": "hello again",
    }
    told = "chat|permessage-deflate|{}|text €|100000|100000|3333|as asked|true"
    assert sockets <= {told.format("1.1"), told.format("2")}
    assert "ERROR" not in site.server.text
    site.server.send(signal.SIGTERM)
    assert site.server.wait_exit() == 0
    assert "Traceback" not in site.server.text

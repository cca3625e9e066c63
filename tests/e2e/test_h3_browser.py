"""HTTP/3 as headless Chromium speaks it, forced to QUIC from its first request on."""

import base64
import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("aioquic")
pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.e2e.conftest import Serve

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")

#: Seconds for the browser to start and run the page.
PATIENCE_S = 60.0


def hash_key(path: str) -> str:
    """The SubjectPublicKeyInfo of the first certificate in ``path``, as Chromium wants it named."""
    key = x509.load_pem_x509_certificate(Path(path).read_bytes()).public_key()
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    return base64.b64encode(digest).decode()


def visit(url: str, port: int, key: str, profile: Path) -> Any:
    """What the page reports; Chromium takes no unknown authority for QUIC, but a key that it is told."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    command += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}"]
    command += ["--enable-quic", f"--origin-to-force-quic-on=localhost:{port}"]
    command += ["--host-resolver-rules=MAP localhost 127.0.0.1"]  # it does not try ::1 and then this, by UDP
    command += [f"--ignore-certificate-errors-spki-list={key}", "--remote-debugging-port=0", url]
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        return httpx.get(f"https://127.0.0.1:{port}/report", verify=False, timeout=PATIENCE_S).json()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


def test_a_page_tries_everything_over_quic(serve: Serve, certificate: str, tmp_path: Path) -> None:
    site = serve("tests.e2e.browser:app", "--http3", tls=True)
    found = visit(f"https://localhost:{site.port}/", site.port, hash_key(certificate), tmp_path)
    sockets = {found.pop("socket"), found.pop("second socket")}
    assert found == {
        "page": "h3",
        "fetch": "h3",
        "many": True,
        "upload": "".join(f"part {turn}," for turn in range(20)),
        "large upload": 5_000_000,
        "events": "0 1 2 3 4",
        "aborted": "hello again",
    }
    # Which connection a WebSocket takes is for Chromium to choose.
    told = "chat||{}|text €|100000|100000|3333|as asked|true"
    assert sockets <= {told.format("1.1"), told.format("2"), told.format("3")}
    assert "ERROR" not in site.server.text
    site.server.send(signal.SIGTERM)
    assert site.server.wait_exit() == 0
    assert "Traceback" not in site.server.text

"""Flask and Django over WSGI: uploads, streams, files, failures, and what they do when a response is closed."""

import hashlib
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Serve, Served
from tests.e2e.processes import PATIENCE_S

SITES = "tests.e2e.wsgi_sites"
BIG = bytes(range(256)) * 200_000  # about 50 MB
SHA = hashlib.sha256(BIG).hexdigest()


@pytest.fixture(scope="module", params=["flask", "flask-0", "django", "django-0"])
def served(request: pytest.FixtureRequest, serve_long: Serve) -> Served:
    name, _, threads = request.param.partition("-")
    spec = f"{SITES}:flask_app" if name == "flask" else f"{SITES}:make_django()"
    return serve_long(spec, "--threads", threads or "4")


@pytest.fixture
def client(served: Served) -> httpx.Client:
    return httpx.Client(base_url=served.url(""), timeout=PATIENCE_S)


def test_a_page(client: httpx.Client) -> None:
    assert client.get("/").text.startswith("Hello from ")
    head = client.head("/")
    assert (head.status_code, head.content) == (200, b"")


def test_a_form_with_a_file_of_50_mb(client: httpx.Client) -> None:
    answer = client.post("/upload", data={"word": "é"}, files={"file": ("big.bin", BIG)})
    assert answer.json() == {"name": "big.bin", "size": len(BIG), "sha": SHA, "word": "é"}


def test_a_chunked_body(client: httpx.Client) -> None:
    parts = (BIG[at : at + 300_000] for at in range(0, 6_000_000, 300_000))
    answer = client.post("/raw", content=parts)
    assert answer.json() == {"size": 6_000_000, "sha": hashlib.sha256(BIG[:6_000_000]).hexdigest()}


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_uploads_what_it_does_not_know_the_size_of(served: Served, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(BIG)
    command = ["curl", "-sS", "-X", "POST", "-T", "-", "-H", "Expect: 100-continue", served.url("/raw")]
    with open(tmp_path / "big", "rb") as file:
        result = subprocess.run(command, stdin=file, capture_output=True, timeout=60, check=True)
    assert SHA.encode() in result.stdout


def test_a_stream_and_its_end(client: httpx.Client) -> None:
    assert client.get("/stream").content == b"".join(b"%1023d\n" % number for number in range(2000))


def test_a_stream_that_nobody_wants_is_closed(client: httpx.Client) -> None:
    before = client.get("/events").json()
    with client.stream("GET", "/stream") as answer:
        next(answer.iter_raw())
    deadline = time.monotonic() + PATIENCE_S
    while True:
        events = client.get("/events").json()[len(before) :]
        if any(event.endswith(" closed") for event in events):
            break
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_file(client: httpx.Client) -> None:
    answer = client.get("/file")
    assert answer.content == Path(__file__).with_name("wsgi_sites.py").read_bytes()
    assert answer.headers["content-length"] == str(len(answer.content))


def test_a_failure_is_a_500_and_the_request_is_torn_down(client: httpx.Client) -> None:
    before = client.get("/events").json().count("torn down")
    assert client.get("/boom").status_code == 500
    assert client.get("/events").json().count("torn down") >= before + 1
